package rekeyd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
)

const nobody = 65_534

// A test starts its own program again to have another process.
const childVariable = "REKEYD_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "share":
		os.Exit(share())
	case "nobody":
		os.Exit(asNobody())
	}
}

func child(t *testing.T, what string, arguments ...string) *exec.Cmd {
	command := exec.Command(must(os.Executable()), arguments...)
	command.Env = append(os.Environ(), childVariable+"="+what)
	command.Stderr = os.Stderr
	return command
}

// share signs once, and ends without closing its signer when its input ends.
func share() int {
	signer, err := Open(os.Args[1], Options{})
	if err != nil {
		return 1
	}
	signed, err := signer.Assertion(Request{Audience: audience})
	fmt.Println(signed.Kid)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if len(os.Args) > 2 {
		err = errors.Join(err, signer.Close())
	}
	if err != nil {
		return 1
	}
	return 0
}

func TestProcessesThatShareAFolderReportEachForItself(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A"})
	reports := func() []string {
		paths := must(filepath.Glob(filepath.Join(folder.path, "signers", "*.json")))
		for i := range paths {
			paths[i] = filepath.Base(paths[i])
		}
		return paths
	}
	var names []string
	var ends []func()
	for _, arguments := range [][]string{{folder.path}, {folder.path, "close"}} {
		command := child(t, "share", arguments...)
		input, output := must(command.StdinPipe()), must(command.StdoutPipe())
		noError(t, command.Start())
		if line, _ := bufio.NewReader(output).ReadString('\n'); line != "A\n" {
			t.Errorf("it signed with %q", line)
		}
		names = append(names, fmt.Sprintf("%s-%d.json", notInNames.ReplaceAllString(must(os.Hostname()), "_"), command.Process.Pid))
		ends = append(ends, func() { noError(t, errors.Join(input.Close(), command.Wait())) })
	}
	both := slices.Sorted(slices.Values(names))
	until(t, "both report", func() bool { return slices.Equal(reports(), both) })
	// The first does not close its signer. It keeps no process alive, and rekeyd forgets its report after two minutes.
	ends[0]()
	ends[1]()
	if found := reports(); !slices.Equal(found, names[:1]) {
		t.Errorf("the reports are %v, not that of the first process alone", found)
	}
}

// asNobody opens what only root may read, as another user.
func asNobody() int {
	var problems []error
	signer, err := Open(os.Args[1], Options{NoReports: true, OnProblem: func(problem error) { problems = append(problems, problem) }})
	if err == nil {
		err = os.Rename(filepath.Join(os.Args[2], "..data"), filepath.Join(os.Args[1], "..data"))
	}
	if err = errors.Join(err, syscall.Setuid(nobody)); err != nil {
		fmt.Println(err)
		return 1
	}
	_, err = Open(os.Args[1], Options{NoReports: true})
	fmt.Println(err)
	signed, err := signer.Assertion(Request{Audience: audience})
	fmt.Println(signed.Kid, err, problems)
	return 0
}

func TestAnotherUserCannotOpenWhatIsNotTheirsAndGoesOnWithWhatItHas(t *testing.T) {
	t.Parallel()
	if !isRoot() {
		t.Skip("only root can become another user")
	}
	root, err := os.MkdirTemp("", "rekeyd-go-")
	noError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	noError(t, os.Chmod(root, 0o755))
	folder := &testFolder{path: filepath.Join(root, "folder"), keys: newTestKeys(nil)}
	noError(t, folder.deliver(set{"current": "A"}, nil))
	// The link to the new set is put aside, for the process to put it in place.
	aside := filepath.Join(root, "aside")
	noError(t, os.Mkdir(aside, 0o755))
	_, err = folder.write(filepath.Join(folder.path, "..2"), set{"current": "B", "previous": "A"}, nil)
	noError(t, errors.Join(err, os.Symlink("..2", filepath.Join(aside, "..data"))))
	noError(t, os.Chmod(filepath.Join(folder.path, "..2", "meta.json"), 0o644))

	said := string(must(child(t, "nobody", folder.path, aside).Output()))
	denied := `The key folder \S+ cannot be read: open \S+current\.jwk\.json: permission denied.*this user \(uid 65534\) may read it.*`
	if !regexp.MustCompile(`^` + denied + `\nA <nil> \[` + denied + `\]\n$`).MatchString(said) {
		t.Error(said)
	}
}

package rekeyd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the table in clients/cases leaves to each language.

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

func folderWith(t *testing.T, given set) *testFolder {
	folder := &testFolder{path: filepath.Join(t.TempDir(), "folder"), keys: newTestKeys(nil)}
	noError(t, folder.deliver(given, nil))
	return folder
}

func until(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !isSo(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
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

func TestGoroutinesThatSignInDuringACutoverAreRefusedOnceAtMost(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A", "next": "B"})
	signer := must(Open(folder.path, Options{NoReports: true}))
	var isChanged atomic.Bool
	var sent, failed atomic.Int64
	send := func(signed Signed) (*http.Response, error) {
		sent.Add(1)
		status := http.StatusUnauthorized
		if (signed.Kid == "B") == isChanged.Load() {
			status = http.StatusOK
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
	}
	signIn := func() {
		response, err := signer.Authenticate(Request{Audience: audience}, send)
		if err != nil || response.StatusCode != http.StatusOK {
			failed.Add(1)
		}
	}
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			for range 5 {
				signIn()
			}
		})
	}
	until(t, "some have signed in", func() bool { return sent.Load() > 100 })
	isChanged.Store(true)
	all.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d logins failed", failed.Load())
	}
	if signed := must(signer.Assertion(Request{Audience: audience})); signed.Kid != "B" {
		t.Errorf("%s signs after the cutover", signed.Kid)
	}
	noError(t, folder.deliver(set{"current": "B", "previous": "A"}, nil))
	if signIn(); failed.Load() > 0 {
		t.Error("the login after the delivery failed")
	}
}

func TestErrorsShowNothingOfAKey(t *testing.T) {
	t.Parallel()
	keys := newTestKeys(nil)
	key := func(changes map[string]any) string {
		members := keys.jwk("A")
		for name, value := range changes {
			members[name] = value
		}
		return asJSON(members)
	}
	secret := keys.jwk("A")["d"]
	for what, text := range map[string]string{
		"text after its end":                  key(nil) + "}",
		"half of it":                          key(nil)[:90],
		"a private member that is none":       key(map[string]any{"d": []any{secret}}),
		"a private member in the wrong place": key(map[string]any{"kty": secret}),
		"the public half of another key":      key(map[string]any{"x": keys.jwk("B")["x"]}),
		"an alg that it cannot sign":          key(map[string]any{"alg": "RS256"}),
		"another curve than its alg":          key(map[string]any{"alg": "ES384"}),
		"a secret for all":                    key(map[string]any{"kty": "oct", "k": secret, "alg": "HS256"}),
	} {
		folder := folderWith(t, set{"current": "A"})
		noError(t, os.WriteFile(filepath.Join(folder.path, "current.jwk.json"), []byte(text), 0o600))
		_, err := Open(folder.path, Options{})
		var known *Error
		if !errors.As(err, &known) || known.Code != FolderUnreadable || !strings.Contains(err.Error(), "current.jwk.json") {
			t.Errorf("%s: %v", what, err)
		} else if told := fmt.Sprintf("%+v %#v", err, err); mentions(told, keys.jwk("A")) {
			t.Errorf("%s: the error shows the key: %s", what, told)
		}
	}
	if !mentions(fmt.Sprintf("planted: %s", secret), keys.jwk("A")) {
		t.Error("a key that is shown is not found")
	}
}

func TestMisuseIsSaid(t *testing.T) {
	t.Parallel()
	signer := must(Open(folderWith(t, set{"current": "A"}).path, Options{NoReports: true}))
	for _, lifetime := range []time.Duration{-time.Second, time.Millisecond, 1500 * time.Millisecond, 301 * time.Second} {
		if _, err := signer.Assertion(Request{Audience: audience, Lifetime: lifetime}); err == nil {
			t.Errorf("an assertion is made for %v", lifetime)
		}
	}
	if _, err := signer.Assertion(Request{}); err == nil {
		t.Error("an assertion is made for no audience")
	}
}

func TestProblemsAreLoggedWhereNobodyAsksForThem(t *testing.T) {
	folder := folderWith(t, set{"current": "A"})
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	signer := must(Open(folder.path, Options{NoReports: true}))
	noError(t, folder.move("away"))
	must(signer.Assertion(Request{Audience: audience}))
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), folder.path) {
		t.Error(log.String())
	}
}

func TestAReportThatCannotBeWrittenIsToldOnce(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A"})
	noError(t, os.Mkdir(newReporter(filepath.Join(folder.path, "signers"), nil).path, 0o755))
	told := make(chan error, 10)
	signer := must(Open(folder.path, Options{OnProblem: func(problem error) { told <- problem }}))
	var known *Error
	if err := <-told; !errors.As(err, &known) || known.Code != ReportFailed {
		t.Error(err)
	}
	must(signer.Assertion(Request{Audience: audience}))
	noError(t, errors.Join(signer.Close(), signer.Close()))
	if len(told) > 0 {
		t.Errorf("it is told again: %v", <-told)
	}
}

func TestTheTransportSignsFormsToItsEndpointAlone(t *testing.T) {
	t.Parallel()
	var got url.Values
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		_ = request.ParseForm()
		got = request.PostForm
	}))
	defer server.Close()
	signer := must(Open(folderWith(t, set{"current": "A"}).path, Options{NoReports: true}))
	client := &http.Client{Transport: &Transport{Signer: signer, Endpoint: server.URL + "/oauth/token"}}
	post := func(path string, form url.Values) url.Values {
		response, err := client.PostForm(server.URL+path, form)
		noError(t, err)
		noError(t, response.Body.Close())
		return got
	}
	form := url.Values{"scope": {"a", "b"}, "client_id": {"none"}}
	signed := post("/oauth/token", form)
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(signed.Get("client_assertion"), claims)
	noError(t, err)
	if claims["aud"] != server.URL+"/oauth/token" || len(signed["scope"]) != 2 || !slices.Equal(signed["client_id"], []string{"client-4711"}) {
		t.Errorf("%v for %v", signed, claims["aud"])
	}
	if len(form) != 2 {
		t.Errorf("the caller's form is now %v", form)
	}
	if passed := post("/api", form); passed.Has("client_assertion") {
		t.Error("an assertion went to another endpoint")
	}
	for _, kind := range []string{"application/json", ""} {
		if _, err := client.Post(server.URL+"/oauth/token", kind, strings.NewReader("{}")); err == nil || !strings.Contains(err.Error(), "no form") {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

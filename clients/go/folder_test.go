package rekeyd

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAFolderMayBeMissingForAMoment(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A"})
	for range 3 {
		noError(t, folder.move("away"))
		// Its timer begins before those of the reading, which take longer in all.
		time.AfterFunc(missing, func() { noError(t, folder.move("back")) })
		signer, err := Open(folder.path, Options{NoReports: true})
		noError(t, err)
		must(signer.Assertion(Request{Audience: audience}))
	}
}

// It changes what the whole process logs to, so no other test runs beside it.
func TestAFolderThatStaysUnreadableIsOneWarningInTheLog(t *testing.T) {
	folder := folderWith(t, set{"current": "A"})
	signer := must(Open(folder.path, Options{NoReports: true}))
	noError(t, folder.move("away"))
	var logged strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(before)
	for range 3 {
		if signed := must(signer.Assertion(Request{Audience: audience})); signed.Kid != "A" {
			t.Errorf("%s signs", signed.Kid)
		}
	}
	if lines := strings.Count(logged.String(), "\n"); lines != 1 || !strings.Contains(logged.String(), folder.path) {
		t.Errorf("it has logged: %s", logged.String())
	}
}

func TestAVolumeThatHangsStopsNoLogin(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A"})
	var told []string
	signer := must(Open(folder.path, Options{NoReports: true, OnProblem: func(problem error) { told = append(told, problem.Error()) }}))
	noError(t, folder.deliver(set{"current": "B"}, nil))
	path := must(filepath.EvalSymlinks(filepath.Join(folder.path, "current.jwk.json")))
	text := must(os.ReadFile(path))
	// Reading it waits until somebody writes.
	noError(t, errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)))
	for range 3 {
		if signed := must(signer.Assertion(Request{Audience: audience})); signed.Kid != "A" {
			t.Errorf("%s signs", signed.Kid)
		}
	}
	if len(told) != 3 || !strings.Contains(told[0], "does not answer") {
		t.Error(told)
	}
	var sent []string
	// A refusal waits for the folder: without a newer set there is nothing to go on with.
	response := must(signer.Authenticate(Request{Audience: audience}, func(signed Signed) (*http.Response, error) {
		sent = append(sent, signed.Kid)
		status := http.StatusOK
		if signed.Kid == "A" {
			status = http.StatusUnauthorized
			go func() { noError(t, os.WriteFile(path, text, 0o600)) }()
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
	}))
	if response.StatusCode != http.StatusOK || !slices.Equal(sent, []string{"A", "B"}) {
		t.Errorf("%d after %v", response.StatusCode, sent)
	}
}

func TestManyLoginsAtOnceWaitForTwoLooksAtMost(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A"})
	signer := must(Open(folder.path, Options{NoReports: true}))
	noError(t, folder.deliver(set{"current": "B"}, nil))
	path := must(filepath.EvalSymlinks(filepath.Join(folder.path, "current.jwk.json")))
	text := must(os.ReadFile(path))
	noError(t, errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)))
	looks := map[*look]bool{}
	for range 1000 {
		looks[signer.keys.lookAnew()] = true
	}
	if len(looks) != 2 {
		t.Errorf("%d looks", len(looks))
	}
	noError(t, os.WriteFile(path, text, 0o600))
	for look := range looks {
		<-look.ended
		noError(t, look.err)
	}
}

func TestASignerOnAVolumeThatHangsCanBeClosed(t *testing.T) {
	t.Parallel()
	answers := make(chan struct{})
	watch := startWatch(newReporter(t.TempDir(), nil), func() holding {
		<-answers
		return holding{}
	})
	watch.end()
	close(answers)
	<-watch.ended
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

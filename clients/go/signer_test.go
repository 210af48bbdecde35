package rekeyd

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the table in clients/cases leaves to each language.

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

func TestARefusalIsAnsweredWithTheKeyThatAnotherLoginFound(t *testing.T) {
	t.Parallel()
	folder := folderWith(t, set{"current": "A", "next": "B"})
	signer := must(Open(folder.path, Options{NoReports: true}))
	var sent []string
	var signIn func(during func()) int
	signIn = func(during func()) int {
		response, err := signer.Authenticate(Request{Audience: audience}, func(signed Signed) (*http.Response, error) {
			sent = append(sent, signed.Kid)
			during()
			during = func() {}
			status := http.StatusUnauthorized
			if signed.Kid == "B" {
				status = http.StatusOK
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
		})
		noError(t, err)
		return response.StatusCode
	}
	status := signIn(func() {
		signIn(func() {})
		noError(t, folder.deliver(set{"current": "A", "next": "C", "previous": "B"}, nil))
	})
	if status != http.StatusOK || !slices.Equal(sent, []string{"A", "A", "B", "B"}) {
		t.Errorf("%d after %v", status, sent)
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

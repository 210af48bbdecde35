package rekeyd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const audience = "https://auth.example.com/oauth/token"

var epoch = time.Unix(1_800_000_000, 0)

type times64 struct {
	Kid      string
	Iat, Exp *int64
}

type expectation struct {
	times64
	Error  string
	Told   []string
	Sent   []times64
	Status int
	Fails  bool
	Kids   []string
}

type answer struct {
	Status int
	Body   json.RawMessage
	Text   *string
	Date   *int64
	Fails  bool
	First  set
}

// step has one of its members beside damage, while and expect. The pointers tell an absent member from an empty one.
type step struct {
	Deliver      *set
	Damage       []damage
	Folder       string
	Clock        *int64
	Open         *struct{}
	Assertion    *struct{ Lifetime int64 }
	Authenticate []answer
	Assertions   int
	Opens        int
	While        []set
	Report       json.RawMessage
	Close        bool
	Expect       expectation
}

type testCase struct {
	Name, Why, Layout string
	Algs              map[string]string
	Clock             int64
	Steps             []step
}

// sender is a way in which an application can send.
type sender func(s *Signer, endpoint string, form url.Values) (*http.Response, error)

var senders = map[string]sender{
	"function": func(s *Signer, endpoint string, form url.Values) (*http.Response, error) {
		return s.Authenticate(Request{Audience: audience}, func(signed Signed) (*http.Response, error) {
			members := signed.Form()
			for name, values := range form {
				members[name] = values
			}
			return http.PostForm(endpoint, members)
		})
	},
	"transport": func(s *Signer, endpoint string, form url.Values) (*http.Response, error) {
		client := &http.Client{Transport: &Transport{Signer: s, Endpoint: endpoint, Audience: audience}}
		return client.PostForm(endpoint+"?traced=1", form)
	},
}

// TestTable runs the table that the signers of all languages share.
func TestTable(t *testing.T) {
	files := must(filepath.Glob("../cases/*.json"))
	if len(files) == 0 {
		t.Fatal("there is no table")
	}
	for _, file := range files {
		var table struct{ Cases []testCase }
		text := must(os.ReadFile(file))
		decoder := json.NewDecoder(bytes.NewReader(text))
		// A case that is misspelt must not pass.
		decoder.DisallowUnknownFields()
		noError(t, decoder.Decode(&table))
		for _, c := range table.Cases {
			ways := []string{"function"}
			if slices.ContainsFunc(c.Steps, func(s step) bool { return s.Authenticate != nil }) {
				ways = append(ways, "transport")
			}
			for _, way := range ways {
				t.Run(fmt.Sprintf("%s: %s (%s)", strings.TrimSuffix(filepath.Base(file), ".json"), c.Name, way), func(t *testing.T) {
					t.Parallel()
					runCase(t, c, senders[way])
				})
			}
		}
	}
}

// run is one run of one case.
type run struct {
	*testing.T
	folder *testFolder
	signer *Signer
	send   sender
	clock  int64
	jtis   map[string]bool
	mutex  sync.Mutex
	told   []error
}

func runCase(t *testing.T, c testCase, send sender) {
	if isRoot() && slices.ContainsFunc(c.Steps, func(s step) bool {
		return slices.ContainsFunc(s.Damage, func(d damage) bool { return d.How == "denied" })
	}) {
		t.Skip("root may read everything")
	}
	r := &run{T: t, send: send, clock: c.Clock, jtis: map[string]bool{}}
	r.folder = &testFolder{path: filepath.Join(t.TempDir(), "folder"), layout: c.Layout, keys: newTestKeys(c.Algs)}
	for number, s := range c.Steps {
		r.told = nil
		if !r.do(s) {
			t.Fatalf("step %d is none that this runner knows", number)
		}
		r.checkTold(number, s.Expect.Told)
		if t.Failed() {
			t.Fatalf("in step %d", number)
		}
	}
}

func (r *run) do(s step) bool {
	switch {
	case s.Deliver != nil:
		noError(r, r.folder.deliver(*s.Deliver, s.Damage))
	case s.Folder != "":
		noError(r, r.folder.move(s.Folder))
	case s.Clock != nil:
		r.clock = *s.Clock
	case s.Open != nil:
		r.open(s.Expect.Error)
	case s.Assertion != nil:
		r.assertion(time.Duration(s.Assertion.Lifetime)*time.Second, s.Expect)
	case s.Authenticate != nil:
		r.authenticate(s.Authenticate, s.Expect)
	case s.Assertions > 0:
		r.assertions(s.Assertions, s.While, s.Expect.Kids)
	case s.Opens > 0:
		r.opens(s.Opens, s.While, s.Expect.Kids)
	case s.Report != nil:
		r.report(s.Report)
	case s.Close:
		noError(r, r.signer.Close())
	default:
		return false
	}
	return true
}

func (r *run) options() Options {
	tell := func(problem error) {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.told = append(r.told, problem)
	}
	return Options{OnProblem: tell, Clock: func() time.Time { return epoch.Add(time.Duration(r.clock) * time.Second) }}
}

func (r *run) open(code string) {
	signer, err := Open(r.folder.path, r.options())
	if code != "" {
		r.hasCode(err, code)
		return
	}
	noError(r, err)
	r.signer = signer
	r.Cleanup(func() { _ = signer.Close() })
}

func (r *run) assertion(lifetime time.Duration, expected expectation) {
	signed, err := r.signer.Assertion(Request{Audience: audience, Lifetime: lifetime})
	if expected.Error != "" {
		r.hasCode(err, expected.Error)
		return
	}
	noError(r, err)
	if lifetime == 0 {
		lifetime = time.Minute
	}
	r.check(signed.Assertion, expected.times64, lifetime)
}

func (r *run) authenticate(answers []answer, expected expectation) {
	var sent []url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mutex.Lock()
		_ = request.ParseForm()
		sent = append(sent, request.PostForm)
		count := len(sent)
		r.mutex.Unlock()
		if count > len(answers) {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		r.answer(w, answers[count-1])
	}))
	defer server.Close()
	grant := url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}
	response, err := r.send(r.signer, server.URL+"/oauth/token", grant)
	switch {
	case expected.Error != "":
		r.hasCode(err, expected.Error)
	case expected.Fails:
		if err == nil {
			r.Errorf("the answer is %d, and not the error of the connection", response.StatusCode)
		}
	default:
		noError(r, err)
		r.checkAnswer(response, expected.Status, answers[len(answers)-1])
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(sent) != len(expected.Sent) {
		r.Fatalf("%d requests were sent, not %d", len(sent), len(expected.Sent))
	}
	for i, form := range sent {
		if form.Get("client_id") != "client-4711" || form.Get("scope") != "a b" || form.Get("client_assertion_type") != ClientAssertionType {
			r.Errorf("the form is %v", form)
		}
		r.check(form.Get("client_assertion"), expected.Sent[i], time.Minute)
	}
}

func (r *run) answer(w http.ResponseWriter, given answer) {
	if given.First != nil {
		if err := r.folder.deliver(given.First, nil); err != nil {
			r.Error(err)
		}
	}
	if given.Fails {
		panic(http.ErrAbortHandler)
	}
	w.Header()["Date"] = nil
	if given.Date != nil {
		w.Header().Set("Date", epoch.Add(time.Duration(*given.Date)*time.Second).UTC().Format(http.TimeFormat))
	}
	w.Header().Set("Content-Type", "application/json")
	if given.Text != nil {
		w.Header().Set("Content-Type", "text/plain")
	}
	w.WriteHeader(given.Status)
	_, _ = io.WriteString(w, given.text())
}

func (a answer) text() string {
	switch {
	case a.Text != nil:
		return *a.Text
	case a.Body == nil:
		return "{}"
	}
	return string(a.Body)
}

func (r *run) checkAnswer(response *http.Response, status int, last answer) {
	defer func() { _ = response.Body.Close() }()
	text := string(must(io.ReadAll(response.Body)))
	if response.StatusCode != status || text != last.text() {
		r.Errorf("the application gets %d %q, not %d %q", response.StatusCode, text, status, last.text())
	}
}

func (r *run) assertions(count int, sets []set, kids []string) {
	made := make([]Signed, count)
	var start, all sync.WaitGroup
	start.Add(1)
	for i := range count {
		all.Go(func() {
			start.Wait()
			signed, err := r.signer.Assertion(Request{Audience: audience})
			if err != nil {
				r.Error(err)
			}
			made[i] = signed
		})
	}
	r.swapping(sets, func() {
		start.Done()
		all.Wait()
	})
	for _, signed := range made {
		r.isOneOf(signed, kids)
	}
}

func (r *run) opens(count int, sets []set, kids []string) {
	r.swapping(sets, func() {
		for range count {
			signer, err := Open(r.folder.path, r.options())
			noError(r, err)
			signed, err := signer.Assertion(Request{Audience: audience})
			noError(r, errors.Join(err, signer.Close()))
			r.isOneOf(signed, kids)
		}
	})
}

// swapping puts sets in place one after the other, over and over, until the work is done.
func (r *run) swapping(sets []set, work func()) {
	done := make(chan struct{})
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if err := r.folder.deliver(sets[i%len(sets)], nil); err != nil {
				r.Error(err)
				return
			}
		}
	})
	defer swaps.Wait()
	defer close(done)
	work()
}

func (r *run) isOneOf(signed Signed, kids []string) {
	r.check(signed.Assertion, times64{}, time.Minute)
	if !slices.Contains(kids, signed.Kid) {
		r.Errorf("%s signed, and not one of %v", signed.Kid, kids)
	}
}

func (r *run) report(wanted json.RawMessage) {
	var want any
	noError(r, json.Unmarshal(wanted, &want))
	deadline := time.Now().Add(15 * time.Second)
	for {
		found := r.reported()
		if reflect.DeepEqual(found, want) {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%s is not reported, but %v", wanted, found)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// reported is nil for no file, and what is no report of this process as it is.
func (r *run) reported() any {
	paths := must(filepath.Glob(filepath.Join(r.folder.path, "signers", "[^.]*")))
	if len(paths) == 0 {
		return nil
	}
	own := fmt.Sprintf("%s-%d.json", notInNames.ReplaceAllString(must(os.Hostname()), "_"), os.Getpid())
	if len(paths) > 1 || filepath.Base(paths[0]) != own {
		return paths
	}
	text, err := os.ReadFile(paths[0])
	if err != nil {
		return err
	}
	report := parse(text)
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", report.text("at")); err != nil {
		r.Error(err)
	}
	delete(report, "at")
	return map[string]any(report)
}

// check is of what holds of each assertion.
func (r *run) check(assertion string, wanted times64, lifetime time.Duration) {
	r.Helper()
	claims := jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(assertion, claims, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if alg := r.folder.keys.alg(kid); token.Method.Alg() != alg {
			return nil, fmt.Errorf("%s is signed with %s, not %s", kid, token.Method.Alg(), alg)
		}
		return r.folder.keys.private(kid).Public(), nil
	})
	if err != nil {
		r.Errorf("an assertion that does not verify: %v", err)
		return
	}
	if claims["iss"] != "client-4711" || claims["sub"] != "client-4711" || claims["aud"] != audience {
		r.Errorf("the claims are %v", claims)
	}
	jti, _ := claims["jti"].(string)
	if jti == "" || r.jtis[jti] {
		r.Errorf("the jti %q is not fresh", jti)
	}
	r.jtis[jti] = true
	iat, exp := must(claims.GetIssuedAt()).Unix()-epoch.Unix(), must(claims.GetExpirationTime()).Unix()-epoch.Unix()
	if exp-iat != int64(lifetime/time.Second) {
		r.Errorf("it lives for %d s", exp-iat)
	}
	if (wanted.Kid != "" && token.Header["kid"] != wanted.Kid) || (wanted.Iat != nil && *wanted.Iat != iat) || (wanted.Exp != nil && *wanted.Exp != exp) {
		r.Errorf("signed by %v from %d to %d, not as %s", token.Header["kid"], iat, exp, asJSON(wanted))
	}
}

func (r *run) hasCode(err error, code string) {
	r.Helper()
	var known *Error
	if !errors.As(err, &known) || string(known.Code) != code {
		r.Errorf("the error is %v, not %s", err, code)
	}
}

func (r *run) checkTold(number int, codes []string) {
	found := map[string]bool{}
	for _, problem := range r.told {
		var known *Error
		if !errors.As(problem, &known) {
			r.Fatalf("step %d told %v", number, problem)
		}
		found[string(known.Code)] = true
		if known.Code != WrongClock && !strings.Contains(known.Error(), r.folder.path) {
			r.Errorf("%q does not name the folder", known.Error())
		}
	}
	wanted := map[string]bool{}
	for _, code := range codes {
		wanted[code] = true
	}
	if !reflect.DeepEqual(found, wanted) {
		r.Errorf("step %d told %v, not %v", number, r.told, codes)
	}
}

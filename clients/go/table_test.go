package rekeyd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

package rekeyd

import (
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
	"sync"
	"time"
)

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

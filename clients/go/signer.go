// Package rekeyd signs the client assertions of an application with the keys that rekeyd rotates.
//
//	signer, err := rekeyd.Open("/var/lib/rekeyd/keys/185019846023/mcp-auth/4711", rekeyd.Options{})
//	client := &http.Client{Transport: &rekeyd.Transport{Signer: signer, Endpoint: tokenURL}}
//	response, err := client.PostForm(tokenURL, url.Values{"grant_type": {"client_credentials"}})
package rekeyd

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ClientAssertionType is the value of client_assertion_type beside the assertion (RFC 7523 section 2.2).
const ClientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Options of a Signer. The zero value is what most applications want.
type Options struct {
	// Reports is the folder that reports go to, for rekeyd: which keys this process holds, and which one it signs with. Empty: signers/ in the key folder,
	// as rekeyd makes it.
	Reports string
	// NoReports: nothing is reported, and nothing is read but before a signature.
	NoReports bool
	// OnProblem is told what does not stop the signer, as an *Error: such as a folder that cannot be read for a moment. Nil: it is logged as a
	// warning, each code once a minute at most.
	OnProblem func(error)
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// Request is what an assertion is for.
type Request struct {
	// Audience is the `aud` claim: the endpoint's URL, or whatever else the server asks for.
	Audience string
	// Lifetime is in whole seconds, from 1 to 300; a minute when 0. rekeyd keeps an old key for longer than that.
	Lifetime time.Duration
}

// Signed is an assertion, and the key that signed it.
type Signed struct {
	ClientID  string
	Kid       string
	Role      Role
	Assertion string
	times     times
}

// Form is the members of a token request by which the client authenticates.
func (s Signed) Form() url.Values {
	return url.Values{"client_id": {s.ClientID}, "client_assertion_type": {ClientAssertionType}, "client_assertion": {s.Assertion}}
}

// Signer is made by Open. All goroutines may share one.
type Signer struct {
	keys   *heldKeys
	clock  func() time.Time
	tell   func(error)
	watch  *watch
	choice choice
	// Nanoseconds that the server's clock is ahead of this machine's.
	correction atomic.Int64
	// What the report was last asked to be about.
	said atomic.Pointer[said]
	end  sync.Once
}

type said struct {
	set   *keySet
	stead *stead
}

// Open opens a client's folder of rekeyd's directory sink. The folder is looked at again before each signature (one stat), so there is nothing to watch or
// to restart. The error is an *Error, FolderUnreadable.
func Open(folder string, options Options) (*Signer, error) {
	keys, err := openKeys(folder)
	if err != nil {
		return nil, err
	}
	s := &Signer{keys: keys, clock: options.Clock, tell: options.OnProblem}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.tell == nil {
		s.tell = warnings()
	}
	if !options.NoReports {
		reports := options.Reports
		if reports == "" {
			reports = filepath.Join(folder, "signers")
		}
		s.watch = startWatch(newReporter(reports, s.tell), s.holding)
	}
	return s, nil
}

// warnings logs what it is told. A folder that cannot be read is told at each signature: the log has a problem of the same kind once a minute at most.
func warnings() func(error) {
	var mutex sync.Mutex
	logged := map[Code]time.Time{}
	return func(problem error) {
		mutex.Lock()
		defer mutex.Unlock()
		var e *Error
		if errors.As(problem, &e) {
			if last, ok := logged[e.Code]; ok && time.Since(last) < time.Minute {
				return
			}
			logged[e.Code] = time.Now()
		}
		slog.Warn(problem.Error(), "by", "rekeyd signer")
	}
}

// ClientID is the OAuth client_id.
func (s *Signer) ClientID() string { return s.keys.set.Load().clientID }

// Close takes the report of this process back. What is signed afterwards is signed as before.
func (s *Signer) Close() error {
	s.end.Do(s.watch.end)
	return nil
}

// Assertion makes one client assertion (RFC 7523 section 3) with a fresh jti, signed by the key that the server takes as far as is known. The error is an
// *Error, NoKey, or about the lifetime.
func (s *Signer) Assertion(request Request) (Signed, error) {
	held := s.latest(patience)
	key, err := s.choose(held)
	if err != nil {
		return Signed{}, err
	}
	return s.sign(held, key, request, s.corrected())
}

func (s *Signer) corrected() time.Duration { return time.Duration(s.correction.Load()) }

func (s *Signer) latest(limit time.Duration) *keySet {
	held := s.keys.latest(s.tell, limit)
	s.report(held)
	return held
}

// report is beside the signing, which does not wait for it.
func (s *Signer) report(held *keySet) {
	before, now := s.said.Load(), said{held, s.choice.stead.Load()}
	if before == nil || *before != now {
		s.said.Store(&now)
		s.watch.changed()
	}
}

// holding is for the report. What cannot be read now is told by the next signature.
func (s *Signer) holding() holding {
	held := s.keys.latest(func(error) {}, patience)
	h := holding{Kids: held.kids()}
	if key := s.choice.first(held); key != nil {
		h.Signing = &key.kid
	}
	return h
}

func (s *Signer) choose(held *keySet) (*signingKey, error) {
	if key := s.choice.first(held); key != nil {
		return key, nil
	}
	return nil, noKey(s.keys.folder, "")
}

func (s *Signer) sign(held *keySet, key *signingKey, request Request, correction time.Duration) (Signed, error) {
	if request.Audience == "" {
		return Signed{}, errors.New("the assertion needs an audience, and one alone: it could be used at each of several by the others")
	}
	times, err := timesAt(s.clock().Add(correction), request.Lifetime)
	if err != nil {
		return Signed{}, err
	}
	assertion, err := key.sign(jwt.MapClaims{
		"iss": held.clientID,
		"sub": held.clientID,
		"aud": request.Audience,
		"jti": rand.Text(),
		"iat": times.issuedAt,
		"exp": times.expiresAt,
	})
	if err != nil {
		return Signed{}, err
	}
	return Signed{held.clientID, key.kid, key.role, assertion, times}, nil
}

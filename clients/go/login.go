package rekeyd

import (
	"net/http"
	"time"
)

// Authenticate sends a request that carries an assertion, and answers the last answer, whatever it says.
//
// When the server refuses the key (401, or 400 invalid_client or invalid_request), the request is sent once more with the other key: the server may be a step
// ahead of this folder, or a step behind. While it is, the key that was accepted instead comes first. When the Date of the refusal shows that this machine's
// clock is wrong, the same key is tried first, with the server's time.
//
// send makes the request anew on each call. Its error is answered as it is.
func (s *Signer) Authenticate(request Request, send func(Signed) (*http.Response, error)) (*http.Response, error) {
	held := s.latest(patience)
	first, err := s.choose(held)
	if err != nil {
		return nil, err
	}
	try := attempt{s, request, send, s.corrected()}
	response, said, measured, err := try.with(held, first)
	if said != refused {
		return response, err
	}
	correction, isWrong := measured()
	if isWrong {
		if correction != 0 {
			s.tell(wrongClock(correction))
		}
		if correction.Abs() <= mostCorrected {
			discard(response)
			try.correction = correction
			response, said, _, err = try.with(held, first)
			if said == accepted {
				s.correction.Store(int64(correction))
			}
			if said != refused {
				return response, err
			}
		}
	}
	// Looked up anew: the refusal may be how this process learns that the keys were changed a moment ago.
	newer := s.latest(longPatience) // without a newer set there is nothing to go on with
	other := s.choice.other(newer, first)
	if other == nil {
		return response, nil
	}
	discard(response)
	response, said, _, err = try.with(newer, other)
	switch said {
	case accepted:
		s.choice.accepted(newer, other)
		if isWrong {
			s.correction.Store(int64(try.correction))
		}
	case refused:
		s.choice.stead.Store(nil)
	}
	s.report(newer)
	return response, err
}

// attempt is what stays the same between the requests of one login, but the clock.
type attempt struct {
	signer     *Signer
	request    Request
	send       func(Signed) (*http.Response, error)
	correction time.Duration
}

// with answers, beside the response and what it says of the key, by how much the clock was wrong.
func (a *attempt) with(held *keySet, key *signingKey) (*http.Response, verdict, func() (time.Duration, bool), error) {
	signed, err := a.signer.sign(held, key, a.request, a.correction)
	if err != nil {
		return nil, unknown, nil, err
	}
	sent := a.signer.clock()
	response, err := a.send(signed)
	if err != nil {
		return response, unknown, nil, err
	}
	made := exchange{sent: sent, received: a.signer.clock()}.of(response.Header)
	said := verdictOf(response)
	return response, said, func() (time.Duration, bool) { return made.correction(signed.times) }, nil
}

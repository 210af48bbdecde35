package rekeyd

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

const (
	mostBackdated = 10
	// A Date has whole seconds, so an assertion may be that much ahead of it and not wrong.
	ahead = 1
	// An assertion for a far future would be good to steal.
	mostCorrected = 900 * time.Second
)

// times of an assertion, in seconds since the Unix epoch.
type times struct{ issuedAt, expiresAt int64 }

// timesAt backdates, since some servers take nothing that is ahead of their clock; within the lifetime, since some refuse one that lives too long.
func timesAt(now time.Time, lifetime time.Duration) (times, error) {
	if lifetime == 0 {
		lifetime = time.Minute
	}
	seconds := int64(lifetime / time.Second)
	if lifetime%time.Second != 0 || seconds < 1 || seconds > 300 {
		return times{}, fmt.Errorf("the lifetime is %v, but must be a whole number of seconds from 1 to 300", lifetime)
	}
	issuedAt := now.Unix() - min(seconds/6, mostBackdated)
	return times{issuedAt, issuedAt + seconds}, nil
}

// exchange is when a request went, when its answer came, and what that one's Date says, if anything.
type exchange struct{ sent, received, date time.Time }

func (e exchange) of(header http.Header) exchange {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		e.date = date
	}
	return e
}

// correction is by how much to correct this machine's clock, when an assertion with these times is not valid by the server's.
//
// Date and the way of the messages only say between which two numbers the difference lies. It is the one nearest to 0.
func (e exchange) correction(t times) (time.Duration, bool) {
	if e.date.IsZero() || (t.issuedAt-ahead <= e.date.Unix() && e.date.Unix() < t.expiresAt) {
		return 0, false
	}
	// Without the monotonic clock, which does not see that the other one was set.
	least, most := e.date.Sub(e.received.Round(0)), e.date.Add(time.Second).Sub(e.sent.Round(0))
	return min(max(0, least), most), true
}

func wrongClock(correction time.Duration) *Error {
	by, far := "ahead of", ""
	if correction > 0 {
		by = "behind"
	}
	if correction.Abs() > mostCorrected {
		far = " That is too much to correct for it."
	}
	return errorf(WrongClock, "The server refused an assertion: this machine's clock is %.0f s %s the server's.%s "+
		"The key may be good. Set the clock, and keep it set (NTP).", math.Abs(correction.Seconds()), by, far)
}

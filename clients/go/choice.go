package rekeyd

import "sync/atomic"

// stead says, while the folder's first key is refused, which one was accepted in its place.
type stead struct{ first, accepted string }

// choice is which key of a set comes first: the folder's, or the one that the server takes in its place. What it knows is replaced whole, so all goroutines
// may use it at once.
type choice struct{ stead atomic.Pointer[stead] }

// first is nil when no key of the set may sign.
func (c *choice) first(held *keySet) *signingKey {
	first, stead := held.first(), c.stead.Load()
	if first != nil && stead != nil && stead.first == first.kid {
		if key := held.byKid(stead.accepted); key != nil {
			return key
		}
	}
	return first
}

// other is which key to try instead of the refused one, or nil.
func (c *choice) other(held *keySet, refused *signingKey) *signingKey {
	stead, first := c.stead.Load(), c.first(held)
	if stead != nil && stead.accepted != refused.kid && first != nil && first.kid != refused.kid {
		return first // another goroutine has found it out meanwhile
	}
	c.stead.Store(nil)
	var last *signingKey
	for _, key := range held.keys {
		if key.kid == refused.kid {
			continue
		}
		if stead == nil || stead.accepted != refused.kid || key.kid != stead.first {
			return key
		}
		last = key
	}
	return last
}

func (c *choice) accepted(held *keySet, key *signingKey) {
	first := held.first()
	switch {
	case first == nil:
	case first.kid == key.kid:
		c.stead.Store(nil)
	default:
		c.stead.Store(&stead{first.kid, key.kid})
	}
}

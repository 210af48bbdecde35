package rekeyd

import (
	"sync"
	"sync/atomic"
)

// heldKeys is the set of keys that a signer holds: as new as the folder's, and never given up for one that cannot sign. All goroutines may use it at once.
type heldKeys struct {
	folder string
	// Replaced whole: no goroutine sees half of a change.
	set       atomic.Pointer[keySet]
	isFailing atomic.Bool
	reloading sync.Mutex
}

func openKeys(folder string) (*heldKeys, error) {
	set, err := readKeySet(folder, attempts)
	if err != nil {
		return nil, err
	}
	held := &heldKeys{folder: folder}
	held.set.Store(set)
	return held, nil
}

// latest tells why the folder's new set is not taken. The keys from before are as good as they were.
func (h *heldKeys) latest(tell func(error)) *keySet {
	if !h.isAsHeld() {
		if err := h.reloadOnce(); err != nil {
			tell(err)
		}
	}
	return h.set.Load()
}

func (h *heldKeys) isAsHeld() bool {
	set := h.set.Load()
	seen, err := versionOf(h.folder)
	if err != nil || !seen.equals(set.version) {
		return false
	}
	h.isFailing.Store(false)
	return true
}

func (h *heldKeys) reloadOnce() error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	// Another goroutine may have just read it.
	if h.isAsHeld() {
		return nil
	}
	tries := attempts
	if h.isFailing.Load() {
		tries = 1 // what could not be read a moment ago is not waited for by every signature
	}
	fresh, err := readKeySet(h.folder, tries)
	h.isFailing.Store(err != nil)
	if err != nil {
		return err
	}
	held := h.set.Load()
	if fresh.clientID != held.clientID {
		return errorf(OtherClient, "The key folder %s is of the client %s, and now has keys of %s. "+
			"The signer goes on with those it has. Check what is mounted there.", h.folder, held.clientID, fresh.clientID)
	}
	if fresh.first() == nil && held.first() != nil {
		return noKey(h.folder, " The signer goes on with those it has.")
	}
	h.set.Store(fresh)
	return nil
}

func noKey(folder, consequence string) *Error {
	return errorf(NoKey, "The key folder %s holds no key to sign with.%s See what \"rekeyd status\" says about this client.", folder, consequence)
}

package rekeyd

import (
	"sync"
	"sync/atomic"
	"time"
)

// A volume that hangs must not stop logins for longer than this. What opens a signer waits longer: it has no keys yet.
const (
	patience = time.Second
	opening  = 10 * time.Second
)

// heldKeys is the set of keys that a signer holds: as new as the folder's, and never given up for one that cannot sign. All goroutines may use it at once.
type heldKeys struct {
	folder string
	// Replaced whole: no goroutine sees half of a change.
	set       atomic.Pointer[keySet]
	isFailing atomic.Bool
	reloading sync.Mutex
	// Looks that take too long. Each of them holds a thread of the system.
	stuck atomic.Int32
}

func openKeys(folder string) (*heldKeys, error) {
	held := &heldKeys{folder: folder}
	_, err := within(opening, func() error {
		set, err := readKeySet(folder, attempts)
		held.set.Store(set)
		return err
	}, func() error { return hangs(folder) })
	if err != nil {
		return nil, err
	}
	return held, nil
}

// within answers late instead of what an action answers that takes longer, and then a channel that is closed when that one ends.
func within(limit time.Duration, action, late func() error) (<-chan error, error) {
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- action()
	}()
	select {
	case err := <-ended:
		return nil, err
	case <-time.After(limit):
		return ended, late()
	}
}

// latest tells why the folder's new set is not taken. The keys from before are as good as they were.
func (h *heldKeys) latest(tell func(error)) *keySet {
	if err := h.refresh(); err != nil {
		tell(err)
	}
	return h.set.Load()
}

func (h *heldKeys) refresh() error {
	late := func() error { return hangs(h.folder) }
	if h.stuck.Load() > 0 {
		return late()
	}
	ended, err := within(patience, h.look, late)
	if ended != nil {
		h.stuck.Add(1)
		go func() {
			<-ended
			h.stuck.Add(-1)
		}()
	}
	return err
}

func (h *heldKeys) look() error {
	if h.isAsHeld() {
		return nil
	}
	return h.reloadOnce()
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

func hangs(folder string) *Error {
	return errorf(FolderUnreadable, "The key folder %s does not answer. The signer goes on with the keys it has, if any. Check the volume that it is on.", folder)
}

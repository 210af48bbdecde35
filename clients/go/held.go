package rekeyd

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A volume that hangs must not stop logins for longer than this.
	patience = time.Second
	// Where there are no keys yet, or the ones that are held were refused.
	longPatience = 10 * time.Second
)

// heldKeys is the set of keys that a signer holds: as new as the folder's, and never given up for one that cannot sign. All goroutines may use it at once.
type heldKeys struct {
	folder string
	// Replaced whole: no goroutine sees half of a change.
	set       atomic.Pointer[keySet]
	isFailing atomic.Bool
	isLate    atomic.Bool
	looks     sync.Mutex
	// The look that is under way, and the one that begins when it has ended. A look holds a thread of the system, so there is one at a time.
	looking, following *look
}

type look struct {
	ended chan struct{}
	// Of the look, once it has ended.
	err error
}

func newLook() *look { return &look{ended: make(chan struct{})} }

func openKeys(folder string) (*heldKeys, error) {
	held := &heldKeys{folder: folder}
	opening := newLook()
	go func() {
		defer close(opening.ended)
		var set *keySet
		set, opening.err = readKeySet(folder, attempts)
		held.set.Store(set)
	}()
	select {
	case <-opening.ended:
		return held, opening.err
	case <-time.After(longPatience):
		return nil, hangs(folder)
	}
}

// latest tells why the folder's new set is not taken. The keys from before are as good as they were.
func (h *heldKeys) latest(tell func(error), limit time.Duration) *keySet {
	if err := h.refresh(limit); err != nil {
		tell(err)
	}
	return h.set.Load()
}

// refresh does not ask a folder that does not answer again, unless it waits for longer.
func (h *heldKeys) refresh(limit time.Duration) error {
	if h.isLate.Load() && limit == patience {
		return hangs(h.folder)
	}
	asked := h.lookAnew()
	select {
	case <-asked.ended:
		return asked.err
	case <-time.After(limit):
		h.looks.Lock()
		defer h.looks.Unlock()
		h.isLate.Store(h.looking != nil)
		return hangs(h.folder)
	}
}

// lookAnew answers a look that begins from now on: one that began before the caller asked may have found an older set.
func (h *heldKeys) lookAnew() *look {
	h.looks.Lock()
	defer h.looks.Unlock()
	if h.looking == nil {
		h.looking = newLook()
		go h.run(h.looking)
		return h.looking
	}
	if h.following == nil {
		h.following = newLook()
	}
	return h.following
}

func (h *heldKeys) run(asked *look) {
	for asked != nil {
		asked.err = h.look()
		h.looks.Lock()
		h.isLate.Store(false)
		close(asked.ended)
		asked, h.following = h.following, nil
		h.looking = asked
		h.looks.Unlock()
	}
}

func (h *heldKeys) look() error {
	if h.isAsHeld() {
		return nil
	}
	return h.reload()
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

func (h *heldKeys) reload() error {
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

package rekeyd

import "time"

// How often a signer that signs nothing looks for new keys, so that rekeyd hears that it has them.
const lookEvery = 5 * time.Second

// How long a signer that is closed waits until its report is taken back.
const closing = 2 * time.Second

// watch is the goroutine that looks for new keys while an application signs nothing, and writes the report. A nil one does nothing.
type watch struct {
	wake  chan struct{}
	stop  chan struct{}
	ended chan struct{}
}

func startWatch(r *reporter, holding func() holding) *watch {
	w := &watch{wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	go w.run(r, holding)
	return w
}

func (w *watch) run(r *reporter, holding func() holding) {
	defer close(w.ended)
	defer r.close()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	r.forgetOld()
	for {
		r.report(holding())
		select {
		case <-w.stop:
			return
		case <-w.wake:
		case <-ticker.C:
		}
	}
}

// changed: there may be something new to report. The signing does not wait for it.
func (w *watch) changed() {
	if w == nil {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// end takes the report back. It is called once. A volume that hangs must not keep an application from ending.
func (w *watch) end() {
	if w != nil {
		close(w.stop)
		select {
		case <-w.ended:
		case <-time.After(closing):
		}
	}
}

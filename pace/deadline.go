package pace

import (
	"context"
	"os"
	"sync"
	"time"
)

// A deadline is the deadline of one direction of a Conn, as a context that ends when it passes, for
// the cause os.ErrDeadlineExceeded. The context itself has no deadline: that of a Conn may be moved
// while somebody waits, so a wait must not fail before it has really passed. All methods are safe
// for concurrent use.
type deadline struct {
	parent context.Context

	mu     sync.Mutex
	timer  *time.Timer // nil: no deadline is set, or it has passed
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func newDeadline(parent context.Context) *deadline {
	d := &deadline{parent: parent}
	d.ctx, d.cancel = context.WithCancelCause(parent)
	return d
}

// context returns the context for a wait that begins now. It stays the same while the deadline is
// moved, and is replaced only once it has ended.
func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

// set moves the deadline to t; the zero time means that there is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	left := time.Until(t)
	if !t.IsZero() && left <= 0 {
		d.cancel(os.ErrDeadlineExceeded)
		return
	}
	if d.ctx.Err() != nil {
		d.ctx, d.cancel = context.WithCancelCause(d.parent)
	}
	if t.IsZero() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // otherwise the deadline was moved while this call waited for mu
			d.timer = nil
			d.cancel(os.ErrDeadlineExceeded)
		}
	})
	d.timer = timer
}

// stop releases the timer. The parent context must have ended.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

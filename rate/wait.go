package rate

import (
	"context"
	"fmt"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// deadlineError is the error of a WaitN whose turn would come too late.
type deadlineError struct{ n int }

func (e deadlineError) Error() string {
	return fmt.Sprintf("rate: Wait(n=%d) would exceed context deadline", e.n)
}

// Unwrap makes errors.Is(err, context.DeadlineExceeded) hold.
func (deadlineError) Unwrap() error { return context.DeadlineExceeded }

func burstError(n, burst int) error {
	return fmt.Errorf("rate: Wait(n=%d) exceeds limiter's burst %d", n, burst)
}

// Wait is WaitN for one event.
func (lim *Limiter) Wait(ctx context.Context) error { return lim.WaitN(ctx, 1) }

// WaitN blocks until n events are permitted. Waiters are served first come, first served, and nobody
// overtakes them, however few events they ask for. Those behind a waiter that gives up move forward
// at once, and so do all when the limit is raised.
//
// An error means that nothing was taken. It is
//   - at once, if n is more than the burst, an error whose text contains "exceeds limiter's burst";
//     also later, if SetBurst makes it so;
//   - at once, if the turn is known to come after ctx's deadline, an error whose text contains "would
//     exceed context deadline", which wraps [context.DeadlineExceeded];
//   - ctx.Err() if ctx ends before the turn has come, or is done already.
//
// If the limit is zero, a waiter without a deadline waits for SetLimit or the end of ctx. A negative n
// gives -n tokens back. An n of 0 waits until nobody before it is owed any more.
func (lim *Limiter) WaitN(ctx context.Context, n int) error {
	ended := ctx.Err()
	if ended == nil && n > 0 && lim.takeNow(n) {
		return nil
	}
	if limit, burst := lim.settings(); n > burst && limit < Inf {
		return burstError(n, burst)
	}
	switch {
	case ended != nil:
		return ended
	case n < 0:
		lim.allow(nil, n)
		return nil
	}
	return lim.wait(ctx, n)
}

// takeNow takes n tokens if they are there, nobody queues and the case is common. False proves
// nothing.
func (lim *Limiter) takeNow(n int) bool {
	c := lim.cell.Load()
	if c == nil {
		return false
	}
	refill, need := c.Timeline.Ask(int64(time.Since(c.epoch)), n)
	return c.Timeline.Grant(&c.Word, engine.Sealed, refill, need) == engine.Granted
}

// A waiter is a goroutine in WaitN, and its place in the queue.
type waiter struct {
	engine.Node
	wake  chan struct{} // holds a signal when the node's state has changed, or the waiter is to look
	timer *time.Timer   // of its own, or nil; see alarm.go
}

// wait is WaitN for an n of 0 or more. The methods of ctx are called while nothing is held.
func (lim *Limiter) wait(ctx context.Context, n int) error {
	done := ctx.Done()
	deadline, bounded := ctx.Deadline()
	left := InfDuration
	if bounded {
		left = time.Until(deadline)
	}
	x, err := lim.enqueue(n, left)
	if x == nil {
		return err
	}
	if !lim.sleep(done, x) && lim.leave(x) {
		return ctx.Err()
	}
	if x.State() == engine.Oversized {
		return burstError(n, lim.Burst())
	}
	return nil
}

// enqueue takes n tokens now, or returns a waiter in the queue whose turn may come within left.
func (lim *Limiter) enqueue(n int, left time.Duration) (*waiter, error) {
	h := lim.hold(nil)
	defer h.release()
	need := uint64(n)
	switch {
	case h.TakeWaiting(need):
		return nil, nil
	case h.exceeds(n) || h.Timeline().Exceeds(need) || !lim.queue.HasRoom(need):
		return nil, burstError(n, lim.burst)
	}
	turn := h.Turn(need)
	if left != InfDuration && (turn == engine.Forever || turn > h.Now() && turn-h.Now() > int64(left)) {
		return nil, deadlineError{n}
	}
	x := &waiter{wake: make(chan struct{}, 1)}
	x.N, x.At, x.Owner = need, turn, x
	if lim.wantsTimer(&h, need) {
		x.timer = time.NewTimer(InfDuration)
		x.timer.Stop()
	}
	if h.Join(&x.Node); h.StateOf(&x.Node) == engine.Served {
		return nil, nil // there was a place in front of a reservation
	}
	return x, nil // release sets its alarm
}

// sleep blocks until x has left the queue, and returns true, or until done is closed, and returns
// false.
func (lim *Limiter) sleep(done <-chan struct{}, x *waiter) bool {
	var alarm <-chan time.Time
	if x.timer != nil {
		alarm = x.timer.C
		defer x.timer.Stop()
	}
	for x.State() == engine.Waiting {
		select {
		case <-x.wake:
		case <-alarm:
			lim.look(x)
		case <-done:
			return false
		}
	}
	return true
}

// look serves whoever is due, since the alarm of x is over.
func (lim *Limiter) look(x *waiter) {
	h := lim.hold(nil)
	defer h.release()
	if x == lim.front() {
		lim.alarm.set = false // release sets it
	}
}

// leave takes x out of the queue and reports whether it was still there. Otherwise its tokens were
// granted first.
func (lim *Limiter) leave(x *waiter) bool {
	h := lim.hold(nil)
	defer h.release()
	return h.Leave(&x.Node)
}

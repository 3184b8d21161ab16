package tokenbucket

import (
	"context"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// Wait takes one token as soon as it is its turn. See [Bucket.WaitN].
func (b *Bucket) Wait(ctx context.Context) error { return b.WaitN(ctx, 1) }

// WaitN takes n tokens as soon as it is its turn. Waiters are served first come, first served, and
// nobody overtakes them, however few tokens they ask for.
//
// An error is a [*WaitError] and means that nothing was taken. It wraps
//   - [ErrExceedsBurst], at once, if n is more than the burst; also later, if SetLimit makes it
//     so;
//   - [ErrDeadline], at once, if the turn is known to come after ctx's deadline;
//   - [ErrQueueFull], at once, if [WithMaxWaiters] admits no more;
//   - the cause of ctx ([context.Cause]) if ctx ends before the turn has come, or is done already,
//     even if there are tokens. If the tokens were granted first, WaitN returns nil, whatever ctx
//     says.
//
// A deadline of ctx is compared with the bucket's clock. At a rate of zero a waiter waits for
// [Bucket.SetLimit], [Bucket.Refund] or the end of ctx.
func (b *Bucket) WaitN(ctx context.Context, n int) error {
	mustCount("WaitN", n)
	if err := ctx.Err(); err != nil {
		return ended(ctx, n, 0)
	}
	if n == 0 || b.takeNow(uint64(n)) {
		return nil
	}
	return b.wait(ctx, n)
}

// takeNow takes n tokens if they are there and nobody queues.
func (b *Bucket) takeNow(n uint64) bool {
	c := b.cell.Load()
	return c != nil && b.source.grant(c.Timeline, &c.Word, n)
}

// A waiter is a goroutine in Wait, and its place in the queue.
type waiter struct {
	engine.Node
	wake  chan struct{} // holds a signal when the node's state has changed, or the waiter is to look
	timer *time.Timer   // of its own, or nil; see alarm.go
}

// wait is WaitN when the tokens are not there, or others queue for them. The methods of ctx are
// user code, and are called while nothing is held.
func (b *Bucket) wait(ctx context.Context, n int) error {
	if b.cell.Load() == nil {
		return &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	done, deadline := ctx.Done(), engine.Forever
	if d, ok := ctx.Deadline(); ok {
		deadline = b.source.instant(d)
	}
	x, wakeAt, err := b.enqueue(n, deadline)
	if x == nil {
		return err
	}
	if b.sleep(done, x, wakeAt) {
		return x.err()
	}
	if delay, left := b.leave(x); left {
		return ended(ctx, n, delay)
	}
	return x.err()
}

// enqueue takes n tokens now, or returns a waiter in the queue and the instant until which it is to
// sleep.
func (b *Bucket) enqueue(n int, deadline int64) (x *waiter, wakeAt int64, err error) {
	h := b.hold()
	defer h.release()
	need := uint64(n)
	if h.TakeWaiting(need) {
		return nil, 0, nil
	}
	if h.Timeline().Exceeds(need) {
		return nil, 0, &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	turn := h.Turn(need)
	delay := h.until(turn)
	if turn > deadline {
		return nil, 0, &WaitError{N: n, Delay: delay, Err: ErrDeadline}
	}
	if b.room.full(need) {
		return nil, 0, &WaitError{N: n, Delay: delay, Err: ErrQueueFull}
	}
	x = b.newWaiter(&h, need, turn)
	h.Join(&x.Node)
	if h.StateOf(&x.Node) == engine.Served {
		return nil, 0, nil // there was a place in front of a reservation
	}
	return x, b.attend(&h, x), nil
}

func (b *Bucket) newWaiter(h *hold, need uint64, turn int64) *waiter {
	x := &waiter{wake: make(chan struct{}, 1)}
	x.N, x.At, x.Owner = need, turn, x
	if b.wantsTimer(h, need) {
		x.timer = time.NewTimer(Never)
		x.timer.Stop()
	}
	return x
}

// sleep blocks until x has left the queue, and returns true, or until done is closed, and returns
// false. If a method of an injected clock panics or ends the goroutine, x leaves the queue.
func (b *Bucket) sleep(done <-chan struct{}, x *waiter, wakeAt int64) bool {
	returned := false
	defer func() {
		if x.timer != nil {
			x.timer.Stop()
		}
		if !returned {
			b.abandon(x)
		}
	}()
	for x.State() == engine.Waiting {
		select {
		case <-x.wake:
		case <-b.alarmOf(x, wakeAt):
		case <-done:
			returned = true
			return false
		}
		if x.State() == engine.Waiting {
			wakeAt = b.look(x)
		}
	}
	returned = true
	return true
}

// look serves whoever is due, and returns the instant at which waiter x should next wake.
func (b *Bucket) look(x *waiter) int64 {
	h := b.hold()
	defer h.release()
	return b.attend(&h, x)
}

// leave takes x out of the queue and reports whether it was still there, with the time that its
// turn was away. Otherwise the grant came first: its tokens are taken, and its Wait has succeeded.
func (b *Bucket) leave(x *waiter) (delay time.Duration, left bool) {
	h := b.hold()
	defer h.release()
	left = h.Leave(&x.Node)
	return h.until(x.At), left
}

// abandon is leave for a goroutine that is ending. If x was served, its tokens go back.
func (b *Bucket) abandon(x *waiter) {
	h := b.holdUnread()
	defer h.release()
	if !h.Leave(&x.Node) && h.StateOf(&x.Node) == engine.Served {
		h.Refund(x.N)
	}
}

// err returns the error of a wait that is over.
func (x *waiter) err() error {
	if x.State() == engine.Oversized {
		return &WaitError{N: int(x.N), Delay: Never, Err: ErrExceedsBurst}
	}
	return nil
}

// ended returns the error of a wait that ctx has ended.
func ended(ctx context.Context, n int, delay time.Duration) error {
	return &WaitError{N: n, Delay: delay, Err: context.Cause(ctx), ctxErr: ctx.Err()}
}

package tokenbucket

import (
	"context"
	"time"
)

// Wait takes one token, as soon as it is its turn. See [Bucket.WaitN].
func (b *Bucket) Wait(ctx context.Context) error { return b.WaitN(ctx, 1) }

// WaitN takes n tokens, as soon as it is its turn: those who wait are served first come, first served, and nobody
// overtakes them, however few tokens they ask for.
//
// An error is a [*WaitError] and means that nothing was taken. It wraps
//   - [ErrExceedsBurst], at once, if n is more than the burst; also later, if SetLimit makes it so;
//   - [ErrDeadline], at once, if the turn is known to come after ctx's deadline;
//   - [ErrQueueFull], at once, if [WithMaxWaiters] says so;
//   - the cause of ctx ([context.Cause]) if it ends before the turn has come, or is done already, even if there are
//     tokens. If the tokens were granted first, WaitN returns nil, whatever ctx says.
//
// A deadline of ctx is compared with the bucket's clock. At a rate of zero a waiter waits for [Bucket.SetLimit],
// [Bucket.Refund] or the end of ctx.
func (b *Bucket) WaitN(ctx context.Context, n int) error {
	mustCount("WaitN", n)
	if ctx.Err() != nil {
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
	if c == nil {
		return false
	}
	_, _, how := c.take(&b.source, n, n, false)
	return how == granted
}

// wait is WaitN when the tokens are not there, or others queue for them.
func (b *Bucket) wait(ctx context.Context, n int) error {
	if b.cell.Load() == nil {
		return &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	h := b.hold()
	x, until, err := h.enqueue(ctx, n)
	h.release()
	if x == nil {
		return err
	}
	return b.sleep(ctx, x, until)
}

// enqueue takes n tokens now, or returns a node that waits for them, and the instant until which it is to sleep.
func (h *hold) enqueue(ctx context.Context, n int) (*node, int64, error) {
	need := uint64(n)
	if h.p.span == 0 || h.takeLate(need) {
		return nil, 0, nil
	}
	if need > h.p.most() {
		return nil, 0, &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	turn := h.turn(need)
	delay := between(h.t, turn)
	if deadline, ok := ctx.Deadline(); ok && delay > h.source.until(deadline) {
		return nil, 0, &WaitError{N: n, Delay: delay, Err: ErrDeadline}
	}
	if h.queue.full(need) {
		return nil, 0, &WaitError{N: n, Delay: delay, Err: ErrQueueFull}
	}
	x := &node{n: need, at: turn, wake: make(chan struct{}, 1)}
	if h.ownsTimer(need) {
		x.timer = time.NewTimer(Never)
		x.timer.Stop()
	}
	h.join(x)
	if x == h.queue.lead {
		if h.settle(); x.state.Load() == served {
			return nil, 0, nil // there was a place in front of an appointment
		}
	}
	return x, h.attend(x), nil
}

// takeLate takes n tokens if they are there, those included that are left because the last waiter was served late.
func (h *hold) takeLate(n uint64) bool {
	v := h.v
	if !h.credit {
		v = max(v, h.r)
	}
	if h.queue.head != nil || n > h.p.most() || v+n<<h.p.frac > h.r+h.p.burst {
		return false
	}
	h.v = v + n<<h.p.frac
	return true
}

// turn returns the instant before which it cannot be the turn of a waiter for n tokens behind all who queue, unless the
// limit changes, tokens are refunded or somebody leaves the queue.
func (h *hold) turn(n uint64) int64 {
	v := max(h.v, h.r)
	if h.queue.head != nil {
		v = h.v
	}
	owed := h.queue.owed
	if h.queue.loose {
		owed -= h.queue.owedBooked // perhaps it can be served in front of the appointments
	}
	v = min(v+h.p.quanta(owed), maxLevel) + n<<h.p.frac
	return h.p.when(v - min(v, h.p.burst))
}

// sleep blocks until x is served or ctx ends.
func (b *Bucket) sleep(ctx context.Context, x *node, until int64) error {
	if x.timer != nil {
		defer x.timer.Stop()
	}
	for {
		select {
		case <-x.wake:
		case <-b.alarm(x, until):
		case <-ctx.Done():
			return b.leave(ctx, x)
		}
		if done, err := x.done(); done {
			return err
		}
		h := b.hold()
		until = h.attend(x)
		h.release()
		if done, err := x.done(); done {
			return err
		}
	}
}

// done tells whether the wait of x is over, and how.
func (x *node) done() (bool, error) {
	switch x.state.Load() {
	case inQueue:
		return false, nil
	case oversized:
		return true, &WaitError{N: int(x.n), Delay: Never, Err: ErrExceedsBurst}
	}
	return true, nil
}

// leave takes x out of the queue, unless it was served before: then its tokens are taken, and its Wait has succeeded.
func (b *Bucket) leave(ctx context.Context, x *node) error {
	h := b.hold()
	defer h.release()
	if done, err := x.done(); done {
		return err
	}
	h.queue.remove(x, abandoned)
	h.disturbPlan()
	h.settle()
	return ended(ctx, int(x.n), between(h.t, x.at))
}

func ended(ctx context.Context, n int, delay time.Duration) error {
	return &WaitError{N: n, Delay: delay, Err: context.Cause(ctx), ctxErr: ctx.Err()}
}

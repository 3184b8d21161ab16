package tokenbucket

import (
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A Reservation is a place in the queue of a [Bucket] with an instant at which its tokens are
// taken, whether its owner acts or not. Nobody who comes later gets them before. Its owner waits
// for [Reservation.Delay] and then acts.
//
// The zero Reservation is one whose tokens were there at once. All methods are safe for concurrent
// use. A Reservation must not be copied.
type Reservation struct {
	b *Bucket      // nil: granted at once
	x *engine.Node // in the queue of b, or once it was
}

// Reserve reserves one token. See [Bucket.ReserveN].
func (b *Bucket) Reserve() (*Reservation, error) { return b.ReserveN(1) }

// ReserveN reserves n tokens, behind all who wait already, and returns at once. The caller waits
// for Delay before it acts.
//
// An error is a [*WaitError] and means that nothing was taken. It wraps [ErrExceedsBurst] if n is
// more than the burst, [ErrQueueFull] if [WithMaxWaiters] admits no more, or [ErrNever] if the
// tokens will never be there, because the rate is zero or the instant is centuries away.
func (b *Bucket) ReserveN(n int) (*Reservation, error) {
	mustCount("ReserveN", n)
	if n == 0 || b.takeNow(uint64(n)) {
		return &Reservation{}, nil
	}
	if b.cell.Load() == nil {
		return nil, &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	h := b.hold()
	defer h.release()
	return b.reserve(&h, n)
}

func (b *Bucket) reserve(h *hold, n int) (*Reservation, error) {
	need := uint64(n)
	if _, _, how := h.Take(engine.Want{Least: need, Most: need}); how == engine.Granted {
		return &Reservation{}, nil
	}
	if h.Timeline().Exceeds(need) {
		return nil, &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	at := h.ReserveAt(need)
	switch {
	case at == engine.Forever:
		return nil, &WaitError{N: n, Delay: Never, Err: ErrNever}
	case b.room.full(need):
		return nil, &WaitError{N: n, Delay: h.until(at), Err: ErrQueueFull}
	}
	x := &engine.Node{N: need, At: at}
	h.Join(x)
	return &Reservation{b: b, x: x}, nil
}

// Delay returns how long it is until the reserved tokens are taken: 0 if they are, [Never] once the
// reservation has been cancelled.
//
// The instant does not move away, however many leave the queue or join it, unless tokens are
// charged, the limit is lowered, or a waiter in front was served more than 10 ms late. A caller
// that must be strict asks again after sleeping.
func (r *Reservation) Delay() time.Duration {
	var d time.Duration
	r.visit(func(h *hold) { d = h.until(h.GrantAt(r.x)) })
	if r.x != nil && r.x.State() == engine.Abandoned {
		return Never
	}
	return d
}

// Cancel gives the reservation up, so that waiters behind it may move forward. Later reservations
// keep their times. Cancel does nothing once the instant has come: the tokens are taken then, and
// [Bucket.Refund] puts them back if they were not used. Cancelling twice is like cancelling once.
func (r *Reservation) Cancel() {
	r.visit(func(h *hold) { h.Leave(r.x) })
}

// visit calls f with a hold of the bucket, if the reservation is still in its queue.
func (r *Reservation) visit(f func(*hold)) {
	if r.b == nil || r.x.State() != engine.Waiting {
		return
	}
	h := r.b.hold()
	defer h.release()
	if h.StateOf(r.x) == engine.Waiting {
		f(&h)
	}
}

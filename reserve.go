package tokenbucket

import "time"

// A Reservation is an appointment with a [Bucket]: its tokens are there after Delay, and nobody who comes later gets them
// before. Once that time has come they are taken, whether its owner acts or not.
//
// All its methods may be called by any number of goroutines at once.
type Reservation struct {
	b *Bucket // nil: served at once
	x *node
}

// Reserve makes an appointment for one token. See [Bucket.ReserveN].
func (b *Bucket) Reserve() (*Reservation, error) { return b.ReserveN(1) }

// ReserveN makes an appointment for n tokens, behind all who wait already, and returns at once. The caller is to wait for
// Delay before it acts.
//
// An error is a [*WaitError] and means that nothing was taken. It wraps [ErrExceedsBurst] if n is more than the burst,
// [ErrQueueFull] if [WithMaxWaiters] says so, or [ErrDeadline] with a Delay of [Never] if the time cannot be told, because
// the rate is zero or the appointment would be centuries away.
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
	return h.reserve(n)
}

func (h *hold) reserve(n int) (*Reservation, error) {
	need := uint64(n)
	if _, _, how := h.take(need, need); how == granted {
		return &Reservation{}, nil
	}
	if need > h.p.most() {
		return nil, &WaitError{N: n, Delay: Never, Err: ErrExceedsBurst}
	}
	at := h.moment().turn(need)
	delay := between(h.t, at)
	switch {
	case delay == Never:
		return nil, &WaitError{N: n, Delay: Never, Err: ErrDeadline}
	case h.queue.full(need):
		return nil, &WaitError{N: n, Delay: delay, Err: ErrQueueFull}
	}
	x := &node{n: need, at: at}
	h.join(x)
	return &Reservation{b: h.Bucket, x: x}, nil
}

// Delay returns how long it is until the reserved tokens are there: 0 if they are, [Never] once the reservation has been
// cancelled. It does not grow, however many leave the queue or join it, unless tokens are charged, the limit is lowered, or
// a waiter in front was served more than 10 ms late; who needs to be strict asks again after sleeping.
func (r *Reservation) Delay() time.Duration {
	d := time.Duration(0)
	r.visit(func(h *hold) { d = h.delay(r.x) })
	if r.x != nil && r.x.state.Load() == abandoned {
		return Never
	}
	return d
}

// delay returns how long the appointment x is away.
func (h *hold) delay(x *node) time.Duration {
	at := x.at
	if h.queue.disturbed {
		at = max(at, h.p.bookable(h.foresee(x), x))
	}
	return between(h.t, at)
}

// Cancel gives the appointment up, so that those behind who wait may move forward. Later reservations keep their times. It
// does nothing once the time has come: the tokens are taken then, and if they were not used, [Bucket.Refund] puts them
// back. Cancelling twice is like cancelling once.
func (r *Reservation) Cancel() {
	r.visit(func(h *hold) {
		h.queue.remove(r.x, abandoned)
		h.disturbPlan()
		h.settle()
	})
}

// visit calls f with a hold of the bucket, if the appointment is still in its queue.
func (r *Reservation) visit(f func(*hold)) {
	if r.b == nil || r.x.state.Load() != inQueue {
		return
	}
	if home := r.b.home; home != nil {
		if !home.enter() {
			return
		}
		defer home.exit()
	}
	h := r.b.hold()
	defer h.release()
	if r.x.state.Load() == inQueue {
		f(&h)
	}
}

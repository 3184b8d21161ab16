package rate

import (
	"math"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// InfDuration is what [Reservation.Delay] returns for events that are never permitted.
const InfDuration = time.Duration(math.MaxInt64)

// A Reservation is the permission of events at a later time, given by a [Limiter] in advance. Its
// owner waits for Delay, and then acts or has cancelled before.
//
// The zero Reservation is one that is not OK. A Reservation may be copied; the copies are the same
// reservation. All methods are safe for concurrent use.
type Reservation struct {
	ok      bool
	lim     *Limiter
	epoch   time.Time    // of node.At
	act     time.Time    // when the events are permitted, if node is nil
	node    *engine.Node // in the queue of lim, or once it was
	receipt *receipt     // of tokens that were there at once
}

// Reserve is ReserveN for one event, with the present time.
func (lim *Limiter) Reserve() *Reservation { return lim.ReserveN(time.Now(), 1) }

// ReserveN reserves n events at time t, behind everybody who waits, and returns at once. The tokens
// are taken when the time of the Reservation has come, and nobody who comes later gets them before.
//
// The Reservation is not OK, and nothing is reserved, if n is more than the burst or the tokens will
// never be there, for instance because the limit is zero. A negative n gives -n tokens back. An n of
// 0 takes nothing; its time comes when nobody before it is owed any more.
//
// After a time that went back, the time of the Reservation is later than it would be with t alone.
func (lim *Limiter) ReserveN(t time.Time, n int) *Reservation {
	h := lim.hold(&t)
	defer h.release()
	switch {
	case h.exceeds(n):
		return &Reservation{}
	case h.Timeline().Unlimited():
		return &Reservation{ok: true, act: t}
	case n < 0:
		h.GiveBack(magnitude(n))
	case n > 0:
		return h.reserve(t, uint64(n))
	}
	return h.permittedAt(t, h.Moment().Turn(0))
}

// reserve reserves n tokens at time t.
func (h *hold) reserve(t time.Time, n uint64) *Reservation {
	if _, _, how := h.Take(engine.Want{Least: n, Most: n}); how == engine.Granted {
		r := &struct { // one allocation
			Reservation
			receipt receipt
		}{Reservation: Reservation{ok: true, lim: h.lim, act: t}}
		r.Reservation.receipt = &r.receipt
		h.lim.receipts.add(&r.receipt, h.Timeline().Quanta(n), h.Now())
		return &r.Reservation
	}
	at := h.ReserveAt(n)
	if at == engine.Forever || h.Timeline().Exceeds(n) || !h.lim.queue.HasRoom(n) {
		return &Reservation{}
	}
	r := &struct {
		Reservation
		node engine.Node
	}{Reservation: Reservation{ok: true, lim: h.lim, epoch: h.epoch}}
	r.Reservation.node = &r.node
	r.node.N, r.node.At = n, at
	h.Join(&r.node)
	return &r.Reservation
}

// permittedAt returns a reservation of nothing, made at time t, for the instant at.
func (h *hold) permittedAt(t time.Time, at int64) *Reservation {
	switch {
	case at == engine.Forever:
		return &Reservation{}
	case at <= h.Now():
		return &Reservation{ok: true, act: t}
	}
	return &Reservation{ok: true, act: h.epoch.Add(time.Duration(at))}
}

// OK reports whether the events are permitted at all. If it is false, Delay returns [InfDuration] and
// Cancel does nothing.
func (r *Reservation) OK() bool { return r.ok }

// Delay is DelayFrom with the present time.
func (r *Reservation) Delay() time.Duration { return r.DelayFrom(time.Now()) }

// DelayFrom returns how long after t the events are permitted: 0 if they are at t, and [InfDuration]
// if they are never. It changes only when the limit or the burst does, when tokens are given back, or
// when a waiter in front was woken more than 10 ms late.
func (r *Reservation) DelayFrom(t time.Time) time.Duration {
	if !r.ok {
		return InfDuration
	}
	act := r.act
	if r.node != nil {
		at, epoch := int64(0), r.epoch
		r.lim.peek(func(c *cell, h *engine.Held) {
			if at = r.node.At; r.node.State() == engine.Waiting {
				at, epoch = h.GrantAt(r.node), c.epoch
			}
		})
		if at == engine.Forever {
			return InfDuration
		}
		act = epoch.Add(time.Duration(at))
	}
	return max(act.Sub(t), 0)
}

// Cancel is CancelAt with the present time.
func (r *Reservation) Cancel() { r.CancelAt(time.Now()) }

// CancelAt gives the reservation up at time t. It is then as if it had never been made, except that
// later reservations keep their times. It does nothing if its time was before t: the events count as
// having happened. Cancelling twice is like cancelling once.
//
// Other times that the Limiter was told or read after the reservation's own may make it too late to
// cancel, whatever t is. A reservation whose tokens were there at once can be cancelled until a time
// comes that is a second later, less those of its tokens that a full bucket would have lost.
func (r *Reservation) CancelAt(t time.Time) {
	switch {
	case r.node != nil:
		r.leave(t)
	case r.receipt != nil && !t.After(r.act):
		h := r.lim.hold(&t)
		defer h.release()
		h.PutBack(r.lim.receipts.redeem(r.receipt))
	}
}

// leave takes the node of r out of the queue at time t, if it is still there.
func (r *Reservation) leave(t time.Time) {
	if r.node.State() != engine.Waiting {
		return
	}
	lim := r.lim
	lim.mu.Lock()
	c := lim.cell.Load()
	w, d := lim.seize(c), c.instant(&t)
	if d == r.node.At {
		d-- // at its very instant it can be cancelled, but would be served first
	}
	h := lim.open(c, w, d, &t)
	defer h.release()
	h.Leave(r.node)
}

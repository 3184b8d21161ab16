package engine

// A Held is the state of a bucket with a queue at one instant. It is made by [Waitlist.Hold] for
// the goroutine that has the bucket's lock and has seized its word. The state is the caller's
// alone until the word that [Held.Word] returns is stored and the lock is released. Everybody who
// was due at the instant has been served.
//
// A Held is used on the stack of one goroutine and must not outlast the lock.
type Held struct {
	q *Waitlist
	p *Timeline
	t int64  // the instant
	r uint64 // the refill until t
	v uint64 // the level

	// credit reports whether v, where it is below r, is so because the last waiter was served
	// late. What has been refilled beyond the burst since the turn of that waiter is still there
	// for other waiters, up to catchUp.
	credit bool
}

// Hold returns the state of the bucket whose queue is q at the instant t, and serves whoever is
// due. w is the word on p as it was before it was seized by the caller, who must hold the bucket's
// lock and must have read the clock after that, so that nobody took a token later than t.
func (q *Waitlist) Hold(p *Timeline, w uint64, t int64) Held {
	h := Held{q: q, p: p, t: t, v: w &^ Queued}
	if p.Spent(t) {
		h.replace(p.limit)
	}
	h.r = h.p.refillAt(t)
	h.credit = w >= Queued && q.head == nil && h.v < h.r && h.r-h.v <= h.p.slack
	h.serve()
	return h
}

// Timeline returns the timeline that the state is on. If it is not the one that the Held was made
// with, the limit has changed or the timeline was spent: the caller must seal the old word and
// publish a new one on the new timeline.
func (h *Held) Timeline() *Timeline { return h.p }

// Now returns the instant of the Held.
func (h *Held) Now() int64 { return h.t }

// Word returns the word to be stored. It stays with the lock, and has [Queued] set, while somebody
// is in the queue or credit is left.
func (h *Held) Word() uint64 {
	if h.q.head != nil || h.credit && h.v < h.r {
		return h.v | Queued
	}
	return h.v
}

// Take takes as many tokens as there are within want. Nobody overtakes those who are in the queue.
func (h *Held) Take(want Want) (uint64, Moment, Outcome) {
	switch {
	case h.p.Unlimited():
		return want.Most, h.Moment(), Granted
	case h.q.head != nil && want.Least > 0:
		return 0, h.Moment(), Denied
	case h.q.head != nil:
		return 0, h.Moment(), Granted
	}
	v := max(h.v, h.r)
	n := min(want.Most, h.p.tokens(h.r, v))
	if n < want.Least {
		return 0, h.Moment(), Denied
	}
	if n > 0 {
		h.v, h.credit = v+n<<h.p.frac, false
	}
	return n, h.Moment(), Granted
}

// TakeWaiting takes n tokens for a waiter that has not joined the queue, and reports whether they
// were there. Unlike Take it uses the credit that a waiter before may have left.
func (h *Held) TakeWaiting(n uint64) bool {
	if h.p.Unlimited() {
		return true
	}
	v := h.v
	if !h.credit {
		v = max(v, h.r)
	}
	if h.q.head != nil || n > h.p.most() || v+n<<h.p.frac > h.r+h.p.burst {
		return false
	}
	h.v = v + n<<h.p.frac
	return true
}

// Turn returns the instant before which it cannot be the turn of a waiter for n tokens that joins
// the queue now. It becomes earlier only if the limit changes, tokens are refunded or somebody
// leaves. n must not exceed the burst.
func (h *Held) Turn(n uint64) int64 {
	v := max(h.v, h.r)
	if h.q.head != nil {
		v = h.v
	}
	owed := h.q.owed
	if h.q.gaps {
		owed -= h.q.owedReserved // perhaps it can be served in front of the reservations
	}
	v = min(v+h.p.quanta(owed), maxLevel) + n<<h.p.frac
	return h.p.when(v - min(v, h.p.burst))
}

// ReserveAt returns the instant at which a reservation for n tokens, made now, would be granted.
func (h *Held) ReserveAt(n uint64) int64 { return h.Moment().Turn(n) }

// Join puts x at the end of the queue. x is served at once if it is the first waiter and has a
// place in front of a reservation.
func (h *Held) Join(x *Node) {
	if h.q.reserved > 0 || x.isReservation() {
		h.q.forecast, h.q.forecastValid = h.p.after(h.forecast(), x), true
	}
	h.q.push(x)
	if x == h.q.front {
		h.serve()
	}
}

// StateOf returns the state of x, published or not.
func (h *Held) StateOf(x *Node) State { return x.state }

// Leave takes x out of the queue, if it is still there, and reports whether it was.
func (h *Held) Leave(x *Node) bool {
	if x.state != Waiting {
		return false
	}
	h.q.remove(x, Abandoned)
	h.reforecast()
	h.serve()
	return true
}

// Refund puts n tokens back.
func (h *Held) Refund(n uint64) { h.move(n, (*Timeline).refunded) }

// Charge takes n tokens, into debt if need be.
func (h *Held) Charge(n uint64) { h.move(n, (*Timeline).charged) }

func (h *Held) move(n uint64, to func(p *Timeline, v, r, n uint64) uint64) {
	if h.p.Unlimited() {
		return
	}
	h.v, h.credit = to(h.p, max(h.v, h.r), h.r, n), false
	h.disturb()
	h.serve()
}

// Fill makes the bucket full.
func (h *Held) Fill() {
	h.v, h.credit = min(h.v, h.r), false
	h.reforecast()
	h.serve()
}

// SetLimit changes the limit, keeps the balance as far as the new burst has room for it, and serves
// whoever is due then. A waiter for more than the new burst can't be served any more: it leaves the
// queue as Oversized.
func (h *Held) SetLimit(l Limit) {
	if l == h.p.limit {
		return
	}
	h.replace(l)
	h.credit = false
	h.disturb()
	for x := h.q.head; x != nil && !h.p.Unlimited(); {
		next := x.next
		if !x.isReservation() && x.N > h.p.most() {
			h.q.remove(x, Oversized)
		}
		x = next
	}
	h.serve()
}

// replace puts the limit l in force from the instant of the Held on.
func (h *Held) replace(l Limit) {
	// A time before the old base was read before the limit changed last. What has been earned since
	// the old base must not be earned again.
	p := NewTimeline(l, max(h.t, h.p.base))
	h.v = p.Adopt(h.p, h.v, h.t)
	h.p, h.r = p, 0
	h.reforecast()
}

// Moment returns the state as a newcomer sees it, behind everybody who is in the queue.
func (h *Held) Moment() Moment {
	return Moment{p: h.p, t: h.t, r: h.r, v: h.forecast(), queue: h.q.head != nil, floor: h.q.floor()}
}

// Balance returns the state without what everybody in the queue is owed.
func (h *Held) Balance() Moment { return Moment{p: h.p, t: h.t, r: h.r, v: max(h.v, h.r)} }

// disturb notes that reservations may have to be granted later than was told.
func (h *Held) disturb() {
	h.reforecast()
	h.q.slipped = h.q.reserved > 0
}

// reforecast notes that the level behind the last node has to be forecast anew, and that there may
// be gaps in front of reservations.
func (h *Held) reforecast() { h.q.forecastValid, h.q.gaps = false, h.q.reserved > 0 }

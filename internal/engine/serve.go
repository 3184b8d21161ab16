package engine

// serve grants everything that is due at the instant of the Held, in order.
//
// A reservation is granted at its own instant, however late that is noticed, and takes its tokens
// from the bucket as it was then. A waiter is granted now, late as that may be, so that the tokens
// granted in any window are counted when they are really granted. In return the bucket may then
// hold up to catchUp more than its burst.
func (h *Held) serve() {
	q := h.q
	h.grantReservations()
	for q.front != nil && h.Due() <= h.t {
		if !h.p.Unlimited() {
			v := h.lateLevel()
			if v != h.v {
				h.disturb() // the waiter comes so late that tokens were lost
			}
			h.v, h.credit = v+q.front.N<<h.p.frac, true
		}
		if q.front != q.head {
			h.reforecast() // it used the room in front of a reservation
		}
		q.remove(q.front, Served)
		h.grantReservations()
	}
}

// grantReservations grants the reservations at the head of the queue that are due.
func (h *Held) grantReservations() {
	for x := h.q.head; x != nil && x.isReservation(); x = h.q.head {
		at := h.grantAt(x)
		if at > h.t {
			return
		}
		if !h.p.Unlimited() {
			h.v = h.p.reserved(h.v, x, at)
		}
		h.q.remove(x, Served)
	}
}

// grantAt returns the instant at which the reservation x, the first node, will be granted: when it
// was told, or later if the tokens are not there by then.
func (h *Held) grantAt(x *Node) int64 {
	if h.p.Unlimited() {
		return h.t
	}
	return max(x.At, h.p.earliest(h.v, x))
}

// earliest returns the first instant at which the tokens of the reservation x are there at level
// v. A reservation for more than the burst, which a change of limit can leave behind, is content
// with a full bucket.
func (p *Timeline) earliest(v uint64, x *Node) int64 {
	need := p.quanta(x.N)
	v += need
	return p.when(v - min(v, max(p.burst, need)))
}

// reserved returns the level after the reservation x was granted at the instant at, before which
// the level was v.
//
// The bucket cannot have held more than its burst then. But if the tokens of x were the last thing
// that it waited for, the bucket was not yet full: then at is merely rounded up to a nanosecond,
// which must not cost a fraction of a token each time.
func (p *Timeline) reserved(v uint64, x *Node, at int64) uint64 {
	need := p.quanta(x.N)
	if v+need <= p.refillAt(at-1)+max(p.burst, need) {
		v = max(v, p.refillAt(at))
	}
	return min(v+need, maxLevel)
}

// lateLevel returns the level for serving a waiter: what was refilled beyond the burst up to
// catchUp ago is not lost.
func (h *Held) lateLevel() uint64 { return max(h.v, h.r-min(h.r, h.p.slack)) }

// Due returns the instant at which the first waiter is to be looked at next. It is not after the
// instant of the Held if the waiter can be served. There must be a waiter.
//
// Reservations in front of the waiter hold it up only as far as they need to: when somebody in
// front of them has left, the waiter may use the place, provided that it delays no reservation.
func (h *Held) Due() int64 {
	if h.p.Unlimited() {
		return h.t
	}
	mine := h.lateLevel() + h.q.front.N<<h.p.frac
	v := min(mine, maxLevel)
	for x := h.q.head; x != h.q.front; x = x.next {
		need := h.p.quanta(x.N)
		v = min(v+need, maxLevel)
		if v > h.p.refillAt(x.At)+max(h.p.burst, need) {
			return h.grantAt(h.q.head)
		}
	}
	return h.p.when(mine - min(mine, h.p.burst))
}

// forecast returns the level of the bucket once everybody in the queue has been served, as far as
// that can be foreseen.
func (h *Held) forecast() uint64 {
	q := h.q
	switch {
	case q.head == nil:
		return max(h.v, h.r)
	case q.reserved == 0:
		return min(h.v+h.p.quanta(q.owed), maxLevel)
	case !q.forecastValid:
		q.forecast, q.forecastValid = h.forecastBefore(nil), true
	}
	return q.forecast
}

// forecastBefore returns the level of the bucket once all nodes before x have been served, or all
// nodes if x is nil.
func (h *Held) forecastBefore(x *Node) uint64 {
	v := h.v
	for y := h.q.head; y != x; y = y.next {
		v = h.p.after(v, y)
	}
	return v
}

// after returns level v advanced by serving x.
func (p *Timeline) after(v uint64, x *Node) uint64 {
	if x.isReservation() {
		return p.reserved(v, x, x.At)
	}
	return min(v+p.quanta(x.N), maxLevel)
}

// GrantAt returns the instant at which the reservation x will be granted. x must be in the queue.
func (h *Held) GrantAt(x *Node) int64 {
	if h.q.slipped {
		return max(x.At, h.p.earliest(h.forecastBefore(x), x))
	}
	return x.At
}

package engine

// This file is what a shell needs whose callers say what time it is, in any order and from any
// epoch: reading without serving, and moving what was promised to other instants.

// Room returns how many quanta a bucket at level w lacks at the instant t: so many can be put back
// before it is full.
func (p *Timeline) Room(w uint64, t int64) uint64 {
	r := p.refillAt(t)
	if v := w &^ Queued; !p.Unlimited() && v > r {
		return v - r
	}
	return 0
}

// Quanta returns the quanta of n tokens, at most 2^63-2.
func (p *Timeline) Quanta(n uint64) uint64 { return p.quanta(n) }

// Convert returns x quanta of the timeline from in those of p, rounded down, at most 2^63-2.
func (p *Timeline) Convert(from *Timeline, x uint64) uint64 {
	return uint64(rescale(int64(min(x, maxLevel)), int(p.frac)-int(from.frac), int64(maxLevel)))
}

// PutBack is [Held.Refund] of so many quanta.
func (h *Held) PutBack(quanta uint64) {
	if h.p.Unlimited() || quanta == 0 {
		return
	}
	v := max(h.v, h.r)
	h.v, h.credit = v-min(v-h.r, quanta), false
	h.disturb()
	h.serve()
}

// TokensAt returns the balance that the bucket will have at the instant t, less what everybody in the
// queue is owed. It does not serve anybody, so a shell can ask for any t in a Held at [Past].
func (h *Held) TokensAt(t int64) float64 {
	return Moment{p: h.p, t: t, r: h.p.refillAt(t), v: h.forecast()}.Tokens()
}

// Retime gives every reservation the earliest instant at which its tokens can be there, in order, and
// serves whoever is due. Without it reservations keep the instants that they were told, or slip.
func (h *Held) Retime() {
	v := h.v
	for x := h.q.head; x != nil; x = x.next {
		if x.isReservation() {
			x.At = h.t
			if !h.p.Unlimited() {
				x.At = max(h.t, h.p.earliest(v, x))
			}
		}
		v = h.p.after(v, x)
	}
	h.reforecast()
	h.q.slipped = false
	h.serve()
}

// GiveBack puts n tokens back, like Refund, and lets them pay for those at the head of the queue
// first, reservations too. So a bucket in debt has room for more than its burst.
func (h *Held) GiveBack(n uint64) {
	for x := h.q.head; x != nil && !h.p.Unlimited(); x = h.q.head {
		paid := min(n, x.N)
		v := max(h.v, h.r) + h.p.quanta(x.N-paid)
		if v > h.r+h.p.burst {
			break
		}
		h.v, n, x.At = v, n-paid, h.t
		h.q.remove(x, Served)
	}
	h.Refund(n)
	h.Retime()
}

// Rebase makes the instant of the Held the zero of a new epoch. The balance stays. Reservations that
// are still in the queue get new instants, and the caller must forget all others of the old epoch.
func (h *Held) Rebase() {
	now := NewTimeline(h.p.limit, h.t)
	h.v = now.Adopt(h.p, h.v, h.t) // a level, and so the same in the new epoch, whose refill is 0 too
	h.p, h.t, h.r, h.credit = NewTimeline(h.p.limit, 0), 0, 0, false
	h.Retime()
}

package engine

// This file is what a shell needs whose callers say what time it is, in any order and from any
// epoch: reading without serving, and moving what was promised to other instants.

// Room returns how many whole tokens a bucket at level w lacks at the instant t: so many can be put
// back before it is full.
func (p *Timeline) Room(w uint64, t int64) uint64 {
	r := p.refillAt(t)
	if v := w &^ Queued; !p.Unlimited() && v > r {
		return (v - r) >> p.frac
	}
	return 0
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
		h.v, n = v, n-paid
		h.q.remove(x, Served)
	}
	h.Refund(n)
	h.Retime()
}

// Rebase makes the instant of the Held the zero of a new epoch. The balance stays. Reservations that
// are still in the queue get new instants, and the caller must forget all others of the old epoch.
func (h *Held) Rebase() {
	p := NewTimeline(h.p.limit, 0)
	h.v = p.Adopt(h.p, h.v, h.t)
	h.p, h.t, h.r, h.credit = p, 0, 0, false
	h.Retime()
}

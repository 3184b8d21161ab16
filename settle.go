package tokenbucket

// settle serves all who are due at the instant of the hold, in order.
//
// An appointment is granted at its own instant, however late that is noticed, and takes its tokens from the bucket as it
// was then. A waiter is granted now, late as that may be, so that the tokens granted in any window are counted when they
// are really granted; in return the bucket may then hold up to catchUp more than its burst.
func (h *hold) settle() {
	q := &h.queue
	h.keepAppointments()
	for q.lead != nil && h.due() <= h.t {
		if h.p.span != 0 {
			v := h.late()
			if v != h.v {
				h.disturb()
			}
			h.v, h.credit = v+q.lead.n<<h.p.frac, true
		}
		if q.lead != q.head {
			h.disturbPlan() // it used the room in front of an appointment
		}
		q.remove(q.lead, served)
		h.keepAppointments()
	}
}

// keepAppointments grants the appointments at the head that are due.
func (h *hold) keepAppointments() {
	q := &h.queue
	for x := q.head; x != nil && x.wake == nil; x = q.head {
		at := h.kept(x)
		if at > h.t {
			return
		}
		if h.p.span != 0 {
			h.v = h.p.book(h.v, x, at)
		}
		q.remove(x, served)
	}
}

// kept returns the instant at which the appointment x, the first in the queue, will be kept: when it was told, or later if
// the tokens are not there by then.
func (h *hold) kept(x *node) int64 {
	if h.p.span == 0 {
		return h.t
	}
	return max(x.at, h.p.bookable(h.v, x))
}

// bookable returns the first instant at which the tokens of x are there at level v. An appointment for more than the
// burst, which a change of limit can leave behind, is content with a full bucket.
func (p *timeline) bookable(v uint64, x *node) int64 {
	need := p.quanta(x.n)
	v += need
	return p.when(v - min(v, max(p.burst, need)))
}

// book returns the level after the appointment x was kept at the instant at, before which the level was v. The bucket
// cannot have held more than its burst then. But if its tokens were the last thing that x waited for, the bucket was not
// yet full: then at is merely rounded up to a nanosecond, which must not cost a fraction of a token each time.
func (p *timeline) book(v uint64, x *node, at int64) uint64 {
	need := p.quanta(x.n)
	if v+need <= p.refillAt(at-1)+max(p.burst, need) {
		v = max(v, p.refillAt(at))
	}
	return min(v+need, maxLevel)
}

// late returns the level for serving a waiter: what was refilled up to catchUp ago beyond the burst is not lost.
func (h *hold) late() uint64 { return max(h.v, h.r-min(h.r, h.p.slack)) }

// due returns the instant at which to look at the lead next: now, if it can be served.
//
// Appointments in front of the lead hold it up only as far as they need to: when somebody in front of them has left, the
// lead may use the place, provided that it is in no appointment's way.
func (h *hold) due() int64 {
	if h.p.span == 0 {
		return h.t
	}
	q := &h.queue
	mine := h.late() + q.lead.n<<h.p.frac
	v := min(mine, maxLevel)
	for x := q.head; x != q.lead; x = x.next {
		need := h.p.quanta(x.n)
		v = min(v+need, maxLevel)
		if v > h.p.refillAt(x.at)+max(h.p.burst, need) {
			return h.kept(q.head)
		}
	}
	return h.p.when(mine - min(mine, h.p.burst))
}

// planned returns the level of the bucket once all who queue have been served, as far as that can be foreseen.
func (h *hold) planned() uint64 {
	q := &h.queue
	switch {
	case q.head == nil:
		return max(h.v, h.r)
	case q.booked == 0:
		return min(h.v+h.p.quanta(q.owed), maxLevel)
	case !q.planned:
		q.plan, q.planned = h.foresee(nil), true
	}
	return q.plan
}

// foresee returns the level of the bucket once all in front of x have been served; all who queue, if x is nil.
func (h *hold) foresee(x *node) uint64 {
	v := h.v
	for y := h.queue.head; y != x; y = y.next {
		v = h.p.plus(v, y)
	}
	return v
}

// plus returns the level after y has been served that was v before.
func (p *timeline) plus(v uint64, y *node) uint64 {
	if y.wake == nil {
		return p.book(v, y, y.at)
	}
	return min(v+p.quanta(y.n), maxLevel)
}

// moment returns the state as those see it who come after all who queue.
func (h *hold) moment() moment {
	return moment{p: h.p, t: h.t, v: h.planned(), queue: h.queue.head != nil, floor: h.queue.floor()}
}

// join puts x at the end of the queue.
func (h *hold) join(x *node) {
	q := &h.queue
	if q.booked > 0 || x.wake == nil {
		q.plan, q.planned = h.p.plus(h.planned(), x), true
	}
	q.push(x)
}

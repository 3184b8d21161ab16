package scenarios

import (
	"github.com/go-tokenbucket/tokenbucket"
)

// apply makes operation i, which is o, act at the instant t. It returns the reply and true, or false if the operation queues.
func (s *state) apply(i int, o op, t int64, maxQueue int, began int64) (reply, bool) {
	before := *s
	r, done := s.act(i, o, t, maxQueue, began)
	if s.level != before.level || s.limit != before.limit || s.base != before.base || s.length != before.length {
		s.wrote = t
	}
	return r, done
}

func (s *state) act(i int, o op, t int64, maxQueue int, began int64) (r reply, done bool) {
	n := int64(o.n) * token
	switch o.kind {
	case opStep, opEvict:
	case opCancel:
		s.ended[o.ctx-1] = true
	case opWaiting:
		r.n = int(s.length) - s.booked()
	case opWait:
		return s.wait(i, o, t, maxQueue, began)
	case opReserve:
		s.touch(t)
		return s.reserve(o, t, maxQueue), true
	case opUnreserve, opDelay:
		return s.visit(o, t), true
	case opAllow, opTake:
		s.touch(t)
		took := s.grab(n, n, t)
		r.result.Allowed = took == n
		if o.kind == opTake {
			r.result = s.figures(t, n, r.result.Allowed)
		}
	case opAvailable:
		s.touch(t)
		r.n = int(s.grab(0, n, t) / token)
	case opRefund, opCharge:
		s.touch(t)
		s.move(o.kind, n, t)
	case opTokens:
		s.touch(t)
		owed, _ := s.owed()
		r.f = float64(s.free(t)-owed) / float64(token)
	case opLimit:
		s.touch(t)
		s.change(int8(o.n), t)
	case opDelete:
		s.touch(t)
		s.level, s.credit = min(s.level, s.refill(t)), false
		s.loose = s.booked() > 0
		s.settle(t)
	}
	return r, true
}

// free returns the units there are, negative in debt.
func (s *state) free(t int64) int64 {
	if s.tariff().inf {
		return s.burst()
	}
	r := s.refill(t)
	return r + s.burst() - max(s.level, r)
}

// grab takes as much as there is, between least and most, in whole tokens.
func (s *state) grab(least, most, t int64) int64 {
	if s.tariff().inf {
		return most
	}
	if s.length > 0 {
		return 0
	}
	n := min(most, max(s.free(t), 0)/token*token)
	if n < least {
		return 0
	}
	if n > 0 {
		s.level, s.credit = max(s.level, s.refill(t))+n, false
	}
	return n
}

// figures returns the Result of a decision.
func (s *state) figures(t, n int64, allowed bool) tokenbucket.Result {
	res := tokenbucket.Result{Allowed: allowed, Limit: s.tariff().Limit}
	if s.tariff().inf {
		res.Remaining = s.tariff().Burst
		return res
	}
	if s.length == 0 {
		res.Remaining = int(max(s.free(t), 0) / token)
	}
	switch {
	case allowed:
	case n > s.burst():
		res.RetryAfter = tokenbucket.Never
	default:
		res.RetryAfter = between(t, s.behindAll(t, n))
	}
	res.ResetAfter = between(t, s.when(s.planned(t)))
	return res
}

// move puts n back, or charges it.
func (s *state) move(kind opKind, n, t int64) {
	if s.tariff().inf || n == 0 {
		return
	}
	r := s.refill(t)
	v := max(s.level, r)
	if kind == opCharge {
		v += n
	} else {
		v = max(v-n, r)
	}
	s.level, s.credit = v, false
	s.disturb()
	s.settle(t)
}

func (s *state) disturb() {
	s.disturbed = s.booked() > 0
	s.loose = s.disturbed
}

// change puts another limit in force.
func (s *state) change(to int8, t int64) {
	if to == s.limit {
		return
	}
	bal := s.free(t)
	s.limit, s.base = to, t
	s.level = s.burst() - min(bal, s.burst())
	if s.tariff().inf {
		s.level = 0
	}
	s.credit = false
	s.disturb()
	for i := 0; i < int(s.length) && !s.tariff().inf; {
		if x := s.queue[i]; !x.appt && x.n > s.burst() {
			s.ops[s.remove(i).op] = progress{acted, oversized}
		} else {
			i++
		}
	}
	s.settle(t)
}

// wait takes tokens or joins the queue.
func (s *state) wait(i int, o op, t int64, maxQueue int, began int64) (r reply, done bool) {
	n := int64(o.n) * token
	s.touch(t)
	if s.tariff().inf {
		return r, true
	}
	v := s.level
	if !s.credit {
		v = max(v, s.refill(t))
	}
	if s.length == 0 && n <= s.burst() && v+n <= s.refill(t)+s.burst() {
		s.level = v + n
		return r, true
	}
	switch {
	case n > s.burst():
		return reply{err: exceeds}, true
	case o.d > 0 && int64(between(t, s.turn(t, n))) > began+int64(o.d)-t:
		return reply{err: deadline}, true
	case maxQueue >= 0 && int(s.length) >= maxQueue:
		return reply{err: full}, true
	}
	s.ops[i].phase = waiting
	s.queue[s.length] = place{n: n, op: int8(i)}
	s.length++
	if s.lead() == int(s.length)-1 {
		s.settle(t)
	}
	return r, s.ops[i].phase == acted
}

// turn returns the instant before which a new waiter for n is not served.
func (s *state) turn(t, n int64) int64 {
	v := max(s.level, s.refill(t))
	if s.length > 0 {
		v = s.level
	}
	owed, booked := s.owed()
	if s.loose {
		owed -= booked
	}
	return s.when(v + owed + n - s.burst())
}

// leave takes the waiter of operation i out of the queue.
func (s *state) leave(i int, t int64) {
	for j := range int(s.length) {
		if x := s.queue[j]; !x.appt && int(x.op) == i {
			s.remove(j)
			s.loose = s.booked() > 0
			s.wrote = t
			s.settle(t)
			return
		}
	}
}

// reserve takes tokens or makes an appointment.
func (s *state) reserve(o op, t int64, maxQueue int) reply {
	n := int64(o.n) * token
	if s.grab(n, n, t) == n {
		s.slots[o.slot] = slot{made: true}
		return reply{}
	}
	if n > s.burst() {
		return reply{err: exceeds}
	}
	at := s.behindAll(t, n)
	switch {
	case at == forever:
		return reply{err: deadline}
	case maxQueue >= 0 && int(s.length) >= maxQueue:
		return reply{err: full}
	}
	s.queue[s.length] = place{n: n, slot: int8(o.slot), appt: true, at: at}
	s.length++
	s.slots[o.slot] = slot{made: true}
	return reply{}
}

// visit cancels a reservation or returns its delay.
func (s *state) visit(o op, t int64) (r reply) {
	if !s.slots[o.slot].made {
		return reply{n: missing}
	}
	if s.booking(o.slot) >= 0 {
		s.touch(t)
	}
	j := s.booking(o.slot)
	switch {
	case j >= 0 && o.kind == opUnreserve:
		s.remove(j)
		s.slots[o.slot].cancelled = true
		s.loose = s.booked() > 0
		s.settle(t)
	case j >= 0:
		at := s.queue[j].at
		if s.disturbed {
			at = max(at, s.bookable(s.foresee(j), s.queue[j]))
		}
		r.d = between(t, at)
	case o.kind == opDelay && s.slots[o.slot].cancelled:
		r.d = tokenbucket.Never
	}
	return r
}

// booking returns the place of a reservation in the queue, or -1.
func (s *state) booking(slot int) int {
	for j := range int(s.length) {
		if x := s.queue[j]; x.appt && int(x.slot) == slot {
			return j
		}
	}
	return -1
}

// starving reports whether somebody queues who is to be served at t.
func (s *state) starving(t int64) bool {
	after := *s
	after.touch(t)
	return after.length != s.length && after.lead() != s.lead() || waiters(&after) != waiters(s)
}

func waiters(s *state) int { return int(s.length) - s.booked() }

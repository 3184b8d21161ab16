package scenarios

import (
	"math"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// This file is a bucket for one caller at a time, in exact integers: what the real one has to look like to those who use it at once.
//
// Times are nanoseconds of the virtual time. Tokens are counted in units of 2^-30. The rates of all scenarios are a whole number
// of units a nanosecond, for which the real bucket is exact too.

const (
	token   = int64(1) << 30
	slack   = int64(10 * time.Millisecond) // how late a waiter may be served without a loss
	forever = int64(math.MaxInt64)
)

// A tariff is a limit, and what it is in units a nanosecond.
type tariff struct {
	tokenbucket.Limit
	perNano int64
	inf     bool
}

func every(shift uint, burst int) tariff {
	return tariff{Limit: tokenbucket.Limit{Rate: tokenbucket.Every(1 << shift), Burst: burst}, perNano: token >> shift}
}

// tariffs are the limits of all scenarios, by number. A token takes 67 ms, 1 ms (so that ten are made within the slack), for good, or no time.
var tariffs = []tariff{
	slow1:  every(26, 1),
	slow2:  every(26, 2),
	slow3:  every(26, 3),
	slower: every(27, 2),
	fast2:  every(20, 2),
	fixed2: {Limit: tokenbucket.Limit{Burst: 2}},
	inf2:   {Limit: tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: 2}, inf: true},
}

const (
	slow1 = iota
	slow2
	slow3
	slower
	fast2
	fixed2
	inf2
)

// tick is the time in which a token comes at the slow limits, quick that at the fast one.
const (
	tick  = time.Duration(1 << 26)
	quick = time.Duration(1 << 20)
)

const (
	mostQueue = 5
	mostOps   = 12
	mostSlots = 3
	mostCtxs  = 3
)

// A place is a waiter's or a reservation's in the queue.
type place struct {
	n    int64 // units
	op   int8  // of the waiter
	slot int8  // of the reservation
	appt bool
	at   int64 // of the reservation
}

// A slot is a reservation.
type slot struct {
	made, cancelled bool
}

// A state is the bucket, and how far each operation has come. It is comparable.
type state struct {
	limit     int8
	base      int64
	level     int64 // units handed out since base
	wrote     int64 // when it was changed last
	credit    bool  // the last waiter was served late
	disturbed bool
	loose     bool
	queue     [mostQueue]place
	length    int8
	slots     [mostSlots]slot
	ended     [mostCtxs]bool
	ops       [mostOps]progress
}

// A progress is that of an operation.
type progress struct {
	phase  phase
	result int32 // its number in the history
}

type phase int8

const (
	idle    phase = iota
	called        // and nothing done
	waiting       // in the queue
	acted         // and has not returned
)

func (s *state) tariff() *tariff { return &tariffs[s.limit] }
func (s *state) burst() int64    { return int64(s.tariff().Burst) * token }

func (s *state) refill(t int64) int64 { return max(t-s.base, 0) * s.tariff().perNano }

// when returns the first instant at which the refill is x.
func (s *state) when(x int64) int64 {
	p := s.tariff().perNano
	switch {
	case x <= 0:
		return math.MinInt64
	case p == 0:
		return forever
	}
	return s.base + (x+p-1)/p
}

func (s *state) late(t int64) int64 { return max(s.level, s.refill(t)-s.tariff().perNano*slack) }

// lead returns the index of the first waiter, or -1.
func (s *state) lead() int {
	for i := range s.length {
		if !s.queue[i].appt {
			return int(i)
		}
	}
	return -1
}

func (s *state) booked() (n int) {
	for i := range s.length {
		if s.queue[i].appt {
			n++
		}
	}
	return n
}

func (s *state) owed() (all, booked int64) {
	for i := range s.length {
		all += s.queue[i].n
		if s.queue[i].appt {
			booked += s.queue[i].n
		}
	}
	return all, booked
}

func (s *state) remove(i int) place {
	x := s.queue[i]
	copy(s.queue[i:], s.queue[i+1:s.length])
	s.length--
	s.queue[s.length] = place{}
	if s.booked() == 0 {
		s.loose, s.disturbed = false, false
	}
	return x
}

// touch is what every operation that looks at the queue does first.
func (s *state) touch(t int64) {
	if s.length == 0 {
		gap := s.refill(t) - s.level
		s.credit = s.credit && gap > 0 && gap <= s.tariff().perNano*slack
	}
	s.settle(t)
}

// settle serves all who are due at t, in order.
func (s *state) settle(t int64) {
	s.keep(t)
	for i := s.lead(); i >= 0 && s.due(t) <= t; i = s.lead() {
		if !s.tariff().inf {
			v := s.late(t)
			s.disturbed = s.disturbed || v != s.level && s.booked() > 0
			s.level, s.credit = v+s.queue[i].n, true
		}
		if i > 0 {
			s.loose = true
		}
		s.wrote = t
		s.ops[s.remove(i).op] = progress{acted, success}
		s.keep(t)
	}
}

// keep grants the reservations at the head that are due.
func (s *state) keep(t int64) {
	for s.length > 0 && s.queue[0].appt {
		x := s.queue[0]
		at := s.kept(x, t)
		if at > t {
			return
		}
		if !s.tariff().inf {
			s.level = s.book(s.level, x, at)
		}
		s.remove(0)
	}
}

func (s *state) kept(x place, t int64) int64 {
	if s.tariff().inf {
		return t
	}
	return max(x.at, s.bookable(s.level, x))
}

func (s *state) bookable(v int64, x place) int64 { return s.when(v + x.n - max(s.burst(), x.n)) }

func (s *state) book(v int64, x place, at int64) int64 {
	if v+x.n <= s.refill(at-1)+max(s.burst(), x.n) {
		v = max(v, s.refill(at))
	}
	return v + x.n
}

// due returns the instant at which the lead can be served. It may go in front of reservations that this does not delay.
func (s *state) due(t int64) int64 {
	if s.tariff().inf {
		return t
	}
	i := s.lead()
	mine := s.late(t) + s.queue[i].n
	v := mine
	for _, x := range s.queue[:i] {
		v += x.n
		if v > s.refill(x.at)+max(s.burst(), x.n) {
			return s.kept(s.queue[0], t)
		}
	}
	return s.when(mine - s.burst())
}

// planned returns the level when all who queue will have been served.
func (s *state) planned(t int64) int64 {
	if s.length == 0 {
		return max(s.level, s.refill(t))
	}
	return s.foresee(int(s.length))
}

// foresee returns the level when the first n in the queue will have been served.
func (s *state) foresee(n int) int64 {
	v := s.level
	for _, x := range s.queue[:n] {
		if x.appt {
			v = s.book(v, x, x.at)
		} else {
			v += x.n
		}
	}
	return v
}

// floor returns the instant of the last reservation.
func (s *state) floor() int64 {
	at := int64(math.MinInt64)
	for _, x := range s.queue[:s.length] {
		if x.appt {
			at = x.at
		}
	}
	return at
}

func (s *state) behindAll(t, n int64) int64 {
	at := s.when(s.planned(t) + n - s.burst())
	return max(at, s.floor())
}

func between(t, then int64) time.Duration {
	switch {
	case then == forever:
		return tokenbucket.Never
	case then <= t:
		return 0
	}
	return time.Duration(then - t)
}

package scenarios

import (
	"fmt"
	"math"
)

// A checker decides whether a history can be explained: whether there is an instant between the beginning and the end of each
// operation at which it acted on a bucket that has one caller at a time. A wait acts up to three times: it joins the queue, and is served or
// leaves.
//
// It follows all explanations at once, event by event. That is the method of Wing and Gong (1993) for histories whose operations can
// have several steps.
//
// A decision may act as of an earlier instant of the clock, after it began and after the bucket was last changed, because it reads the clock
// before it changes the word; see docs/concurrency.md.
type checker struct {
	h        *history
	maxQueue int
	states   map[state]bool
	replies  []reply // those that are known, by number
	numbers  map[reply]int32
	began    [mostOps]int64
	instants []int64

	// stalled is how much the time has moved while somebody could go on, and so how late an alarm of the default clock may be. The bucket
	// reads that clock, and then sets a timer to a time from now; it cannot know of a stall in between. An injected clock's alarm is never late.
	stalled int64
	prompt  bool
}

// The numbers of two replies of a Wait.
const (
	success   = int32(0)
	oversized = int32(1)
)

func newChecker(h *history, limit, maxQueue int, prompt bool) *checker {
	c := &checker{h: h, maxQueue: maxQueue, prompt: prompt, numbers: make(map[reply]int32)}
	c.number(reply{})
	c.number(reply{err: exceeds})
	c.states = map[state]bool{{limit: int8(limit)}: true}
	return c
}

func (c *checker) number(r reply) int32 {
	n, ok := c.numbers[r]
	if !ok {
		n = int32(len(c.replies))
		c.numbers[r] = n
		c.replies = append(c.replies, r)
	}
	return n
}

// check returns an error if there is no explanation.
func (c *checker) check() error {
	if len(c.h.ops) > mostOps {
		return fmt.Errorf("the scenario has %d calls, and the checker can only follow %d", len(c.h.ops), mostOps)
	}
	before := int64(0)
	for i, e := range c.h.events {
		if n := len(c.instants); n == 0 || c.instants[n-1] != e.at {
			c.instants = append(c.instants, e.at)
		}
		c.close(before) // the time may have moved since the event before
		c.close(e.at)
		before = e.at
		if e.kind == returned && c.h.ops[e.op].kind == opStep && !c.prompt {
			c.stalled += int64(c.h.ops[e.op].d)
		}
		next := make(map[state]bool, len(c.states))
		for s := range c.states {
			if c.passes(&s, e) {
				next[s] = true
			}
		}
		if len(next) == 0 {
			return fmt.Errorf("no explanation for event %d of\n%v%v", i+1, c.h, c.last())
		}
		c.states = next
	}
	return nil
}

// last describes one of the states in which the history could have been before the event without an explanation.
func (c *checker) last() string {
	for s := range c.states {
		return fmt.Sprintf("one of %d states before: level %.4f of %v since %d, wrote %d, queue %+v, ops %+v",
			len(c.states), float64(s.level)/float64(token), s.tariff().Limit, s.base, s.wrote, s.queue[:s.length], s.ops[:len(c.h.ops)])
	}
	return ""
}

// passes reports whether e can happen in the state s, and makes it happen.
func (c *checker) passes(s *state, e event) bool {
	switch e.kind {
	case began:
		c.began[e.op] = e.at
		s.ops[e.op] = progress{phase: called}
	case returned:
		p := s.ops[e.op]
		if p.phase != acted || c.replies[p.result] != c.h.replies[e.op] {
			return false
		}
		s.ops[e.op] = progress{}
	case rested:
		for i := range c.h.ops {
			p := s.ops[i]
			if p.phase == called || p.phase == acted || p.phase == waiting && c.gone(s, i, e.at) != none {
				return false
			}
		}
		return !s.starving(e.at - c.stalled)
	}
	return true
}

// gone returns why waiter i has to leave, if it has to.
func (c *checker) gone(s *state, i int, now int64) failing {
	switch o := c.h.ops[i]; {
	case o.ctx > 0 && s.ended[o.ctx-1]:
		return ended
	case o.d > 0 && now >= c.began[i]+int64(o.d):
		return expired
	}
	return none
}

// close adds the states that can come of the ones there are before the next event, at the instant at.
func (c *checker) close(at int64) {
	todo := make([]state, 0, len(c.states))
	for s := range c.states {
		todo = append(todo, s)
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		c.successors(&s, at, func(next state) {
			if !c.states[next] {
				c.states[next] = true
				todo = append(todo, next)
			}
		})
	}
}

func (c *checker) successors(s *state, at int64, yield func(state)) {
	for i, o := range c.h.ops {
		switch s.ops[i].phase {
		case called:
			if why := c.gone(s, i, at); o.kind == opWait && why != none {
				next := *s
				next.ops[i] = progress{acted, c.number(reply{err: why})}
				yield(next)
			}
			c.times(s, i, at, func(t int64) {
				next := *s
				if r, done := next.apply(i, o, t, c.maxQueue, c.began[i]); done {
					next.ops[i] = progress{acted, c.number(r)}
				}
				yield(next)
			})
			if o.kind == opUnreserve || o.kind == opDelay { // it may have looked before the reservation was there
				next := *s
				next.ops[i] = progress{acted, c.number(reply{n: missing})}
				yield(next)
			}
		case waiting:
			c.times(s, i, at, func(t int64) {
				next := *s
				next.touch(t)
				yield(next)
				if why := c.gone(s, i, at); why != none && next.ops[i].phase == waiting {
					next.leave(i, t)
					next.ops[i] = progress{acted, c.number(reply{err: why})}
					yield(next)
				}
			})
		}
	}
}

// times calls f for the instants as of which operation i can act.
func (c *checker) times(s *state, i int, at int64, f func(t int64)) {
	first := max(c.began[i], s.wrote)
	switch c.h.ops[i].kind {
	case opRefund: // the word can be again what it was
		first = c.began[i]
	case opStep, opCancel, opEvict, opWaiting:
		first = math.MaxInt64
	}
	for j := len(c.instants) - 1; j >= 0; j-- {
		if t := c.instants[j]; t == at || t >= first {
			f(t)
		}
	}
}

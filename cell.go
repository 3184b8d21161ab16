package tokenbucket

import (
	"sync/atomic"
	"time"
)

// A cell is a bucket's state: one word, and the timeline that gives it its meaning.
//
//	 63       62                                                        0
//	+--------+-----------------------------------------------------------+
//	| queued | level: quanta handed out on the timeline, in [0, 2^63-2]  |
//	+--------+-----------------------------------------------------------+
//
// The balance at the instant t is refill(t) + burst - level, never above the burst: a level below refill(t) reads as
// refill(t). So a level of 0 is a full bucket at any time, and a decision is the one comparison
// max(level, refill(t)) + n <= refill(t) + burst. This is the generic cell rate algorithm (ITU-T I.371, annex A) with
// the virtual time counted in tokens, where its steps are exact at every rate, instead of in nanoseconds.
//
// While queued is clear, anybody may change the word by compare-and-swap. While it is set, the word belongs to whoever
// holds the queue's lock. The value sealed means that the cell is dead, for good: its holder has to look up the cell
// that came after it. The parameters of a cell never change, so a compare-and-swap that succeeds was computed with the
// parameters that were in force.
type cell struct {
	word atomic.Uint64
	p    *timeline
}

const (
	queued   = uint64(1) << 63
	sealed   = ^uint64(0)
	maxLevel = sealed&^queued - 1
)

// An outcome is what came of an attempt at a cell.
type outcome uint8

const (
	denied  outcome = iota // for want of tokens; nothing was written
	granted                // and taken
	busy                   // somebody queues and has to be served first
	dry                    // somebody queues, and less than one token is there: denied, whoever is first
	dead                   // the cell is sealed
	spent                  // the timeline has come to its end
)

// take takes as many tokens as there are, at most most, or nothing if there are fewer than least. It returns how many
// and the moment of the decision.
//
// It is linearizable, but for what docs/concurrency.md says of full buckets. A grant takes effect at its compare-and-swap;
// its reading of the clock may be older than the word, and then it never grants more. A denial holds at the instant at
// which the word was first loaded: it had that value already, and at the later instant that the clock then told there were
// still too few tokens. Without that first load a caller who was held up between clock and word would be denied for a token
// that has been there all the time. The same goes for taking fewer than most, and for the figures of a decision, if they
// are asked for.
func (c *cell) take(s *source, least, most uint64, figures bool) (uint64, moment, outcome) {
	p := c.p
	if p.span == 0 {
		return c.unlimited(s, most)
	}
	for {
		first := c.word.Load()
		t := s.now()
		d := uint64(t - p.base)
		if d >= p.span {
			if t > p.base {
				return 0, moment{}, spent
			}
			d = 0 // a clock before base has earned nothing
		}
		r := p.refill(d)
		for w := c.word.Load(); ; w = c.word.Load() {
			if w >= queued {
				if w == sealed {
					return 0, moment{}, dead
				}
				if w == first && r+p.burst < w&^queued+1<<p.frac {
					return 0, moment{}, dry // and w == first proves it, as for a denial
				}
				return 0, moment{}, busy
			}
			v := max(w, r)
			n := min(most, p.tokens(r, v))
			if w != first && (figures || n < most) {
				break
			}
			if n < least {
				return 0, moment{p: p, t: t, v: v}, denied
			}
			if n == 0 {
				return 0, moment{p: p, t: t, v: v}, granted
			}
			v += n << p.frac
			if c.word.CompareAndSwap(w, v) {
				return n, moment{p: p, t: t, v: v}, granted
			}
		}
	}
}

// try is take of n tokens or none, cut to what nearly every decision needs: that halves what it costs on top of the clock.
// It returns granted, denied, or busy for whatever is out of the ordinary, which is left to take. Unless doubt is set,
// a denial is left to take, too: see Bucket.refusing.
func (c *cell) try(s *source, n int, doubt bool) outcome {
	first := sealed
	if doubt {
		first = c.word.Load()
	}
	var t int64
	if s.clock == nil { // source.now, written out
		t = int64(time.Since(s.epoch))
	} else {
		t = s.injected()
	}
	p := c.p
	if d := uint64(t - p.base); d < p.span && uint64(n)-1 < p.burst>>(p.frac&63) {
		r := p.refill(d)
		for w := c.word.Load(); w < queued; w = c.word.Load() {
			v := max(w, r) + uint64(n)<<(p.frac&63)
			if v > r+p.burst {
				if w == first {
					return denied
				}
				break
			}
			if c.word.CompareAndSwap(w, v) {
				return granted
			}
		}
	}
	return busy
}

// tokens returns how many whole tokens there are at level v when r has been issued.
func (p *timeline) tokens(r, v uint64) uint64 {
	if v >= r+p.burst {
		return 0
	}
	return (r + p.burst - v) >> p.frac
}

// unlimited grants whatever is asked for, unless the limit has changed.
func (c *cell) unlimited(s *source, most uint64) (uint64, moment, outcome) {
	if c.word.Load() == sealed {
		return 0, moment{}, dead
	}
	return most, moment{p: c.p, t: s.now()}, granted
}

// add puts n tokens back or, if charge, takes them into debt if need be.
func (c *cell) add(s *source, n uint64, charge bool) outcome {
	for {
		w := c.word.Load()
		t := s.now()
		switch {
		case w == sealed:
			return dead
		case c.p.span == 0:
			return granted
		case c.p.spent(t):
			return spent
		case w >= queued:
			return busy
		}
		r := c.p.refillAt(t)
		if c.word.CompareAndSwap(w, c.p.moved(max(w, r), r, n, charge)) {
			return granted
		}
	}
}

// moved returns the level v after n tokens were put back, at most up to a full bucket, or charged, at most up to the
// greatest debt that can be written down, which takes half a century and more to pay.
func (p *timeline) moved(v, r, n uint64, charge bool) uint64 {
	x := p.quanta(n)
	switch {
	case charge:
		return min(v+x, maxLevel)
	case v > r && v-r > x:
		return v - x
	}
	return r
}

// look reads the cell without changing it.
func (c *cell) look(s *source) (moment, outcome) {
	for {
		w := c.word.Load()
		t := s.now()
		switch {
		case w == sealed:
			return moment{}, dead
		case c.p.span == 0:
			return moment{p: c.p, t: t}, granted
		case c.p.spent(t):
			return moment{}, spent
		case w >= queued:
			return moment{}, busy
		case w == c.word.Load():
			return moment{p: c.p, t: t, v: max(w, c.p.refillAt(t))}, granted
		}
	}
}

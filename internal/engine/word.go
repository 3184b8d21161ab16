package engine

import "sync/atomic"

// The word of a bucket is all its state while nobody queues:
//
//	 63       62                                                        0
//	+--------+-----------------------------------------------------------+
//	| queued | level: quanta handed out on the timeline, in [0, 2^63-2]  |
//	+--------+-----------------------------------------------------------+
//
// While queued is clear, anybody may change the word by compare-and-swap. While it is set, the word
// belongs to the goroutine that holds the bucket's lock. The value [Sealed] means that the word is
// dead and never changes again: its holder has to look up the word that replaced it.
//
// The timeline of a word never changes, so a compare-and-swap that succeeds was computed with the
// limit that was in force.
const (
	// Queued is the bit of a word that belongs to the holder of the bucket's lock.
	Queued = uint64(1) << 63

	// Sealed is the value of a dead word.
	Sealed = ^uint64(0)

	maxLevel = Sealed&^Queued - 1
)

// An Outcome is the result of an attempt at a word.
type Outcome uint8

const (
	Denied  Outcome = iota // too few tokens; nothing was written
	Granted                // the tokens were taken
	Busy                   // the word belongs to a lock's holder, or the attempt was out of the ordinary
	Dry                    // the word is Busy and less than one token is there: denied, whoever is first
	Dead                   // the word is sealed
	Spent                  // the timeline has come to its end
	Stale                  // the word changed after the caller's first look: look and read the clock again
)

// A Cell is a word and its timeline.
type Cell struct {
	Word     atomic.Uint64
	Timeline *Timeline
}

// Ask and Grant are [Timeline.Take] of n tokens, cut to what nearly every decision needs. That
// halves what a decision costs on top of the clock. They are two functions so that the compiler
// inlines both.
//
// Ask returns the refill at the instant t and the quanta of n tokens. It returns 0 quanta for what
// is out of the ordinary: no limit, a time outside of the span, an n of 0 or beyond the burst.
func (p *Timeline) Ask(t int64, n int) (refill, need uint64) {
	d := uint64(t - p.base)
	if d >= p.span || uint64(n)-1 >= p.burst>>(p.frac&63) {
		return 0, 0
	}
	return p.refill(d), uint64(n) << (p.frac & 63)
}

// Grant hands out need quanta if they are there, with the refill of Ask. first was loaded from word
// before the clock was read. The result is Granted, Denied, or Busy for everything that is out of
// the ordinary, which is left to Take. With a first of [Sealed], every denial is Busy.
func (p *Timeline) Grant(word *atomic.Uint64, first, refill, need uint64) Outcome {
	for w := word.Load(); w < Queued && need > 0; w = word.Load() {
		v := max(w, refill) + need
		if v > refill+p.burst {
			if w == first {
				return Denied
			}
			return Busy
		}
		if word.CompareAndSwap(w, v) {
			return Granted
		}
	}
	return Busy
}

package engine

import "sync/atomic"

// A Want is what a caller asks of a word: at most Most tokens, and nothing if there are fewer than
// Least. Exact asks for the figures of the decision, which have to be of one state of the word.
type Want struct {
	Least, Most uint64
	Exact       bool
}

// Take takes as many tokens as there are within want. It returns how many, and the moment of the
// decision if the outcome is Granted or Denied. first was loaded from word before the clock was
// read as t. If the outcome is Stale, the caller must load first and read the clock again.
//
// Take is linearizable, except for what docs/concurrency.md says of full buckets. A grant takes
// effect at its compare-and-swap; its reading of the clock may be older than the word, and then it
// never grants more. A denial holds at the instant at which first was loaded: the word had that
// value already, and at the later instant t there were still too few tokens. Without that first
// load, a caller that was held up between clock and word would be denied for a token that has been
// there all the time. The same goes for taking fewer than Most, and for the figures of a decision.
func (p *Timeline) Take(word *atomic.Uint64, first uint64, t int64, want Want) (uint64, Moment, Outcome) {
	if p.Unlimited() {
		return p.takeUnlimited(word, t, want)
	}
	if p.Spent(t) {
		return 0, Moment{}, Spent
	}
	r := p.refillAt(t)
	for w := word.Load(); ; w = word.Load() {
		if w >= Queued {
			return 0, Moment{}, p.busy(w, first, r)
		}
		v := max(w, r)
		n := min(want.Most, p.tokens(r, v))
		if w != first && (want.Exact || n < want.Most) {
			return 0, Moment{}, Stale
		}
		if n < want.Least {
			return 0, Moment{p: p, t: t, r: r, v: v}, Denied
		}
		if n == 0 {
			return 0, Moment{p: p, t: t, r: r, v: v}, Granted
		}
		v += n << p.frac
		if word.CompareAndSwap(w, v) {
			return n, Moment{p: p, t: t, r: r, v: v}, Granted
		}
	}
}

// busy returns the outcome of meeting a word that belongs to a lock's holder, or that is sealed.
func (p *Timeline) busy(w, first, r uint64) Outcome {
	switch {
	case w == Sealed:
		return Dead
	case w == first && r+p.burst < w&^Queued+1<<p.frac:
		return Dry // w == first proves it, as for a denial
	}
	return Busy
}

// takeUnlimited grants whatever is asked for, unless the limit has changed.
func (p *Timeline) takeUnlimited(word *atomic.Uint64, t int64, want Want) (uint64, Moment, Outcome) {
	if word.Load() == Sealed {
		return 0, Moment{}, Dead
	}
	return want.Most, Moment{p: p, t: t}, Granted
}

// Refund puts n tokens back, at most up to a full bucket. first was loaded from word before the
// clock was read as t.
func (p *Timeline) Refund(word *atomic.Uint64, first uint64, t int64, n uint64) Outcome {
	return p.move(word, first, t, n, (*Timeline).refunded)
}

// Charge takes n tokens, into debt if need be. first was loaded from word before the clock was read
// as t.
func (p *Timeline) Charge(word *atomic.Uint64, first uint64, t int64, n uint64) Outcome {
	return p.move(word, first, t, n, (*Timeline).charged)
}

// move replaces the level v by what to makes of it.
func (p *Timeline) move(word *atomic.Uint64, first uint64, t int64, n uint64,
	to func(p *Timeline, v, r, n uint64) uint64,
) Outcome {
	switch {
	case first == Sealed:
		return Dead
	case p.Unlimited():
		return Granted
	case p.Spent(t):
		return Spent
	case first >= Queued:
		return Busy
	}
	r := p.refillAt(t)
	if !word.CompareAndSwap(first, to(p, max(first, r), r, n)) {
		return Stale
	}
	return Granted
}

// refunded returns level v >= r less n tokens, down to the level r of a full bucket.
func (p *Timeline) refunded(v, r, n uint64) uint64 {
	if x := p.quanta(n); v > r && v-r > x {
		return v - x
	}
	return r
}

// charged returns level v plus n tokens, up to the greatest debt that a word can hold. Paying that
// takes half a century or more.
func (p *Timeline) charged(v, _, n uint64) uint64 { return min(v+p.quanta(n), maxLevel) }

// Look reads the word without changing it. first was loaded from word before the clock was read as
// t.
func (p *Timeline) Look(word *atomic.Uint64, first uint64, t int64) (Moment, Outcome) {
	switch {
	case first == Sealed:
		return Moment{}, Dead
	case p.Unlimited():
		return Moment{p: p, t: t}, Granted
	case p.Spent(t):
		return Moment{}, Spent
	case first >= Queued:
		return Moment{}, Busy
	case first != word.Load():
		return Moment{}, Stale
	}
	r := p.refillAt(t)
	return Moment{p: p, t: t, r: r, v: max(first, r)}, Granted
}

// Seize sets [Queued] in the word, so that it belongs to the holder of the bucket's lock, who must
// be the caller. It returns the word as it was before, which is [Sealed] if it is dead.
func Seize(word *atomic.Uint64) uint64 {
	for {
		w := word.Load()
		if w >= Queued || word.CompareAndSwap(w, w|Queued) {
			return w
		}
	}
}

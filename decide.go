package tokenbucket

import (
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A decision is what became of an attempt to take tokens.
type decision struct {
	took    uint64
	moment  engine.Moment // of the decision, if it was granted or denied
	shown   int64         // the time that the clock showed
	outcome engine.Outcome
}

// final reports whether the decision can stand. Otherwise the attempt met a word that belongs to a
// lock, was sealed, or has to be given a new timeline. A decision by a Dry word has no figures.
func (d *decision) final(want engine.Want) bool {
	return d.outcome <= engine.Granted || d.outcome == engine.Dry && !want.Exact
}

// take is [engine.Timeline.Take] by the clock s. The result is too large to be copied on the way:
// it is stored in d.
func (s *source) take(p *engine.Timeline, word *atomic.Uint64, want engine.Want, d *decision) {
	for {
		first := word.Load() // before the clock: a denial is proved by it
		t, shown := s.read()
		d.took, d.moment, d.outcome = p.Take(word, first, t, want)
		if d.shown = shown; d.outcome != engine.Stale {
			return
		}
	}
}

// grant takes n tokens if they are there, nobody queues and the case is common: no limit may have
// changed, for instance. False proves nothing.
func (s *source) grant(p *engine.Timeline, word *atomic.Uint64, n uint64) bool {
	refill, need := p.Ask(s.now(), int(n))
	return p.Grant(word, engine.Sealed, refill, need) == engine.Granted
}

// A move is what [engine.Timeline.Refund] or [engine.Timeline.Charge] does.
type move uint8

const (
	refund move = iota
	charge
)

// move puts n tokens back or charges them, by the clock s.
func (s *source) move(p *engine.Timeline, word *atomic.Uint64, m move, n uint64) engine.Outcome {
	for {
		first := word.Load()
		t := s.now()
		var how engine.Outcome
		if m == charge {
			how = p.Charge(word, first, t, n)
		} else {
			how = p.Refund(word, first, t, n)
		}
		if how != engine.Stale {
			return how
		}
	}
}

// look is [engine.Timeline.Look] by the clock s.
func (s *source) look(p *engine.Timeline, word *atomic.Uint64) (engine.Moment, engine.Outcome) {
	for {
		first := word.Load()
		m, how := p.Look(word, first, s.now())
		if how != engine.Stale {
			return m, how
		}
	}
}

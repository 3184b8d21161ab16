package tokenbucket

import "github.com/go-tokenbucket/tokenbucket/internal/engine"

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

// take is [engine.Timeline.Take] by the clock s. The result is too large to be copied on the way: it is
// stored in d.
func (s *source) take(c *engine.Cell, want engine.Want, d *decision) {
	for {
		first := c.Word.Load() // before the clock: a denial is proved by it
		t, shown := s.read()
		d.took, d.moment, d.outcome = c.Timeline.Take(&c.Word, first, t, want)
		if d.shown = shown; d.outcome != engine.Stale {
			return
		}
	}
}

// grant takes n tokens if they are there, nobody queues and the case is common: no limit may have
// changed, for instance. False proves nothing.
func (s *source) grant(c *engine.Cell, n uint64) bool {
	refill, need := c.Timeline.Ask(s.now(), int(n))
	return c.Timeline.Grant(&c.Word, engine.Sealed, refill, need) == engine.Granted
}

// A move is what [engine.Timeline.Refund] or [engine.Timeline.Charge] does.
type move uint8

const (
	refund move = iota
	charge
)

// move puts n tokens back or charges them, by the clock s.
func (s *source) move(c *engine.Cell, m move, n uint64) engine.Outcome {
	for {
		first := c.Word.Load()
		t := s.now()
		how := engine.Stale
		if m == charge {
			how = c.Timeline.Charge(&c.Word, first, t, n)
		} else {
			how = c.Timeline.Refund(&c.Word, first, t, n)
		}
		if how != engine.Stale {
			return how
		}
	}
}

// look is [engine.Timeline.Look] by the clock s.
func (s *source) look(c *engine.Cell) (engine.Moment, engine.Outcome) {
	for {
		first := c.Word.Load()
		m, how := c.Timeline.Look(&c.Word, first, s.now())
		if how != engine.Stale {
			return m, how
		}
	}
}

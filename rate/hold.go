package rate

import (
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A cell is the word of a Limiter and what gives it a meaning. All but the word is immutable. It fills
// a cache line, so that the words of two Limiters do not share one.
type cell struct {
	engine.Cell
	epoch time.Time // instants are nanoseconds since

	// refusing is set by the first denial. Until then Allow skips the load that proves a denial, which
	// costs 4 ns right after a compare-and-swap on the same word.
	refusing atomic.Bool

	_ [16]byte
}

// maxAge is how many nanoseconds a Limiter counts before it begins a new epoch: half of what a
// time.Duration can hold, so that instants do not overflow.
const maxAge = 1 << 62

// instant returns t, or the present if t is nil, as an instant.
func (c *cell) instant(t *time.Time) int64 {
	if t == nil {
		return int64(time.Since(c.epoch))
	}
	return int64(t.Sub(c.epoch))
}

func (c *cell) refuse() {
	if !c.refusing.Load() {
		c.refusing.Store(true)
	}
}

// orNow returns t, or the present if t is nil.
func orNow(t *time.Time) time.Time {
	if t == nil {
		return time.Now()
	}
	return *t
}

// A hold is a Limiter in the hands of a goroutine that has its lock and its word, until release.
type hold struct {
	engine.Held
	lim   *Limiter
	cell  *cell     // whose word was seized
	epoch time.Time // of the instants in the hold; not that of cell if it began anew
	mark  mark
}

// hold locks the Limiter, takes its word and serves whoever is due at t, or now if t is nil. The
// caller must release it.
func (lim *Limiter) hold(t *time.Time) hold {
	lim.mu.Lock()
	c := lim.cell.Load()
	if c == nil {
		c = lim.begin(t)
	}
	w := lim.seize(c)
	return lim.open(c, w, c.instant(t), t)
}

// peek calls f with the state of the Limiter and serves nobody. It reports false, and does not call f,
// if no time has come yet.
func (lim *Limiter) peek(f func(c *cell, h *engine.Held)) bool {
	lim.mu.Lock()
	defer lim.mu.Unlock()
	c := lim.cell.Load()
	if c == nil {
		return false
	}
	w := engine.Seize(&c.Word)
	h := lim.queue.Hold(c.Timeline, w, engine.Past) // no refill, so nothing is due
	f(c, &h)
	c.Word.Store(w)
	return true
}

// begin makes the first cell, with t as its epoch. The lock is held.
func (lim *Limiter) begin(t *time.Time) *cell {
	c := &cell{epoch: orNow(t)}
	c.Timeline = engine.NewTimeline(lim.limit.plain(lim.burst), 0)
	lim.cell.Store(c)
	return c
}

// seize makes the word of c, the current cell, belong to the caller, who must hold the lock, and
// returns it as it was before.
func (lim *Limiter) seize(c *cell) uint64 {
	w := engine.Seize(&c.Word)
	if lim.receipts.queued {
		w &^= engine.Queued // it was set for the receipts' sake and says nothing of the queue
	}
	return w
}

// open returns the hold of a Limiter at the instant d, which is t, once the word w of c is seized.
func (lim *Limiter) open(c *cell, w uint64, d int64, t *time.Time) hold {
	h := hold{lim: lim, cell: c, epoch: c.epoch}
	d = min(max(d, -maxAge), engine.Forever-1)
	lim.receipts.expire(d)
	h.mark = mark{word: w &^ engine.Queued, timeline: c.Timeline, last: lim.receipts.last}
	h.Held = lim.queue.Hold(c.Timeline, w, d)
	if d >= maxAge {
		h.Rebase()
		h.epoch = orNow(t)
		lim.alarm.set = false // its instant was of the old epoch
	}
	h.note(d)
	return h
}

// exceeds reports whether n is more than the burst, which may be negative.
func (h *hold) exceeds(n int) bool { return !h.Timeline().Unlimited() && n > h.lim.burst }

// release sets the alarm for whoever is due next, gives the word back, wakes those who were served and
// unlocks the Limiter. A waiter must not return before its tokens are gone from the word.
func (h *hold) release() {
	lim := h.lim
	h.note(h.Now())
	lim.setAlarm(h)
	word := h.Word()
	lim.receipts.queued = word < engine.Queued && lim.receipts.first != nil
	if lim.receipts.queued {
		word |= engine.Queued
	}
	if h.Timeline() == h.cell.Timeline {
		h.cell.Word.Store(word)
	} else {
		h.publish(word)
	}
	lim.wakeServed()
	lim.mu.Unlock()
}

// publish replaces the cell by one on the new timeline.
func (h *hold) publish(word uint64) {
	c := &cell{epoch: h.epoch}
	c.Timeline = h.Timeline()
	c.Word.Store(word)
	h.lim.cell.Store(c)
	h.cell.Word.Store(engine.Sealed)
}

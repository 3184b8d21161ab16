package tokenbucket

import (
	"sync"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A waitingRoom is the part of a bucket that is used while somebody queues. Its lock also guards
// the replacement of the bucket's cell.
type waitingRoom struct {
	mu         sync.Mutex
	queue      engine.Waitlist
	alarm      alarm
	maxWaiters int // waiters and reservations that may queue; -1: any number
}

// full reports whether a node of n tokens may not join.
func (r *waitingRoom) full(n uint64) bool {
	return r.maxWaiters >= 0 && r.queue.Len() >= r.maxWaiters || !r.queue.HasRoom(n)
}

// A hold is a bucket in the hands of a goroutine that has its lock and its word, until release.
// [engine.Held] has the state meanwhile. The goroutine must not call a method of the bucket that
// locks again.
type hold struct {
	engine.Held
	b     *Bucket
	cell  *engine.Cell // whose word was seized
	shown int64        // the time that the clock shows, which is earlier than Now after a step back
}

// hold locks the bucket, takes its word, and serves whoever is due. The caller must release it. If
// user code panics on the way, nothing stays locked.
func (b *Bucket) hold() hold {
	b.room.mu.Lock()
	c, w := b.seizeLocked()
	t, shown := b.readLocked(c, w) // after the word was seized, so that nobody took a token later than t
	return hold{Held: b.room.queue.Hold(c.Timeline, w, t), b: b, cell: c, shown: shown}
}

// until returns the time until the instant at, by the caller's clock.
func (h *hold) until(at int64) time.Duration { return until(h.Now(), h.shown, at) }

// holdUnread is hold without reading an injected clock, whose methods may panic: the time is the
// latest instant that the clock has reached. The bucket must have a queue.
func (b *Bucket) holdUnread() hold {
	b.room.mu.Lock()
	c, w := b.seizeLocked()
	t := int64(0)
	if i := b.source.injected; i != nil {
		t = i.latest.Load()
	} else {
		t = b.source.now()
	}
	return hold{Held: b.room.queue.Hold(c.Timeline, w, t), b: b, cell: c, shown: t}
}

// seizeLocked makes the word of the bucket's cell belong to the caller, who must hold the lock, and
// returns it as it was before.
func (b *Bucket) seizeLocked() (*engine.Cell, uint64) {
	c := b.cell.Load()
	if c == nil { // a zero Bucket comes to life; the cell denies everything
		b.source, b.room.maxWaiters = newSource(nil), -1
		c = &engine.Cell{Timeline: engine.NewEmptyTimeline()}
		c.Word.Store(engine.Queued)
		b.cell.Store(c)
	}
	return c, engine.Seize(&c.Word)
}

// readLocked reads the clock while the caller has the lock and the word of c, which was w. If an
// injected clock panics, the word is given back and the bucket unlocked.
func (b *Bucket) readLocked(c *engine.Cell, w uint64) (t, shown int64) {
	if b.source.injected == nil {
		return b.source.read()
	}
	read := false
	defer func() {
		if !read {
			c.Word.Store(w)
			b.room.mu.Unlock()
		}
	}()
	t, shown = b.source.read()
	read = true
	return t, shown
}

// release sets the alarm for whoever is due next, gives the word back, wakes those who were served
// and unlocks the bucket. A waiter must not return before its tokens are gone from the word.
func (h *hold) release() {
	b := h.b
	b.setAlarm(h)
	if h.Timeline() == h.cell.Timeline {
		h.cell.Word.Store(h.Word())
	} else {
		h.publish()
	}
	b.room.wakeServed()
	b.room.mu.Unlock()
}

// publish replaces the cell by one on the new timeline.
func (h *hold) publish() {
	c := &engine.Cell{Timeline: h.Timeline()}
	c.Word.Store(h.Word())
	h.b.cell.Store(c)
	h.cell.Word.Store(engine.Sealed)
}

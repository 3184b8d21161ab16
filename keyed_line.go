package tokenbucket

import (
	"sync"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A line is the bucket of a key that somebody queues for, or is about to. It has what the table has
// no room for: a lock and a queue. It exists while somebody has it open or its queue is not empty.
// Meanwhile it has the state of the key, and the word in the table is inLine, so that every
// decision comes here.
//
// When the last one leaves and the queue is empty, the state goes back into the table. A goroutine
// that still knows the line then, from a timer or a Reservation, finds an empty queue, and what it
// does has no effect.
type line[K comparable] struct {
	Bucket
	key  K
	open int // how many have it open; guarded by the lock of its stripe
}

// inLine is the word of a key that has a line. No other word is equal to it: one that a line leaves
// behind with Queued set, because a waiter was served late, has a level above 0.
const inLine = engine.Queued

// A stripe has the lines of some of the keys. Its lock is taken before that of a line and of a
// segment.
type stripe[K comparable] struct {
	mu    sync.Mutex
	lines map[K]*line[K]
}

const lineStripes = 16 // so that waiters of different keys seldom meet

func (k *Keyed[K]) stripe(h uint64) *stripe[K] { return &k.stripes[h%lineStripes] }

// open returns the line of key, or nil if key has no bucket of its own. The caller has to leave it.
func (k *Keyed[K]) open(h uint64, key K) *line[K] {
	s := k.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.lines[key]
	if b == nil {
		if b = k.newLine(h, key); b == nil {
			return nil
		}
		if s.lines == nil {
			s.lines = make(map[K]*line[K])
		}
		s.lines[b.key] = b
	}
	b.open++
	return b
}

// newLine takes the state of key out of the table, into a line.
func (k *Keyed[K]) newLine(h uint64, key K) *line[K] {
	g := k.table.Lock(h)
	defer g.Unlock()
	at, ok := g.Find(h, key)
	if !ok {
		return nil
	}
	b := &line[K]{key: g.Key(at)}
	b.source, b.room.maxWaiters = k.source, k.maxWaiters
	b.first.Timeline = g.Kind(at)
	b.first.Word.Store(at.Word().Swap(inLine))
	b.cell.Store(&b.first)
	return b
}

// leave ends what open began.
func (k *Keyed[K]) leave(h uint64, b *line[K]) {
	s := k.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.open--; b.open > 0 || !k.putBack(h, b) {
		return
	}
	delete(s.lines, b.key)
	if len(s.lines) == 0 {
		s.lines = nil // a map does not give back what it once needed
	}
}

// putBack puts the state of a line into the table, unless somebody is in its queue. It reports
// whether it did. The stripe is locked, and nobody has the line open, so nobody can join the queue.
func (k *Keyed[K]) putBack(h uint64, b *line[K]) bool {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	if !b.room.queue.Empty() {
		return false
	}
	c := b.cell.Load()
	g := k.table.Lock(h)
	defer g.Unlock()
	if at, _ := g.Find(h, b.key); g.Kind(at) == c.Timeline {
		at.Word().Store(c.Word.Load())
	} else {
		g.Replace(at, inLine, c.Timeline, c.Word.Load())
	}
	return true
}

// reset makes the bucket full.
func (b *line[K]) reset() {
	h := b.hold()
	defer h.release()
	h.Fill()
}

// bucket returns the bucket of key, whatever it takes, and what to call when done with it.
func (k *Keyed[K]) bucket(h uint64, key K) (*Bucket, func()) {
	for {
		if b := k.open(h, key); b != nil {
			return &b.Bucket, func() { k.leave(h, b) }
		}
		if _, _, b := k.entry(h, key); b != nil {
			return b, func() {}
		}
	}
}

// peek calls f with the bucket of key, its own or the one that it shares, unless it has none yet.
func (k *Keyed[K]) peek(h uint64, key K, f func(b *Bucket)) {
	if b := k.open(h, key); b != nil {
		defer k.leave(h, b)
		f(&b.Bucket)
		return
	}
	if key != key {
		h = 0
	} else if int64(k.table.Len()) < k.maxKeys {
		return
	}
	p, _ := k.timeline(key)
	if b := k.overflow.find(h, p.Limit()); b != nil {
		f(b)
	}
}

// evictBusy serves whoever is due at a key whose word belonged to a queue, and then drops it like
// any other.
func (k *Keyed[K]) evictBusy(key K, at int64) bool {
	h := k.table.Hash(key)
	if !k.settle(h, key) {
		return false
	}
	g := k.table.Lock(h)
	defer g.Unlock()
	slot, ok := g.Find(h, key)
	return ok && k.evict(&g, slot, at)
}

// settle serves whoever is due at key, and reports whether key has a bucket of its own.
func (k *Keyed[K]) settle(h uint64, key K) bool {
	b := k.open(h, key)
	if b == nil {
		return false
	}
	defer k.leave(h, b)
	held := b.hold()
	held.release()
	return true
}

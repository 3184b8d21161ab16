package tokenbucket

import (
	"sync"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A line is the bucket of a key that somebody queues for, or is about to. It shares the word of the key's cell with those
// who know nothing of it, and adds what a cell has no room for: the lock and the queue. It exists while somebody has it
// open or is in its queue; what it then leaves behind is all in the word.
type line[K comparable] struct {
	Bucket
	k    *Keyed[K]
	h    uint64
	key  K
	open int // how many have it open; guarded by the lock of its stripe
}

// lines are the lines of some of the keys.
type lines[K comparable] struct {
	mu sync.Mutex
	m  map[K]*line[K]
}

const lineStripes = 16 // so that waiters of different keys seldom meet

func (k *Keyed[K]) stripe(h uint64) *lines[K] { return &k.lines[h%lineStripes] }

// open returns the line of key, whose entry is or was e. The caller has to exit it.
func (k *Keyed[K]) open(h uint64, key K, e *entry[K]) *line[K] {
	s := k.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.m[key]
	if b == nil {
		b = &line[K]{k: k, h: h, key: key}
		b.source, b.room.maxWaiters, b.home = k.source, k.maxWaiters, b
		b.cell.Store(&e.Cell)
		if s.m == nil {
			s.m = make(map[K]*line[K])
		}
		s.m[key] = b
	}
	b.open++
	return b
}

// enter opens the line again for one who was in its queue.
func (b *line[K]) enter() bool {
	s := b.k.stripe(b.h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[b.key] != b {
		return false
	}
	b.open++
	return true
}

// exit is for each open and enter.
func (b *line[K]) exit() {
	s := b.k.stripe(b.h)
	s.mu.Lock()
	defer s.mu.Unlock()
	b.open--
	if b.open > 0 || !b.room.queue.Empty() {
		return // the queue is at rest: it only changes while the line is open
	}
	delete(s.m, b.key)
	if len(s.m) == 0 {
		s.m = nil // a map does not give back what it once needed
	}
}

// renew finds the key's cell after the last one was evicted. It makes room even where there is none, for one who holds the
// line open; the key is as full as any new one.
func (b *line[K]) renew() *engine.Cell {
	for {
		p, gen := b.k.timeline(b.key)
		if e, _ := b.k.insert(b.h, b.key, p, gen, true); e != nil {
			b.k.arm()
			return &e.Cell
		}
	}
}

// install puts a new cell in the place of the key's, which is in the hands of the line's holder and so cannot be evicted.
func (b *line[K]) install(p *engine.Timeline, word uint64) *engine.Cell {
	s := b.k.table.lock(b.h)
	defer s.mu.Unlock()
	_, g, slot := s.find(b.h, b.key)
	e := b.k.table.newEntry(p, b.key)
	e.Word.Store(word)
	g.slots[slot].Store(e)
	return &e.Cell
}

// reset fills the bucket.
func (b *line[K]) reset() {
	h := b.hold()
	defer h.release()
	h.Fill()
}

// bucket returns the bucket of key, whatever it takes, and what to call when done with it.
func (k *Keyed[K]) bucket(h uint64, key K) (*Bucket, func()) {
	e, b := k.entry(h, key)
	if b != nil {
		return b, func() {}
	}
	l := k.open(h, key, e)
	return &l.Bucket, l.exit
}

// peek calls f with the bucket of key, its own or the one that it shares, unless it has none yet.
func (k *Keyed[K]) peek(h uint64, key K, f func(b *Bucket)) {
	if e := k.find(h, key); e != nil {
		l := k.open(h, key, e)
		defer l.exit()
		f(&l.Bucket)
		return
	}
	if key != key {
		h = 0
	} else if k.table.count.Load() < k.maxKeys {
		return
	}
	p, _ := k.timeline(key)
	if b := k.overflow.find(h, p.Limit()); b != nil {
		f(b)
	}
}

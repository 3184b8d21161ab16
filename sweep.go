package tokenbucket

import (
	"sync/atomic"
	"time"
	"weak"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

const (
	// sweepEvery is how often idle keys are looked for, and for how long a bucket has to have been full to be dropped then:
	// a key that is used every few seconds keeps its place.
	sweepEvery = 10 * time.Second

	// sweepShare bounds what looking for idle keys costs, to one part in so many of a processor's time.
	sweepShare = 100
)

// A sweeper gives the memory of idle keys back when nobody calls. It is a timer, not a goroutine, and knows its Keyed only
// by a weak pointer, so it does not keep an abandoned one alive. There is a timer only while there are keys.
type sweeper struct {
	armed atomic.Bool
}

func (k *Keyed[K]) arm() {
	if !k.sweeper.armed.Load() && k.sweeper.armed.CompareAndSwap(false, true) {
		k.sweepAfter(sweepEvery)
	}
}

func (k *Keyed[K]) sweepAfter(d time.Duration) {
	w := weak.Make(k)
	time.AfterFunc(d, func() {
		if k := w.Value(); k != nil {
			k.sweepIdle()
		}
	})
}

// sweepIdle drops the keys that have been idle, and sees to it that it is called again as long as there are others. The
// timer goes by the real time, whatever clock the buckets go by: it is about memory.
func (k *Keyed[K]) sweepIdle() {
	start := time.Now()
	k.sweep(k.source.now() - int64(sweepEvery))
	if k.table.count.Load() > 0 {
		k.sweepAfter(max(sweepEvery, sweepShare*time.Since(start)))
		return
	}
	k.sweeper.armed.Store(false)
	if k.table.count.Load() > 0 { // one came in between, and found the timer still armed
		k.arm()
	}
}

// Evict drops all keys whose buckets are full, and returns how many. It need not be called: see [Keyed].
func (k *Keyed[K]) Evict() int { return k.sweep(k.source.now()) }

// sweep drops the keys whose buckets have been full since the instant at, and makes the table as small as the rest allows.
func (k *Keyed[K]) sweep(at int64) int {
	dropped := 0
	k.table.walk(func(s *segment[K], from uint64) bool {
		n, busy := k.evict(s, at)
		s.mu.Unlock()
		dropped += n
		for _, e := range busy {
			if k.evictBusy(e, at) {
				dropped++
			}
		}
		k.table.shrink(from)
		return true
	})
	k.table.fold()
	return dropped
}

// evict drops the keys of s, which is locked, whose buckets have been full since the instant at. It returns how many, and
// the entries that can't be judged because their words belong to a queue's lock.
func (k *Keyed[K]) evict(s *segment[K], at int64) (n int, busy []*entry[K]) {
	s.entries(func(e *entry[K], g *group[K], slot int) {
		if e.Word.Load() >= engine.Queued {
			busy = append(busy, e)
		} else if k.evictEntry(s, e, g, slot, at) {
			n++
		}
	})
	return n, busy
}

// evictEntry drops an entry if its bucket has been full since the instant at. The compare-and-swap that seals the word is
// also the proof that it was: nobody can take a token in between, nor afterwards without looking the key up again.
func (k *Keyed[K]) evictEntry(s *segment[K], e *entry[K], g *group[K], slot int, at int64) bool {
	w := e.Word.Load()
	if w >= engine.Queued || !e.Timeline.Full(at, w) || !k.bornFull(at) || !e.Word.CompareAndSwap(w, engine.Sealed) {
		return false
	}
	s.remove(k.table.hash(e.key), g, slot)
	s.evicted = max(s.evicted, at)
	k.table.count.Add(-1)
	return true
}

// bornFull tells whether a key that came at the instant at would be full: not so for a while after SetLimit has raised the
// burst. Until then a full bucket can be told from a new one.
func (k *Keyed[K]) bornFull(at int64) bool {
	if k.limitOf != nil {
		return true
	}
	p := k.limit.Load()
	return p.Full(at, p.Birth())
}

// evictBusy serves who is due at an entry whose word belonged to a queue, and then drops it like any other.
func (k *Keyed[K]) evictBusy(e *entry[K], at int64) bool {
	h := k.table.hash(e.key)
	b := k.open(h, e.key, e)
	defer b.exit()
	held, live := b.holdLive() // not the user's limit func: this may be a timer's goroutine
	if !live {
		return false
	}
	held.release()
	s := k.table.lock(h)
	defer s.mu.Unlock()
	now, g, slot := s.find(h, e.key)
	return now != nil && k.evictEntry(s, now, g, slot, at)
}

// thin drops full buckets of s, which is locked, and tells whether a quarter of its slots is free then; if fewer went it
// would soon be full again. It looks at all of them only if it finds some among a few.
func (k *Keyed[K]) thin(s *segment[K]) bool {
	if k.makeRoom(s) {
		k.evict(s, k.source.now())
	}
	return s.live*4 <= len(s.groups)*slotsPerGroup*3
}

// makeRoom drops full buckets among a few keys of s, other ones each time. It tells whether it found one.
func (k *Keyed[K]) makeRoom(s *segment[K]) bool {
	at, before := k.source.now(), s.live
	for range min(2, len(s.groups)) {
		s.hand = (s.hand + 1) % len(s.groups)
		g := &s.groups[s.hand]
		for slot := range g.slots {
			if e := g.slots[slot].Load(); e != nil {
				k.evictEntry(s, e, g, slot, at)
			}
		}
	}
	return s.live < before
}

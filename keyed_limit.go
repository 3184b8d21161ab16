package tokenbucket

import (
	"fmt"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
	"github.com/go-tokenbucket/tokenbucket/internal/hashtable"
)

// SetLimit changes the limit of all keys, as [Bucket.SetLimit] does for each: tokens stay, and
// waiters are given a new time. It visits every key, so the new limit is in force for all when it
// returns. A key that is not there counts as one that was full, and so begins with the burst of
// before, if that was less. SetLimit panics for a map of [NewKeyedFunc].
func (k *Keyed[K]) SetLimit(l Limit) {
	k.mustBeMade()
	mustBeValid("SetLimit", l)
	if k.limitOf != nil {
		panic("tokenbucket: SetLimit: the limits come from the func given to NewKeyedFunc; call Refresh")
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	p := k.limit.Load().After(l.plain(), k.source.now())
	k.limit.Store(p)
	k.overflow.setLimit(l)
	k.table.Walk(func(g *guard[K]) bool {
		for _, key := range k.convert(g, p) {
			k.setLimit(k.table.Hash(key), key, p)
		}
		return true
	})
}

// convert puts all keys of a segment on the timeline p, and unlocks it. It returns those that it
// could not judge because their words belong to a queue.
func (k *Keyed[K]) convert(g *guard[K], p *engine.Timeline) (busy []K) {
	defer g.Unlock()
	old := false
	g.Each(func(at hashtable.Slot) {
		if at.Word().Load() >= engine.Queued {
			busy = append(busy, g.Key(at))
		}
		old = old || g.Kind(at).Limit() != p.Limit()
	})
	if !old {
		return busy
	}
	g.Convert(func(old *engine.Timeline, w uint64) (*engine.Timeline, uint64) {
		switch {
		case w == inLine:
			return p, w
		case w >= engine.Queued, old.Limit() == p.Limit():
			return old, w
		}
		return p, p.Adopt(old, w, k.source.reached()) // after the word was sealed: see setTimeline
	})
	return busy
}

// Refresh asks the func given to NewKeyedFunc for the limit of every key again, and puts it in
// force as [Bucket.SetLimit] does. Those who wait in an overflow bucket go on waiting by the limit
// that they came with. Refresh does nothing for a map of [NewKeyed].
func (k *Keyed[K]) Refresh() {
	if k.limitOf == nil {
		return
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	k.gen.Add(1)
	var keys []K
	k.table.Walk(func(g *guard[K]) bool {
		keys = keysOf(g, keys[:0])
		for _, key := range keys {
			p, _ := k.timeline(key)
			k.setLimit(k.table.Hash(key), key, p)
		}
		return true
	})
}

// keysOf appends the keys of a segment that were not seen before to keys, and unlocks it.
func keysOf[K comparable](g *guard[K], keys []K) []K {
	defer g.Unlock()
	g.Each(func(at hashtable.Slot) {
		if !g.Seen(at) {
			keys = append(keys, g.Key(at))
		}
	})
	return keys
}

// setLimit puts the timeline p in force for key, if it is there.
func (k *Keyed[K]) setLimit(h uint64, key K, p *engine.Timeline) {
	if t := k.source.now(); p.Spent(t) {
		p = engine.NewTimeline(p.Limit(), t)
	}
	if k.setTimeline(h, key, p) {
		return
	}
	b := k.open(h, key)
	if b == nil {
		return
	}
	defer k.leave(h, b)
	k.setTimeline(h, key, p) // nobody may take without limit from what was taken over before
	b.SetLimit(limitOf(p.Limit()))
}

// setTimeline puts the timeline p in the place of the one that key has in the table, and reports
// whether its state is there, so that it was changed, too. The time is read after the word, so nobody
// took a token from that word at a later instant.
func (k *Keyed[K]) setTimeline(h uint64, key K, p *engine.Timeline) bool {
	g := k.table.Lock(h)
	defer g.Unlock()
	at, ok := g.Find(h, key)
	if !ok {
		return true
	}
	for {
		old, w := g.Kind(at), at.Word().Load()
		same := old.Limit() == p.Limit()
		switch {
		case w == inLine && (same || g.Replace(at, w, p, w)):
			return false
		case w >= engine.Queued:
			return false
		case same || g.Replace(at, w, p, p.Adopt(old, w, k.source.reached())):
			return true
		}
	}
}

// timeline returns the timeline of a new key, and the generation that it belongs to.
func (k *Keyed[K]) timeline(key K) (*engine.Timeline, uint64) {
	if k.limitOf == nil {
		return k.limit.Load(), 0
	}
	gen := k.gen.Load()
	l := k.limitOf(key)
	if l.Validate() != nil {
		panic(fmt.Sprintf("tokenbucket: NewKeyedFunc: the burst for key %v is %d, want 1 to math.MaxInt", key, l.Burst))
	}
	return k.timelines.of(l), gen
}

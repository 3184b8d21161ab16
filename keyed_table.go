package tokenbucket

import (
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
	"github.com/go-tokenbucket/tokenbucket/internal/hashtable"
)

// The word of a key stands in the table, with its timeline as its kind. So a decision about a key
// is [source.take] on that word. The seal of the engine is the seal of the table: a word is sealed
// when its key is evicted or deleted, when its limit changes, and when it moves.
var _ = [1]bool{}[engine.Sealed-hashtable.Sealed]

// A guard is a segment of the table, locked.
type guard[K comparable] = hashtable.Guard[K, engine.Timeline]

// hash returns the hash of key. A key without a hash is a mistake in the calling program.
func (k *Keyed[K]) hash(key K) uint64 {
	k.mustBeMade()
	if k.dynamic {
		mustHash(key)
	}
	return k.table.Hash(key)
}

// mustBeMade panics for the zero Keyed.
func (k *Keyed[K]) mustBeMade() {
	if k.maxKeys == 0 {
		panic("tokenbucket: the zero Keyed must not be used: make one with NewKeyed or NewKeyedFunc")
	}
}

// mustHash is a function of its own so that only keys that need it are moved to the heap for it.
//
//go:noinline
func mustHash[K comparable](key K) {
	if !reflect.ValueOf(&key).Elem().Comparable() {
		panic(fmt.Sprintf("tokenbucket: the key %v holds a value of a type that is not comparable", key))
	}
}

// isDynamic reports whether values of type K may hold values that are not comparable, behind an
// interface.
func isDynamic[K comparable]() bool {
	var dynamic func(t reflect.Type) bool
	dynamic = func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.Interface:
			return true
		case reflect.Array:
			return dynamic(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				if dynamic(f.Type) {
					return true
				}
			}
		}
		return false
	}
	return dynamic(reflect.TypeFor[K]())
}

// find returns the word and the timeline of key, or nil if it has certainly none.
func (k *Keyed[K]) find(h uint64, key K) (*atomic.Uint64, *engine.Timeline) {
	g := k.table.Lock(h)
	defer g.Unlock()
	at, ok := g.Find(h, key)
	if !ok {
		return nil, nil
	}
	return at.Word(), g.Kind(at)
}

// entry returns the word and the timeline of key, new ones if it has none, or the overflow bucket
// that key has to share. The word may be sealed by then.
func (k *Keyed[K]) entry(h uint64, key K) (*atomic.Uint64, *engine.Timeline, *Bucket) {
	if key != key {
		p, _ := k.timeline(key)
		return nil, nil, k.overflow.bucket(0, p, k.source, k.maxWaiters)
	}
	if k.limitOf != nil { // not to call the func for a key that is there
		if word, p := k.find(h, key); word != nil {
			return word, p, nil
		}
	}
	for {
		p, gen := k.timeline(key) // without a lock: it may call the user's func
		word, in, stale := k.insert(h, key, p, gen)
		switch {
		case word != nil:
			k.arm()
			return word, in, nil
		case !stale:
			return nil, nil, k.overflow.bucket(h, p, k.source, k.maxWaiters)
		}
	}
}

// insert returns the word and the timeline of key, a new word on the timeline p if it has none. It
// returns nil if there is no room for another key, or, and then stale is true, if p is no longer in
// force.
func (k *Keyed[K]) insert(h uint64, key K, p *engine.Timeline, gen uint64) (word *atomic.Uint64, in *engine.Timeline, stale bool) {
	g := k.table.Lock(h)
	defer g.Unlock()
	if at, ok := g.Find(h, key); ok {
		return at.Word(), g.Kind(at), false
	}
	if gen != k.gen.Load() || k.limitOf == nil && p != k.limit.Load() {
		return nil, nil, true
	}
	if g.Full() {
		k.thin(&g)
	}
	level := k.overflow.startLevel(h, p, &k.source)
	word = g.Insert(h, key, p, level, k.maxKeys)
	if word == nil && k.makeRoom(&g) {
		word = g.Insert(h, key, p, level, k.maxKeys)
	}
	return word, p, false
}

// evict drops the key in a slot if its bucket has been full since the instant at. The
// compare-and-swap that seals the word is also the proof that it was: nobody can take a token in
// between, nor afterwards without looking the key up again.
func (k *Keyed[K]) evict(g *guard[K], slot hashtable.Slot, at int64) bool {
	w := slot.Word().Load()
	return w < engine.Queued && g.Kind(slot).Full(at, w) && k.bornFull(at) && g.Remove(slot, w)
}

// bornFull reports whether a key that came at the instant at would be full. It would not for a
// while after SetLimit has raised the burst; until then a full bucket can be told from a new one.
func (k *Keyed[K]) bornFull(at int64) bool {
	if k.limitOf != nil {
		return true
	}
	p := k.limit.Load()
	return p.Full(at, p.Birth())
}

// thin drops full buckets of a segment that has no room for another key. It looks at all of them
// only if it finds some among a few.
func (k *Keyed[K]) thin(g *guard[K]) {
	if k.makeRoom(g) {
		at := k.source.now()
		g.Each(func(slot hashtable.Slot) { k.evict(g, slot, at) })
	}
}

// makeRoom drops full buckets among a few keys of a segment, other ones each time. It reports
// whether it found one.
func (k *Keyed[K]) makeRoom(g *guard[K]) (found bool) {
	at := k.source.now()
	g.Some(2, func(slot hashtable.Slot) { found = k.evict(g, slot, at) || found })
	return found
}

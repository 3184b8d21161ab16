package tokenbucket

import (
	"fmt"
	"reflect"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// hash returns the hash of key. A key without one is a mistake in the calling program.
func (k *Keyed[K]) hash(key K) uint64 {
	if k.dynamic {
		mustHash(key)
	}
	return k.table.hash(key)
}

// mustHash stands apart so that only keys that need it are moved to the heap for it.
//
//go:noinline
func mustHash[K comparable](key K) {
	if !reflect.ValueOf(&key).Elem().Comparable() {
		panic(fmt.Sprintf("tokenbucket: the key %v holds a value of a type that is not comparable", key))
	}
}

// isDynamic tells whether values of type K may hold values that are not comparable, behind an interface.
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

// entry returns the entry of key, a new one if there is none, or the overflow bucket that key has to share.
func (k *Keyed[K]) entry(h uint64, key K) (*entry[K], *Bucket) {
	if key != key {
		p, _ := k.timeline(key)
		return nil, k.overflow.bucket(0, p, k.source, k.maxWaiters)
	}
	if k.limitOf != nil { // not to ask it for a key that is there
		if e := k.find(h, key); e != nil {
			return e, nil
		}
	}
	for {
		p, gen := k.timeline(key) // without a lock: it may call the user's func
		e, stale := k.insert(h, key, p, gen, false)
		switch {
		case e != nil:
			k.arm()
			return e, nil
		case !stale:
			return nil, k.overflow.bucket(h, p, k.source, k.maxWaiters)
		}
	}
}

// find returns the entry of key that is there for certain, or nil.
func (k *Keyed[K]) find(h uint64, key K) *entry[K] {
	s := k.table.lock(h)
	defer s.mu.Unlock()
	e, _, _ := s.find(h, key)
	return e
}

// insert returns the entry of key, a new one of the timeline p if there is none. It returns nil if there is no room for one
// more, or, and then stale is true, if p is not in force any more. With force, there is always room.
func (k *Keyed[K]) insert(h uint64, key K, p *engine.Timeline, gen uint64, force bool) (e *entry[K], stale bool) {
	s := k.table.lock(h)
	defer func() { s.mu.Unlock() }()
	if e, _, _ := s.find(h, key); e != nil {
		return e, false
	}
	if gen != k.gen.Load() || k.limitOf == nil && p != k.limit.Load() {
		return nil, true
	}
	if k.table.count.Add(1) > k.maxKeys && !force && !k.makeRoom(s) {
		k.table.count.Add(-1)
		return nil, false
	}
	if s.full() && !k.thin(s) {
		s = k.table.grow(s, h)
	}
	e = k.table.newEntry(p, key)
	e.Word.Store(max(k.overflow.startLevel(h, p, &k.source), p.FullLevel(s.evicted)))
	s.put(h, e)
	return e, false
}

// setLimit puts the timeline p in force for key, if it is there.
func (k *Keyed[K]) setLimit(h uint64, key K, p *engine.Timeline) {
	for {
		s := k.table.lock(h)
		e, g, slot := s.find(h, key)
		if e == nil || e.Timeline.Limit() == p.Limit() {
			s.mu.Unlock()
			return
		}
		w := e.Word.Load()
		if w >= engine.Queued {
			s.mu.Unlock()
			b := k.open(h, key, e)
			defer b.exit()
			b.SetLimit(limitOf(p.Limit()))
			return
		}
		t := k.source.now()
		if p.Spent(t) {
			p = engine.NewTimeline(p.Limit(), t)
		}
		if e.Word.CompareAndSwap(w, engine.Sealed) {
			to := k.table.newEntry(p, key)
			to.Word.Store(p.Adopt(e.Timeline, w, t))
			g.slots[slot].Store(to)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

package hashtable

import (
	"strings"
	"sync/atomic"
	"unsafe"
)

// A Guard is a segment of a table whose lock the caller holds, from [Table.Lock] or [Table.Walk] to
// [Guard.Unlock]. While it is held, no other goroutine seals a word of the segment, nor adds or
// removes a key. Other goroutines may still change words.
type Guard[K comparable, V any] struct {
	t *Table[K, V]
	s *segment[K, V]
	h uint64 // a hash that belongs to the segment
}

// A Slot is the place of a key. It is valid until the guard adds or converts a key, or is unlocked.
type Slot struct {
	g           *head
	group, slot int
}

// Word returns the word of the slot.
func (at Slot) Word() *atomic.Uint64 { return &at.g.words[at.slot] }

// Unlock releases the segment. If a quarter of its slots is dead, it replaces the segment first.
func (g *Guard[K, V]) Unlock() {
	if g.s.dead*4 >= g.s.size()*slotsPerGroup {
		g.rebuild(nil)
	}
	g.s.mu.Unlock()
}

// Find returns the slot of key, whose hash is h, and reports whether there is one.
func (g *Guard[K, V]) Find(h uint64, key K) (Slot, bool) {
	head, i, slot := g.s.find(h, key)
	return Slot{head, i, slot}, head != nil
}

// Kind returns the kind of the key in a slot.
func (g *Guard[K, V]) Kind(at Slot) *V { return g.s.kindOf(at.g, at.slot) }

// Key returns the key in a slot. A string is a copy.
func (g *Guard[K, V]) Key(at Slot) K {
	key := g.s.key(at.group, at.slot)
	if g.t.text {
		text := strings.Clone(*(*string)(unsafe.Pointer(&key)))
		return *(*K)(unsafe.Pointer(&text))
	}
	return key
}

// Hash returns the hash of the key in a slot.
func (g *Guard[K, V]) Hash(at Slot) uint64 { return g.t.Hash(g.s.key(at.group, at.slot)) }

// Each calls f for each key. f may remove it.
func (g *Guard[K, V]) Each(f func(at Slot)) {
	for i := range g.s.size() {
		g.visit(i, f)
	}
}

// Some calls f for each key in n groups of the segment, other ones each time. f may remove it.
func (g *Guard[K, V]) Some(n int, f func(at Slot)) {
	for range min(n, g.s.size()) {
		g.s.hand = (g.s.hand + 1) % g.s.size()
		g.visit(g.s.hand, f)
	}
}

func (g *Guard[K, V]) visit(i int, f func(at Slot)) {
	head := g.s.head(i)
	for m := taken(head.tags.Load()); m != 0; m &= m - 1 {
		f(Slot{head, i, slotOf(m)})
	}
}

// Seen reports whether [Table.Walk] has called with the key in a slot before, in a segment that was
// joined with others since.
func (g *Guard[K, V]) Seen(at Slot) bool { return g.Hash(at) < g.h }

// Live returns the number of keys in the segment.
func (g *Guard[K, V]) Live() int { return g.s.live }

// Full reports whether the segment has to be replaced before it can take another key, if none is
// removed.
func (g *Guard[K, V]) Full() bool { return g.s.full() }

// Insert adds key, which must not be there, and returns its word. It returns nil, and adds nothing,
// if the table has most keys already. Neither word nor a word of another call may be Sealed.
func (g *Guard[K, V]) Insert(h uint64, key K, kind *V, word uint64, most int64) *atomic.Uint64 {
	if g.t.count.Add(1) > most {
		g.t.count.Add(-1)
		return nil
	}
	return g.add(h, key, kind, word)
}

func (g *Guard[K, V]) add(h uint64, key K, kind *V, word uint64) *atomic.Uint64 {
	for {
		if !g.s.full() {
			if i, ok := g.s.nameKind(kind); ok {
				return g.s.put(h, key, i, word)
			}
		}
		g.rebuild(nil)
	}
}

// Remove removes the key in a slot if its word is w, and reports whether it did. It seals the word.
func (g *Guard[K, V]) Remove(at Slot, w uint64) bool {
	if !at.Word().CompareAndSwap(w, Sealed) {
		return false
	}
	g.s.bury(at.g, at.slot)
	g.t.count.Add(-1)
	return true
}

// Replace gives the key in a slot another kind and the word to, if its word is w, and reports
// whether it did. It seals the word that the key had.
func (g *Guard[K, V]) Replace(at Slot, w uint64, kind *V, to uint64) bool {
	if !at.Word().CompareAndSwap(w, Sealed) {
		return false
	}
	key := g.s.key(at.group, at.slot)
	g.s.bury(at.g, at.slot)
	g.add(g.t.Hash(key), key, kind, to)
	return true
}

// Convert gives each key of the segment what f returns for the kind and the word that it had. It
// seals the words that they had. f must not panic, nor return more than 256 different kinds.
func (g *Guard[K, V]) Convert(f func(kind *V, word uint64) (*V, uint64)) { g.rebuild(f) }

// Package hashtable is a concurrent hash table that holds each key by value, beside one 64-bit word
// that any goroutine may change by compare-and-swap, and the index of a kind.
//
// A kind is an immutable object that many keys share; the table keeps a pointer to it once a
// segment, not once a key. So a table of keys without pointers has next to nothing that a garbage
// collection has to follow.
//
// The meaning of a word is the caller's, but for one value: a word that is [Sealed] never changes
// again, and what it stood for has moved to another word, or is gone. A caller that meets a sealed
// word looks the key up again, with [Table.Lock], which waits until the move is complete.
package hashtable

import (
	"hash/maphash"
	"math/bits"
	"reflect"
	"sync"
	"sync/atomic"
)

// Sealed is the value of a word that is dead.
const Sealed = ^uint64(0)

// A Table maps keys to words and kinds. It must be initialized with [Table.Init] before it is used,
// and must not be copied. Its other methods may be called by any number of goroutines at once.
// Look-ups take no lock and write nothing. Changes lock one segment, which holds at most some
// hundred keys, so that no change takes longer than moving those.
//
// It is an extendible hash table (Fagin, Nievergelt, Pippenger, Strong, 1979): the first bits of a
// hash choose a segment through a directory, and a segment that is full is split in two without
// touching any other.
//
// Look-ups are safe beside changes because nothing that they read is ever reused. A slot that has
// lost its key stays sealed and dead until its segment is replaced as a whole. A look-up at the
// wrong moment can miss a key, or find it in a slot that is sealed, but never finds a wrong one.
//
// A key must be equal to itself, and its dynamic type must be comparable.
type Table[K comparable, V any] struct {
	dir  atomic.Pointer[directory[K, V]]
	seed maphash.Seed
	text bool // K is a kind of string

	_     [64]byte     // what follows is written by each change, what precedes is read by each look-up
	count atomic.Int64 // keys
	mu    sync.Mutex   // guards changes of dir; taken with a segment's lock held, never before
}

// A directory finds the segment of a hash by its first bits. A segment whose depth is less than the
// directory's stands in it more than once.
type directory[K comparable, V any] struct {
	shift uint8 // 64 - depth
	segs  []atomic.Pointer[segment[K, V]]
}

// Init makes t an empty table.
func (t *Table[K, V]) Init() {
	t.seed, t.text = maphash.MakeSeed(), reflect.TypeFor[K]().Kind() == reflect.String
	d := &directory[K, V]{shift: 64, segs: make([]atomic.Pointer[segment[K, V]], 1)}
	s := t.newSegment(0, 0, 0)
	s.public = true
	d.segs[0].Store(s)
	t.dir.Store(d)
}

// Hash returns the hash of key, which the other methods ask for. It differs from table to table.
func (t *Table[K, V]) Hash(key K) uint64 { return maphash.Comparable(t.seed, key) }

// Len returns the number of keys.
func (t *Table[K, V]) Len() int { return int(t.count.Load()) }

// Find returns the word and the kind of key, whose hash is h, or nil if it did not see the key. A
// miss is final only under the lock of the segment; see [Guard.Find].
func (t *Table[K, V]) Find(h uint64, key K) (*atomic.Uint64, *V) {
	d := t.dir.Load()
	if d == nil {
		return nil, nil // Init was not called
	}
	s := d.segs[h>>d.shift].Load()
	g, _, slot := s.find(h, key)
	if g == nil {
		return nil, nil
	}
	return &g.words[slot], s.kindOf(g, slot)
}

func (t *Table[K, V]) segment(h uint64) *segment[K, V] {
	d := t.dir.Load()
	return d.segs[h>>d.shift].Load()
}

// Lock locks the segment of the keys whose hash is h, and returns what gives access to it.
func (t *Table[K, V]) Lock(h uint64) Guard[K, V] {
	for {
		s := t.segment(h)
		s.mu.Lock()
		if !s.replaced {
			return Guard[K, V]{t: t, s: s, h: h}
		}
		s.mu.Unlock()
	}
}

// Walk calls f with each segment, locked, until f returns false. f must unlock it. Keys that are
// there all the time are seen once, others perhaps.
func (t *Table[K, V]) Walk(f func(g *Guard[K, V]) bool) {
	for from := uint64(0); ; {
		g := t.Lock(from)
		depth := g.s.depth
		if !f(&g) || depth == 0 {
			return
		}
		// The segment may have been split or joined since. The next hash is the first that was not
		// in it.
		size := uint64(1) << (64 - depth)
		if from = from&^(size-1) + size; from == 0 {
			return
		}
	}
}

// publish puts low and high, whose depth is the same, into the directory in the place of what
// covered them. If they are the same segment, it covers all that share its first depth bits with h.
func (t *Table[K, V]) publish(h uint64, low, high *segment[K, V]) {
	low.public, high.public = true, true
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dir.Load()
	depth := low.depth
	if low != high {
		depth--
	}
	for 64-d.shift < low.depth {
		d = d.doubled()
	}
	n := uint64(1) << (64 - d.shift - depth) // places in the directory that h's first depth bits share
	first := h >> d.shift &^ (n - 1)
	for i := range n {
		s := low
		if i >= n/2 && low != high {
			s = high
		}
		d.segs[first+i].Store(s)
	}
	t.dir.Store(d)
}

func (d *directory[K, V]) doubled() *directory[K, V] {
	to := &directory[K, V]{shift: d.shift - 1, segs: make([]atomic.Pointer[segment[K, V]], 2*len(d.segs))}
	for i := range to.segs {
		to.segs[i].Store(d.segs[i/2].Load())
	}
	return to
}

// fold makes the directory as small as the segments allow.
func (t *Table[K, V]) fold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d := t.dir.Load(); d.foldable(); d = t.dir.Load() {
		to := &directory[K, V]{shift: d.shift + 1, segs: make([]atomic.Pointer[segment[K, V]], len(d.segs)/2)}
		for i := range to.segs {
			to.segs[i].Store(d.segs[2*i].Load())
		}
		t.dir.Store(to)
	}
}

func (d *directory[K, V]) foldable() bool {
	for i := 0; i+1 < len(d.segs); i += 2 {
		if d.segs[i].Load() != d.segs[i+1].Load() {
			return false
		}
	}
	return len(d.segs) > 1
}

// tagOf returns the seven bits of a hash that stand in the group of its key, with the top bit that
// says that the slot has one.
func tagOf(h uint64) uint64 { return h&0x7f | 0x80 }

// match returns the slots whose tag is equal to tag, each by the top bit of its byte. A slot behind
// an equal one may also be there when its tag differs in the last bit only; it has a key, too.
func match(tags, tag uint64) uint64 {
	x := tags ^ tag*ones
	return (x - ones) &^ x & tops
}

// free returns the slots that never had a key, each by the top bit of its byte.
func free(tags uint64) uint64 { return ^(tags | tags<<7) & tops }

// taken returns the slots that have a key, each by the top bit of its byte.
func taken(tags uint64) uint64 { return tags & tops }

// slotOf returns the first slot of a set that match, free or taken returned, which is not empty.
func slotOf(set uint64) int { return bits.TrailingZeros64(set) / 8 }

package tokenbucket

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A table is a hash table of entries. Look-ups take no lock and write nothing; changes lock one segment, which holds at
// most some hundred keys, so no change takes longer than moving those.
//
// It is an extendible hash table (Fagin, Nievergelt, Pippenger, Strong, 1979): the first bits of a hash choose a segment
// through a directory, and a segment that is full is split in two without touching any other. Inside a segment it probes
// groups of seven slots that fill a cache line together with a word of tags, eight bits of each hash, compared all at once;
// the eighth byte counts the entries that found the group full and went on, so that deletion needs no tombstones. Both
// are known from F14 (Bronson, Shi, 2019) and Swiss tables (Kulukundis, 2017).
//
// Look-ups are safe beside changes because nothing that they follow is ever reused: the array of a segment is replaced, not
// resized, and an entry never moves. A look-up that comes at the wrong moment can miss an entry, never find a wrong one; a
// miss is therefore final only with the segment's lock held.
type table[K comparable] struct {
	seed  maphash.Seed
	text  bool // K is a kind of string
	dir   atomic.Pointer[directory[K]]
	mu    sync.Mutex // guards changes of dir; taken with a segment's lock held, never the other way round
	count atomic.Int64
}

// A directory finds the segment of a hash by its first bits. A segment of a depth less than the directory's stands in it
// more than once.
type directory[K comparable] struct {
	shift uint8 // 64 - depth
	segs  []atomic.Pointer[segment[K]]
}

// A segment holds the keys whose hashes begin with the same depth bits.
type segment[K comparable] struct {
	mu     sync.Mutex
	depth  uint8
	dead   bool // replaced by another; guarded by mu
	live   int  // entries; guarded by mu
	hand   int  // the group to be inspected next for keys to evict; guarded by mu
	groups []group[K]

	// evicted is the last instant at which a key was evicted from here; guarded by mu. New keys begin full at that
	// instant, not earlier, lest a clock that steps back gives a key a fuller bucket than the one it lost.
	evicted int64
}

type group[K comparable] struct {
	tags  atomic.Uint64 // seven tags, 0 for a free slot; then the number of entries that went on, stuck at 255
	slots [slotsPerGroup]atomic.Pointer[entry[K]]
}

// An entry is a key and its bucket.
type entry[K comparable] struct {
	engine.Cell
	key K
}

const (
	slotsPerGroup = 7
	maxGroups     = 128 // 8 KiB a segment
	passedShift   = 56
	ones          = 0x0101010101010101
	tops          = 0x0080808080808080
)

func (t *table[K]) init() {
	t.seed = maphash.MakeSeed()
	t.text = isText[K]()
	d := &directory[K]{shift: 64, segs: make([]atomic.Pointer[segment[K]], 1)}
	d.segs[0].Store(newSegment[K](0, 0, 0))
	t.dir.Store(d)
}

// newSegment returns a segment with room for n entries, and as many more as may come before it is full.
func newSegment[K comparable](depth uint8, n int, evicted int64) *segment[K] {
	groups := 1
	for groups < maxGroups && n*3/2 > groups*slotsPerGroup {
		groups *= 2
	}
	return &segment[K]{depth: depth, evicted: evicted, groups: make([]group[K], groups)}
}

func tagOf(h uint64) uint64 { return max(h&0xff, 1) }

// match returns the bytes of tags that may be equal to tag, each by its top bit.
func match(tags, tag uint64) uint64 {
	x := tags ^ tag*ones
	return (x - ones) &^ x & tops
}

func (t *table[K]) segment(h uint64) *segment[K] {
	d := t.dir.Load()
	return d.segs[h>>d.shift].Load()
}

// get returns the entry of key, whose hash is h, or nil if it did not see one.
func (t *table[K]) get(h uint64, key K) *entry[K] {
	e, _, _ := t.segment(h).find(h, key)
	return e
}

// glance is get that looks only where a key is that found room where it belongs.
func (t *table[K]) glance(h uint64, key K) *entry[K] {
	s := t.segment(h)
	g := &s.groups[(h>>8)&uint64(len(s.groups)-1)]
	m := match(g.tags.Load(), tagOf(h))
	if m == 0 {
		return nil
	}
	e := g.slots[bits.TrailingZeros64(m)/8].Load()
	if e == nil || e.key != key {
		return nil
	}
	return e
}

// lock returns the segment of h, locked.
func (t *table[K]) lock(h uint64) *segment[K] {
	for {
		s := t.segment(h)
		s.mu.Lock()
		if !s.dead {
			return s
		}
		s.mu.Unlock()
	}
}

// find returns the entry of key and its place, or nil. With the lock held, nil is final.
func (s *segment[K]) find(h uint64, key K) (e *entry[K], g *group[K], slot int) {
	tag, mask := tagOf(h), uint64(len(s.groups)-1)
	for i := uint64(0); i <= mask; i++ {
		g := &s.groups[(h>>8+i)&mask]
		tags := g.tags.Load()
		for m := match(tags, tag); m != 0; m &= m - 1 {
			slot := bits.TrailingZeros64(m) / 8
			if e := g.slots[slot].Load(); e != nil && e.key == key {
				return e, g, slot
			}
		}
		if tags>>passedShift == 0 {
			break
		}
	}
	return nil, nil, 0
}

// full tells that the segment should get no more entries: seven eighths of its slots are taken.
func (s *segment[K]) full() bool { return s.live*8 >= len(s.groups)*slotsPerGroup*7 }

// put adds an entry whose key is not there, to a segment that is not full. The lock is held.
func (s *segment[K]) put(h uint64, e *entry[K]) {
	mask := uint64(len(s.groups) - 1)
	for i := h >> 8; ; i++ {
		g := &s.groups[i&mask]
		tags := g.tags.Load()
		if free := match(tags, 0); free != 0 {
			slot := bits.TrailingZeros64(free) / 8
			g.slots[slot].Store(e)
			g.tags.Store(tags | tagOf(h)<<(slot*8))
			s.live++
			return
		}
		if tags>>passedShift < 255 {
			g.tags.Store(tags + 1<<passedShift)
		}
	}
}

// remove takes the entry in slot of g away. The lock is held.
func (s *segment[K]) remove(h uint64, g *group[K], slot int) {
	g.tags.Store(g.tags.Load() &^ (0xff << (slot * 8)))
	g.slots[slot].Store(nil)
	s.live--
	mask := uint64(len(s.groups) - 1)
	for i := h >> 8; ; i++ {
		passed := &s.groups[i&mask]
		if passed == g {
			return
		}
		if tags := passed.tags.Load(); tags>>passedShift < 255 {
			passed.tags.Store(tags - 1<<passedShift)
		}
	}
}

// entries calls f for every entry and its place. The lock is held; f may remove the entry.
func (s *segment[K]) entries(f func(e *entry[K], g *group[K], slot int)) {
	for i := range s.groups {
		g := &s.groups[i]
		for slot := range g.slots {
			if e := g.slots[slot].Load(); e != nil {
				f(e, g, slot)
			}
		}
	}
}

func (t *table[K]) hash(key K) uint64 { return maphash.Comparable(t.seed, key) }

package hashtable

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	slotsPerGroup = 7
	maxGroups     = 128    // 16 KiB of eight-byte keys a segment; moving them all takes some 10 us
	maxKinds      = 1 << 8 // that a byte can name
	ones          = 0x01010101010101
	tops          = 0x80808080808080
	passed        = 1 << 63 // a key found the group full and went on to the next
	buried        = 1       // the tag of a slot that has lost its key
)

// A segment holds the keys whose hashes begin with the same depth bits, in slots of groups that are
// probed one after the other. Slots are only ever added.
//
// The keys of a string type are held as spans of one array of bytes; see text.go. Either groups or
// texts is nil.
type segment[K comparable, V any] struct {
	// Look-ups read this cache line and write none.
	groups []group[K]
	texts  []group[span]
	text   atomic.Pointer[byte] // the first of the bytes that the spans are of
	kind   *V                   // the first kind: most segments have no other

	// Kinds and long strings but the first kind: fixed once a key refers to them.
	kinds list[*V]
	long  list[string]

	mu       sync.Mutex
	depth    uint8
	public   bool   // it is in the directory
	replaced bool   // and not any more; guarded by mu
	live     int    // slots with a key; guarded by mu
	dead     int    // slots that have lost theirs; guarded by mu
	hand     int    // the group that Some visits next; guarded by mu
	bytes    []byte // what text is the first of; guarded by mu
}

// A head is what all groups have. Of eight-byte keys, the first cache line of a group is the tags
// and the words, the second is the kinds and the keys.
//
// The tags, seven bits of each hash, are compared all at once, after F14 (Bronson, Shi, 2019) and
// Swiss tables (Kulukundis, 2017). A look-up goes on to the next group only if a key once did:
// passed stands above the tags.
type head struct {
	tags  atomic.Uint64
	words [slotsPerGroup]atomic.Uint64
	kinds [slotsPerGroup]uint8
}

type group[S any] struct {
	head
	keys [slotsPerGroup]S
}

// newSegment returns a segment with room for n keys, and as many more as may come before it is
// full, and for the given number of bytes of text.
func (t *Table[K, V]) newSegment(depth uint8, n, text int) *segment[K, V] {
	s := &segment[K, V]{depth: depth}
	if groups := groupsFor(n); t.text {
		s.texts = make([]group[span], groups)
		s.reserve(text + text/4)
	} else {
		s.groups = make([]group[K], groups)
	}
	return s
}

// groupsFor returns how many groups a new segment of n keys gets: with room for half as many to
// come, or for one if there are too many to stay together.
func groupsFor(n int) int {
	groups := 1
	for capacity(groups) < n+n/2 && (groups < maxGroups || capacity(groups) <= n) {
		groups++
	}
	return groups
}

// capacity returns how many slots of so many groups may be used: seven eighths, lest look-ups have
// to go far.
func capacity(groups int) int {
	if groups == 1 {
		return slotsPerGroup
	}
	return groups * slotsPerGroup * 7 / 8
}

func (s *segment[K, V]) size() int { return len(s.groups) + len(s.texts) }

// full reports whether the segment has no room for another key.
func (s *segment[K, V]) full() bool { return s.live+s.dead >= capacity(s.size()) }

func (s *segment[K, V]) head(i int) *head {
	if s.texts != nil {
		return &s.texts[i].head
	}
	return &s.groups[i].head
}

// home returns the group where the search for the hash h begins. Its bits are neither those of the
// directory nor those of the tag.
func (s *segment[K, V]) home(h uint64) int {
	return int(uint64(uint32(h>>8)) * uint64(s.size()) >> 32)
}

// find returns the group of key, its index and the slot, or nil. With the lock held, nil is final.
func (s *segment[K, V]) find(h uint64, key K) (*head, int, int) {
	if s.texts != nil {
		return s.findText(h, *(*string)(unsafe.Pointer(&key))) // K is a kind of string
	}
	n, tag := len(s.groups), tagOf(h)
	i := int(uint64(uint32(h>>8)) * uint64(n) >> 32)
	for range n {
		g := &s.groups[i]
		tags := g.tags.Load()
		for m := match(tags, tag); m != 0; m &= m - 1 {
			if slot := slotOf(m); g.keys[slot] == key {
				return &g.head, i, slot
			}
		}
		if tags < passed {
			break
		}
		if i++; i == n {
			i = 0
		}
	}
	return nil, 0, 0
}

// kindOf returns the kind of the key in a slot.
func (s *segment[K, V]) kindOf(g *head, slot int) *V {
	if i := g.kinds[slot]; i > 0 {
		return s.kinds.at(int(i) - 1)
	}
	return s.kind
}

// nameKind returns the index of kind, a new one if need be, or false if there is none left. The
// lock is held.
func (s *segment[K, V]) nameKind(kind *V) (uint8, bool) {
	if s.kind == nil && s.live+s.dead == 0 {
		s.kind = kind
	}
	if s.kind == kind {
		return 0, true
	}
	for i := range s.kinds.n {
		if s.kinds.at(i) == kind {
			return uint8(i + 1), true
		}
	}
	if s.kinds.n == maxKinds-1 {
		return 0, false
	}
	return uint8(s.kinds.add(kind) + 1), true
}

// put gives a key that is not there a slot, in a segment that is not full. The lock is held, or the
// segment not yet public.
func (s *segment[K, V]) put(h uint64, key K, kind uint8, word uint64) *atomic.Uint64 {
	n := s.size()
	for i := s.home(h); ; {
		g := s.head(i)
		tags := g.tags.Load()
		if m := free(tags); m != 0 {
			slot := slotOf(m)
			s.setKey(i, slot, key)
			g.kinds[slot] = kind
			storePlain(&g.words[slot], word)
			s.setTags(g, tags|tagOf(h)<<(slot*8)) // makes all of it visible
			s.live++
			return &g.words[slot]
		}
		if tags < passed {
			s.setTags(g, tags|passed)
		}
		if i++; i == n {
			i = 0
		}
	}
}

// setTags stores the tags of a group. An atomic store takes longer than all else that it takes to
// move a key.
func (s *segment[K, V]) setTags(g *head, tags uint64) {
	if s.public {
		g.tags.Store(tags)
	} else {
		storePlain(&g.tags, tags)
	}
}

// storePlain stores v in w while no other goroutine can know of it.
func storePlain(w *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(w)) = v }

// bury notes that the slot, whose word was sealed, has lost its key. The lock is held.
func (s *segment[K, V]) bury(g *head, slot int) {
	tags := g.tags.Load()
	s.setTags(g, tags&^(0xff<<(slot*8))|buried<<(slot*8))
	s.live--
	s.dead++
}

func (s *segment[K, V]) setKey(i, slot int, key K) {
	if s.texts != nil {
		s.texts[i].keys[slot] = s.addText(*(*string)(unsafe.Pointer(&key)))
		return
	}
	s.groups[i].keys[slot] = key
}

// key returns the key of a slot. A string is not copied, and so keeps all text of the segment in
// memory.
func (s *segment[K, V]) key(i, slot int) K {
	if s.texts != nil {
		text := s.view(s.texts[i].keys[slot])
		return *(*K)(unsafe.Pointer(&text))
	}
	return s.groups[i].keys[slot]
}

package hashtable

// maxDepth bounds the directory. No table comes near it: hashes of a random seed make the depths of
// its segments differ by one or two.
const maxDepth = 32

// A census is what is known of the keys of a segment before they move to others: all hashes, by
// group and slot, and how many keys and bytes of text there are with the bit of the hash clear that
// follows the depth, and set.
type census struct {
	hashes []uint64
	keys   [2]int
	text   [2]int
}

// scratch is for the hashes of a census, on the stack.
type scratch [maxGroups * slotsPerGroup]uint64

// take counts the keys of a segment, whose lock is held.
func (t *Table[K, V]) take(s *segment[K, V], room *scratch) census {
	c := census{hashes: room[:]}
	if s.size() > maxGroups {
		c.hashes = make([]uint64, s.size()*slotsPerGroup)
	}
	for i := range s.size() {
		for m := taken(s.head(i).tags.Load()); m != 0; m &= m - 1 {
			slot := slotOf(m)
			h := t.Hash(s.key(i, slot))
			c.hashes[i*slotsPerGroup+slot] = h
			half := s.half(h)
			c.keys[half]++
			if s.texts != nil {
				c.text[half] += int(min(s.texts[i].keys[slot].length, maxText))
			}
		}
	}
	return c
}

// half returns the bit of the hash h that follows the depth of the segment.
func (s *segment[K, V]) half(h uint64) int { return int(h << s.depth >> 63) }

// crowded reports whether a segment of the largest size would soon be full again, or one byte not
// name all kinds.
func (s *segment[K, V]) crowded() bool {
	return s.live*4 > capacity(maxGroups)*3 || s.kinds.n >= maxKinds/2 && s.live > 1 && s.usedKinds() > maxKinds/2
}

func (s *segment[K, V]) usedKinds() (n int) {
	var used [maxKinds]bool
	for i := range s.size() {
		head := s.head(i)
		for m := taken(head.tags.Load()); m != 0; m &= m - 1 {
			if kind := head.kinds[slotOf(m)]; !used[kind] {
				used[kind] = true
				n++
			}
		}
	}
	return n
}

// rebuild replaces the segment by a new one, or by two if it is crowded, and releases it. The guard
// keeps the one that its hash belongs to.
func (g *Guard[K, V]) rebuild(convert func(kind *V, word uint64) (*V, uint64)) {
	var room scratch
	s := g.s
	c := g.t.take(s, &room)
	var low, high *segment[K, V]
	if s.crowded() && s.depth < maxDepth {
		low = g.t.newSegment(s.depth+1, c.keys[0], c.text[0])
		high = g.t.newSegment(s.depth+1, c.keys[1], c.text[1])
	} else {
		low = g.t.newSegment(s.depth, s.live, c.text[0]+c.text[1])
		high = low
	}
	s.move(c.hashes, low, high, convert)
	g.s = low
	if s.half(g.h) == 1 {
		g.s = high
	}
	g.s.mu.Lock()
	g.t.publish(g.h, low, high)
	s.mu.Unlock()
}

// move seals all words of the segment, whose lock is held, and moves the keys to others that are
// not yet public. convert, if it is not nil, changes their kinds and words on the way.
func (s *segment[K, V]) move(hashes []uint64, low, high *segment[K, V], convert func(kind *V, word uint64) (*V, uint64)) {
	s.replaced = true
	// Homes are in the order of hashes, so Some goes on where it was.
	low.hand, high.hand = s.hand*low.size()/s.size(), s.hand*high.size()/s.size()
	for i := range s.size() {
		head := s.head(i)
		for m := taken(head.tags.Load()); m != 0; m &= m - 1 {
			slot := slotOf(m)
			h := hashes[i*slotsPerGroup+slot]
			into := low
			if s.half(h) == 1 {
				into = high
			}
			kind, w := s.kindOf(head, slot), head.words[slot].Swap(Sealed)
			if convert != nil {
				kind, w = convert(kind, w)
			}
			name, _ := into.nameKind(kind) // no segment gets more kinds than this one uses
			into.put(h, s.key(i, slot), name, w)
		}
	}
}

// Shrink joins segments that are sparse, and makes the directory as small as the others allow.
func (t *Table[K, V]) Shrink() {
	for from := uint64(0); ; {
		for t.join(from) {
		}
		depth := t.segment(from).depth
		size := uint64(1) << (64 - depth)
		if from = from&^(size-1) + size; from == 0 || depth == 0 {
			break
		}
	}
	t.fold()
}

// join replaces the segment of h and the one that it was split from by one, if that would be at
// most a quarter full. It reports whether it did.
func (t *Table[K, V]) join(h uint64) bool {
	depth := t.segment(h).depth
	if depth == 0 {
		t.clear(h)
		return false
	}
	bit := uint64(1) << (64 - depth)
	low, high := t.segment(h&^bit), t.segment(h|bit)
	if low.depth != depth || high.depth != depth {
		return false // another goroutine did it, or one of them has been split
	}
	low.mu.Lock() // two segments are only ever locked here: siblings, whose order never changes
	defer low.mu.Unlock()
	high.mu.Lock()
	defer high.mu.Unlock()
	if low.replaced || high.replaced || 4*(low.live+high.live) > capacity(maxGroups) {
		return false
	}
	var room scratch
	into := t.newSegment(depth-1, low.live+high.live, len(low.bytes)+len(high.bytes))
	low.move(t.take(low, &room).hashes, into, into, nil)
	high.move(t.take(high, &room).hashes, into, into, nil)
	t.publish(h, into, into)
	return true
}

// clear replaces the only segment of a table that has lost all keys, so that it keeps none in
// memory.
func (t *Table[K, V]) clear(h uint64) {
	g := t.Lock(h)
	if g.s.live == 0 && g.s.dead > 0 {
		g.rebuild(nil)
	}
	g.Unlock()
}

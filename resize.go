package tokenbucket

import "sync/atomic"

// grow replaces the segment s of the hash h, which is full and locked, by a larger one or by two, and returns the one of
// h, locked.
func (t *table[K]) grow(s *segment[K], h uint64) *segment[K] {
	defer s.mu.Unlock()
	if len(s.groups) < maxGroups {
		into := newSegment[K](s.depth, s.live*2, s.evicted)
		t.move(s, into, into)
		into.mu.Lock()
		t.publish(h, into, into)
		return into
	}
	low := newSegment[K](s.depth+1, s.live, s.evicted)
	high := newSegment[K](s.depth+1, s.live, s.evicted)
	t.move(s, low, high)
	into := low
	if h>>(63-s.depth)&1 != 0 {
		into = high
	}
	into.mu.Lock()
	t.publish(h, low, high)
	return into
}

// move puts the entries of s into low or, if the bit of their hash that follows s's depth is set, into high, and buries s.
// s is locked, the others are not known to anybody yet.
func (t *table[K]) move(s, low, high *segment[K]) {
	s.dead = true
	s.entries(func(e *entry[K], _ *group[K], _ int) {
		h := t.hash(e.key)
		if low != high && h>>(63-s.depth)&1 != 0 {
			high.put(h, e)
		} else {
			low.put(h, e)
		}
	})
}

// publish puts low and high, whose depth is the same, into the directory in the place of what covered them. If they are
// one, it covers what is there for its depth.
func (t *table[K]) publish(h uint64, low, high *segment[K]) {
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

func (d *directory[K]) doubled() *directory[K] {
	to := &directory[K]{shift: d.shift - 1, segs: make([]atomic.Pointer[segment[K]], 2*len(d.segs))}
	for i := range to.segs {
		to.segs[i].Store(d.segs[i/2].Load())
	}
	return to
}

// shrink joins the segment of h with its neighbour, and that with the next, as long as both together are sparse.
func (t *table[K]) shrink(h uint64) {
	for t.join(h) {
	}
}

// join replaces the segment of h and the one that it was split from by one, if that would be at most a quarter full, or
// makes the segment smaller, if it has no neighbour. It tells whether it joined two.
func (t *table[K]) join(h uint64) bool {
	depth := t.segment(h).depth
	if depth == 0 {
		t.tighten(h)
		return false
	}
	bit := uint64(1) << (64 - depth)
	low, high := t.segment(h&^bit), t.segment(h|bit)
	if low.depth != depth || high.depth != depth {
		return false // somebody else did it, or one of them has been split
	}
	low.mu.Lock() // two segments are only ever locked here: siblings, whose order never changes
	defer low.mu.Unlock()
	high.mu.Lock()
	defer high.mu.Unlock()
	if low.dead || high.dead || 4*(low.live+high.live) > maxGroups*slotsPerGroup {
		return false
	}
	into := newSegment[K](depth-1, low.live+high.live, max(low.evicted, high.evicted))
	t.move(low, into, into)
	t.move(high, into, into)
	t.publish(h, into, into)
	return true
}

// tighten replaces the only segment of a table by a smaller one if it is nearly empty.
func (t *table[K]) tighten(h uint64) {
	s := t.lock(h)
	defer s.mu.Unlock()
	if s.depth != 0 || len(s.groups) == 1 || 8*s.live > len(s.groups)*slotsPerGroup {
		return
	}
	into := newSegment[K](0, s.live, s.evicted)
	t.move(s, into, into)
	t.publish(h, into, into)
}

// fold makes the directory as small as the segments allow.
func (t *table[K]) fold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d := t.dir.Load(); d.foldable(); d = t.dir.Load() {
		to := &directory[K]{shift: d.shift + 1, segs: make([]atomic.Pointer[segment[K]], len(d.segs)/2)}
		for i := range to.segs {
			to.segs[i].Store(d.segs[2*i].Load())
		}
		t.dir.Store(to)
	}
}

func (d *directory[K]) foldable() bool {
	for i := 0; i+1 < len(d.segs); i += 2 {
		if d.segs[i].Load() != d.segs[i+1].Load() {
			return false
		}
	}
	return len(d.segs) > 1
}

// walk calls f for each segment, locked, with the first hash that f has not seen yet: segments may be split and joined
// between two calls. f unlocks it, and tells whether to go on.
func (t *table[K]) walk(f func(s *segment[K], from uint64) bool) {
	for from := uint64(0); ; {
		s := t.lock(from)
		depth := s.depth
		if !f(s, from) || depth == 0 {
			return
		}
		size := uint64(1) << (64 - depth)
		if from = from&^(size-1) + size; from == 0 {
			return
		}
	}
}

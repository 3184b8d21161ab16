package tokenbucket

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The tables under test share one seed, so that keys can be chosen by their hashes. It is another one in each process.
var tableSeed = maphash.MakeSeed()

// tablePools are keys that have something in common: nothing; the bits that choose the segment; the group inside a
// segment; the tag; segment and group both.
var tablePools = sync.OnceValue(func() [5][]int {
	const (
		segmentBits = uint64(0xff) << 56
		groupBits   = uint64(maxGroups-1) << 8
		tagBits     = uint64(0xff)
	)
	var pools [5][]int
	for i, mask := range []uint64{0, segmentBits, groupBits, tagBits, 0xf<<60 | groupBits} {
		for key := 0; len(pools[i]) < 1600; key++ {
			if maphash.Comparable(tableSeed, key)&mask == mask>>1&mask {
				pools[i] = append(pools[i], key)
			}
		}
	}
	return pools
})

// A tableModel is a table beside the map that it should be.
type tableModel struct {
	table[int]
	want    map[int]*entry[int]
	removed map[int]int64 // when the key was last removed, in removals
	clock   int64
}

func newTableModel() *tableModel {
	m := &tableModel{want: make(map[int]*entry[int]), removed: make(map[int]int64)}
	m.init()
	m.seed = tableSeed
	return m
}

// put adds an entry for key, or replaces the one that is there.
func (m *tableModel) put(key int) {
	h := m.hash(key)
	e := &entry[int]{key: key}
	s := m.lock(h)
	if _, g, slot := s.find(h, key); g != nil {
		g.slots[slot].Store(e)
	} else {
		if s.full() {
			s = m.grow(s, h)
		}
		s.put(h, e)
		m.count.Add(1)
	}
	s.mu.Unlock()
	m.want[key] = e
}

func (m *tableModel) remove(t testing.TB, key int) {
	h := m.hash(key)
	s := m.lock(h)
	e, g, slot := s.find(h, key)
	if e != m.want[key] {
		t.Fatalf("find(%d) = %p, want %p", key, e, m.want[key])
	}
	if e != nil {
		s.remove(h, g, slot)
		m.count.Add(-1)
		delete(m.want, key)
		m.clock++
		s.evicted, m.removed[key] = m.clock, m.clock
	}
	s.mu.Unlock()
}

// checkTable checks all that is always true of a table that nobody is changing.
func checkTable[K comparable](t testing.TB, m *table[K]) {
	t.Helper()
	d := m.dir.Load()
	depth := 64 - d.shift
	if len(d.segs) != 1<<depth {
		t.Fatalf("the directory has %d places, want 2^%d", len(d.segs), depth)
	}
	live := 0
	for i := 0; i < len(d.segs); {
		s := d.segs[i].Load()
		if s.dead || s.depth > depth || i%(1<<(depth-s.depth)) != 0 {
			t.Fatalf("at %d of 2^%d stands a segment of depth %d, dead %v", i, depth, s.depth, s.dead)
		}
		first := i
		for ; i < first+1<<(depth-s.depth); i++ {
			if d.segs[i].Load() != s {
				t.Fatalf("a segment of depth %d at %d of 2^%d ends at %d", s.depth, first, depth, i)
			}
		}
		checkSegment(t, s, m.hash)
		s.entries(func(e *entry[K], _ *group[K], _ int) {
			if h := m.hash(e.key); int(h>>d.shift) < first || int(h>>d.shift) >= i {
				t.Fatalf("key %v of the hash %#x is in the segment of [%d, %d) of 2^%d", e.key, h, first, i, depth)
			}
			if m.get(m.hash(e.key), e.key) != e {
				t.Fatalf("get does not find key %v", e.key)
			}
		})
		live += s.live
	}
	if n := m.count.Load(); n != int64(live) {
		t.Fatalf("count is %d, there are %d", n, live)
	}
}

func checkSegment[K comparable](t testing.TB, s *segment[K], hash func(K) uint64) {
	t.Helper()
	live, groups := 0, len(s.groups)
	passed := make([]uint64, groups)
	for i := range s.groups {
		g := &s.groups[i]
		for slot := range g.slots {
			e, tag := g.slots[slot].Load(), g.tags.Load()>>(slot*8)&0xff
			switch {
			case e == nil && tag == 0:
				continue
			case e == nil || tag != tagOf(hash(e.key)):
				t.Fatalf("slot %d of group %d: entry %p has the tag %#x", slot, i, e, tag)
			}
			live++
			for j := int(hash(e.key)>>8) & (groups - 1); j != i; j = (j + 1) & (groups - 1) {
				passed[j]++
			}
			if found, _, _ := s.find(hash(e.key), e.key); found != e {
				t.Fatalf("find(%v) = %p, want %p", e.key, found, e)
			}
		}
	}
	if live != s.live || live >= groups*slotsPerGroup && groups > 1 {
		t.Fatalf("a segment of %d groups counts %d entries and has %d", groups, s.live, live)
	}
	for i := range s.groups {
		if n := s.groups[i].tags.Load() >> passedShift; n != passed[i] && n != 255 {
			t.Fatalf("group %d says that %d entries went on, %d did", i, n, passed[i])
		}
	}
}

func (m *tableModel) check(t testing.TB) {
	t.Helper()
	checkTable(t, &m.table)
	if n := m.count.Load(); n != int64(len(m.want)) {
		t.Fatalf("count is %d, want %d", n, len(m.want))
	}
	for key, e := range m.want {
		if got := m.get(m.hash(key), key); got != e {
			t.Fatalf("get(%d) = %p, want %p", key, got, e)
		}
	}
	for key, at := range m.removed {
		if got := m.segment(m.hash(key)).evicted; got < at {
			t.Fatalf("the segment of key %d, removed at %d, knows only of %d", key, at, got)
		}
	}
}

// do applies an operation to the keys of a pool from first on.
func (m *tableModel) do(t testing.TB, op, pool, first, n byte) {
	keys := tablePools()[int(pool)%5]
	for i := range 1 + int(n)*2 {
		key := keys[(int(first)*6+i)%len(keys)]
		switch op % 6 {
		case 0, 1, 2:
			m.put(key)
		case 3, 4:
			m.remove(t, key)
		default:
			m.shrink(m.hash(key))
		}
	}
	if op%7 == 0 {
		m.fold()
	}
	m.check(t)
}

// FuzzTable compares a table with a map. Each four bytes are an operation: what, from which pool of keys, from which key
// on, and how many.
func FuzzTable(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 160)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Add([]byte("\x00\x00\x00\x01\x03\x00\x00\x01\x00\x00\x01\x64"))
	f.Add([]byte("\x00\x00\x00\xff\x00\x01\x00\xff\x00\x01\x99\xff\x05\x01\x00\x01\x03\x00\x00\xff\x03\x01\x00\xff\x03\x01\x99\xff\x05\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newTableModel()
		for data = data[:min(len(data), 256)]; len(data) >= 4; data = data[4:] {
			m.do(t, data[0], data[1], data[2], data[3])
		}
	})
}

// TestTableComesBack fills a table in each way that keys can crowd, and empties it again: what is left is as small as a
// new one.
func TestTableComesBack(t *testing.T) {
	for pool, keys := range tablePools() {
		m := newTableModel()
		for _, key := range keys {
			m.put(key)
		}
		m.check(t)
		if deepest := 64 - m.dir.Load().shift; pool == 1 && deepest < 9 {
			t.Errorf("1600 keys that share 8 bits of their hashes are in a directory of depth %d", deepest)
		}
		for _, key := range keys {
			m.remove(t, key)
		}
		m.check(t)
		m.walk(func(s *segment[int], from uint64) bool {
			s.mu.Unlock()
			m.shrink(from)
			return true
		})
		m.fold()
		m.check(t)
		if d := m.dir.Load(); len(d.segs) != 1 || len(d.segs[0].Load().groups) != 1 {
			t.Errorf("pool %d: empty again, the directory has %d places, the first of them %d groups",
				pool, len(d.segs), len(d.segs[0].Load().groups))
		}
	}
}

// TestSegmentCollisions fills a segment with keys whose hashes are chosen: all equal, and equal in each of their parts.
func TestSegmentCollisions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, hash := range map[string]func(key int) uint64{
		"equal":       func(int) uint64 { return 0x1234567890abcdef },
		"zero":        func(int) uint64 { return 0 },
		"ones":        func(int) uint64 { return ^uint64(0) },
		"equal group": func(key int) uint64 { return uint64(key)<<32 | uint64(key)&0xff },
		"equal tag":   func(key int) uint64 { return uint64(key)*0x9e3779b97f4a7c15<<8 | 1 },
		"tags 0 1 2":  func(key int) uint64 { return uint64(key/40)<<8 | uint64(key%3) },
		"last group":  func(key int) uint64 { return uint64(key)<<32 | (maxGroups-1)<<8 | uint64(key)&1 },
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 4, 40, 500} {
				s := newSegment[int](0, size, 0)
				want := make(map[int]*entry[int])
				for i := range 2500 {
					key := r.IntN(1000)
					h := hash(key)
					e, g, slot := s.find(h, key)
					switch {
					case e != want[key]:
						t.Fatalf("step %d: find(%d) = %p, want %p", i, key, e, want[key])
					case e == nil && !s.full() && (i/500%2 == 0 || r.IntN(4) == 0):
						want[key] = &entry[int]{key: key}
						s.put(h, want[key])
					case e != nil && (i/500%2 == 1 || r.IntN(4) == 0):
						s.remove(h, g, slot)
						delete(want, key)
					}
					if i%100 == 0 {
						checkSegment(t, s, hash)
					}
				}
				if checkSegment(t, s, hash); s.live != len(want) {
					t.Fatalf("%d entries, want %d", s.live, len(want))
				}
			}
		})
	}
}

// TestTableReaders looks keys up that are there all the time, while segments around them are split, joined and replaced,
// and the directory doubled and folded. Without the lock a look-up may miss, but finds nothing wrong; with it, it never
// misses.
func TestTableReaders(t *testing.T) {
	k := NewKeyed[int](Rate{}, 1)
	k.table.seed = tableSeed
	stay := make([]*entry[int], 500)
	for i := range stay {
		k.Allow(i)
		stay[i] = k.find(k.hash(i), i)
	}
	rounds := 60
	if !thorough() {
		rounds = 12
	}
	var changes, readers sync.WaitGroup
	var stop atomic.Bool
	for pool := range 3 {
		changes.Go(func() {
			for range rounds {
				for _, key := range tablePools()[pool] {
					k.Take(len(stay)+key, 0) // a full bucket, that can be dropped
				}
				k.Evict()
			}
		})
	}
	var missed, looked atomic.Int64
	for range 2 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				key := i % len(stay)
				h := k.hash(key)
				if e := k.table.get(h, key); e == nil {
					missed.Add(1)
				} else if e != stay[key] {
					t.Errorf("get(%d) = entry of %d", key, e.key)
				}
				if i%8 == 0 && k.find(h, key) != stay[key] {
					t.Errorf("find(%d) does not find it", key)
				}
				looked.Add(1)
			}
		})
	}
	changes.Wait()
	stop.Store(true)
	readers.Wait()
	k.Evict()
	if k.Len() != len(stay) {
		t.Errorf("Len = %d, want %d", k.Len(), len(stay))
	}
	checkTable(t, &k.table)
	t.Logf("%d of %d look-ups without the lock missed", missed.Load(), looked.Load())
}

// TestTableInsertOnce has many goroutines bring the same new keys at once: each key gets one entry, and so gives its only
// token once.
func TestTableInsertOnce(t *testing.T) {
	const goroutines, keys = 8, 3000
	k := NewKeyed[int](Rate{}, 1)
	var got [goroutines][keys]*entry[int]
	var grants [keys]atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for g := range goroutines {
		wg.Go(func() {
			<-start
			for key := range keys {
				if k.Allow(key) {
					grants[key].Add(1)
				}
				got[g][key] = k.find(k.hash(key), key)
			}
		})
	}
	close(start)
	wg.Wait()
	for key := range keys {
		for g := range goroutines {
			if got[g][key] == nil || got[g][key] != got[0][key] || grants[key].Load() != 1 {
				t.Fatalf("key %d gave %d tokens of 1, and has the entries %p and %p",
					key, grants[key].Load(), got[0][key], got[g][key])
			}
		}
	}
	if k.Len() != keys {
		t.Errorf("Len = %d, want %d", k.Len(), keys)
	}
	checkTable(t, &k.table)
}

// TestTableChurn puts, removes, shrinks and folds from several goroutines, each with keys of its own.
func TestTableChurn(t *testing.T) {
	k := NewKeyed[int](Rate{}, 1)
	k.table.seed = tableSeed
	rounds := 40
	if !thorough() {
		rounds = 8
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			keys := tablePools()[g]
			key := func(i int) int { return keys[i%len(keys)]*4 + g } // no two goroutines share one
			there := make(map[int]bool)
			for range rounds {
				first, n := r.IntN(len(keys)), r.IntN(1200)
				for i := first; i < first+n; i++ {
					if k.Allow(key(i)) == there[key(i)] {
						t.Errorf("key %d: Allow = %v", key(i), there[key(i)])
					}
					there[key(i)] = true
				}
				first, n = r.IntN(len(keys)), r.IntN(1200)
				for i := first; i < first+n; i++ {
					k.Delete(key(i))
					delete(there, key(i))
				}
				if r.IntN(3) == 0 {
					k.Evict()
				}
			}
			for key := range there {
				k.Delete(key)
			}
		})
	}
	wg.Wait()
	if n := k.Evict(); n != 0 || k.Len() != 0 {
		t.Errorf("Evict = %d, Len = %d, want nothing left", n, k.Len())
	}
	checkTable(t, &k.table)
	if d := k.table.dir.Load(); len(d.segs) != 1 || len(d.segs[0].Load().groups) != 1 {
		t.Errorf("the directory of an empty table has %d places", len(d.segs))
	}
}

// A twinWait is a Wait for both buckets of a twin, in goroutines of their own.
type twinWait struct {
	cancel context.CancelFunc
	errs   [2]atomic.Pointer[string] // nil while it waits
}

func (d *keyedTwin) wait(key, n int) *twinWait {
	ctx, cancel := context.WithCancel(context.Background())
	w := &twinWait{cancel: cancel}
	b := d.bucket(key)
	for i, f := range []func() error{
		func() error { return d.k.WaitN(ctx, key, n) }, func() error { return b.WaitN(ctx, n) },
	} {
		go func() {
			err := fmt.Sprint(f())
			w.errs[i].Store(&err)
		}()
	}
	return w
}

func (w *twinWait) text(i int) string {
	if err := w.errs[i].Load(); err != nil {
		return *err
	}
	return "waiting"
}

func (d *keyedTwin) setLimit(l Limit) {
	for _, b := range d.plain {
		b.SetLimit(l)
	}
	d.k.SetLimit(l)
}

// twinLimits have quanta that fill whole nanoseconds, so that a change of limit rounds the same in both.
var twinLimits = []Limit{
	{Per(1, 1<<10), 3}, {Per(1, 1<<12), 1}, {Per(1, 1<<20), 2}, {Rate{}, 4}, {Inf(), 2}, {Per(1, 1<<24), 5},
}

// FuzzKeyed does the same to keys and to buckets that are never dropped. Each three bytes are an operation, its key, its
// number.
func FuzzKeyed(f *testing.F) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { synctest.Test(t, func(t *testing.T) { fuzzKeyed(t, data) }) })
}

func fuzzKeyed(t *testing.T, data []byte) {
	d := newKeyedTwin(NewKeyed[int](twinLimits[0].Rate, twinLimits[0].Burst))
	var waits []*twinWait
	defer func() {
		for _, w := range waits {
			w.cancel()
		}
		synctest.Wait()
	}()
	for i := 0; len(data) >= 3; i++ {
		op, key, n := int(data[0]%24), int(data[1]%3), int(data[2]%4)
		switch {
		case op < 12:
			if got, want := d.do(op, key, n); got != want {
				t.Fatalf("step %d: operation %d of %d on key %d: %v, want %v", i, op, n, key, got, want)
			}
		case op < 16:
			waits = append(waits, d.wait(key, n))
		case op < 18 && len(waits) > 0:
			waits[int(data[2])%len(waits)].cancel()
		case op < 21:
			time.Sleep(time.Duration(data[2]%16) << (10 + data[1]/8%20))
		case op == 21:
			d.k.Evict()
		case op == 22:
			d.setLimit(twinLimits[int(data[2])%len(twinLimits)])
		default:
			for key := range 2 * int(data[2]) {
				d.k.Take(-1-key, 0)
			}
		}
		synctest.Wait()
		for j, w := range waits {
			if got, want := w.text(0), w.text(1); got != want {
				t.Fatalf("step %d: Wait %d: %v, want %v", i, j, got, want)
			}
		}
		data = data[3:]
	}
	for _, w := range waits {
		w.cancel()
	}
	synctest.Wait()
	d.k.SetLimit(Limit{Inf(), 1})
	d.k.Evict()
	checkKeyed(t, d.k)
}

package hashtable

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const anyNumber = math.MaxInt64

// The tables under test share one seed, so that keys can be chosen by their hashes. Each process
// has another one.
var testSeed = maphash.MakeSeed()

// pools are the numbers of keys that have something in common: nothing; the bits that choose the
// segment; those that choose the group; the tag; segment and group both.
func pools[K comparable](name func(int) K) [5][]int {
	const (
		segmentBits = uint64(0xff) << 56
		groupBits   = uint64(0x7f) << 33
		tagBits     = uint64(0x7f)
	)
	var pools [5][]int
	for i, mask := range []uint64{0, segmentBits, groupBits, tagBits, 0xf<<60 | groupBits} {
		for key := 0; len(pools[i]) < 1600; key++ {
			if maphash.Comparable(testSeed, name(key))&mask == mask>>1&mask {
				pools[i] = append(pools[i], key)
			}
		}
	}
	return pools
}

// unevenText returns strings of all lengths, some of them too long for the bytes of a segment.
func unevenText(i int) string {
	switch {
	case i == 0:
		return ""
	case i%50 == 0:
		return strconv.Itoa(i) + strings.Repeat("x", maxText)
	}
	return strings.Repeat("y", i*i%40) + strconv.Itoa(i)
}

type named string

var (
	intPools  = sync.OnceValue(func() [5][]int { return pools(func(i int) int { return i }) })
	textPools = sync.OnceValue(func() [5][]int { return pools(unevenText) })
)

func newTable[K comparable]() *Table[K, limit] {
	t := new(Table[K, limit])
	t.Init()
	return t
}

type content struct {
	kind *limit
	word uint64
}

// A model is a table beside the map that it should be.
type model[K comparable] struct {
	*Table[K, limit]
	name  func(int) K
	pools [5][]int
	want  map[K]content
	kinds []*limit
	n     uint64
}

func newModel[K comparable](name func(int) K, pools [5][]int) *model[K] {
	m := &model[K]{Table: newTable[K](), name: name, pools: pools, want: make(map[K]content)}
	m.seed = testSeed
	for range 400 {
		m.kinds = append(m.kinds, new(limit))
	}
	return m
}

// next returns what no key has had before.
func (m *model[K]) next(kinds int) content {
	m.n++
	return content{m.kinds[m.n%uint64(kinds)], m.n}
}

// put adds key, or replaces what it has.
func (m *model[K]) put(t testing.TB, key K, kinds int) {
	h, c := m.Hash(key), m.next(kinds)
	g := m.Lock(h)
	if at, ok := g.Find(h, key); ok {
		old := at.Word()
		if g.Replace(at, old.Load()+1, c.kind, c.word) || !g.Replace(at, old.Load(), c.kind, c.word) || old.Load() != Sealed {
			t.Fatalf("Replace of %v does not go by its word, or leaves it", key)
		}
	} else if w := g.Insert(h, key, c.kind, c.word, anyNumber); w == nil || w.Load() != c.word {
		t.Fatalf("Insert of %v = %v", key, w)
	}
	g.Unlock()
	m.want[key] = c
}

func (m *model[K]) remove(t testing.TB, key K) {
	h := m.Hash(key)
	g := m.Lock(h)
	at, ok := g.Find(h, key)
	if c, there := m.want[key]; ok != there {
		t.Fatalf("Find(%v) = %v, want %v", key, ok, there)
	} else if ok && (g.Remove(at, c.word+1) || !g.Remove(at, c.word) || at.Word().Load() != Sealed) {
		t.Fatalf("Remove of %v does not go by its word, or leaves it", key)
	}
	g.Unlock()
	delete(m.want, key)
}

// convert changes all keys of the segment of key.
func (m *model[K]) convert(key K) {
	to := m.next(len(m.kinds)).kind
	g := m.Lock(m.Hash(key))
	g.Each(func(at Slot) {
		key := g.Key(at)
		m.want[key] = content{to, m.want[key].word*3 + uint64(len(m.kinds))}
	})
	g.Convert(func(_ *limit, word uint64) (*limit, uint64) { return to, word*3 + uint64(len(m.kinds)) })
	g.Unlock()
}

// do applies an operation to the keys of a pool from first on.
func (m *model[K]) do(t testing.TB, op, pool, first, n byte) {
	numbers := m.pools[int(pool)%5]
	kinds := []int{1, 3, 400}[int(pool)/5%3]
	for i := range 1 + int(n)*2 {
		key := m.name(numbers[(int(first)*6+i)%len(numbers)])
		switch op % 8 {
		case 0, 1, 2:
			m.put(t, key, kinds)
		case 3, 4, 5:
			m.remove(t, key)
		case 6:
			m.Shrink()
			m.check(t)
			return
		default:
			m.convert(key)
			m.check(t)
			return
		}
	}
	m.check(t)
}

func (m *model[K]) check(t testing.TB) {
	t.Helper()
	checkTable(t, m.Table)
	if n := m.Len(); n != len(m.want) {
		t.Fatalf("Len = %d, want %d", n, len(m.want))
	}
	for key, c := range m.want {
		if w, kind := m.Find(m.Hash(key), key); w == nil || w.Load() != c.word || kind != c.kind {
			t.Fatalf("Find(%.20v) = %v, %p, want %v", key, w, kind, c)
		}
	}
	seen := make(map[K]bool)
	m.Walk(func(g *Guard[K, limit]) bool {
		defer g.Unlock()
		g.Each(func(at Slot) {
			key := g.Key(at)
			if c, ok := m.want[key]; !ok || seen[key] || c.kind != g.Kind(at) || c.word != at.Word().Load() || g.Seen(at) {
				t.Fatalf("Walk finds %.20v with %v, want %v", key, at.Word().Load(), c)
			}
			seen[key] = true
		})
		return true
	})
	if len(seen) != len(m.want) {
		t.Fatalf("Walk finds %d keys, want %d", len(seen), len(m.want))
	}
}

// checkTable checks what is always true of a table that nobody is changing.
func checkTable[K comparable](t testing.TB, m *Table[K, limit]) {
	t.Helper()
	d := m.dir.Load()
	depth, live := 64-d.shift, 0
	if len(d.segs) != 1<<depth {
		t.Fatalf("the directory has %d places, want 2^%d", len(d.segs), depth)
	}
	for i := 0; i < len(d.segs); {
		s := d.segs[i].Load()
		if s.replaced || s.depth > depth || i%(1<<(depth-s.depth)) != 0 {
			t.Fatalf("at %d of 2^%d stands a segment of depth %d, replaced %v", i, depth, s.depth, s.replaced)
		}
		first := i
		for ; i < first+1<<(depth-s.depth); i++ {
			if d.segs[i].Load() != s {
				t.Fatalf("a segment of depth %d at %d of 2^%d ends at %d", s.depth, first, depth, i)
			}
		}
		checkSegment(t, s, func(key K) uint64 {
			h := m.Hash(key)
			if int(h>>d.shift) < first || int(h>>d.shift) >= i {
				t.Fatalf("key %v of the hash %#x is in the segment of [%d, %d) of 2^%d", key, h, first, i, depth)
			}
			return h
		})
		live += s.live
	}
	if m.Len() != live {
		t.Fatalf("Len = %d, there are %d keys", m.Len(), live)
	}
}

// checkSegment checks what is always true of a segment that is not locked.
func checkSegment[K comparable](t testing.TB, s *segment[K, limit], hash func(K) uint64) {
	t.Helper()
	live, dead := 0, 0
	for i := range s.size() {
		head := s.head(i)
		for slot := range slotsPerGroup {
			switch tag := head.tags.Load() >> (slot * 8) & 0xff; tag {
			case 0:
				if w := head.words[slot].Load(); w != 0 {
					t.Fatalf("a free slot has the word %d", w)
				}
			case buried:
				if dead++; head.words[slot].Load() != Sealed {
					t.Fatal("a slot without a key is not sealed")
				}
			default:
				live++
				key := s.key(i, slot)
				if g, j, x := s.find(hash(key), key); g != head || j != i || x != slot || tag != tagOf(hash(key)) ||
					head.words[slot].Load() == Sealed {
					t.Fatalf("find(%v) = %d, %d, want %d, %d", key, j, x, i, slot)
				}
			}
		}
	}
	if live != s.live || dead != s.dead || live+dead > capacity(s.size()) || dead*4 >= s.size()*slotsPerGroup && dead > 0 {
		t.Fatalf("%d groups have %d keys and %d dead slots, want %d and %d", s.size(), live, dead, s.live, s.dead)
	}
}

// FuzzTable compares tables with maps. Each four bytes are an operation: what, from which pool of
// keys and with how many kinds, from which key on, and on how many.
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
	f.Add([]byte("\x00\x00\x00\xff\x00\x01\x00\xff\x00\x01\x99\xff\x06\x01\x00\x01\x03\x00\x00\xff\x03\x01\x00\xff\x03\x01\x99\xff\x06\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ints := newModel(func(i int) int { return i }, intPools())
		texts := newModel(func(i int) named { return named(unevenText(i)) }, textPools())
		for data = data[:min(len(data), 160)]; len(data) >= 4; data = data[4:] {
			ints.do(t, data[0], data[1], data[2], data[3])
			texts.do(t, data[0], data[1], data[2], data[3])
		}
	})
}

// TestTableComesBack fills a table in each way that keys can crowd, and empties it again: what is
// left is as small as a new one.
func TestTableComesBack(t *testing.T) {
	comesBack(t, newModel(func(i int) int { return i }, intPools()))
	comesBack(t, newModel(unevenText, textPools()))
}

func comesBack[K comparable](t *testing.T, m *model[K]) {
	for pool, numbers := range m.pools {
		for _, i := range numbers {
			m.put(t, m.name(i), 2)
		}
		m.check(t)
		if deepest := 64 - m.dir.Load().shift; pool == 1 && deepest < 9 {
			t.Errorf("1600 keys that share 8 bits of their hashes are in a directory of depth %d", deepest)
		}
		for _, i := range numbers {
			m.remove(t, m.name(i))
		}
		m.Shrink()
		m.check(t)
		d := m.dir.Load()
		if s := d.segs[0].Load(); len(d.segs) != 1 || s.size() != 1 || cap(s.bytes) > 1024 {
			t.Errorf("pool %d: empty again, the directory has %d places, the first of them %d groups and %d bytes",
				pool, len(d.segs), s.size(), cap(s.bytes))
		}
	}
}

// TestSegmentCollisions fills a segment with keys whose hashes are chosen: all equal, and equal in
// each of their parts.
func TestSegmentCollisions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, hash := range map[string]func(key int) uint64{
		"equal":       func(int) uint64 { return 0x1234567890abcdef },
		"zero":        func(int) uint64 { return 0 },
		"ones":        func(int) uint64 { return ^uint64(0) },
		"equal group": func(key int) uint64 { return uint64(key)<<40 | uint64(key)&0xff },
		"equal tag":   func(key int) uint64 { return uint64(key)*0x9e3779b97f4a7c15<<8 | 1 },
		"tags 0 1 2":  func(key int) uint64 { return uint64(key/40)<<36 | uint64(key%3) },
		"last group":  func(key int) uint64 { return uint64(key)<<40 | 0xffff_ffff<<8 | uint64(key)&1 },
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 4, 40, 500} {
				s := newTable[int]().newSegment(0, size, 0)
				words := make(map[int]uint64)
				for key := 0; !s.full(); key += 1 + r.IntN(2) {
					if g, _, _ := s.find(hash(key), key); g != nil {
						t.Fatalf("find(%d) finds another key", key)
					}
					s.nameKind(one)
					s.put(hash(key), key, 0, uint64(key))
					if words[key] = uint64(key); r.IntN(4) > 0 {
						continue
					}
					for gone := range words {
						g, _, slot := s.find(hash(gone), gone)
						g.words[slot].Store(Sealed)
						s.bury(g, slot)
						delete(words, gone)
						break
					}
				}
				for key := range words {
					if g, _, slot := s.find(hash(key), key); g == nil || g.words[slot].Load() != uint64(key) {
						t.Fatalf("find(%d) = %v", key, g)
					}
				}
				if s.live != len(words) {
					t.Fatalf("%d keys, want %d", s.live, len(words))
				}
			}
		})
	}
}

func TestInsertMost(t *testing.T) {
	m := newTable[int]()
	for key, want := range []bool{true, true, true, false, false} {
		g := m.Lock(m.Hash(key))
		if w := g.Insert(m.Hash(key), key, one, 1, 3); (w != nil) != want {
			t.Errorf("key %d of at most 3: %v", key, w)
		}
		g.Unlock()
	}
	if m.Len() != 3 {
		t.Errorf("Len = %d, want 3", m.Len())
	}
}

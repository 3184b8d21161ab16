package hashtable

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// thorough reports whether tests may take their time: what the race detector makes ten times
// slower, it need not see in full.
func thorough() bool {
	race := debug.BuildSetting{Key: "-race", Value: "true"}
	info, ok := debug.ReadBuildInfo()
	return !testing.Short() && (!ok || !slices.Contains(info.Settings, race))
}

// count adds one to the word of key, which it makes if there is none, and reports whether it did so
// without the lock.
func count[K comparable](t *Table[K, limit], key K, kind *limit) bool {
	h := t.Hash(key)
	if w, _ := t.Find(h, key); w != nil && increment(w) {
		return true
	}
	g := t.Lock(h)
	defer g.Unlock()
	if at, ok := g.Find(h, key); !ok {
		g.Insert(h, key, kind, 1, anyNumber)
	} else if !increment(at.Word()) {
		panic("a word is sealed while its segment is locked")
	}
	return false
}

func increment(w *atomic.Uint64) bool {
	for {
		v := w.Load()
		if v == Sealed {
			return false
		}
		if w.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// TestTableCounts has goroutines count in words, while others remove keys, replace them, and
// convert, join and split segments: each count is there at the end, in a word or with the one who
// removed it.
func TestTableCounts(t *testing.T) {
	countAll(t, newModel(func(i int) int { return i }, intPools()))
	countAll(t, newModel(unevenText, textPools()))
	type pointed struct {
		text string
		v    any
	}
	countAll(t, newModel(func(i int) pointed { return pointed{unevenText(i), i} }, intPools()))
}

func countAll[K comparable](t *testing.T, m *model[K]) {
	rounds := 400
	if !thorough() {
		rounds = 60
	}
	const counters = 3
	var taken, given atomic.Uint64
	var unlocked atomic.Int64
	var changers, counting sync.WaitGroup
	var stop atomic.Bool
	for c := range counters {
		counting.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			for !stop.Load() {
				pool := m.pools[r.IntN(3)]
				first := r.IntN(len(pool))
				for i := range r.IntN(900) {
					if count(m.Table, m.name(pool[(first+i)%len(pool)]), m.kinds[i%2]) {
						unlocked.Add(1)
					}
					given.Add(1)
				}
			}
		})
	}
	changers.Go(func() {
		for i := range rounds {
			m.Walk(func(g *Guard[K, limit]) bool {
				defer g.Unlock()
				switch i % 5 {
				case 0, 1:
					g.Each(func(at Slot) {
						if v := at.Word().Load(); v%3 > 0 && g.Remove(at, v) {
							taken.Add(v)
						}
					})
				case 2:
					g.Convert(func(_ *limit, word uint64) (*limit, uint64) { return m.kinds[i%7], word })
				case 3:
					g.Some(2, func(at Slot) {
						if v := at.Word().Load(); g.Remove(at, v) {
							taken.Add(v)
						}
					})
				default:
					g.Each(func(at Slot) {
						if v := at.Word().Load(); g.Remove(at, v) {
							taken.Add(v)
						}
					})
				}
				return true
			})
			m.Shrink()
		}
	})
	changers.Go(func() {
		r := rand.New(rand.NewPCG(7, 1))
		for range rounds * 20 {
			key := m.name(m.pools[r.IntN(5)][r.IntN(1600)])
			g := m.Lock(m.Hash(key))
			if at, ok := g.Find(m.Hash(key), key); ok {
				g.Replace(at, at.Word().Load(), m.kinds[r.IntN(300)], at.Word().Load())
			}
			g.Unlock()
		}
	})
	changers.Wait()
	stop.Store(true)
	counting.Wait()
	checkTable(t, m.Table)
	m.Walk(func(g *Guard[K, limit]) bool {
		g.Each(func(at Slot) { taken.Add(at.Word().Load()) })
		g.Unlock()
		return true
	})
	if taken.Load() != given.Load() {
		t.Errorf("%d counts of %d are there", taken.Load(), given.Load())
	}
	t.Logf("%d of %d counts without a lock; %d keys are left", unlocked.Load(), given.Load(), m.Len())
}

// TestTableReaders looks keys up that are there all the time, while segments around them are split,
// joined and replaced. Without the lock a look-up may miss or meet a seal, but finds nothing wrong;
// with it, it never misses.
func TestTableReaders(t *testing.T) {
	readers(t, newModel(func(i int) int { return i }, intPools()))
	readers(t, newModel(unevenText, textPools()))
}

func readers[K comparable](t *testing.T, m *model[K]) {
	const stay = 500
	key := func(i int) K { return m.name(-1 - i) }
	for i := range stay {
		g := m.Lock(m.Hash(key(i)))
		g.Insert(m.Hash(key(i)), key(i), m.kinds[i%9], uint64(i), anyNumber)
		g.Unlock()
	}
	rounds := 40
	if !thorough() {
		rounds = 8
	}
	var changes, reading sync.WaitGroup
	var stop atomic.Bool
	for pool := range 3 {
		changes.Go(func() {
			for round := range rounds {
				for _, i := range m.pools[pool] {
					count(m.Table, m.name(i), m.kinds[round%5])
				}
				for _, i := range m.pools[pool] {
					g := m.Lock(m.Hash(m.name(i)))
					if at, ok := g.Find(m.Hash(m.name(i)), m.name(i)); ok {
						g.Remove(at, at.Word().Load())
					}
					g.Unlock()
				}
				m.Shrink()
			}
		})
	}
	var missed, sealed, looked atomic.Int64
	for range 2 {
		reading.Go(func() {
			for n := 0; !stop.Load(); n++ {
				i := n % stay
				h := m.Hash(key(i))
				if w, kind := m.Find(h, key(i)); w == nil {
					missed.Add(1)
				} else if v := w.Load(); v == Sealed {
					sealed.Add(1)
				} else if v != uint64(i) || kind != m.kinds[i%9] {
					t.Errorf("Find of key %d finds %d", i, v)
				}
				if n%8 == 0 {
					g := m.Lock(h)
					if at, ok := g.Find(h, key(i)); !ok || at.Word().Load() != uint64(i) || g.Kind(at) != m.kinds[i%9] {
						t.Errorf("with the lock, key %d is not found", i)
					}
					g.Unlock()
				}
				looked.Add(1)
			}
		})
	}
	changes.Wait()
	stop.Store(true)
	reading.Wait()
	if checkTable(t, m.Table); m.Len() != stay {
		t.Errorf("Len = %d, want %d", m.Len(), stay)
	}
	t.Logf("of %d look-ups without the lock %d missed and %d met a seal", looked.Load(), missed.Load(), sealed.Load())
}

// TestTableInsertOnce has many goroutines bring the same new keys at once: each key gets one word.
func TestTableInsertOnce(t *testing.T) {
	const goroutines, keys = 8, 3000
	m := newTable[int]()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range goroutines {
		wg.Go(func() {
			<-start
			for key := range keys {
				count(m, key, one)
			}
		})
	}
	close(start)
	wg.Wait()
	for key := range keys {
		if w, _ := m.Find(m.Hash(key), key); w == nil || w.Load() != goroutines {
			t.Fatalf("key %d was counted in %v, want %d", key, w, goroutines)
		}
	}
	if checkTable(t, m); m.Len() != keys {
		t.Errorf("Len = %d, want %d", m.Len(), keys)
	}
}

// TestHeldUp holds a caller up between its look-up and its compare-and-swap, while the key that it
// found is removed, comes again, is replaced or moves: the word is sealed, and a look-up with the
// lock finds what came after it.
func TestHeldUp(t *testing.T) {
	other := &limit{2}
	for name, c := range map[string]struct {
		change func(m *Table[string, limit], g *Guard[string, limit], at Slot)
		want   content
	}{
		"removed": {func(_ *Table[string, limit], g *Guard[string, limit], at Slot) { g.Remove(at, 5) }, content{}},
		"came again": {func(m *Table[string, limit], g *Guard[string, limit], at Slot) {
			g.Remove(at, 5)
			g.Insert(m.Hash("a"), "a", other, 7, anyNumber)
		}, content{other, 7}},
		"replaced": {func(_ *Table[string, limit], g *Guard[string, limit], at Slot) { g.Replace(at, 5, other, 6) }, content{other, 6}},
		"converted": {func(_ *Table[string, limit], g *Guard[string, limit], at Slot) {
			g.Convert(func(_ *limit, word uint64) (*limit, uint64) { return other, word + 1 })
		}, content{other, 6}},
		"moved": {func(m *Table[string, limit], g *Guard[string, limit], at Slot) {
			for !g.Full() {
				key := string(rune('b' + g.Live()))
				g.Insert(m.Hash(key), key, other, 0, anyNumber)
			}
			g.Insert(m.Hash("last"), "last", other, 0, anyNumber)
		}, content{one, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTable[string]()
			h := m.Hash("a")
			g := m.Lock(h)
			found := g.Insert(h, "a", one, 5, anyNumber)
			g.Unlock()
			g = m.Lock(h)
			at, _ := g.Find(h, "a")
			c.change(m, &g, at)
			g.Unlock()
			if found.Load() != Sealed {
				t.Errorf("the word is %d, want it to be sealed", found.Load())
			}
			g = m.Lock(h)
			defer g.Unlock()
			at, ok := g.Find(h, "a")
			if ok != (c.want.kind != nil) || ok && (content{g.Kind(at), at.Word().Load()}) != c.want {
				t.Errorf("then it is found: %v; want %v", ok, c.want)
			}
			checkSegment(t, g.s, m.Hash)
		})
	}
}

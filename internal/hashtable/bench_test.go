package hashtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// A limit is what the tests and benchmarks have for kinds.
type limit struct{ burst uint64 }

var (
	one   = &limit{1 << 40}
	epoch = time.Now()
	sink  atomic.Uint64
)

// An account is a key of several fields.
type account struct {
	tenant, region uint32
	user           uint64
}

func scramble(i int) uint64 {
	x := uint64(i) * 0x9e3779b97f4a7c15
	return (x ^ x>>32) * 0xd6e8feb86659fd93
}

func textKey(i int) string { return fmt.Sprintf("client-%d", 1_000_000_000+i) }
func wordKey(i int) uint64 { return scramble(i) }
func structKey(i int) account {
	return account{uint32(i % 1000), 7, scramble(i)}
}
func arrayKey(i int) (key [16]byte) {
	binary.LittleEndian.PutUint64(key[:], scramble(i))
	binary.LittleEndian.PutUint64(key[8:], uint64(i))
	return key
}

// keysOf returns the keys of the numbers in [0, n), each another copy than that of any other call.
func keysOf[K comparable](n int, name func(int) K) []K {
	keys := make([]K, n)
	for i := range keys {
		keys[i] = name(i)
	}
	return keys
}

// drawn returns m of n keys, at random.
func drawn[K comparable](m, n int, name func(int) K) []K {
	r := rand.New(rand.NewPCG(1, 1))
	keys := make([]K, m)
	for i := range keys {
		keys[i] = name(r.IntN(n))
	}
	return keys
}

// insert adds a key as a caller does that has not found it.
func insert[K comparable](t *Table[K, limit], key K) {
	h := t.Hash(key)
	if w, _ := t.Find(h, key); w != nil {
		return
	}
	g := t.Lock(h)
	if _, ok := g.Find(h, key); !ok {
		g.Insert(h, key, one, 1, 1<<62)
	}
	g.Unlock()
}

// decide takes from a key as a limiter does: a look-up, a reading of the clock and a
// compare-and-swap.
func decide[K comparable](t *Table[K, limit], key K) bool {
	w, kind := t.Find(t.Hash(key), key)
	if w == nil {
		return false
	}
	now := uint64(time.Since(epoch))
	for {
		v := w.Load()
		if v == Sealed {
			return false
		}
		to := v + 1
		if to > now+kind.burst {
			return false
		}
		if w.CompareAndSwap(v, to) {
			return true
		}
	}
}

const batch = 256

func benchHit[K comparable](b *testing.B, n int, name func(int) K) {
	keys := drawn(max(1<<14, min(n, 1<<20)), n, name)
	b.Run("map", func(b *testing.B) {
		m := make(map[K]uint64)
		for _, key := range keysOf(n, name) {
			m[key] = 1
		}
		runtime.GC()
		i, granted := 0, uint64(0)
		for b.Loop() {
			for _, key := range keys[i : i+batch] {
				if time.Since(epoch) >= time.Duration(m[key]) {
					granted++
				}
			}
			i = (i + batch) & (len(keys) - 1)
		}
		sink.Store(granted)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/key")
	})
	b.Run("table", func(b *testing.B) {
		t := newTable[K]()
		for _, key := range keysOf(n, name) {
			insert(t, key)
		}
		runtime.GC()
		i, granted := 0, uint64(0)
		for b.Loop() {
			for _, key := range keys[i : i+batch] {
				if decide(t, key) {
					granted++
				}
			}
			i = (i + batch) & (len(keys) - 1)
		}
		if granted != uint64(b.N)*batch {
			b.Errorf("%d of %d granted", granted, b.N*batch)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/key")
	})
}

// BenchmarkHit is a look-up and a reading of the clock, beside a plain map; the table's has a
// compare-and-swap, too.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1000, 1 << 20} {
		b.Run(fmt.Sprintf("string/%d", n), func(b *testing.B) { benchHit(b, n, textKey) })
		b.Run(fmt.Sprintf("uint64/%d", n), func(b *testing.B) { benchHit(b, n, wordKey) })
		b.Run(fmt.Sprintf("array/%d", n), func(b *testing.B) { benchHit(b, n, arrayKey) })
		b.Run(fmt.Sprintf("struct/%d", n), func(b *testing.B) { benchHit(b, n, structKey) })
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func collection() time.Duration {
	runtime.GC()
	quickest := time.Hour
	for range 3 {
		start := time.Now()
		runtime.GC()
		quickest = min(quickest, time.Since(start))
	}
	return quickest
}

func benchNew[K comparable](b *testing.B, n int, name func(int) K) {
	fill := func(b *testing.B, fill func(keys []K) any) {
		for range b.N {
			before := heap()
			keys := keysOf(n, name)
			start := time.Now()
			filled := fill(keys)
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/key")
			clear(keys) // the strings, that nobody but the table keeps
			used := heap() - before - int64(n)*int64(unsafe.Sizeof(keys[0]))
			b.ReportMetric(float64(used)/float64(n), "B/key")
			b.ReportMetric(collection().Seconds()*1000, "gc-ms")
			runtime.KeepAlive(filled)
			runtime.KeepAlive(keys)
		}
	}
	b.Run("map", func(b *testing.B) {
		fill(b, func(keys []K) any {
			m := make(map[K]uint64)
			for _, key := range keys {
				m[key] = 1
			}
			return m
		})
	})
	b.Run("map+clock", func(b *testing.B) {
		fill(b, func(keys []K) any {
			m := make(map[K]uint64)
			for _, key := range keys {
				m[key] = uint64(time.Since(epoch))
			}
			return m
		})
	})
	b.Run("table", func(b *testing.B) {
		fill(b, func(keys []K) any {
			t := newTable[K]()
			for _, key := range keys {
				insert(t, key)
			}
			return t
		})
	})
}

// BenchmarkNew is a new key, the bytes that it takes, and what a collection takes then.
func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1_000_000} {
		b.Run(fmt.Sprintf("string/%d", n), func(b *testing.B) { benchNew(b, n, textKey) })
		b.Run(fmt.Sprintf("uint64/%d", n), func(b *testing.B) { benchNew(b, n, wordKey) })
		b.Run(fmt.Sprintf("array/%d", n), func(b *testing.B) { benchNew(b, n, arrayKey) })
		b.Run(fmt.Sprintf("struct/%d", n), func(b *testing.B) { benchNew(b, n, structKey) })
	}
}

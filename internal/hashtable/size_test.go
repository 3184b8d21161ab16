package hashtable

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

func TestSizes(t *testing.T) {
	for what, sizes := range map[string][2]uintptr{
		"a group of uint64": {unsafe.Sizeof(group[uint64]{}), 128},
		"a group of text":   {unsafe.Sizeof(group[span]{}), 128},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s has %d bytes, want %d", what, sizes[0], sizes[1])
		}
	}
	// What look-ups read of a segment stands in front of what changes write, in the first cache
	// line.
	var s segment[string, limit]
	if end := unsafe.Offsetof(s.kind) + unsafe.Sizeof(s.kind); end > 64 {
		t.Errorf("look-ups read the first %d bytes of a segment", end)
	}
	for n := range 3000 {
		if c := capacity(groupsFor(n)); c <= n || n < capacity(maxGroups) && groupsFor(n) > maxGroups || n > 14 && c > 2*n {
			t.Errorf("a segment of %d keys has %d groups, with room for %d", n, groupsFor(n), c)
		}
	}
}

// TestBytesPerKey compares with a plain map, with the bytes of the strings that each of them keeps.
func TestBytesPerKey(t *testing.T) {
	bytesPerKey(t, 3, 500, func(i int) uint64 { return uint64(i) })
	bytesPerKey(t, 3, 600, strconv.Itoa)
	for _, n := range []int{100_000, 150_000, 190_000, 240_000, 330_000} {
		if !thorough() {
			n /= 10
		}
		bytesPerKey(t, n, 45*n, func(i int) uint64 { return uint64(i) })
		bytesPerKey(t, n, 65*n, textKey)
	}
}

func bytesPerKey[K comparable](t *testing.T, n, most int, name func(int) K) {
	used := func(fill func() any) float64 {
		before := heap()
		x := fill()
		after := heap()
		runtime.KeepAlive(x)
		return float64(after - before)
	}
	plain := used(func() any {
		m := make(map[K]uint64)
		for i := range n {
			m[name(i)] = 1
		}
		return m
	})
	own := used(func() any {
		m := newTable[K]()
		for i := range n {
			count(m, name(i), one)
		}
		return m
	})
	what := fmt.Sprintf("%d keys like %v: %.1f bytes each, %.1f in a map", n, name(1), own/float64(n), plain/float64(n))
	if t.Log(what); own > float64(most) {
		t.Errorf("%s, want %d", what, most/n)
	}
}

func TestAllocations(t *testing.T) {
	m := newTable[string]()
	for i := range 1000 {
		count(m, textKey(i), one)
	}
	hits, i := keysOf(1000, textKey), 0
	if n := testing.AllocsPerRun(1000, func() { count(m, hits[i%1000], one); i++ }); n > 0 {
		t.Errorf("a hit allocates %v times", n)
	}
	fresh := keysOf(100_000, func(i int) string { return textKey(1000 + i) })
	i = 0
	if n := testing.AllocsPerRun(len(fresh)-2, func() { count(m, fresh[i], one); i++ }); n > 0 {
		t.Errorf("a new key allocates %v times in the mean, want less than once", n)
	}
	// A key that comes and goes alone in its table.
	if n := testing.AllocsPerRun(1000, func() {
		g := m.Lock(m.Hash("x"))
		g.Insert(m.Hash("x"), "x", one, 1, anyNumber)
		at, _ := g.Find(m.Hash("x"), "x")
		g.Remove(at, 1)
		g.Unlock()
	}); n > 0 {
		t.Errorf("a key that comes and goes allocates %v times in the mean, want less than once", n)
	}
}

// TestKeysAreCopies: a string key does not keep in memory what it was cut out of, nor does a key
// that Guard.Key returned keep the segment.
func TestKeysAreCopies(t *testing.T) {
	m := newTable[string]()
	for i := range 200 {
		request := strings.Repeat("r", 1<<20) + fmt.Sprintf("%09d", i)
		for _, key := range []string{request[len(request)-9:], request[len(request)-2000:]} {
			count(m, key, one)
		}
	}
	before := heap()
	if before > 64<<20 {
		t.Errorf("%d bytes are in use", before)
	}
	g := m.Lock(0)
	g.Each(func(at Slot) {
		if key := g.Key(at); unsafe.StringData(key) == unsafe.StringData(g.s.key(at.group, at.slot)) {
			t.Errorf("Key returns %.20q itself", key)
		}
	})
	g.Unlock()
}

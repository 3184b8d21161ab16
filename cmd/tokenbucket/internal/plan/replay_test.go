package plan

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Neither the number of keys nor their length makes the memory grow.
func TestReplayMemoryIsBounded(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	for _, c := range []struct {
		name string
		n    int
		key  func(i int) string
	}{
		{"many keys", 60_000, strconv.Itoa},
		{"long keys", 3000, func(i int) string { return strconv.Itoa(i) + long }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := limitOf(t, "1/24h", 1)
			before := heap()
			r := newReplay(l, s, 1000)
			r.sorted.ahead, r.others.max = 1000, 1000
			for i := range c.n {
				r.add(request{ns: 17e17 + int64(i)*1e6, key: []byte(c.key(i))})
			}
			r.finish()
			if grown := heap() - before; grown > 3<<20 {
				t.Errorf("%d keys take %d bytes, want at most 3 MiB", c.n, grown)
			}
			if got := r.rest.requests(); got != int64(c.n-1000) || r.rest.denied != 0 {
				t.Errorf("%d requests of other keys, %d of them denied; want %d and 0: each key has one", got, r.rest.denied, c.n-1000)
			}
			if r.assumed != int64(c.n-2000) || len(r.others.buckets) != 1000 {
				t.Errorf("%d assumed and %d buckets, want %d and 1000", r.assumed, len(r.others.buckets), c.n-2000)
			}
		})
	}
}

// Keys beyond -maxkeys are decided exactly while few of them have buckets that are not full, however
// many keys there are.
func TestOtherKeysAreDecidedExactly(t *testing.T) {
	l, s := limitOf(t, "1/s", 1)
	r := newReplay(l, s, 1)
	r.others.max = 1000
	at := int64(17e17)
	const keys = 10_000
	for i := range keys {
		key := []byte(fmt.Sprint("key ", i))
		for range 3 {
			r.add(request{ns: at, key: key})
		}
		at += 5e6 // so that 200 of them are not full
	}
	r.finish()
	if r.rest.allowed != keys-1 || r.rest.denied != 2*(keys-1) || r.assumed != 0 {
		t.Errorf("%d allowed, %d denied, %d assumed; want %d, %d and none", r.rest.allowed, r.rest.denied, r.assumed, keys-1, 2*(keys-1))
	}
}

// All hulls together have no more points than maxPoints, and a few for each key.
func TestAllHullsAreBounded(t *testing.T) {
	best := newSteepest()
	best.maxPoints = 5000
	hulls := make([]hull, 20)
	at := int64(0)
	for i := range int64(1000) {
		at += 20_000 - i // faster and faster, so that each point is on the hull
		for k := range hulls {
			hulls[k].add(&best, 1<<40, at)
		}
	}
	var points int
	for k := range hulls {
		points += len(hulls[k].points)
	}
	if most := best.maxPoints + minHull*len(hulls); points != best.points || points > most || !best.thinned {
		t.Errorf("%d points, counted %d, thinned %v; want at most %d", points, best.points, best.thinned, most)
	}
}

func TestSpread(t *testing.T) {
	const second = int64(time.Second)
	var s spreader
	var got []int64
	pass := func(e event) { got = append(got, e.t) }
	for _, at := range []int64{5, 5, 5, 5, 6, 8, 8} {
		s.add(event{t: at * second}, pass)
	}
	s.flush(pass)
	want := []int64{5e9, 5.25e9, 5.5e9, 5.75e9, 6e9, 8e9, 8.5e9}
	if !slices.Equal(got, want) {
		t.Errorf("placed at %d, want %d", got, want)
	}
}

// A second with more events than are kept stays within itself and in order.
func TestSpreadOfABusySecond(t *testing.T) {
	const second = int64(time.Second)
	var s spreader
	last, n := int64(-1), 0
	pass := func(e event) {
		if e.t < last || e.t/second != 7 {
			t.Fatalf("event %d is at %d, after %d", n, e.t, last)
		}
		last, n = e.t, n+1
	}
	const events = 5*maxSpread + 3
	for range events {
		s.add(event{t: 7 * second}, pass)
		if len(s.events) > maxSpread {
			t.Fatalf("%d events are kept, want at most %d", len(s.events), maxSpread)
		}
	}
	s.flush(pass)
	if n != events {
		t.Errorf("%d events come out, want %d", n, events)
	}
	s.add(event{t: 8 * second}, func(event) {})
	s.flush(func(e event) {
		if e.t != 8*second {
			t.Errorf("the next second begins at %d, want %d", e.t, 8*second)
		}
	})
}

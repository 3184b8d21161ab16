package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

const (
	million    = 1_000_000
	tenMillion = 10 * million
)

// A keyKind is a type of key.
type keyKind[K comparable] struct {
	name  string
	make  func(n int, number func(i int) int) []K
	peers []keyedPeer[K]
}

var (
	stringKind = keyKind[string]{"string", stringKeys, stringPeers()}
	uint64Kind = keyKind[uint64]{"uint64", uint64Keys, keyedPeers[uint64]()}
	arrayKind  = keyKind[[16]byte]{"16 bytes", arrayKeys, keyedPeers[[16]byte]()}
	structKind = keyKind[account]{"struct", structKeys, keyedPeers[account]()}
)

// ample is a limit that is neither exhausted while a cell runs, nor refilled so far that a key would be dropped.
func ample(keys int) limit {
	if keys < million {
		return limit{every: time.Second, burst: 1 << 30}
	}
	return limit{every: time.Minute, burst: 1 << 24}
}

// keyedCells are calls for keys that are there.
func keyedCells(s size) []cell {
	all := hitCells(stringKind, 1, "uniform", uniform, s)
	for _, n := range []int{1000, million, tenMillion} {
		all = append(all, hitCells(stringKind, n, "uniform", uniform, s)...)
		if n < tenMillion && !s.quick {
			all = append(all, hitCells(stringKind, n, "zipf", zipf, s)...)
		}
	}
	if s.quick {
		return all
	}
	s.procs = s.procs[:1]
	all = append(all, hitCells(uint64Kind, million, "uniform", uniform, s)...)
	all = append(all, hitCells(arrayKind, million, "uniform", uniform, s)...)
	return append(all, hitCells(structKind, million, "uniform", uniform, s)...)
}

// everyOf keeps the largest cells out of most rounds, for the time that they take.
func everyOf(keys int) int { return pick(keys > million, 3, 1) }

func hitCells[K comparable](kind keyKind[K], n int, distribution string, draw func(int) func(int) int, s size) []cell {
	if n > s.maxKeys {
		return nil
	}
	var all []cell
	add := func(suffix string, procs int) {
		for _, p := range kind.peers {
			if n > million && (p.who == syncMap || p.who == goLimiter || p.who == throttle || p.who == chi) {
				continue
			}
			all = append(all, cell{
				table: "keyed", row: fmt.Sprintf("%d,%s,%s,%s", n, kind.name, distribution, suffix), who: p.who,
				time: pick(s.quick, "20ms", "150ms"), every: everyOf(n),
				prepare: func() func(b *testing.B) {
					limiter := filled(p, ample(n), kind.make(n, sequential))
					keys := kind.make(min(hits, n*64/batch*batch+batch), draw(n))
					runtime.GC() // what filling has left behind is not to be collected during the measurement
					if procs == 0 {
						return hit(limiter, keys)
					}
					return hitParallel(limiter, keys, procs)
				},
			})
		}
	}
	add("serial", 0)
	for _, procs := range s.procs[1:] {
		add(fmt.Sprintf("parallel,%d", procs), procs)
	}
	return all
}

// hits is how many keys of each distribution are drawn: more than fit in the caches.
const hits = 1 << 21

// hit measures calls for keys that are there, whose number is a multiple of batch.
func hit[K comparable](limiter keyed[K], keys []K) func(b *testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		i, granted, calls := 0, 0, 0
		for b.Loop() {
			granted += limiter.call(keys[i : i+batch])
			i = (i + batch) % len(keys)
			calls += batch
		}
		report(b, calls)
		check(b, granted, calls, 1)
	}
}

// hitParallel is hit by as many goroutines as there are procs. Each begins somewhere else.
func hitParallel[K comparable](limiter keyed[K], keys []K, procs int) func(b *testing.B) {
	return func(b *testing.B) {
		setProcs(b, procs)
		b.ReportAllocs()
		var total atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			i, granted := rand.IntN(len(keys)/batch)*batch, 0
			for pb.Next() {
				granted += limiter.call(keys[i : i+batch])
				i = (i + batch) % len(keys)
			}
			total.Add(int64(granted))
		})
		report(b, b.N*batch)
		check(b, int(total.Load()), b.N*batch, 1)
	}
}

// filled returns a limiter that has all keys.
func filled[K comparable](p keyedPeer[K], l limit, keys []K) keyed[K] {
	limiter := p.make(l)
	if limiter.insert == nil {
		limiter.insert = limiter.call
	}
	limiter.insert(keys)
	return limiter
}

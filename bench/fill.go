package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// lasting keeps a key for as long as a cell runs; brief lets it become full, and so be dropped, after a second.
var (
	lasting = limit{every: time.Hour, burst: 10}
	brief   = limit{every: time.Second, burst: 10}
)

// once is the benchtime of cells that measure themselves.
const once = "1x"

// fillCells are calls for keys that are all new, and the memory that they take; and such half of whose keys are new.
func fillCells(s size) []cell {
	all := slices.Concat(fillKind(stringKind, million, s), fillKind(uint64Kind, million, s))
	if !s.quick {
		all = slices.Concat(all, fillKind(arrayKind, million, s), fillKind(structKind, million, s),
			fillKind(stringKind, tenMillion, s))
	}
	for _, p := range stringPeers() {
		if s.maxKeys < million {
			break
		}
		all = append(all, cell{
			table: "churn", row: fmt.Sprintf("%d,string", million), who: p.who, time: once,
			prepare: func() func(b *testing.B) { return func(b *testing.B) { churn(b, p, million) } },
		})
	}
	return all
}

func fillKind[K comparable](kind keyKind[K], n int, s size) []cell {
	var all []cell
	for _, p := range kind.peers {
		if n > s.maxKeys || p.who == syncMap && (s.quick || n > million) {
			continue
		}
		all = append(all, cell{
			table: "fill", row: fmt.Sprintf("%d,%s", n, kind.name), who: p.who, time: once, every: everyOf(n),
			prepare: func() func(b *testing.B) { return func(b *testing.B) { fill(b, p, kind, n) } },
		})
	}
	return all
}

// fill measures n calls with a new key each; then the heap that is there for them when the caller has let go of its keys,
// with the bytes of the strings that the limiter keeps; and the time of a garbage collection.
func fill[K comparable](b *testing.B, p keyedPeer[K], kind keyKind[K], n int) {
	before := heap()
	keys := kind.make(n, sequential)
	start := time.Now()
	limiter := filled(p, lasting, keys)
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/op")
	if got := limiter.call(keys[:1000]); got != 1000 {
		b.Fatalf("%d of 1000 keys were granted a second token, want all", got)
	}
	keys = nil
	b.ReportMetric(float64(heap()-before)/float64(n), "B/key")
	b.ReportMetric(collection().Seconds()*1000, "gc-ms")
	runtime.KeepAlive(limiter)
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// collection returns how long the quickest of three garbage collections takes.
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

// churned returns 2n keys: every other one is new, and the rest are among the n before it, as they come after the n keys
// that are there at first.
func churned(n int) []string {
	return stringKeys(2*n, func(i int) int {
		newest := n + i/2
		if i%2 == 0 {
			return newest
		}
		return newest - rand.IntN(n)
	})
}

// churn measures 2n calls, half of them for new keys, when n are there.
func churn(b *testing.B, p keyedPeer[string], n int) {
	limiter := filled(p, brief, stringKeys(n, sequential))
	keys := churned(n)
	runtime.GC()
	start := time.Now()
	limiter.call(keys)
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(len(keys)), "ns/op")
}

// pauseCells are single calls during churn, while somebody drops what can be dropped: how long does the slowest take?
func pauseCells(s size) []cell {
	var all []cell
	for _, row := range []struct {
		name string
		gc   int
	}{{"without GC", -1}, {"with GC", 100}} {
		for _, p := range keyedPeers[string]() {
			n := pick(s.quick, million, tenMillion)
			if n > s.maxKeys || p.who == syncMap {
				continue
			}
			all = append(all, cell{
				table: "pause", row: fmt.Sprintf("%d,%s", n, row.name), who: p.who, time: once, every: 3,
				prepare: func() func(b *testing.B) { return func(b *testing.B) { pause(b, p, n, row.gc) } },
			})
		}
	}
	return all
}

// pause measures n/2 calls one by one. In the middle of them another goroutine has the limiter drop idle keys.
func pause(b *testing.B, p keyedPeer[string], n, gcPercent int) {
	limiter := filled(p, brief, stringKeys(n, sequential))
	keys := churned(n)[:n/2]
	took := make([]int64, len(keys))
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	evicted := make(chan bool)
	last := time.Since(epoch)
	for i := range keys {
		if i == len(keys)/4 {
			go func() {
				if limiter.evict != nil {
					limiter.evict()
				}
				close(evicted)
			}()
			last = time.Since(epoch)
		}
		limiter.call(keys[i : i+1])
		now := time.Since(epoch)
		took[i], last = int64(now-last), now
	}
	<-evicted
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	for unit, share := range map[string]float64{"p50-µs": 0.5, "p99.9-µs": 0.999, "p99.999-µs": 0.99999, "max-µs": 1} {
		b.ReportMetric(float64(took[quantile(len(took), share)])/1000, unit)
	}
}

// quantile returns the index of a quantile of n values in order.
func quantile(n int, share float64) int { return min(int(float64(n)*share), n-1) }

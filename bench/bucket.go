package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// A work is what a bucket is asked for.
type work struct {
	name  string
	share float64 // of the calls that are granted
	ready func(p bucketPeer) caller
}

var works = []work{{"allow", 1, allower}, {"deny", 0, denier}, {"mixed", 0.5, mixer}}

func allower(p bucketPeer) caller { return p.make(plenty) }

func denier(p bucketPeer) caller {
	call := p.make(nothing)
	call(1)
	return call
}

// mixer returns a caller of two limiters, one full and one empty, in an order that no branch predictor learns. A single
// limiter would be granted more or less, according to its speed.
func mixer(p bucketPeer) caller {
	full, empty := allower(p), denier(p)
	return func(n int) (granted int) {
		bits := rand.Uint64() | 1
		for range n {
			bits ^= bits << 13
			bits ^= bits >> 7
			bits ^= bits << 17
			if bits&1 == 0 {
				granted += full(1)
			} else {
				granted += empty(1)
			}
		}
		return granted
	}
}

// bucketCells are single buckets, called by one goroutine, by some on the same bucket, and by some on one each.
func bucketCells(s size) []cell {
	var all []cell
	for _, w := range works {
		add := func(row string, bench func(ready func() caller, share float64) func(b *testing.B)) {
			for _, p := range bucketPeers {
				ready, share := func() caller { return w.ready(p) }, w.share
				switch {
				case p.can == floor:
					ready, share = func() caller { return allower(p) }, 1
				case p.can == allowOnly && w.share < 1:
					continue
				}
				all = append(all, cell{
					table: "bucket", row: w.name + "," + row, who: p.who, time: pick(s.quick, "20ms", "100ms"),
					prepare: func() func(b *testing.B) { return bench(ready, share) },
				})
			}
		}
		add("serial", serial)
		for _, procs := range s.procs {
			add(fmt.Sprintf("hot,%d", procs), func(ready func() caller, share float64) func(b *testing.B) {
				one := ready()
				return parallel(procs, func() caller { return one }, share)
			})
		}
		for _, procs := range s.procs[1:] {
			add(fmt.Sprintf("spread,%d", procs), func(ready func() caller, share float64) func(b *testing.B) {
				return parallel(procs, ready, share)
			})
		}
	}
	return all
}

func serial(ready func() caller, share float64) func(b *testing.B) {
	return func(b *testing.B) {
		call, granted, calls := ready(), 0, 0
		for b.Loop() {
			granted += call(batch)
			calls += batch
		}
		report(b, calls)
		check(b, granted, calls, share)
	}
}

// parallel is for calls by procs goroutines on as many processors, each of which gets its caller from ready.
func parallel(procs int, ready func() caller, share float64) func(b *testing.B) {
	return func(b *testing.B) {
		setProcs(b, procs)
		var total atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			call, granted := ready(), 0
			for pb.Next() {
				granted += call(batch)
			}
			total.Add(int64(granted))
		})
		report(b, b.N*batch)
		check(b, int(total.Load()), b.N*batch, share)
	}
}

// check fails if a contender did not do its work. What is granted at random may be off by four times its deviation.
func check(b *testing.B, granted, calls int, share float64) {
	got := float64(granted) / float64(calls)
	if math.Abs(got-share) > 0.02+2/math.Sqrt(float64(calls)) {
		b.Fatalf("%d of %d calls were granted, want %.0f %%", granted, calls, 100*share)
	}
}

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/go-tokenbucket/tokenbucket"
	tbrate "github.com/go-tokenbucket/tokenbucket/rate"
	"github.com/juju/ratelimit"
	uber "go.uber.org/ratelimit"
	"golang.org/x/time/rate"
)

// A waitPeer is a limiter that can be waited for.
type waitPeer struct {
	who    string
	make   func(perSecond, burst int) func(ctx context.Context) error
	cancel bool // a wait ends with its context
	burst  bool // the burst can be chosen
}

var waitPeers = []waitPeer{
	{us, bucketWait, true, true},
	{usRate, rateWait, true, true},
	{xtime, xtimeWait, true, true},
	{uberName, uberWait, false, false},
	{juju, jujuWait, false, true},
	{failsafe, failsafeWait, true, false},
}

func bucketWait(perSecond, burst int) func(ctx context.Context) error {
	return tokenbucket.New(tokenbucket.PerSecond(perSecond), burst).Wait
}

func rateWait(perSecond, burst int) func(ctx context.Context) error {
	return tbrate.NewLimiter(tbrate.Limit(perSecond), burst).Wait
}

func xtimeWait(perSecond, burst int) func(ctx context.Context) error {
	return rate.NewLimiter(rate.Limit(perSecond), burst).Wait
}

func uberWait(perSecond, _ int) func(ctx context.Context) error {
	limiter := uber.New(perSecond)
	return func(context.Context) error {
		limiter.Take()
		return nil
	}
}

func jujuWait(perSecond, burst int) func(ctx context.Context) error {
	bucket := ratelimit.NewBucket(time.Second/time.Duration(perSecond), int64(burst))
	return func(context.Context) error {
		bucket.Wait(1)
		return nil
	}
}

func failsafeWait(perSecond, _ int) func(ctx context.Context) error {
	return ratelimiter.NewSmooth[any](uint(perSecond), time.Second).AcquirePermit
}

// waitCells are saturated buckets: every waiter waits again as soon as it was served.
func waitCells(s size) []cell {
	var all []cell
	add := func(perSecond, waiters, burst int, row string) {
		for _, p := range waitPeers {
			if burst > 1 && !p.burst {
				continue
			}
			all = append(all, cell{
				table: "wait", row: fmt.Sprintf("%d,%d%s", perSecond, waiters, row), who: p.who, time: once, every: 2,
				prepare: func() func(b *testing.B) {
					return func(b *testing.B) {
						saturate(b, p.make(perSecond, burst), perSecond, waiters, pick(s.quick, time.Second/5, time.Second))
					}
				},
			})
		}
	}
	for _, perSecond := range []int{1000, 10_000, 100_000, million} {
		for _, waiters := range []int{1, 100, 10_000} {
			add(perSecond, waiters, 1, "")
		}
		add(perSecond, 100, perSecond/100, " (burst 10 ms)")
	}
	return all
}

// A diary is when one goroutine was served. The lock is for those who are still waiting when all is over.
type diary struct {
	mu     sync.Mutex
	served []time.Duration
}

// warmUp is how long a bucket is saturated before it is measured, so that neither its first burst nor the start of the
// waiters counts.
const warmUp = 200 * time.Millisecond

// saturate measures a bucket that everybody waits for: the achieved share of the rate, the processor time per million
// grants, and how late the grants were, one by one, behind the line of the asked rate that passes through the earliest.
func saturate(b *testing.B, wait func(ctx context.Context) error, perSecond, waiters int, window time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	diaries := make([]diary, waiters)
	var stop atomic.Bool
	for i := range diaries {
		go func(d *diary) {
			for wait(ctx) == nil && !stop.Load() {
				d.mu.Lock()
				d.served = append(d.served, time.Since(epoch))
				d.mu.Unlock()
			}
		}(&diaries[i])
	}
	time.Sleep(warmUp)
	begin, cpu := time.Since(epoch), cpuTime()
	time.Sleep(window)
	end, cpu := time.Since(epoch), cpuTime()-cpu
	stop.Store(true)
	served := servedWithin(diaries, begin, end)
	if len(served) == 0 {
		b.Fatal("nobody was served")
	}
	b.ReportMetric(0, "ns/op") // of no meaning here, and so not shown
	b.ReportMetric(100*float64(len(served))/(float64(perSecond)*(end-begin).Seconds()), "%")
	b.ReportMetric(cpu.Seconds()/float64(len(served))*million, "cpu-s/M")
	late := lateness(served, perSecond)
	for unit, share := range map[string]float64{"late-p50-ms": 0.5, "late-p99-ms": 0.99, "late-max-ms": 1} {
		b.ReportMetric(late[quantile(len(late), share)].Seconds()*1000, unit)
	}
}

// servedWithin returns the instants of all grants from begin to end, in order.
func servedWithin(diaries []diary, begin, end time.Duration) []time.Duration {
	var all []time.Duration
	for i := range diaries {
		d := &diaries[i]
		d.mu.Lock()
		for _, at := range d.served {
			if at >= begin && at < end {
				all = append(all, at)
			}
		}
		d.mu.Unlock()
	}
	slices.Sort(all)
	return all
}

// lateness returns how late the grants of a bucket of the given rate were, in order of lateness. On time are those on the
// earliest line of that rate that touches them.
func lateness(served []time.Duration, perSecond int) []time.Duration {
	late := make([]time.Duration, len(served))
	for i, at := range served {
		late[i] = at - time.Duration(float64(i)/float64(perSecond)*float64(time.Second))
	}
	slices.Sort(late)
	earliest := late[0]
	for i := range late {
		late[i] -= earliest
	}
	return late
}

// cancelCells are waiters by the hundred thousand whose context ends.
func cancelCells(s size) []cell {
	n := pick(s.quick, 10_000, 100_000)
	var all []cell
	for _, p := range waitPeers {
		if p.cancel {
			all = append(all, cell{
				table: "cancel", row: fmt.Sprint(n), who: p.who, time: once,
				prepare: func() func(b *testing.B) { return func(b *testing.B) { massCancel(b, p.make(1, 1), n) } },
			})
		}
	}
	return all
}

// massCancel measures the time from the end of the context that n waiters share until the last of them has returned.
func massCancel(b *testing.B, wait func(ctx context.Context) error, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	var started, ended sync.WaitGroup
	started.Add(n)
	var granted atomic.Int64
	for range n {
		ended.Go(func() {
			started.Done()
			if wait(ctx) == nil {
				granted.Add(1)
			}
		})
	}
	started.Wait()
	time.Sleep(warmUp) // the last ones have yet to queue
	start := time.Now()
	cancel()
	ended.Wait()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(time.Since(start).Seconds()*1000, "cancel-ms")
	if granted.Load() > 10 {
		b.Fatalf("%d of %d waiters were granted a token at 1/s", granted.Load(), n)
	}
}

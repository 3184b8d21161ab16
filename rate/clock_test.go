package rate_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket/rate"
)

// TestXTimeClock has the cases of x/time/rate's tests that read the clock or wait. Here they do so
// inside a bubble, and are exact.
func TestXTimeClock(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"Limit": func(t *testing.T) {
			if rate.Limit(10) == rate.Inf {
				t.Error("Limit(10) == Inf")
			}
		},
		"Every":                testEvery,
		"SimultaneousRequests": testSimultaneousRequests,
		"LongRunningQPS":       testLongRunning,
		"WaitSimple": func(t *testing.T) {
			lim := rate.NewLimiter(10, 3)
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			wantWait(t, lim, gone, 1, 0, context.Canceled.Error())
			wantWait(t, lim, t.Context(), 4, 0, "exceeds limiter's burst 3")
			wantWait(t, lim, t.Context(), 2, 0, "")
			wantWait(t, lim, t.Context(), 3, 2*tick, "")
		},
		"WaitCancel": func(t *testing.T) {
			lim := rate.NewLimiter(10, 3)
			ctx, cancel := context.WithCancel(t.Context())
			wantWait(t, lim, ctx, 2, 0, "")
			time.AfterFunc(tick, cancel)
			wantWait(t, lim, ctx, 3, tick, context.Canceled.Error())
			wantTokens(t, lim, 2)
			wantWait(t, lim, t.Context(), 2, 0, "")
		},
		"WaitTimeout": func(t *testing.T) {
			lim := rate.NewLimiter(10, 3)
			ctx, cancel := context.WithTimeout(t.Context(), tick)
			defer cancel()
			wantWait(t, lim, ctx, 2, 0, "")
			wantWait(t, lim, ctx, 3, 0, "would exceed context deadline")
			wantTokens(t, lim, 1)
		},
		"WaitInf": func(t *testing.T) {
			wantWait(t, rate.NewLimiter(rate.Inf, 0), t.Context(), 3, 0, "")
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// wantWait fails unless WaitN(ctx, n) takes exactly delay, and succeeds, or fails with a text that
// contains failure.
func wantWait(t *testing.T, lim *rate.Limiter, ctx context.Context, n int, delay time.Duration, failure string) {
	t.Helper()
	start := time.Now()
	err := lim.WaitN(ctx, n)
	if d := time.Since(start); d != delay {
		t.Errorf("WaitN(%d) took %v, want %v", n, d, delay)
	}
	if (err == nil) != (failure == "") || err != nil && !strings.Contains(err.Error(), failure) {
		t.Errorf("WaitN(%d) = %v, want an error with %q", n, err, failure)
	}
}

func wantTokens(t *testing.T, lim *rate.Limiter, want float64) {
	t.Helper()
	if got := lim.Tokens(); math.Abs(got-want) > 1e-9 {
		t.Errorf("Tokens() = %v, want %v", got, want)
	}
}

func testEvery(t *testing.T) {
	for interval, want := range map[time.Duration]rate.Limit{
		0: rate.Inf, -1: rate.Inf, math.MinInt64: rate.Inf,
		time.Nanosecond: 1e9, time.Microsecond: 1e6, time.Millisecond: 1e3, 10 * time.Millisecond: 100,
		tick: 10, time.Second: 1, 2 * time.Second: 0.5, 2500 * time.Millisecond: 0.4, 4 * time.Second: 0.25,
		10 * time.Second: 0.1, math.MaxInt64: 1e9 / rate.Limit(math.MaxInt64),
	} {
		if got := rate.Every(interval); math.Abs(float64(got/want)-1) > 1e-15 {
			t.Errorf("Every(%v) = %v, want %v", interval, got, want)
		}
	}
}

func testSimultaneousRequests(t *testing.T) {
	lim := rate.NewLimiter(1, 5)
	var granted atomic.Int32
	var wg sync.WaitGroup
	for range 15 {
		wg.Go(func() {
			if lim.Allow() {
				granted.Add(1)
			}
		})
	}
	wg.Wait()
	if granted.Load() != 5 {
		t.Errorf("%d of 15 requests were permitted, want 5", granted.Load())
	}
}

func testLongRunning(t *testing.T) {
	lim, granted := rate.NewLimiter(100, 100), 0
	for d := time.Duration(0); d < 5*time.Second; d += 2 * time.Millisecond {
		if lim.AllowN(t0.Add(d), 1) {
			granted++
		}
	}
	if granted != 599 { // 100 at first, and one each 10 ms until 4.99 s
		t.Errorf("%d were permitted in 5 s, want 599", granted)
	}
}

// TestEveryIsExact requires that an event is permitted at each multiple of the interval, and not a
// nanosecond before, however odd the interval is and however many have passed.
func TestEveryIsExact(t *testing.T) {
	for _, d := range []time.Duration{1, 3, 7, 1234567891, 1100 * time.Millisecond, 300 * time.Millisecond, time.Second/3 + 1, 24*time.Hour + 1} {
		lim := rate.NewLimiter(rate.Every(d), 1)
		lim.AllowN(t0, 1)
		for i := range 1000 {
			due := t0.Add(time.Duration(i+1) * d)
			if lim.AllowN(due.Add(-1), 1) || !lim.AllowN(due, 1) {
				t.Fatalf("Every(%v): the event %d is not permitted exactly at %v", d, i+1, due)
			}
		}
	}
}

// TestWaitErrors pins what programs look for in the errors of WaitN.
func TestWaitErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(1, 1)
		lim.Allow()
		ctx, cancel := context.WithTimeout(t.Context(), tick)
		defer cancel()
		if err := lim.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) ||
			err.Error() != "rate: Wait(n=1) would exceed context deadline" {
			t.Errorf("a wait beyond the deadline: %v", err)
		}
		if err := lim.WaitN(ctx, 2); errors.Is(err, context.DeadlineExceeded) ||
			err.Error() != "rate: Wait(n=2) exceeds limiter's burst 1" {
			t.Errorf("a wait for more than the burst: %v", err)
		}
		caused, stop := context.WithCancelCause(t.Context())
		stop(errors.New("a cause"))
		if err := lim.Wait(caused); err != context.Canceled {
			t.Errorf("a wait with an ended context: %v, want context.Canceled itself", err)
		}
	})
}

// waiters starts one Wait for each of ns, in order, and returns how long after the start each was
// served. The result is complete once everybody was.
func waiters(t *testing.T, lim *rate.Limiter, ns ...int) *sync.Map {
	t.Helper()
	served, start := new(sync.Map), time.Now()
	for i, n := range ns {
		go func() {
			if err := lim.WaitN(t.Context(), n); err != nil {
				served.Store(i, err.Error())
				return
			}
			served.Store(i, time.Since(start))
		}()
		synctest.Wait()
	}
	return served
}

func wantServed(t *testing.T, served *sync.Map, want ...any) {
	t.Helper()
	for i, w := range want {
		if got, _ := served.Load(i); got != w {
			t.Errorf("waiter %d: %v, want %v", i, got, w)
		}
	}
}

// TestSetLimitRetimesWaiters requires that a new limit is in force for those who wait already. With
// x/time/rate they sleep on.
func TestSetLimitRetimesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(rate.Every(time.Hour), 1)
		lim.Allow()
		served := waiters(t, lim, 1, 1, 1)
		time.Sleep(time.Second)
		lim.SetLimit(10)
		time.Sleep(time.Hour)
		first := time.Second + tick - 27777*time.Nanosecond // a 3600th of a token was there
		wantServed(t, served, first, first+tick, first+2*tick)

		lim.SetLimit(0)
		lim.AllowN(time.Now(), 1)
		served = waiters(t, lim, 1)
		lim.SetLimit(rate.Inf)
		synctest.Wait()
		wantServed(t, served, time.Duration(0))
	})
}

// TestSetBurstRefusesWaiters requires that a waiter for more than the new burst gets an error.
func TestSetBurstRefusesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(10, 3)
		lim.AllowN(time.Now(), 3)
		served := waiters(t, lim, 3, 1)
		lim.SetBurst(2)
		time.Sleep(time.Second)
		wantServed(t, served, "rate: Wait(n=3) exceeds limiter's burst 2", tick)
	})
}

// TestCancelledWaitCostsNothing requires that those behind a waiter that gives up are served as if it
// had never come.
func TestCancelledWaitCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(10, 5)
		lim.AllowN(time.Now(), 5)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = lim.WaitN(ctx, 5) }()
		synctest.Wait()
		served := waiters(t, lim, 1, 2)
		time.Sleep(tick / 2)
		cancel()
		time.Sleep(time.Second)
		wantServed(t, served, tick, 3*tick)
	})
}

// TestWaitersAreServedInOrder requires strict first come, first served, whatever they ask for.
func TestWaitersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(10, 3)
		lim.AllowN(time.Now(), 3)
		served := waiters(t, lim, 3, 1, 2, 0)
		time.Sleep(2 * tick)
		if lim.Allow() {
			t.Error("an Allow overtook a waiter for 3 tokens")
		}
		if lim.AllowN(time.Now(), 0) {
			t.Error("an AllowN of 0 was permitted while others are owed tokens")
		}
		time.Sleep(time.Second)
		wantServed(t, served, 3*tick, 4*tick, 6*tick, 6*tick)
	})
}

// TestWaitBesideReservations mixes waiters with reservations before and behind them.
func TestWaitBesideReservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(10, 2)
		now := time.Now()
		lim.AllowN(now, 2)
		first := lim.ReserveN(now, 2)
		served := waiters(t, lim, 1)
		last := lim.ReserveN(now, 1)
		if first.DelayFrom(now) != 2*tick || last.DelayFrom(now) != 4*tick {
			t.Errorf("delays are %v and %v", first.DelayFrom(now), last.DelayFrom(now))
		}
		first.CancelAt(now)
		time.Sleep(time.Second)
		wantServed(t, served, tick)
	})
}

// TestWaitIsDenseAndSparse saturates a limiter at rates of both kinds of alarms.
func TestWaitIsDenseAndSparse(t *testing.T) {
	for _, limit := range []rate.Limit{10, 1000, 100_000, 3_000_000} {
		synctest.Test(t, func(t *testing.T) {
			lim := rate.NewLimiter(limit, 1)
			start := time.Now()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					for range 10 {
						if err := lim.Wait(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			want := time.Duration(math.Ceil(999 * 1e9 / float64(limit)))
			if got := time.Since(start); got != want {
				t.Errorf("at %v/s a thousand took %v, want %v", limit, got, want)
			}
		})
	}
}

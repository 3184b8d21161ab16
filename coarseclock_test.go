package tokenbucket_test

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/go-tokenbucket/tokenbucket"
	"go.uber.org/goleak"
)

// A clock in use lags by at most its resolution, is never ahead and never goes back.
func TestCoarseClockLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const resolution = time.Millisecond
		clock := tokenbucket.NewCoarseClock(resolution)
		random := rand.New(rand.NewPCG(1, 2))
		last := clock.Now()
		for range 10_000 {
			time.Sleep(time.Duration(random.Int64N(int64(3 * resolution))))
			now := clock.Now()
			lag := time.Since(now)
			if lag < 0 || lag > resolution || now.Before(last) {
				t.Fatalf("lag %v, moved by %v; want a lag of 0 to %v, and no step back", lag, now.Sub(last), resolution)
			}
			last = now
		}
	})
}

// After a pause the first reading is the real time. A timer that did not stop would fire 3e10 times in this year.
func TestCoarseClockStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := tokenbucket.NewCoarseClock(time.Millisecond)
		for range 3 {
			for range 5 {
				clock.Now()
				time.Sleep(time.Millisecond / 2)
			}
			time.Sleep(365 * 24 * time.Hour)
			if lag := time.Since(clock.Now()); lag != 0 {
				t.Errorf("after a year's pause the clock lags by %v, want 0", lag)
			}
		}
	})
}

// The time of a bubble does not reach a clock from outside, nor the other way round.
func TestCoarseClockBubble(t *testing.T) {
	outside := tokenbucket.NewCoarseClock(time.Nanosecond)
	real := func(where string, clock *tokenbucket.CoarseClock) {
		t.Helper()
		before := time.Now()
		now := clock.Now()
		if now.After(time.Now()) || before.Sub(now) > time.Hour {
			t.Errorf("%s: Now is %v, want %v", where, now, before)
		}
	}
	real("before the bubble", outside)
	var inside *tokenbucket.CoarseClock
	synctest.Test(t, func(t *testing.T) {
		inside = tokenbucket.NewCoarseClock(time.Nanosecond)
		inside.Now()
		for range 100 {
			time.Sleep(365 * 24 * time.Hour) // inside stops
			outside.Now()
		}
	})
	real("after the bubble", outside)
	real("after its own bubble", inside)
}

// On a coarse clock no token comes earlier than on the exact one, and with room for a resolution's refill none is lost.
func TestCoarseClockMintsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst = 10_000, 30 // 10 a resolution
		start := time.Now()
		clock := tokenbucket.NewCoarseClock(time.Millisecond)
		bucket := tokenbucket.New(tokenbucket.PerSecond(perSecond), burst, tokenbucket.WithClock(clock))
		random := rand.New(rand.NewPCG(3, 4))
		took := 0
		for range 20_000 {
			time.Sleep(time.Duration(random.Int64N(int64(time.Millisecond))))
			took += bucket.TakeAvailable(math.MaxInt)
			issued := burst + int(time.Since(start)*perSecond/time.Second)
			if took > issued || took < issued-burst {
				t.Fatalf("after %v: took %d tokens, want %d or up to one resolution less", time.Since(start), took, issued)
			}
		}
	})
}

// The same on the real clock, with many callers beside the timer.
func TestCoarseClockConcurrent(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	const perSecond, burst = 1_000_000, 100
	clock := tokenbucket.NewCoarseClock(50 * time.Microsecond)
	start := time.Now()
	bucket := tokenbucket.New(tokenbucket.PerSecond(perSecond), burst, tokenbucket.WithClock(clock))
	var took atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			last := clock.Now()
			for range 20_000 {
				took.Add(int64(bucket.TakeAvailable(10)))
				now := clock.Now()
				if now.Before(last) || now.After(time.Now()) {
					t.Errorf("the clock moved by %v, and is %v late", now.Sub(last), time.Since(now))
				}
				last = now
				if rand.IntN(1000) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	callers.Wait()
	if most := burst + int64(time.Since(start)*perSecond/time.Second); took.Load() > most {
		t.Errorf("took %d tokens, want at most %d", took.Load(), most)
	}
}

// A waiter is served when its tokens are due, or up to one resolution later, and the rate is kept.
func TestCoarseClockWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every, resolution = 5 * time.Millisecond, time.Millisecond
		clock := tokenbucket.NewCoarseClock(resolution)
		bucket := tokenbucket.New(tokenbucket.Every(every), 1, tokenbucket.WithClock(clock))
		bucket.Allow()
		start := time.Now()
		for i := 1; i <= 1000; i++ {
			if err := bucket.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
			late := time.Since(start) - time.Duration(i)*every
			if late < 0 || late > resolution {
				t.Fatalf("waiter %d was served %v late, want 0 to %v", i, late, resolution)
			}
		}
	})
}

// After fires d after the call by the real clock, and takes any d.
func TestCoarseClockAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := tokenbucket.NewCoarseClock(time.Second)
		for d, want := range map[time.Duration]time.Duration{
			-time.Hour: 0, 0: 0, time.Second / 2: time.Second / 2, time.Minute: time.Minute,
		} {
			start := time.Now()
			<-clock.After(d)
			if got := time.Since(start); got != want {
				t.Errorf("After(%v) came after %v, want %v", d, got, want)
			}
		}
		select {
		case <-clock.After(math.MaxInt64):
			t.Error("After(math.MaxInt64) came at once")
		case <-time.After(365 * 24 * time.Hour):
		}
	})
}

func TestCoarseClockCollected(t *testing.T) {
	clock := tokenbucket.NewCoarseClock(time.Microsecond)
	clock.Now()
	abandoned := weak.Make(clock)
	for start := time.Now(); abandoned.Value() != nil; runtime.GC() {
		if time.Since(start) > time.Minute {
			t.Fatal("an abandoned clock is not collected")
		}
	}
}

func TestCoarseClockAllocates(t *testing.T) {
	clock := tokenbucket.NewCoarseClock(time.Hour)
	bucket := tokenbucket.New(tokenbucket.PerSecond(1), 10, tokenbucket.WithClock(clock))
	if n := testing.AllocsPerRun(1000, func() { bucket.Allow() }); n != 0 {
		t.Errorf("Allow makes %v allocations, want none", n)
	}
}

func TestNewCoarseClockPanics(t *testing.T) {
	for _, resolution := range []time.Duration{0, -time.Second, math.MinInt64} {
		func() {
			defer func() {
				text, _ := recover().(string)
				if !strings.HasPrefix(text, "tokenbucket: NewCoarseClock: resolution is "+resolution.String()) {
					t.Errorf("NewCoarseClock(%v) panics with %q", resolution, text)
				}
			}()
			tokenbucket.NewCoarseClock(resolution)
		}()
	}
}

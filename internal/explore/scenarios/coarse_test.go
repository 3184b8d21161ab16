package scenarios

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/atomic"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/context"
)

const resolution = time.Millisecond

// A custom scenario makes its own checks.
type custom struct {
	name  string
	bound int
	setup func(x *explore.Execution)
}

var coarse = []custom{
	{"the coarse clock never goes back", 3, coarseClock(2, resolution)},
	{"the coarse clock after a pause", 3, coarseClock(2, 3*resolution)},
	{"three readers of the coarse clock", 2, coarseClock(3, resolution/2)},
	{"Allow by the coarse clock", 3, coarseBucket(false)},
	{"Wait by the coarse clock", 2, coarseBucket(true)},
}

// A verdict is the first thing that a scenario's goroutines find wrong. It is not shared as far as the search knows, so a
// goroutine must not act on it.
type verdict struct{ err error }

func (v *verdict) wrong(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
}

// coarseClock has some goroutines read a coarse clock that another one moves. A reading that begins after another has ended is not
// earlier, and none is ahead of the real time.
func coarseClock(readers int, d time.Duration) func(x *explore.Execution) {
	return func(x *explore.Execution) {
		c := tokenbucket.NewCoarseClock(resolution)
		var latest atomic.Int64
		var v verdict
		for range readers {
			x.Go("reader", func() {
				for range 2 {
					before := latest.Load()
					now := c.Now().Sub(explore.Epoch)
					if int64(now) < before {
						v.wrong("the clock went back from %v to %v", time.Duration(before), now)
					}
					if now > explore.Elapsed() {
						v.wrong("the clock is at %v when it is %v", now, explore.Elapsed())
					}
					for l := latest.Load(); int64(now) > l && !latest.CompareAndSwap(l, int64(now)); l = latest.Load() {
					}
				}
			})
		}
		x.Go("time", func() {
			explore.Step(d)
			explore.Step(d)
		})
		x.Check = func() error { return v.err }
	}
}

// coarseBucket has two goroutines take tokens by a coarse clock. They get no more than there are by the real one, and nobody sleeps for
// good.
func coarseBucket(wait bool) func(x *explore.Execution) {
	return func(x *explore.Execution) {
		c := tokenbucket.NewCoarseClock(resolution)
		b := tokenbucket.New(tariffs[slow1].Rate, 1, tokenbucket.WithClock(c))
		var v verdict
		taken := 0
		note := func() {
			taken++
			if issued := 1 + int(explore.Elapsed()/tick); taken > issued {
				v.wrong("%d tokens were taken until %v", taken, explore.Elapsed())
			}
		}
		for range 2 {
			x.Go("taker", func() {
				for range 2 {
					if wait {
						if err := b.Wait(context.Background()); err != nil {
							v.wrong("Wait: %w", err)
						}
						note()
					} else if b.Allow() {
						note()
					}
				}
			})
		}
		x.Go("time", func() { explore.Step(tick) })
		x.Check = func() error {
			if n := b.Waiting(); n != 0 {
				v.wrong("%d wait at the end", n)
			}
			return v.err
		}
	}
}

func TestCoarseClock(t *testing.T) { exploreCustom(t, coarse) }

func exploreCustom(t *testing.T, scenarios []custom) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) { search(t, sc.bound, "", sc.setup) })
	}
}

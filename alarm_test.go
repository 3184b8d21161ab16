package tokenbucket

import (
	"context"
	"errors"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
)

// The default clock's alarms, which the model does not drive: in a bubble timers are never late, so every waiter is to be
// served in the very nanosecond in which its tokens are there.

// mixed draws how many tokens waiters ask for: at 10 000 a second, those for 3 or more have timers of their own.
func mixed(r *rand.Rand) int { return 1 + r.IntN(5)*r.IntN(2) }

func TestAlarmsServeOnTime(t *testing.T) {
	for _, rate := range []Rate{PerSecond(3), PerSecond(1000), PerSecond(10_000), PerSecond(1_000_000)} {
		t.Run(rate.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				b := New(rate, 5)
				b.AllowN(5)
				start := time.Now()
				var all sync.WaitGroup
				owed := 0
				for range 200 {
					n := mixed(r)
					owed += n
					at := refillTime(rate, owed) // the bucket's epoch is start
					all.Go(func() {
						if err := b.WaitN(t.Context(), n); err != nil {
							t.Error(err)
						}
						if got := time.Since(start); got != at {
							t.Errorf("served after %v, want %v", got, at)
						}
					})
					synctest.Wait() // it queues
				}
				all.Wait()
				b.room.mu.Lock()
				defer b.room.mu.Unlock()
				if b.room.alarm.timer != nil || b.room.queue.Front() != nil {
					t.Error("the timer outlasts the queue")
				}
			})
		})
	}
}

// refillTime returns how long it takes until n tokens have been refilled.
func refillTime(rate Rate, n int) time.Duration {
	d := new(big.Rat).Quo(big.NewRat(int64(n), 1), rate.perNano())
	ns := new(big.Int).Add(d.Num(), d.Denom())
	return time.Duration(ns.Sub(ns, big.NewInt(1)).Quo(ns, d.Denom()).Int64()) // rounded up
}

// Those who stay are served as if those who left had never come, whoever had the alarm.
func TestAlarmsOutlastWhoLeaves(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			const leave = 100 * time.Microsecond // those who leave have left by then
			r := rand.New(rand.NewPCG(seed, 0))
			rate := []Rate{PerSecond(50), PerSecond(10_000), PerSecond(100_000)}[r.IntN(3)]
			k := NewKeyed[string](rate, 5)
			k.AllowN("k", 5)
			start := time.Now()
			var all sync.WaitGroup
			var owed atomic.Int64
			for range 30 {
				n, ctx := mixed(r), t.Context()
				if r.IntN(2) == 0 {
					late, cancel := context.WithTimeout(context.Background(), time.Hour) // does not refuse anybody at once
					time.AfterFunc(time.Duration(r.Int64N(int64(leave))), cancel)
					ctx = late
				}
				all.Go(func() {
					switch err := k.WaitN(ctx, "k", n); {
					case err == nil:
						owed.Add(int64(n))
					case !errors.Is(err, context.Canceled):
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			synctest.Wait()
			// All that was granted had come by then, and nobody waited for more.
			least := refillTime(rate, int(owed.Load()))
			if got := time.Since(start); got > max(least, leave) {
				t.Errorf("seed %d: all were served after %v, want at most %v", seed, got, max(least, leave))
			}
		})
	}
}

// A change of limit moves waiters from one kind of alarm to the other.
func TestAlarmsFollowTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(PerHour(1), 1)
		b.Allow()
		served := make(chan time.Duration, 4)
		start := time.Now()
		wait := func() {
			go func() {
				if err := b.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				served <- time.Since(start)
			}()
			synctest.Wait()
		}
		wait() // with a timer of its own
		b.SetLimit(Limit{Rate: PerSecond(100_000), Burst: 1})
		wait() // without
		b.SetLimit(Limit{Rate: PerSecond(1), Burst: 1})
		wait()
		b.SetLimit(Limit{Rate: PerSecond(100_000), Burst: 1})
		wait()
		for i := range 4 {
			if got, want := <-served, time.Duration(i+1)*10*time.Microsecond; got < want || got > want+10 {
				t.Errorf("waiter %d was served after %v, want %v", i, got, want)
			}
		}
	})
}

// A jumpyClock moves on just before the first After takes effect.
type jumpyClock struct {
	*clock.Mock
	jump func()
}

func (c *jumpyClock) After(d time.Duration) <-chan time.Time {
	jump := c.jump
	if c.jump = nil; jump != nil {
		jump()
	}
	return c.Mock.After(d)
}

// A clock that is set while a waiter is about to sleep wakes it in time all the same.
func TestAlarmsBesideAJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &jumpyClock{Mock: clock.NewMock()}
		c.jump = func() { c.Add(150 * time.Millisecond) }
		b := New(PerSecond(5), 1, WithClock(c))
		b.Allow()
		done := make(chan error, 1)
		go func() { done <- b.Wait(t.Context()) }()
		synctest.Wait()
		c.Add(50 * time.Millisecond)
		synctest.Wait()
		if len(done) != 1 {
			t.Error("not served after 200ms")
		}
	})
}

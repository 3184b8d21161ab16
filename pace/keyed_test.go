package pace

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func perSecond(n int) *tokenbucket.Keyed[string] {
	return tokenbucket.NewKeyed[string](tokenbucket.PerSecond(n), 1)
}

func perHour() *tokenbucket.Keyed[string] {
	return tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1)
}

func mustGo[K comparable](t *testing.T, g *KeyedGroup[K], key K, f func(context.Context) error) {
	t.Helper()
	if err := g.Go(key, f); err != nil {
		t.Errorf("Go(%v): %v", key, err)
	}
}

// Each key's jobs are started at the instants at which its tokens come, in order, and Go does not
// wait for them.
func TestKeyedGroupStartsWhenTokensCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rates := map[string]int{"a": 10, "b": 4}
		k := tokenbucket.NewKeyedFunc(func(key string) tokenbucket.Limit {
			return tokenbucket.Limit{Rate: tokenbucket.PerSecond(rates[key]), Burst: 1}
		})
		d := map[string]*eventLog{"a": newEventLog(), "b": newEventLog()}
		g, _ := NewKeyedGroup(context.Background(), k, 100)
		for i := range 5 {
			mustGo(t, g, "a", d["a"].job(i, time.Second))
			mustGo(t, g, "b", d["b"].job(i, time.Second))
		}
		elapsed(t, d["a"].begun, 0)
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d["a"].want(t, "0@0s 1@100ms 2@200ms 3@300ms 4@400ms")
		d["b"].want(t, "0@0s 1@250ms 2@500ms 3@750ms 4@1s")
		elapsed(t, d["a"].begun, 2*time.Second)
	})
}

// With one slot for all, a key that has to wait an hour delays no other.
func TestKeyedGroupSlowKeyHoldsNoSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, _ := NewKeyedGroup(context.Background(), perHour(), 1)
		for i := range 2 {
			for _, key := range []string{"a", "b", "c"} {
				mustGo(t, g, key, d.job(fmt.Sprint(key, i), time.Second))
				synctest.Wait() // let its goroutine take its place
			}
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		// Each began to wait for its slot only when its first job had been started.
		d.want(t, "a0@0s b0@1s c0@2s a1@1h0m0s b1@1h0m1s c1@1h0m2s")
	})
}

// Tokens are taken when the job starts, not while it waits for a slot: otherwise the bucket would
// be full again behind the job that waits, and two would start at once.
func TestKeyedGroupNoBurstAfterSlots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, k := newEventLog(), perSecond(1)
		g, _ := NewKeyedGroup(context.Background(), k, 1)
		mustGo(t, g, "other", d.job("other", 10*time.Second))
		for i := range 3 {
			mustGo(t, g, "a", d.job(i, 0))
		}
		if synctest.Wait(); k.Tokens("a") != 1 {
			t.Errorf("%v tokens, want the one that is waited beside", k.Tokens("a"))
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d.want(t, "other@0s 0@10s 1@11s 2@12s")
	})
}

// Another user of the bucket may take the tokens while a job waits for its slot. Then it waits for more, without
// the slot.
func TestKeyedGroupTokensTakenByOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, k := newEventLog(), perSecond(1)
		g, _ := NewKeyedGroup(context.Background(), k, 1)
		mustGo(t, g, "b", d.job("b0", 1500*time.Millisecond))
		mustGo(t, g, "a", d.job("a0", 0))
		if time.Sleep(time.Second); !k.Allow("a") {
			t.Error("the token of a was held while a waited for a slot")
		}
		mustGo(t, g, "b", d.job("b1", 100*time.Millisecond)) // gets the slot that a can't use
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d.want(t, "b0@0s b1@1.5s a0@2s")
	})
}

// Go blocks while the queue is full, until one of its jobs has been started.
func TestKeyedGroupQueueFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, _ := NewKeyedGroup(context.Background(), perSecond(1), 10, WithQueue(2))
		for i := range 6 {
			mustGo(t, g, "a", d.job(i, 0))
			d.record("Go")
			if i == 2 {
				synctest.Wait()
				mustGo(t, g, "free", d.job("free", 0)) // needs no room: it can be started at once
			}
			synctest.Wait()
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		want := []string{"0@0s", "Go@0s", "Go@0s", "Go@0s", "free@0s", "1@1s", "Go@1s", "2@2s", "Go@2s", "3@3s", "Go@3s", "4@4s", "5@5s"}
		slices.Sort(want)
		slices.Sort(d.events)
		if !slices.Equal(d.events, want) {
			t.Errorf("happened %v, want %v", d.events, want)
		}
	})
}

// A Go that is blocked returns also when its own job is started: the jobs of a slow key that fill
// the queue do not delay one that only needs a slot.
func TestKeyedGroupBlockedGoStarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		d, k := newEventLog(), perHour()
		g, _ := NewKeyedGroup(ctx, k, 1, WithQueue(2))
		mustGo(t, g, "b", d.job("b", time.Second))
		k.Take("a", 1)
		mustGo(t, g, "a", nothing)
		mustGo(t, g, "a", nothing)
		mustGo(t, g, "c", d.job("c", 0)) // the queue is full of a's, and the slot is taken
		elapsed(t, d.begun, time.Second)
		cancel()
		wantIs(t, g.Wait(), context.Canceled)
		d.want(t, "b@0s c@1s")
	})
}

// The end of the group ends a Go that is blocked, at once, and the jobs that queue never start;
// Wait returns the reason.
func TestKeyedGroupCancelled(t *testing.T) {
	for _, end := range []string{"parent", "job fails"} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				k := perHour()
				begun := time.Now()
				g, _ := NewKeyedGroup(parent, k, 2, WithQueue(2))
				late := func(context.Context) error { t.Error("it was started"); return nil }
				mustGo(t, g, "a", func(ctx context.Context) error {
					_ = pause(ctx, time.Second)
					if end == "parent" {
						cancel(errBoom)
						return nil
					}
					return errBoom
				})
				mustGo(t, g, "a", late)
				mustGo(t, g, "a", late)
				wantIs(t, g.Go("a", late), context.Canceled, errBoom)
				elapsed(t, begun, time.Second)
				wantIs(t, g.Go("b", late), context.Canceled, errBoom)
				if g.TryGo("c", late) {
					t.Error("TryGo started a job in a group that has ended")
				}
				wantIs(t, g.Wait(), errBoom)
				elapsed(t, begun, time.Second)
				if k.Waiting("a") != 0 || k.Tokens("b") != 1 {
					t.Errorf("%d wait, %v tokens of b", k.Waiting("a"), k.Tokens("b"))
				}
			})
		})
	}
}

// The group ends while a job whose tokens are there waits for a slot.
func TestKeyedGroupCancelledBeforeSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := perHour()
		g, _ := NewKeyedGroup(context.Background(), k, 1)
		mustGo(t, g, "a", func(ctx context.Context) error { _ = pause(ctx, time.Second); return errBoom })
		mustGo(t, g, "b", func(context.Context) error { t.Error("it was started"); return nil })
		if err := g.Wait(); err != errBoom || k.Tokens("b") != 1 {
			t.Errorf("Wait: %v, %v tokens of b left", err, k.Tokens("b"))
		}
	})
}

// A job that cannot be started is refused, others are not, and Wait returns the reason.
func TestKeyedGroupRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		d := newEventLog()
		g, ctx := NewKeyedGroup(ctx, perHour(), 1, WithQueue(1))
		mustGo(t, g, "a", d.job("a", time.Second))
		if err := g.GoN("b", 2, nothing); err != nil { // it queues, more than its burst
			t.Error(err)
		}
		synctest.Wait()
		mustGo(t, g, "a", nothing) // it queues, until after the deadline
		synctest.Wait()
		mustGo(t, g, "c", d.job("c", 0))
		if ctx.Err() != nil {
			t.Errorf("the group has ended: %v", ctx.Err())
		}
		wantIs(t, g.Wait(), tokenbucket.ErrExceedsBurst)
		d.want(t, "a@0s c@1s")
	})
}

func TestKeyedGroupRefusedWhileBlocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, _ := NewKeyedGroup(context.Background(), perHour(), 1, WithQueue(1))
		mustGo(t, g, "a", d.job("a0", time.Second))
		mustGo(t, g, "a", d.job("a1", time.Second)) // fills the queue
		wantIs(t, g.GoN("b", 2, nothing), tokenbucket.ErrExceedsBurst)
		elapsed(t, d.begun, 0)
		wantIs(t, g.Wait(), tokenbucket.ErrExceedsBurst)
		d.want(t, "a0@0s a1@1h0m0s")
	})
}

// A Go that was blocked has given its job up at the instant at which the tokens came: they are put
// back, and the slot.
func TestKeyedGroupGivenUpTooLate(t *testing.T) {
	k := perHour()
	g, _ := NewKeyedGroup(context.Background(), k, 1)
	late := func(context.Context) error { t.Error("it was started"); return nil }
	j := &queuedJob{cost: keyTokens[string]{k, "a", 1}, f: late}
	if !g.queues.leave(j, errBoom) {
		t.Error("the job was not queued")
	}
	g.serve(j)
	if k.Tokens("a") != 1 || !g.TryGo("a", nothing) {
		t.Errorf("%v tokens are left, or there is no slot", k.Tokens("a"))
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestKeyedGroupTryGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := perSecond(1)
		g, _ := NewKeyedGroup(context.Background(), k, 2)
		job := func(ctx context.Context) error { return pause(ctx, 100*time.Millisecond) }
		try := func(key string, want bool) {
			t.Helper()
			if got := g.TryGo(key, job); got != want {
				t.Errorf("TryGo(%s): %t, want %t", key, got, want)
			}
		}
		try("a", true)
		try("a", false) // no token
		try("b", true)
		try("c", false) // no slot
		if k.Tokens("c") != 1 {
			t.Errorf("%v tokens of c, want 1", k.Tokens("c"))
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait() // for the jobs to have ended
		try("c", true)
		mustGo(t, g, "a", job)
		mustGo(t, g, "a", job)
		k.Refund("a", 1)
		k.SetLimit(tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 5})
		k.Refund("a", 5)
		try("a", false) // others queue, for tokens that are there
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestKeyedGroupPanics(t *testing.T) {
	g, _ := NewKeyedGroup(context.Background(), perHour(), 2)
	mustGo(t, g, "a", func(context.Context) error { panic(errBoom) })
	_ = g.Go("a", func(context.Context) error { t.Error("it was started"); return nil })
	if p, ok := panicOf(func() { _ = g.Wait() }).(*PanicError); !ok || p.Value != errBoom {
		t.Errorf("Wait panicked with %v, want a PanicError of %v", p, errBoom)
	}
	g, _ = NewKeyedGroup(context.Background(), perHour(), 1)
	mustGo(t, g, "a", func(context.Context) error { runtime.Goexit(); return nil })
	if !exits(func() { _ = g.Wait() }) {
		t.Error("Wait returned, want it to call runtime.Goexit")
	}
}

// A func for limits that panics where the queue is served reaches Wait as well, and a Go that is
// blocked returns.
func TestKeyedGroupLimitPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := tokenbucket.NewKeyedFunc(func(key string) tokenbucket.Limit {
			if key == "bad" {
				panic(errBoom)
			}
			return tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 1}
		})
		g, _ := NewKeyedGroup(context.Background(), k, 1, WithQueue(1))
		mustGo(t, g, "a", untilDone)
		mustGo(t, g, "a", nothing)
		wantIs(t, g.Go("bad", nothing), context.Canceled, errBoom)
		if p, ok := panicOf(func() { _ = g.Wait() }).(*PanicError); !ok || p.Value != errBoom {
			t.Errorf("Wait panicked with %v, want a PanicError of %v", p, errBoom)
		}
	})
}

// Keys that are not equal to themselves share a bucket and a queue.
func TestKeyedGroupNaN(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, _ := NewKeyedGroup(context.Background(), tokenbucket.NewKeyed[float64](tokenbucket.PerSecond(1), 1), 10)
		for i := range 4 {
			mustGo(t, g, math.NaN(), d.job(i, 0))
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d.want(t, "0@0s 1@1s 2@2s 3@3s")
		if g.queues.unequal != nil || len(g.queues.byKey) != 0 {
			t.Error("queues are left")
		}
	})
}

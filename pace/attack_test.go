package pace

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A job for each of 100 000 keys, each started twice, takes two seconds and leaves no queue behind.
func TestKeyedGroup100000Keys(t *testing.T) {
	keys := 100_000
	if testing.Short() {
		keys = 5_000
	}
	bubble(t, func(t *testing.T) {
		begun := time.Now()
		k := tokenbucket.NewKeyed[int](tokenbucket.PerSecond(1), 1)
		g, _ := NewKeyedGroup(context.Background(), k, keys, WithQueue(keys))
		var ran atomic.Int64
		for i := range 2 * keys {
			mustGo(t, g, i%keys, func(context.Context) error { ran.Add(1); return nil })
		}
		if err := g.Wait(); err != nil || ran.Load() != int64(2*keys) {
			t.Errorf("Wait: %v, %d jobs ran", err, ran.Load())
		}
		elapsed(t, begun, time.Second)
		if len(g.queues.byKey) != 0 || !g.places.TryAcquire(int64(keys)) {
			t.Error("queues are left, or places are missing")
		}
	})
}

// A group within a job of another passes errors, panics and the end of the context through both.
func TestNestedGroups(t *testing.T) {
	outer := func(inner func(context.Context) error) (context.Context, func() error) {
		g, ctx := NewGroup(context.Background(), unlimited(), 2)
		_ = g.Go(func(ctx context.Context) error {
			in, _ := NewGroup(ctx, unlimited(), 2)
			_ = in.Go(inner)
			_ = in.Go(untilDone)
			return in.Wait()
		})
		return ctx, g.Wait
	}
	ctx, wait := outer(fails)
	if err := wait(); err != errBoom || context.Cause(ctx) != errBoom {
		t.Errorf("Wait: %v for %v, want the inner error", err, context.Cause(ctx))
	}
	_, wait = outer(func(context.Context) error { panicInJob(errBoom); return nil })
	if p, ok := panicOf(func() { _ = wait() }).(*PanicError); !ok || p.Value != errBoom {
		t.Errorf("Wait panicked with %v, want the inner panic, wrapped once", p)
	}
	ctx, wait = outer(func(context.Context) error { runtime.Goexit(); return nil })
	if !exits(func() { _ = wait() }) {
		t.Error("the inner Goexit did not arrive")
	}
	wantIs(t, context.Cause(ctx), errGoexit)
}

// Cancelled at a random instant, a group neither hangs nor loses a token or a slot.
func TestCancelledAnywhere(t *testing.T) {
	for seed := range 200 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(seed), 0))
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				time.AfterFunc(time.Duration(random.IntN(3000))*time.Millisecond, func() { cancel(errBoom) })
				k := tokenbucket.NewKeyed[int](tokenbucket.PerSecond(2), 2)
				g, _ := NewKeyedGroup(ctx, k, 2, WithQueue(1+random.IntN(5)))
				begun := time.Now()
				var ran atomic.Int64
				for range 20 {
					takes := time.Duration(random.IntN(300)) * time.Millisecond
					_ = g.Go(random.IntN(3), func(ctx context.Context) error {
						ran.Add(1)
						_ = pause(ctx, takes)
						return nil
					})
				}
				err := g.Wait()
				if s := g.Stats(); s.Waiting+s.Running != 0 || s.Started+s.Refused != 20 || s.Started != uint64(ran.Load()) {
					t.Errorf("Stats: %+v, %d jobs ran", s, ran.Load())
				}
				if err == nil != (ran.Load() == 20) || err != nil && !errors.Is(err, errBoom) {
					t.Errorf("Wait: %v after %d of 20 jobs", err, ran.Load())
				}
				granted := 0.0 // by all buckets, since the start
				for key := range 3 {
					granted += 2 + 2*time.Since(begun).Seconds() - k.Tokens(key)
					if k.Waiting(key) != 0 {
						t.Errorf("%d wait for key %d", k.Waiting(key), key)
					}
				}
				if granted < float64(ran.Load()) {
					t.Errorf("%d jobs ran for %v tokens", ran.Load(), granted)
				}
				if !g.runner.slots.TryAcquire(2) {
					t.Error("slots are missing")
				}
			})
		})
	}
}

package pace

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A starter is what Group and KeyedGroup have in common, with one key.
type starter interface {
	Go(f func(context.Context) error) error
	TryGo(f func(context.Context) error) bool
	Wait() error
	Stats() Stats
}

// oneKey is a KeyedGroup all of whose jobs have the key "a".
type oneKey struct{ *KeyedGroup[string] }

func (g oneKey) Go(f func(context.Context) error) error   { return g.KeyedGroup.Go("a", f) }
func (g oneKey) TryGo(f func(context.Context) error) bool { return g.KeyedGroup.TryGo("a", f) }

// eachKind runs test for a Group and for KeyedGroups whose calls of Go queue, block, or both.
func eachKind(t *testing.T, test func(*testing.T, func(context.Context, tokenbucket.Limit) starter)) {
	t.Run("Group", func(t *testing.T) {
		test(t, func(ctx context.Context, l tokenbucket.Limit) starter {
			g, _ := NewGroup(ctx, tokenbucket.New(l.Rate, l.Burst), 2)
			return g
		})
	})
	for name, queue := range map[string]int{"KeyedGroup": 100, "KeyedGroup, short queue": 1} {
		t.Run(name, func(t *testing.T) {
			test(t, func(ctx context.Context, l tokenbucket.Limit) starter {
				g, _ := NewKeyedGroup(ctx, tokenbucket.NewKeyed[string](l.Rate, l.Burst), 2, WithQueue(queue))
				return oneKey{g}
			})
		})
	}
}

// Wait also waits for the calls of Go that wait for their tokens, and for the jobs they start.
func TestWaitWaitsForGo(t *testing.T) {
	eachKind(t, func(t *testing.T, newGroup func(context.Context, tokenbucket.Limit) starter) {
		bubble(t, func(t *testing.T) {
			g, begun := newGroup(context.Background(), tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 1}), time.Now()
			_ = g.Go(nothing)
			var ran atomic.Int64
			errs := make(chan error, 3)
			for range 3 {
				go func() {
					errs <- g.Go(func(context.Context) error { ran.Add(1); return nil })
				}()
			}
			synctest.Wait() // the first job has ended, and the others wait for tokens
			if err := g.Wait(); err != nil {
				t.Errorf("Wait: %v", err)
			}
			elapsed(t, begun, 3*time.Second)
			if ran.Load() != 3 {
				t.Errorf("%d jobs had run when Wait returned, want 3", ran.Load())
			}
			for range 3 {
				if err := <-errs; err != nil {
					t.Errorf("Go: %v", err)
				}
			}
		})
	})
}

// Wait reports that a Go was refused though it had not returned when Wait was called.
func TestWaitReportsRefusalBesideIt(t *testing.T) {
	eachKind(t, func(t *testing.T, newGroup func(context.Context, tokenbucket.Limit) starter) {
		bubble(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			g := newGroup(ctx, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 1})
			_ = g.Go(nothing)
			go func() { _ = g.Go(func(context.Context) error { t.Error("it was started"); return nil }) }()
			synctest.Wait()
			time.AfterFunc(time.Second, func() { cancel(errBoom) })
			wantIs(t, g.Wait(), context.Canceled, errBoom)
		})
	})
}

// After Wait nothing is started, the caller of Go is told so, and Wait keeps its result.
func TestGoAfterWait(t *testing.T) {
	eachKind(t, func(t *testing.T, newGroup func(context.Context, tokenbucket.Limit) starter) {
		g := newGroup(context.Background(), tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: 1})
		late := func(context.Context) error { t.Error("it was started"); return nil }
		for range 2 {
			if err := g.Wait(); err != nil {
				t.Errorf("Wait: %v", err)
			}
			wantIs(t, g.Go(late), context.Canceled, errWaited)
			if g.TryGo(late) {
				t.Error("TryGo started a job after Wait")
			}
		}
	})
}

// A job may hand over more jobs while Wait waits for it.
func TestGoWithinJob(t *testing.T) {
	eachKind(t, func(t *testing.T, newGroup func(context.Context, tokenbucket.Limit) starter) {
		bubble(t, func(t *testing.T) {
			g, begun := newGroup(context.Background(), tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 1}), time.Now()
			depth := 0
			var job func(context.Context) error
			job = func(context.Context) error {
				if depth++; depth < 5 {
					return g.Go(job)
				}
				return nil
			}
			_ = g.Go(job)
			if err := g.Wait(); err != nil || depth != 5 {
				t.Errorf("Wait: %v after %d jobs, want 5", err, depth)
			}
			elapsed(t, begun, 4*time.Second)
		})
	})
}

// However Go, TryGo and several Waits interleave: no job starts or runs after a Wait has returned,
// each call that reported success has run its job, and Wait is nil only if no Go before it failed.
func TestGoBesideWait(t *testing.T) {
	rounds := 5000
	if testing.Short() {
		rounds = 1000
	}
	eachKind(t, func(t *testing.T, newGroup func(context.Context, tokenbucket.Limit) starter) {
		for round := range rounds {
			g := newGroup(context.Background(), tokenbucket.Limit{Rate: tokenbucket.PerSecond(1_000_000), Burst: 1 + round%3})
			var returned atomic.Bool // a Wait has
			var started, ran atomic.Int64
			job := func(context.Context) error {
				if returned.Load() {
					t.Error("a job ran after Wait had returned")
				}
				ran.Add(1)
				return nil
			}
			var wg sync.WaitGroup
			for caller := range 3 {
				wg.Go(func() {
					for i := range 3 {
						if (caller+i)%3 == 0 {
							if g.TryGo(job) {
								started.Add(1)
							}
						} else if g.Go(job) == nil {
							started.Add(1)
						}
					}
				})
			}
			for range 1 + round%2 {
				wg.Go(func() {
					err := g.Wait()
					returned.Store(true)
					if err != nil {
						t.Errorf("Wait: %v", err)
					}
				})
			}
			if wg.Wait(); started.Load() != ran.Load() {
				t.Fatalf("%d calls succeeded, %d jobs ran", started.Load(), ran.Load())
			}
		}
	})
}

// A panic of the bucket's own code, in the caller of Go or TryGo, leaves no slot and no place
// behind.
func TestPanicInCallerLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := tokenbucket.NewKeyedFunc(func(key string) tokenbucket.Limit {
			if key == "bad" {
				panic(errBoom)
			}
			return tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: 1}
		})
		g, _ := NewKeyedGroup(context.Background(), k, 1)
		for _, f := range []func(){
			func() { _ = g.Go("bad", nothing) },
			func() { g.TryGo("bad", nothing) },
		} {
			if v := panicOf(f); v != errBoom {
				t.Errorf("panic %v, want that of the func for limits", v)
			}
		}
		if !g.TryGo("good", nothing) {
			t.Error("the slot is missing")
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// A panic in the goroutine that serves a key's queue refuses the jobs behind it: Wait does not
// hang.
func TestPanicInQueueRefusesTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		k := tokenbucket.NewKeyedFunc(func(key string) tokenbucket.Limit {
			if calls++; calls > 1 {
				panic(errBoom)
			}
			return tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 1}
		})
		g, _ := NewKeyedGroup(context.Background(), k, 1, WithQueue(2))
		mustGo(t, g, "a", untilDone)
		late := func(context.Context) error { t.Error("it was started"); return nil }
		errs := make(chan error, 3)
		for range 3 { // two in the queue, and one Go that blocks
			go func() { errs <- g.Go("b", late) }()
		}
		if p, ok := panicOf(func() { _ = g.Wait() }).(*PanicError); !ok || p.Value != errBoom {
			t.Errorf("Wait panicked with %v, want a PanicError of %v", p, errBoom)
		}
		for range 3 {
			if err := <-errs; err != nil {
				wantIs(t, err, context.Canceled, errBoom)
			}
		}
	})
}

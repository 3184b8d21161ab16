package pace

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestGroupStartsWhenTokensCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, ctx := NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerSecond(10), 1), 100)
		for i := range 6 {
			if err := g.Go(d.job(i, time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d.want(t, "0@0s 1@100ms 2@200ms 3@300ms 4@400ms 5@500ms")
		elapsed(t, d.begun, 1500*time.Millisecond)
		if ctx.Err() != context.Canceled {
			t.Errorf("the context after Wait: %v, want it cancelled", ctx.Err())
		}
	})
}

func TestGroupStartsWhenSlotsCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, _ := NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerSecond(10), 1), 1)
		for i := range 4 {
			if err := g.Go(d.job(i, 250*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		d.want(t, "0@0s 1@250ms 2@500ms 3@750ms")
	})
}

func TestGroupGoN(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		g, _ := NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerSecond(10), 3), 100)
		for i, n := range []int{3, 2, 0, 3, 1} {
			if err := g.GoN(n, d.job(i, time.Hour)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // two may start at the same instant
		}
		d.want(t, "0@0s 1@200ms 2@200ms 3@500ms 4@600ms")
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// The jobs of all callers together keep to the bucket, and each is started at an instant at which a token
// comes.
func TestGroupManyCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers, each = 20, 50
		begun := time.Now()
		g, _ := NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerSecond(1000), 1), callers*each)
		var mu sync.Mutex
		seen := make(map[time.Duration]int)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range each {
					err := g.Go(func(context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						seen[time.Since(begun)]++
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		for i := range callers * each {
			if at := time.Duration(i) * time.Millisecond; seen[at] != 1 {
				t.Errorf("%d jobs started at %v, want 1", seen[at], at)
			}
		}
	})
}

func TestGroup100000Jobs(t *testing.T) {
	jobs := 100_000
	if testing.Short() {
		jobs = 5_000
	}
	bubble(t, func(t *testing.T) {
		const slots = 7
		begun := time.Now()
		g, _ := NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerSecond(1_000_000), 1), slots)
		var running, most atomic.Int64
		starts := make([]time.Duration, jobs)
		for i := range starts {
			err := g.Go(func(ctx context.Context) error {
				starts[i] = time.Since(begun)
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer running.Add(-1)
				return pause(ctx, time.Duration(i%7)*time.Microsecond)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		for i, at := range starts {
			if at != time.Duration(i)*time.Microsecond {
				t.Fatalf("job %d started at %v, want %v", i, at, time.Duration(i)*time.Microsecond)
			}
		}
		if most.Load() > slots {
			t.Errorf("%d jobs ran at once, want at most %d", most.Load(), slots)
		}
	})
}

// Whatever Go waits for, the end of the context ends it at that instant, and nothing is taken.
func TestGroupCancelled(t *testing.T) {
	for _, c := range []struct {
		name   string
		bucket func() *tokenbucket.Bucket
		slots  int
	}{
		{"waits for slot", unlimited, 1},
		{"waits for token", func() *tokenbucket.Bucket { return tokenbucket.New(tokenbucket.Per(1, time.Hour), 1) }, 2},
	} {
		for _, end := range []string{"parent", "job fails", "job panics"} {
			t.Run(c.name+", "+end, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					parent, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					begun, b := time.Now(), c.bucket()
					g, ctx := NewGroup(parent, b, c.slots)
					_ = g.Go(func(ctx context.Context) error {
						_ = pause(ctx, time.Second)
						switch end {
						case "parent":
							cancel(errBoom)
							return nil
						case "job panics":
							panic(errBoom)
						}
						return errBoom
					})
					err := g.Go(func(context.Context) error { t.Error("it was started"); return nil })
					elapsed(t, begun, time.Second)
					wantIs(t, err, context.Canceled, errBoom)
					wantIs(t, context.Cause(ctx), errBoom)
					if w := b.Waiting(); w != 0 {
						t.Errorf("%d wait for a token, want nobody", w)
					}
					if end == "job panics" {
						if v := panicOf(func() { _ = g.Wait() }); v == nil {
							t.Error("Wait did not panic")
						}
						return
					}
					wantIs(t, g.Wait(), errBoom)
					elapsed(t, begun, time.Second)
				})
			})
		}
	}
}

func TestGroupAlreadyDone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := tokenbucket.New(tokenbucket.Rate{}, 1)
	g, _ := NewGroup(ctx, b, 1)
	wantIs(t, g.Go(nothing), context.Canceled)
	if g.TryGo(nothing) {
		t.Error("TryGo started a job in a group that has ended")
	}
	wantIs(t, g.Wait(), context.Canceled)
	if b.Tokens() != 1 {
		t.Errorf("%v tokens, want 1", b.Tokens())
	}
}

// A refusal of the bucket is returned at once and by Wait, keeps no slot, and does not end the group.
func TestGroupRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		begun := time.Now()
		g, ctx := NewGroup(ctx, tokenbucket.New(tokenbucket.Per(1, time.Hour), 2), 1)
		wantIs(t, g.GoN(3, nothing), tokenbucket.ErrExceedsBurst)
		if err := g.GoN(2, nothing); err != nil {
			t.Error(err)
		}
		wantIs(t, g.Go(nothing), tokenbucket.ErrDeadline, context.DeadlineExceeded)
		if ctx.Err() != nil {
			t.Errorf("the context has ended: %v", ctx.Err())
		}
		wantIs(t, g.Wait(), tokenbucket.ErrExceedsBurst)
		elapsed(t, begun, 0)
	})
}

func TestGroupFirstError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, ctx := NewGroup(context.Background(), unlimited(), 10)
		begun := time.Now()
		for i := range 5 {
			err := g.Go(func(ctx context.Context) error {
				if err := pause(ctx, time.Duration(5-i)*time.Second); err != nil {
					return err
				}
				return fmt.Errorf("job %d: %w", i, errBoom)
			})
			if err != nil {
				t.Error(err)
			}
		}
		err := g.Wait()
		elapsed(t, begun, time.Second)
		if err == nil || err.Error() != "job 4: boom" {
			t.Errorf("Wait: %v, want the error of job 4", err)
		}
		if cause := context.Cause(ctx); cause != err {
			t.Errorf("cause %v, want what Wait returned", cause)
		}
		wantIs(t, g.Go(nothing), context.Canceled, errBoom)
	})
}

// When a job fails, the group is cancelled while the job still has its slot: nobody can start
// another one in between.
func TestGroupStartsNothingAfterAnError(t *testing.T) {
	g, _ := NewGroup(context.Background(), unlimited(), 1)
	cancel, free := g.runner.cancel, false
	g.runner.cancel = func(cause error) {
		free = free || cause == errBoom && g.runner.slots.TryAcquire(1)
		cancel(cause)
	}
	_ = g.Go(fails)
	if err := g.Wait(); err != errBoom || free {
		t.Errorf("Wait: %v, the slot was free before the group was cancelled: %t", err, free)
	}
}

func TestGroupTryGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begun := time.Now()
		b := tokenbucket.New(tokenbucket.PerSecond(1), 3)
		g, _ := NewGroup(context.Background(), b, 2)
		job := func(ctx context.Context) error { return pause(ctx, 500*time.Millisecond) }
		try := func(want bool, tokens float64) {
			t.Helper()
			if got := g.TryGo(job); got != want || b.Tokens() != tokens {
				t.Errorf("TryGo: %t, %v tokens left; want %t, %v", got, b.Tokens(), want, tokens)
			}
		}
		try(true, 2)
		try(true, 1)
		try(false, 1) // no slot
		time.Sleep(time.Second)
		try(true, 1)
		try(true, 0)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait() // for the jobs to have ended
		try(false, 0.5) // no token, and the slot is given back
		try(false, 0.5)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait() // for the jobs to have ended
		try(true, 0)
		if err := g.Wait(); err != nil {
			t.Errorf("Wait: %v: what TryGo did not take is no error", err)
		}
		elapsed(t, begun, 2500*time.Millisecond)
	})
}

func TestGroupPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begun := time.Now()
		g, ctx := NewGroup(context.Background(), unlimited(), 3)
		cancelled := false
		_ = g.Go(func(ctx context.Context) error { <-ctx.Done(); cancelled = true; return nil })
		_ = g.Go(func(context.Context) error { panicInJob("a value"); return nil })
		p, _ := panicOf(func() { _ = g.Wait() }).(*PanicError)
		if p == nil || p.Value != "a value" || p.Unwrap() != nil {
			t.Fatalf("Wait panicked with %v, want a PanicError of the value", p)
		}
		if !strings.Contains(string(p.Stack), "panicInJob") {
			t.Errorf("the stack does not show where the panic was:\n%s", p.Stack)
		}
		if !strings.Contains(p.Error(), "a value") || !strings.Contains(p.Error(), "panicInJob") {
			t.Errorf("the message lacks the value or the stack: %v", p)
		}
		if !cancelled || context.Cause(ctx) != error(p) {
			t.Errorf("the other job was cancelled: %t, for %v", cancelled, context.Cause(ctx))
		}
		elapsed(t, begun, 0)
		if again := panicOf(func() { _ = g.Wait() }); again != p {
			t.Errorf("the second Wait panicked with %v", again)
		}
	})
}

func panicInJob(v any) { panic(v) }

// A panic is not lost beside an error, and one from a group within a job keeps its stack.
func TestGroupPanicBesideError(t *testing.T) {
	g, _ := NewGroup(context.Background(), unlimited(), 2)
	_ = g.Go(fails)
	inner := make(chan any, 1)
	_ = g.runner.guard(func() error { // a slot for it would not be there any more
		in, _ := NewGroup(context.Background(), unlimited(), 1)
		_ = in.Go(func(context.Context) error { panicInJob(errBoom); return nil })
		defer func() {
			v := recover()
			inner <- v
			panic(v)
		}()
		return in.Wait()
	})
	v := panicOf(func() { _ = g.Wait() })
	if p, ok := v.(*PanicError); !ok || v != <-inner || !errors.Is(p, errBoom) {
		t.Errorf("Wait panicked with %v, want what the inner group did", v)
	}
}

func TestGroupGoexit(t *testing.T) {
	g, ctx := NewGroup(context.Background(), unlimited(), 2)
	_ = g.Go(func(context.Context) error { runtime.Goexit(); return nil })
	if !exits(func() { _ = g.Wait() }) {
		t.Error("Wait returned, want it to call runtime.Goexit")
	}
	wantIs(t, context.Cause(ctx), errGoexit)
}

// All ways to start and to end, at once, on the real clock: for the race detector.
func TestGroupStress(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		b := tokenbucket.New(tokenbucket.PerSecond(1_000_000), 10)
		g, _ := NewGroup(ctx, b, 4)
		var started, ran, running atomic.Int64
		job := func(context.Context) error {
			if n := running.Add(1); n > 4 {
				t.Errorf("%d run at once, want at most 4", n)
			}
			defer running.Add(-1)
			if n := ran.Add(1); n == 500 && round%3 == 0 {
				return errBoom
			} else if n == 500 && round%3 == 1 {
				cancel()
			}
			return nil
		}
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				for i := range 100 {
					switch {
					case (caller+i)%4 == 0 && g.TryGo(job):
						started.Add(1)
					case g.GoN(i%3, job) == nil:
						started.Add(1)
					}
				}
			})
		}
		wg.Wait()
		err := g.Wait()
		if started.Load() != ran.Load() {
			t.Errorf("%d were started, %d ran", started.Load(), ran.Load())
		}
		if all := ran.Load() == 800; err != nil == all && round%3 != 0 {
			t.Errorf("Wait: %v, after %d jobs ran", err, ran.Load())
		}
		if round%3 == 0 && err != errBoom {
			t.Errorf("Wait: %v, want %v", err, errBoom)
		}
		cancel()
	}
}

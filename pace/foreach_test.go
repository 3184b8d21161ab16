package pace

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A source is an infinite sequence of 0, 1, 2, … that counts how far it was pulled.
type source struct {
	pulled atomic.Int64
	ended  bool // the sequence was left in order
}

func (s *source) all(yield func(int) bool) {
	defer func() { s.ended = true }()
	for i := 0; ; i++ {
		s.pulled.Add(1)
		if !yield(i) {
			return
		}
	}
}

// upTo returns 0, 1, …, n-1.
func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestForEachPaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		err := ForEach(context.Background(), upTo(5), func(ctx context.Context, i int) error {
			return d.job(i, 250*time.Millisecond)(ctx)
		}, WithBucket(tokenbucket.New(tokenbucket.PerSecond(10), 1)), WithConcurrency(2))
		if err != nil {
			t.Error(err)
		}
		d.want(t, "0@0s 1@100ms 2@250ms 3@350ms 4@500ms")
		elapsed(t, d.begun, 750*time.Millisecond)
	})
}

// Without options, jobs are unpaced, and as many at once as there are processors.
func TestForEachDefaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begun := time.Now()
		procs := runtime.GOMAXPROCS(0)
		err := ForEach(context.Background(), upTo(3*procs), func(ctx context.Context, i int) error {
			if want := time.Duration(i/procs) * time.Second; time.Since(begun) != want {
				t.Errorf("job %d started at %v, want %v", i, time.Since(begun), want)
			}
			return pause(ctx, time.Second)
		})
		if err != nil {
			t.Error(err)
		}
		elapsed(t, begun, 3*time.Second)
	})
}

// The first error ends an infinite sequence, which has been pulled no further than one item beyond
// what was started.
func TestForEachError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s source
		var started atomic.Int64
		begun := time.Now()
		err := ForEach(context.Background(), s.all, func(ctx context.Context, i int) error {
			if n, pulled := started.Add(1), s.pulled.Load(); pulled > n+1+3 {
				t.Errorf("%d were pulled when %d had started", pulled, n)
			}
			if i == 500 {
				return errBoom
			}
			return pause(ctx, time.Second)
		}, WithConcurrency(3), WithBucket(unlimited()))
		if err != errBoom || !s.ended {
			t.Errorf("ForEach: %v, the sequence ended: %t", err, s.ended)
		}
		if started.Load() > 503 || s.pulled.Load() > started.Load()+1 {
			t.Errorf("%d started, %d pulled", started.Load(), s.pulled.Load())
		}
		elapsed(t, begun, 166*time.Second)
	})
}

func TestForEachCancelled(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  tokenbucket.Rate
		slots int
	}{{"waits for slot", tokenbucket.Inf(), 2}, {"waits for token", tokenbucket.Rate{}, 3}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(context.Background())
				begun, b := time.Now(), tokenbucket.New(c.rate, 2)
				time.AfterFunc(time.Second, func() { cancel(errBoom) })
				var s source
				err := ForEach(ctx, s.all, func(ctx context.Context, _ int) error { return untilDone(ctx) },
					WithBucket(b), WithConcurrency(c.slots))
				wantIs(t, err, context.Canceled, errBoom)
				elapsed(t, begun, time.Second)
				if n := s.pulled.Load(); n != 3 || b.Waiting() != 0 {
					t.Errorf("%d were pulled, want one beyond those started; %d wait", n, b.Waiting())
				}
			})
		})
	}
}

// A context that has ended pulls nothing; one that ends when all is done is no error.
func TestForEachContextAtTheEdges(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	if err := ForEach(ctx, upTo(3), func(_ context.Context, i int) error {
		if i == 2 {
			cancel()
		}
		return nil
	}); err != nil {
		t.Errorf("ForEach: %v, but every item was done", err)
	}
	var s source
	wantIs(t, ForEach(ctx, s.all, func(context.Context, int) error { return nil }), context.Canceled)
	if s.pulled.Load() != 0 {
		t.Errorf("%d were pulled, want none", s.pulled.Load())
	}
}

func TestForEachRefused(t *testing.T) {
	err := ForEach(context.Background(), upTo(3), func(context.Context, int) error { return nil },
		WithBucket(new(tokenbucket.Bucket)))
	wantIs(t, err, tokenbucket.ErrExceedsBurst)
}

// A panic in the sequence arrives as it is, once the jobs have been cancelled and have returned.
func TestForEachPanics(t *testing.T) {
	var left atomic.Bool
	v := panicOf(func() {
		_ = ForEach(context.Background(), func(yield func(int) bool) { yield(1); panic(errBoom) },
			func(ctx context.Context, _ int) error { <-ctx.Done(); left.Store(true); return nil })
	})
	if v != errBoom || !left.Load() {
		t.Errorf("panic in the sequence: %v, the job had returned: %t", v, left.Load())
	}
	var s source
	v = panicOf(func() {
		_ = ForEach(context.Background(), s.all, func(context.Context, int) error { panic(errBoom) })
	})
	if p, ok := v.(*PanicError); !ok || p.Value != errBoom || !s.ended {
		t.Errorf("panic in the job: %v, the sequence ended: %t", v, s.ended)
	}
	if !exits(func() {
		_ = ForEach(context.Background(), upTo(9), func(context.Context, int) error { runtime.Goexit(); return nil })
	}) {
		t.Error("Goexit in a job did not arrive")
	}
	if !exits(func() {
		_ = ForEach(context.Background(), func(func(int) bool) { runtime.Goexit() }, func(context.Context, int) error { return nil })
	}) {
		t.Error("Goexit in the sequence did not arrive")
	}
}

func TestForEach100000(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	done := make([]atomic.Bool, n)
	err := ForEach(context.Background(), upTo(n), func(_ context.Context, i int) error {
		if done[i].Swap(true) {
			return errors.New("seen twice")
		}
		return nil
	}, WithConcurrency(16), WithBucket(unlimited()))
	missed := slices.ContainsFunc(slices.Collect(upTo(n)), func(i int) bool { return !done[i].Load() })
	if err != nil || missed {
		t.Errorf("ForEach: %v, some missed: %t", err, missed)
	}
}

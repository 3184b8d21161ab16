package pace

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func wantStats(t *testing.T, got, want Stats) {
	t.Helper()
	if got != want {
		t.Errorf("Stats: %+v, want %+v", got, want)
	}
}

func TestGroupStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, _ := NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerSecond(1), 1), 2)
		job := func(ctx context.Context) error { return pause(ctx, 1500*time.Millisecond) }
		_ = g.Go(job)
		wantStats(t, g.Stats(), Stats{Running: 1, Started: 1})
		g.TryGo(job)      // no token
		_ = g.GoN(2, job) // more than the burst
		wantStats(t, g.Stats(), Stats{Running: 1, Started: 1, Refused: 2})
		go func() { _ = g.Go(job) }()
		synctest.Wait() // it is first
		go func() { _ = g.Go(func(context.Context) error { return errBoom }) }()
		synctest.Wait()
		wantStats(t, g.Stats(), Stats{Waiting: 2, Running: 1, Started: 1, Refused: 2})
		wantIs(t, g.Wait(), errBoom) // of the third job, at 2 s; the second is cancelled
		wantStats(t, g.Stats(), Stats{Started: 3, Failed: 2, Refused: 2})
		_ = g.Go(job) // after Wait
		wantStats(t, g.Stats(), Stats{Started: 3, Failed: 2, Refused: 3})
	})
}

// Jobs that queue count as waiting; those that the queue leaves out, as refused; those that panic
// or exit, as failed.
func TestKeyedGroupStats(t *testing.T) {
	for _, leave := range []func(){func() { panic(errBoom) }, runtime.Goexit} {
		bubble(t, func(t *testing.T) {
			g, _ := NewKeyedGroup(context.Background(), perHour(), 1, WithQueue(2))
			mustGo(t, g, "a", func(ctx context.Context) error { _ = pause(ctx, time.Second); leave(); return nil })
			mustGo(t, g, "a", nothing)
			mustGo(t, g, "b", nothing)
			go func() { _ = g.Go("b", nothing) }() // blocks
			g.TryGo("a", nothing)
			synctest.Wait()
			wantStats(t, g.Stats(), Stats{Waiting: 3, Running: 1, Started: 1, Refused: 1})
			exits(func() { _ = panicOf(func() { _ = g.Wait() }) })
			wantStats(t, g.Stats(), Stats{Started: 1, Failed: 1, Refused: 4})
		})
	}
}

// Under any concurrency the figures agree with one another, and with the calls once they have
// returned.
func TestStatsAddUp(t *testing.T) {
	eachKind(t, func(t *testing.T, newGroup func(context.Context, tokenbucket.Limit) starter) {
		g := newGroup(context.Background(), tokenbucket.Limit{Rate: tokenbucket.PerSecond(100_000), Burst: 5})
		var ran atomic.Uint64
		job := func(context.Context) error { ran.Add(1); return nil }
		var wg sync.WaitGroup
		for caller := range 4 {
			wg.Go(func() {
				for i := range 200 {
					if (caller+i)%2 == 0 {
						g.TryGo(job)
					} else {
						_ = g.Go(job)
					}
					if s := g.Stats(); s.Waiting < 0 || s.Running < 0 || s.Running > 2 || uint64(s.Running) > s.Started {
						t.Errorf("Stats: %+v", s)
					}
				}
			})
		}
		wg.Wait()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		s := g.Stats()
		if s.Started+s.Refused != 800 || s.Started != ran.Load() {
			t.Errorf("Stats: %+v after 800 calls and %d jobs", s, ran.Load())
		}
		wantStats(t, s, Stats{Started: s.Started, Refused: s.Refused})
	})
}

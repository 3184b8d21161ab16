package pace

import (
	"context"
	"github.com/go-tokenbucket/tokenbucket"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestKeyedGroup100000Jobs(t *testing.T) {
	jobs := 100_000
	if testing.Short() {
		jobs = 5_000
	}
	bubble(t, func(t *testing.T) {
		const keys, slots, queue = 50, 20, 200
		k := tokenbucket.NewKeyed[int](tokenbucket.PerSecond(1000), 1)
		g, _ := NewKeyedGroup(context.Background(), k, slots, WithQueue(queue))
		var mu sync.Mutex
		last := make(map[int]time.Time)
		next := make(map[int]int)
		var handed, started, running atomic.Int64
		for i := range jobs {
			key := i * i % keys // a few keys get much more than others
			turn := i
			handed.Add(1)
			mustGo(t, g, key, func(ctx context.Context) error {
				if n := running.Add(1); n > slots {
					t.Errorf("%d run at once, want at most %d", n, slots)
				}
				defer running.Add(-1)
				started.Add(1)
				mu.Lock()
				defer mu.Unlock()
				now := time.Now()
				if before, ok := last[key]; ok && now.Sub(before) < time.Millisecond {
					t.Errorf("key %d: two starts within %v, want at least 1 ms", key, now.Sub(before))
				}
				if turn < next[key] {
					t.Errorf("key %d: job %d started after %d", key, turn, next[key])
				}
				last[key], next[key] = now, turn
				return nil
			})
			// Those under way between queue and start are at most one for each slot.
			if waiting := handed.Load() - started.Load(); waiting > queue+slots {
				t.Fatalf("%d are handed over and not started, want at most %d", waiting, queue+slots)
			}
		}
		if err := g.Wait(); err != nil || started.Load() != int64(jobs) {
			t.Errorf("Wait: %v, %d of %d were started", err, started.Load(), jobs)
		}
		if len(g.queues.byKey) != 0 || !g.places.TryAcquire(queue) {
			t.Error("queues are left, or room is missing")
		}
	})
}

// All ways to start and to end, at once, on the real clock: for the race detector.
func TestKeyedGroupStress(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		k := tokenbucket.NewKeyed[int](tokenbucket.PerSecond(50_000), 3)
		g, _ := NewKeyedGroup(ctx, k, 3, WithQueue(1+round%5))
		var handed, ran, running atomic.Int64
		job := func(context.Context) error {
			if n := running.Add(1); n > 3 {
				t.Errorf("%d run at once, want at most 3", n)
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
		for range 8 {
			wg.Go(func() {
				for range 100 {
					key := rand.IntN(5)
					switch rand.IntN(6) {
					case 0:
						if g.TryGo(key, job) {
							handed.Add(1)
						}
					case 1:
						k.Allow(key) // from outside
					default:
						if g.GoN(key, rand.IntN(4), job) == nil {
							handed.Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		err := g.Wait()
		if ran.Load() > handed.Load() || err == nil && ran.Load() != handed.Load() {
			t.Errorf("Wait: %v, %d were handed over, %d ran", err, handed.Load(), ran.Load())
		}
		if round%3 == 2 && err != nil {
			t.Errorf("Wait: %v", err)
		}
		if !g.places.TryAcquire(int64(1+round%5)) || !g.runner.slots.TryAcquire(3) {
			t.Error("room or slots are missing")
		}
		cancel()
	}
}

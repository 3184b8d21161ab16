package explore_test

import (
	"errors"
	"testing"

	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/atomic"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/sync"
)

func TestLostUpdate(t *testing.T) {
	for _, reduce := range []bool{false, true} {
		s := &explore.Search{Preemptions: 1, Reduce: reduce}
		stats, f := s.Run(lostUpdate)
		if f == nil {
			t.Fatalf("reduce %v: not found: %v", reduce, stats)
		}
		t.Logf("reduce %v: %v\n%v", reduce, stats, f)
		if again := s.Replay(lostUpdate, f.Schedule); again.Reason != f.Reason {
			t.Errorf("replayed: %q, want %q", again.Reason, f.Reason)
		}
		s.Preemptions = 0
		if stats, f := s.Run(lostUpdate); f != nil || !stats.Complete {
			t.Errorf("with no preemption: %v %v", stats, f)
		}
	}
}

func lostUpdate(x *explore.Execution) {
	var n atomic.Int64
	for range 2 {
		x.Go("adder", func() { n.Store(n.Load() + 1) })
	}
	x.Check = func() error {
		if n.Load() != 2 {
			return errors.New("an update is lost")
		}
		return nil
	}
}

func TestReduction(t *testing.T) {
	for _, reduce := range []bool{false, true} {
		s := &explore.Search{Preemptions: -1, Reduce: reduce}
		stats, f := s.Run(func(x *explore.Execution) {
			var mu sync.Mutex
			var n, own [3]atomic.Int64
			for i := range 3 {
				x.Go("g", func() {
					own[i].Add(1)
					mu.Lock()
					n[0].Add(1)
					mu.Unlock()
					own[i].Add(1)
				})
			}
		})
		t.Log(stats, f)
	}
}

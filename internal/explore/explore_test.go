package explore_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/atomic"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/context"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/sync"
	xtime "github.com/go-tokenbucket/tokenbucket/internal/explore/twin/time"
)

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

func TestLostUpdate(t *testing.T) {
	for _, reduce := range []bool{false, true} {
		s := &explore.Search{Preemptions: 1, Reduce: reduce}
		stats, f := s.Run(lostUpdate)
		if f == nil {
			t.Fatalf("reduce %v: not found: %v", reduce, stats)
		}
		if again := s.Replay(lostUpdate, f.Schedule); again.Reason != f.Reason {
			t.Errorf("replayed: %q, want %q", again.Reason, f.Reason)
		}
		s.Preemptions = 0
		if stats, f := s.Run(lostUpdate); f != nil || !stats.Complete {
			t.Errorf("with no preemption: %v %v", stats, f)
		}
	}
}

// Each of these fails under some schedule, for the reason given.
var failing = []struct {
	name   string
	reason string
	setup  func(x *explore.Execution)
}{
	{"two locks in two orders", "asleep for good", func(x *explore.Execution) {
		var a, b sync.Mutex
		lock := func(first, second *sync.Mutex) func() {
			return func() {
				first.Lock()
				second.Lock()
				defer first.Unlock()
				defer second.Unlock()
			}
		}
		x.Go("ab", lock(&a, &b))
		x.Go("ba", lock(&b, &a))
	}},
	{"a signal that comes too early", "asleep for good", func(x *explore.Execution) {
		var ready atomic.Bool
		c := make(chan struct{}, 1)
		x.Go("sleeper", func() {
			if !ready.Load() {
				explore.Receive(c)
			}
		})
		x.Go("waker", func() {
			explore.Select(true, explore.NewReceiving(c), explore.NewSending(c, struct{}{}))
			explore.Select(true, explore.NewReceiving(c))
			ready.Store(true)
		})
	}},
	{"a select with two cases", "the second", func(x *explore.Execution) {
		a, b := make(chan int, 1), make(chan int, 1)
		a <- 1
		b <- 2
		x.Go("chooser", func() {
			if explore.Select(false, explore.NewReceiving(a), explore.NewReceiving(b)) == 1 {
				panic("the second")
			}
		})
	}},
	{"a timer that is late", "late", func(x *explore.Execution) {
		var fired atomic.Bool
		x.Go("setter", func() {
			xtime.AfterFunc(time.Second, func() { fired.Store(true) })
			explore.Step(time.Second)
			if !fired.Load() {
				panic("late")
			}
		})
	}},
	{"a context that ends first", "ended", func(x *explore.Execution) {
		ctx, cancel := context.WithCancel(context.Background())
		child, stop := context.WithTimeout(ctx, time.Second)
		x.Go("canceller", func() { cancel() })
		x.Go("asker", func() {
			if child.Err() != nil {
				panic("ended")
			}
			stop()
		})
	}},
	{"no end", "livelock", func(x *explore.Execution) {
		var n atomic.Int64
		for range 2 {
			x.Go("spinner", func() {
				for n.Load() < 1<<40 {
					n.Add(1)
				}
			})
		}
	}},
}

func TestFailures(t *testing.T) {
	for _, tt := range failing {
		t.Run(tt.name, func(t *testing.T) {
			s := &explore.Search{Preemptions: 2, Reduce: true, MaxSteps: 1000}
			stats, f := s.Run(tt.setup)
			if f == nil || !strings.Contains(f.Reason, tt.reason) {
				t.Fatalf("%v: %v, want %q", stats, f, tt.reason)
			}
			read, err := explore.ParseSchedule(f.Schedule.String())
			if err != nil {
				t.Fatal(err)
			}
			if again := s.Replay(tt.setup, read); !strings.Contains(again.Reason, tt.reason) {
				t.Errorf("replayed under %v: %q", read, again.Reason)
			}
		})
	}
}

func TestParseScheduleFails(t *testing.T) {
	for _, text := range []string{"", "1", "1:", "-1:2", "1:x", "1:2,"} {
		if s, err := explore.ParseSchedule(text); err == nil {
			t.Errorf("%q gives %v, want an error", text, s)
		}
	}
}

// A program is some goroutines that each take a few steps on three variables and a lock.
type program [][]int

const kinds = 9

func (p program) run(outcomes map[string]bool) func(x *explore.Execution) {
	return func(x *explore.Execution) {
		var v [3]atomic.Int64
		var mu sync.Mutex
		seen := make([]int64, len(p))
		for i, steps := range p {
			x.Go("g", func() {
				for _, s := range steps {
					y := &v[s%3]
					switch s / 3 {
					case 0:
						seen[i] = seen[i]*7 + y.Load()
					case 1:
						y.Store(int64(i) + 10*seen[i]%1000)
					case 2:
						mu.Lock()
						if y.CompareAndSwap(seen[i], int64(i)+1) {
							seen[i]++
						}
						mu.Unlock()
					}
				}
			})
		}
		x.Check = func() error {
			outcomes[fmt.Sprint(seen, v[0].Load(), v[1].Load(), v[2].Load())] = true
			return nil
		}
	}
}

// The reduction leaves out no outcome, under any bound.
func TestReductionKeepsOutcomes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	programs := 60
	if testing.Short() {
		programs = 15
	}
	all, reduced := 0, 0
	for range programs {
		p := make(program, 2+rng.IntN(2))
		for i := range p {
			for range 2 + rng.IntN(2) {
				p[i] = append(p[i], rng.IntN(kinds))
			}
		}
		for bound := len(p) - 3; bound <= 2; bound++ { // without a bound, three have too many schedules
			want, got := map[string]bool{}, map[string]bool{}
			full := &explore.Search{Preemptions: bound}
			stats, _ := full.Run(p.run(want))
			all += stats.Runs
			less := &explore.Search{Preemptions: bound, Reduce: true}
			stats, _ = less.Run(p.run(got))
			reduced += stats.Runs + stats.Pruned
			if !maps.Equal(want, got) {
				t.Fatalf("%v with %d preemptions has the outcomes %v, reduced %v", p, bound, want, got)
			}
		}
	}
	t.Logf("%d schedules, %d when reduced", all, reduced)
}

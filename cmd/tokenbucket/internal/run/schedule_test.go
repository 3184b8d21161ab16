package run

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A start is an attempt at an instant, counted from the beginning.
type start struct {
	item string
	at   time.Duration
}

// fakeRun is a scheduler of jobs that only take time. Use it in a synctest bubble, which also fails
// if a goroutine is left.
type fakeRun struct {
	*scheduler
	takes   map[string]time.Duration // of an attempt, by item
	fails   map[string]int           // attempts, by item
	room    int                      // how many the system has room for at once; 0 is any number, -1 none
	halt    chan struct{}
	mu      sync.Mutex
	running int
	starts  []start
	givenUp []string
	fatal   error
}

var errShortage = errors.New("too many open files")

func newFakeRun(rate string, burst, slots int, keyOf func(string) string, items ...string) *fakeRun {
	r, err := tokenbucket.ParseRate(rate)
	if err != nil {
		panic(err)
	}
	begun := time.Now()
	f := &fakeRun{takes: map[string]time.Duration{}, fails: map[string]int{}, halt: make(chan struct{})}
	in := make(chan *job)
	f.scheduler = &scheduler{
		limit: tokenbucket.NewKeyed[string](r, burst), free: slots, ahead: 1000, backoff: time.Second, items: in,
		stop: f.halt, mayStart: func(int) bool { return true },
		attempt: func(j *job) (outcome, error) {
			f.mu.Lock()
			room := f.room == 0 || f.running < f.room
			if room {
				f.running++
				f.starts = append(f.starts, start{j.item, time.Since(begun)})
			}
			f.mu.Unlock()
			if !room {
				return notStarted, errShortage
			}
			time.Sleep(f.takes[j.item])
			f.mu.Lock()
			f.running--
			f.mu.Unlock()
			if j.attempts <= f.fails[j.item] {
				return failed, nil
			}
			return succeeded, nil
		},
		cannotStart: func(err error) {
			f.fatal = err
			close(f.halt)
		},
		giveUp: func(j *job) { f.givenUp = append(f.givenUp, j.item) },
	}
	go func() {
		defer close(in)
		for i, item := range items {
			j := &job{seq: i + 1, item: item}
			if keyOf != nil {
				j.key = keyOf(item)
			}
			select {
			case in <- j:
			case <-f.halt:
				return
			}
		}
	}()
	return f
}

func firstLetter(item string) string { return item[:1] }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (f *fakeRun) expect(t *testing.T, want ...start) {
	t.Helper()
	if !reflect.DeepEqual(f.starts, want) {
		t.Errorf("starts are %v, want %v", f.starts, want)
	}
}

func TestStartsAtTheScheduledInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("10/s", 2, 8, nil, "1", "2", "3", "4", "5")
		f.takes["3"] = time.Hour // costs nothing but itself
		f.run()
		// The two of the burst are two goroutines, in either order.
		slices.SortFunc(f.starts, func(a, b start) int { return int(a.item[0]) - int(b.item[0]) })
		f.expect(t, start{"1", 0}, start{"2", 0}, start{"3", ms(100)}, start{"4", ms(200)}, start{"5", ms(300)})
	})
}

func TestWaitsForASlotWithoutHoardingTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("10/s", 1, 1, nil, "1", "2", "3", "4")
		f.takes["1"] = time.Second // in which 10 tokens would come; one fits
		f.run()
		f.expect(t, start{"1", 0}, start{"2", ms(1000)}, start{"3", ms(1100)}, start{"4", ms(1200)})
	})
}

func TestKeyThatWaitsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("1/s", 1, 1, firstLetter, "a1", "a2", "a3", "b1", "c1", "b2")
		for _, item := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
			f.takes[item] = ms(10)
		}
		f.run()
		f.expect(t, start{"a1", 0}, start{"b1", ms(10)}, start{"c1", ms(20)},
			start{"a2", ms(1000)}, start{"b2", ms(1010)}, start{"a3", ms(2000)})
	})
}

func TestAttemptsTakeTokensAndNoSlotBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("10/s", 1, 1, nil, "x", "y")
		f.fails["x"] = 2
		f.retries, f.backoff = 2, time.Second
		f.run()
		if f.count.done.Load() != 2 || len(f.starts) != 4 {
			t.Fatalf("%d done in %v, want 2 in 4 starts", f.count.done.Load(), f.starts)
		}
		if f.starts[1] != (start{"y", ms(100)}) {
			t.Errorf("y starts with %v, want at 100ms: x that waits has no slot", f.starts[1])
		}
		second, third := f.starts[2].at-f.starts[0].at, f.starts[3].at-f.starts[2].at
		if second < ms(500) || second > ms(1000) || third < ms(1000) || third > ms(2000) {
			t.Errorf("x waits %v and %v, want 0.5 s to 1 s, and 1 s to 2 s", second, third)
		}
	})
}

func TestFailsWhenAttemptsAreUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("100/s", 1, 1, nil, "x", "y")
		f.fails["x"], f.retries = 9, 3
		f.run()
		if f.count.done.Load() != 1 || f.count.failed.Load() != 1 || len(f.starts) != 5 {
			t.Errorf("%d done, %d failed, starts %v; want 1, 1 and 5 starts", f.count.done.Load(), f.count.failed.Load(), f.starts)
		}
	})
}

func TestStopStartsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("1/s", 1, 4, nil, "1", "2", "3", "4")
		f.takes["2"] = time.Minute
		f.fails["1"], f.retries, f.backoff = 1, 5, time.Hour
		time.AfterFunc(ms(1500), func() { close(f.halt) })
		begun := time.Now()
		f.run()
		f.expect(t, start{"1", 0}, start{"2", ms(1000)})
		if took := time.Since(begun); took != ms(61000) {
			t.Errorf("it took %v, want 61 s: until 2 has ended", took)
		}
		if !slices.Equal(f.givenUp, []string{"1"}) {
			t.Errorf("given up are %q, want 1, which was to be tried again", f.givenUp)
		}
	})
}

func TestReadsNoFurtherThanAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var items []string
		for i := range 100 {
			items = append(items, fmt.Sprint("a", i))
		}
		f := newFakeRun("1/s", 1, 4, firstLetter, items...)
		f.ahead = 10
		go f.run()
		time.Sleep(ms(500))
		synctest.Wait()
		if n := f.count.waiting.Load(); n != 10 {
			t.Errorf("%d wait, want 10", n)
		}
		time.Sleep(time.Hour)
		if n := f.count.done.Load(); n != 100 {
			t.Errorf("%d done, want 100", n)
		}
	})
}

func TestOrderedStopsTooFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("1000/s", 1, 50, nil, "1", "2", "3", "4", "5", "6")
		f.takes["1"] = time.Minute
		var printed atomic.Bool
		f.mayStart = func(seq int) bool { return printed.Load() || seq <= 3 }
		attempt := f.attempt
		f.attempt = func(j *job) (outcome, error) {
			outcome, err := attempt(j)
			if j.item == "1" {
				printed.Store(true)
			}
			return outcome, err
		}
		f.run()
		if len(f.starts) != 6 || f.starts[2].at > time.Second || f.starts[3].at != time.Minute {
			t.Errorf("starts are %v, want the fourth when the first has ended", f.starts)
		}
	})
}

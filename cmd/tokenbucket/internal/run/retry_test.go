package run

import (
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// With room for two processes and eight slots, two run at a time; the others are not failed, and
// start in order, within the rate.
func TestWaitsForRoomForAProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("10/s", 1, 8, nil, "1", "2", "3", "4", "5", "6")
		for _, item := range []string{"1", "2", "3", "4", "5", "6"} {
			f.takes[item] = time.Second
		}
		f.room = 2
		f.run()
		if done, failed := f.count.done.Load(), f.count.failed.Load(); done != 6 || failed != 0 || f.count.started.Load() != 6 {
			t.Errorf("%d done and %d failed in %d starts, want 6, 0 and 6", done, failed, f.count.started.Load())
		}
		for i, s := range f.starts {
			if i > 0 && s.at-f.starts[i-1].at < ms(100) {
				t.Errorf("%v and %v start closer than the limit of 10/s allows", f.starts[i-1], s)
			}
		}
		if !slices.IsSortedFunc(f.starts, func(a, b start) int { return int(a.item[0]) - int(b.item[0]) }) || f.starts[5].at > ms(3000) {
			t.Errorf("starts are %v, want them in order, the last within 3 s", f.starts)
		}
	})
}

// The token of a start that did not come about is there for the next one.
func TestRefundsTheTokenOfAFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("1/h", 2, 2, nil, "1", "2")
		f.takes["1"], f.takes["2"], f.room = ms(100), ms(100), 1
		f.run()
		if len(f.starts) != 2 || f.starts[1].at != ms(100) { // in either order: both try at 0
			t.Errorf("starts are %v, want the second at 100ms", f.starts)
		}
	})
}

// After a pause without room, no tokens have piled up: the starts of a key keep its limit.
func TestPauseWithoutRoomSavesNoTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("2/s", 1, 8, firstLetter, "a1", "b1", "a2", "b2", "a3", "b3")
		f.room = -1
		time.AfterFunc(ms(2500), func() {
			f.mu.Lock()
			f.room = 0
			f.mu.Unlock()
		})
		f.run()
		last := map[string]time.Duration{"a": -ms(500), "b": -ms(500)}
		for _, s := range f.starts {
			if key := firstLetter(s.item); s.at-last[key] < ms(500) {
				t.Errorf("%s starts %v after the one before, want 500ms or more: %v", s.item, s.at-last[key], f.starts)
			} else {
				last[key] = s.at
			}
		}
		if f.count.done.Load() != 6 {
			t.Errorf("%d done, want 6", f.count.done.Load())
		}
	})
}

// Without any room, the run stops after a while and names the reason. No job is blamed.
func TestStopsWithoutRoomForAnyProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRun("10/s", 1, 8, nil, "1", "2", "3")
		f.room = -1
		begun := time.Now()
		f.run()
		if !errors.Is(f.fatal, errShortage) || f.count.failed.Load() != 0 || len(f.givenUp) != 0 {
			t.Errorf("error %v, %d failed, given up %q; want %v alone", f.fatal, f.count.failed.Load(), f.givenUp, errShortage)
		}
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("it took %v, want at most a minute", took)
		}
	})
}

func TestFitOpenFiles(t *testing.T) {
	for _, c := range []struct {
		limit      uint64
		jobs       int
		ordered    bool
		fit, ahead int
	}{
		{math.MaxUint64, 1000, false, 1000, 0}, {1024, 8, false, 8, 0}, {64, 100, false, 7, 0}, {16, 100, false, 1, 0}, {0, 1, true, 1, 1},
		{1 << 20, 8, true, 8, 500}, {1024, 8, true, 8, 251}, {120, 100, true, 8, 25},
	} {
		if fit, ahead := fitOpenFiles(c.limit, c.jobs, c.ordered); fit != c.fit || ahead != c.ahead {
			t.Errorf("fitOpenFiles(%d, %d, %v) is %d, %d; want %d, %d", c.limit, c.jobs, c.ordered, fit, ahead, c.fit, c.ahead)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		base     time.Duration
		attempts int
		most     time.Duration
	}{
		{time.Second, 1, time.Second}, {time.Second, 2, 2 * time.Second}, {time.Second, 6, 32 * time.Second},
		{time.Second, 7, time.Minute}, {time.Second, math.MaxInt32, time.Minute}, {time.Hour, 1, time.Hour}, {time.Hour, 3, time.Hour},
		{1, 1, 1}, {1 << 62, 100, 1 << 62},
	} {
		for range 100 {
			if d := backoffAfter(c.base, c.attempts); d < c.most/2 || d > c.most {
				t.Fatalf("backoffAfter(%v, %d) is %v, want %v to %v", c.base, c.attempts, d, c.most/2, c.most)
			}
		}
	}
}

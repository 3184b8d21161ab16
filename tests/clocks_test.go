package tests

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/jonboulle/clockwork"
	kclock "k8s.io/utils/clock"
	kclocktesting "k8s.io/utils/clock/testing"

	"github.com/go-tokenbucket/tokenbucket"
)

// All clocks of these packages satisfy Clock, not only the fake ones.
var (
	_ tokenbucket.Clock = clock.Clock(nil)
	_ tokenbucket.Clock = clockwork.Clock(nil)
	_ tokenbucket.Clock = kclock.Clock(nil)
)

const ms = time.Millisecond

// patience is how long a test waits for another goroutine.
const patience = 20 * time.Second

// poll waits until done reports true, and reports whether it did within patience.
func poll(done func() bool) bool {
	for start := time.Now(); !done(); time.Sleep(20 * time.Microsecond) {
		if time.Since(start) > patience {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// TestClocks runs buckets on other people's fake clocks, and steps them.
func TestClocks(t *testing.T) {
	mock, work, kube := clock.NewMock(), clockwork.NewFakeClock(), kclocktesting.NewFakeClock(time.Now())
	sleeping := func(c *clockwork.FakeClock) bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return c.BlockUntilContext(ctx, 1) == nil
	}
	for _, test := range []struct {
		name  string
		clock tokenbucket.Clock
		step  func(time.Duration)
		ready func() bool // somebody sleeps; nil where the clock cannot report it
	}{
		{"benbjohnson", mock, mock.Add, nil},
		{"clockwork", work, work.Advance, func() bool { return sleeping(work) }},
		{"kubernetes", kube, kube.Step, kube.HasWaiters},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := tokenbucket.New(tokenbucket.PerSecond(10), 2, tokenbucket.WithClock(test.clock))
			if !b.AllowN(2) || b.Allow() {
				t.Fatal("not 2 tokens to begin with")
			}
			test.step(99 * ms)
			if b.Allow() {
				t.Error("a token after 99ms")
			}
			test.step(ms)
			if !b.Allow() || b.Allow() {
				t.Error("not one token after 100ms")
			}
			for range 20 {
				done := make(chan error, 1)
				go func() { done <- b.WaitN(t.Context(), 2) }()
				if !poll(func() bool { return b.Waiting() == 1 }) || test.ready != nil && !poll(test.ready) {
					t.Fatal("nobody waits")
				}
				test.step(150 * ms)
				if b.Waiting() != 1 {
					t.Error("served after 150ms")
				}
				test.step(50 * ms)
				if !poll(func() bool { return len(done) == 1 }) {
					t.Fatal("not served after 200ms")
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			r, err := b.Reserve()
			if err != nil || r.Delay() != 100*ms {
				t.Errorf("reserved in %v: %v", r.Delay(), err)
			}
			if test.step(100 * ms); r.Delay() != 0 {
				t.Errorf("at its time it is %v away", r.Delay())
			}
		})
	}
}

// TestClockFarAway begins at the zero time.Time, as some fake clocks do, and then goes further than a Duration reaches.
func TestClockFarAway(t *testing.T) {
	clk := kclocktesting.NewFakeClock(time.Time{})
	for _, rate := range []tokenbucket.Rate{tokenbucket.PerSecond(10), {}} {
		clk.SetTime(time.Time{})
		b := tokenbucket.New(rate, 2, tokenbucket.WithClock(clk))
		b.Allow()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 3)
		for range cap(done) {
			go func() { done <- b.WaitN(ctx, 2) }()
		}
		if !poll(func() bool { return b.Waiting() == cap(done) }) {
			t.Fatal("nobody waits")
		}
		clk.SetTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if n := b.TakeAvailable(100); n > 2 { // serves everybody who is due, before or after
			t.Errorf("%v: %d tokens", rate, n)
		}
		clk.Step(time.Hour)
		b.Tokens()
		cancel()
		granted := 0
		for range cap(done) {
			if <-done == nil {
				granted += 2
			}
		}
		most := 2 // the burst; then time stands still
		if rate == (tokenbucket.Rate{}) {
			most = 0
		}
		if granted > most {
			t.Errorf("%v: waiters were granted %d tokens, want at most %d", rate, granted, most)
		}
	}
}

package tokenbucket_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// waiting is a Wait in its own goroutine; err may be read once done is closed.
type waiting struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func (w *waiting) returned() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// goWait waits for n tokens in a goroutine of its own, and returns once that is in the queue or has returned. It is for
// use in a bubble.
func goWait(ctx context.Context, b *tokenbucket.Bucket, n int) *waiting {
	ctx, cancel := context.WithCancel(ctx)
	w := &waiting{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = b.WaitN(ctx, n)
	}()
	synctest.Wait()
	return w
}

// served tells whether a wait has returned by now and was granted its tokens.
func (w *waiting) served() bool {
	synctest.Wait()
	return w.returned() && w.err == nil
}

// drained returns an empty bucket.
func drained(limit string, opts ...tokenbucket.Option) *tokenbucket.Bucket {
	p := performer{}
	p.b = tokenbucket.New(tokenbucket.Rate{}, 1, opts...)
	p.b.Allow()
	p.do("SetLimit " + limit)
	return p.b
}

// move sets the fake clock, and lets all come to rest whom that wakes.
func move(c *fakeClock, to time.Duration) {
	synctest.Wait()
	c.set(int64(to))
	for c.fire() > 0 {
		synctest.Wait()
	}
}

func TestWaitOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := drained("10/s 5")
		type service struct {
			who int
			at  time.Duration
		}
		var got, want []service
		var mu sync.Mutex
		sum := 0
		for i := range 100 {
			n := 1 + rand.IntN(5)
			go func() {
				if err := b.WaitN(t.Context(), n); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, service{i, time.Since(start)})
			}()
			synctest.Wait()
			sum += n
			want = append(want, service{i, time.Duration(sum) * 100 * ms})
			if b.Waiting() != i+1 {
				t.Fatalf("%d waiting, want %d", b.Waiting(), i+1)
			}
		}
		time.Sleep(time.Duration(sum) * 100 * ms)
		synctest.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("served %v, want %v", got, want)
		}
	})
}

// TestWaitOrderWithCancels has waiters give up at random, and foresees exactly who is served when.
func TestWaitOrderWithCancels(t *testing.T) {
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			b := drained("1000/s 5")
			type place struct {
				*waiting
				n  int
				at time.Duration
			}
			var queue []*place
			for range 100 {
				x := &place{n: 1 + rand.IntN(5)}
				x.waiting = goWait(t.Context(), b, x.n)
				queue = append(queue, x)
				go func() {
					<-x.done
					x.at = time.Since(start)
				}()
			}
			tokens := 0 // the model: a millisecond a round, a token a millisecond, and nobody overtakes
			for now := ms; len(queue) > 0; now += ms {
				time.Sleep(ms)
				synctest.Wait()
				for tokens++; len(queue) > 0 && queue[0].n <= tokens; queue = queue[1:] {
					tokens -= queue[0].n
					if x := queue[0]; !x.served() || x.at != now {
						t.Fatalf("served %v after %v: %v, want now, %v", x.returned(), x.at, x.err, now)
					}
				}
				if len(queue) > 0 && rand.IntN(2) == 0 {
					i := rand.IntN(len(queue))
					x := queue[i]
					x.cancel()
					queue = slices.Delete(queue, i, i+1)
					if synctest.Wait(); !x.returned() || !errors.Is(x.err, context.Canceled) {
						t.Fatalf("a cancelled waiter returned %v: %v", x.returned(), x.err)
					}
				}
				for len(queue) > 0 && queue[0].n <= tokens { // those whom a cancel has moved forward
					tokens -= queue[0].n
					if x := queue[0]; !x.served() || x.at != now {
						t.Fatalf("moved forward: served %v after %v, want now, %v", x.returned(), x.at, now)
					}
					queue = queue[1:]
				}
				if b.Waiting() != len(queue) {
					t.Fatalf("%d waiting, want %d", b.Waiting(), len(queue))
				}
			}
			if got := b.Tokens(); got != float64(tokens) {
				t.Errorf("%v tokens are left, want %d", got, tokens)
			}
		})
	}
}

// TestWaitErrors asks for what Wait refuses at once. Nothing must be left of it.
func TestWaitErrors(t *testing.T) {
	cause := errors.New("a cause of its own")
	done, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for _, test := range []struct {
		name     string
		limit    string
		waiters  int // the most that may wait; as many do
		ctx      context.Context
		within   time.Duration // until ctx's deadline, if any
		n        int
		delay    time.Duration
		is, isnt []error
	}{
		{"more than the burst", "10/s 5", 9, t.Context(), 0, 6, tokenbucket.Never,
			[]error{tokenbucket.ErrExceedsBurst}, []error{tokenbucket.ErrQueueFull, context.DeadlineExceeded}},
		{"too late by a nanosecond", "10/s 5", 0, t.Context(), 300*ms - 1, 3, 300 * ms,
			[]error{tokenbucket.ErrDeadline, context.DeadlineExceeded}, []error{tokenbucket.ErrQueueFull, context.Canceled}},
		{"too late behind others", "10/s 5", 2, t.Context(), 700*ms - 1, 1, 700 * ms,
			[]error{tokenbucket.ErrDeadline, context.DeadlineExceeded}, []error{tokenbucket.ErrQueueFull}},
		{"a deadline at the zero rate", "0 5", 0, t.Context(), 100 * year, 1, tokenbucket.Never,
			[]error{tokenbucket.ErrDeadline, context.DeadlineExceeded}, nil},
		{"a full queue", "10/s 5", 2, t.Context(), 0, 1, 700 * ms,
			[]error{tokenbucket.ErrQueueFull}, []error{context.DeadlineExceeded}},
		{"no queue at all", "10/s 5", 0, t.Context(), time.Hour, 2, 200 * ms,
			[]error{tokenbucket.ErrQueueFull}, []error{context.DeadlineExceeded}},
		{"a ctx that is done", "10/s 5", 1, done, 0, 1, 0,
			[]error{cause, context.Canceled}, []error{context.DeadlineExceeded, tokenbucket.ErrDeadline}},
		{"a ctx that is done, and none asked for", "10/s 5", 1, done, 0, 0, 0, []error{cause, context.Canceled}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := newFakeClock()
				b := drained(test.limit, tokenbucket.WithClock(clk), tokenbucket.WithMaxWaiters(test.waiters))
				for range min(test.waiters, 2) {
					defer goWait(context.Background(), b, 3).cancel()
				}
				ctx := test.ctx
				if test.within > 0 {
					ctx = fakeDeadline{ctx, clk.Now().Add(test.within)}
				}
				level, inQueue := b.Word()
				err := b.WaitN(ctx, test.n)
				var we *tokenbucket.WaitError
				if !errors.As(err, &we) || we.N != test.n || we.Delay != test.delay {
					t.Errorf("%#v, want N %d, Delay %v", err, test.n, test.delay)
				}
				for _, target := range test.is {
					if !errors.Is(err, target) {
						t.Errorf("%v is not %v", err, target)
					}
				}
				for _, target := range test.isnt {
					if errors.Is(err, target) {
						t.Errorf("%v is %v", err, target)
					}
				}
				if l, q := b.Word(); l != level || q != inQueue || b.Waiting() != min(test.waiters, 2) {
					t.Errorf("the word was %d %v, now it is %d %v", level, inQueue, l, q)
				}
			})
		})
	}
}

func TestWaitWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tokenbucket.New(tokenbucket.PerSecond(10), 5, tokenbucket.WithMaxWaiters(0))
		start := time.Now()
		soon, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		for _, n := range []int{0, 3, 2} {
			if err := b.WaitN(soon, n); err != nil {
				t.Errorf("%d tokens: %v", n, err)
			}
		}
		if err := b.Wait(t.Context()); !errors.Is(err, tokenbucket.ErrQueueFull) {
			t.Errorf("without tokens: %v", err)
		}
		var zero tokenbucket.Bucket
		if err := zero.Wait(t.Context()); !errors.Is(err, tokenbucket.ErrExceedsBurst) || zero.WaitN(t.Context(), 0) != nil {
			t.Errorf("the zero Bucket: %v", err)
		}
		inf := tokenbucket.New(tokenbucket.Inf(), 1)
		if err := inf.WaitN(t.Context(), 1_000_000); err != nil {
			t.Errorf("without limit: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		b.Refund(5)
		for _, b := range []*tokenbucket.Bucket{b, inf, &zero} {
			if err := b.WaitN(gone, 1); !errors.Is(err, context.Canceled) {
				t.Errorf("by a ctx that is done: %v", err)
			}
		}
		if b.Tokens() != 5 || time.Since(start) != 0 {
			t.Errorf("%v tokens are left after %v", b.Tokens(), time.Since(start))
		}
	})
}

// TestWaitDeadlines has a turn come at a ctx's deadline, and after it, which could not be known in advance.
func TestWaitDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := drained("10/s 5")
		start := time.Now()
		for range 50 { // the timers of the bucket and of ctx go off together
			ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
			if err := b.WaitN(ctx, 3); err != nil {
				t.Errorf("a turn that comes at the deadline: %v", err)
			}
			cancel()
		}
		if d := time.Since(start); d != 50*300*ms {
			t.Errorf("took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
		defer cancel()
		w := goWait(ctx, b, 3)
		b.Charge(1)
		time.Sleep(300 * ms)
		synctest.Wait()
		var we *tokenbucket.WaitError
		if !w.returned() || !errors.Is(w.err, context.DeadlineExceeded) || errors.Is(w.err, tokenbucket.ErrDeadline) || !errors.As(w.err, &we) {
			t.Errorf("a turn that a charge delayed: %v", w.err)
		}
		if b.Tokens() != 2 {
			t.Errorf("%v tokens are left, want 2", b.Tokens())
		}
	})
}

func TestWaitingMovesForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := drained("10/s 5")
		big, small, last := goWait(t.Context(), b, 5), goWait(t.Context(), b, 1), goWait(t.Context(), b, 2)
		time.Sleep(200 * ms)
		if b.Allow() || b.TakeAvailable(9) != 0 || small.served() {
			t.Error("somebody overtook")
		}
		if got, want := figures(b.Take(1)), "no, 0 left, retry in 700ms, full in 1.1s"; got != want {
			t.Errorf("Take behind 8 tokens that are owed: %s, want %s", got, want)
		}
		if got := b.Tokens(); got != -6 || b.Waiting() != 3 {
			t.Errorf("Tokens = %v, Waiting = %d", got, b.Waiting())
		}
		big.cancel()
		if !small.served() || last.served() || b.Waiting() != 1 {
			t.Error("a cancel did not serve the next one, at once, and it alone")
		}
		time.Sleep(100*ms - 1)
		if last.served() {
			t.Error("the last one was served before its time")
		}
		time.Sleep(time.Nanosecond)
		if !last.served() || b.Tokens() != 0 {
			t.Errorf("the last one: %v, %v tokens are left", last.returned(), b.Tokens())
		}
	})
}

// TestGrantBeatsCancel cancels a wait whose turn has come, though nobody has noticed yet.
func TestGrantBeatsCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, late := range []int64{-1, 0, 1, int64(time.Hour)} {
			clk := newFakeClock()
			b := drained("10/s 5", tokenbucket.WithClock(clk))
			w := goWait(t.Context(), b, 2)
			clk.set(int64(200*ms) + late) // and no timer goes off
			w.cancel()
			if synctest.Wait(); !w.returned() || (w.err == nil) != (late >= 0) {
				t.Errorf("cancelled %dns after the turn: %v", late, w.err)
			}
		}
	})
}

func TestSetLimitRetimes(t *testing.T) {
	for _, test := range []struct {
		limit, to string
		n         int
		want      time.Duration // in all, with the change after 100 ms
	}{
		{"10/s 5", "100/s 5", 3, 120 * ms},
		{"10/s 5", "1/s 5", 3, 2100 * ms},
		{"10/s 5", "10/s 3", 3, 300 * ms},
		{"10/s 5", "10/s 50", 3, 300 * ms},
		{"10/s 5", "inf 1", 3, 100 * ms},
		{"0 5", "10/s 5", 3, 400 * ms},
		{"0 5", "inf 5", 3, 100 * ms},
		{"1/8760h 5", "1000000000/s 5", 5, 100*ms + 5},
	} {
		t.Run(test.limit+" to "+test.to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				p := performer{b: drained(test.limit)}
				w := goWait(t.Context(), p.b, test.n)
				time.Sleep(100 * ms)
				p.do("SetLimit " + test.to)
				<-w.done
				if d := time.Since(start); w.err != nil || d != test.want {
					t.Errorf("%v after %v, want %v", w.err, d, test.want)
				}
			})
		})
	}
}

func TestSetLimitBackAndForth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := performer{b: drained("10/s 5")}
		a, b := goWait(t.Context(), p.b, 5), goWait(t.Context(), p.b, 5)
		for range 20 { // a quarter of the time at each rate: 10, 30, none and 4 a second
			for _, limit := range []string{"10/s 5", "30/s 6", "0 7", "4/s 5"} {
				p.do("SetLimit " + limit)
				time.Sleep(ms)
			}
		}
		p.do("SetLimit 0 5")
		time.Sleep(year)
		p.do("SetLimit 10/s 5")
		left := 500*ms - 20*44*ms/10
		<-a.done
		// Each change rounds the tokens down to a quantum.
		if d := time.Since(start) - year - 80*ms; d < left || d > left+82*3 {
			t.Errorf("the first waiter took %v more, want %v", d, left)
		}
		p.do("SetLimit 10/s 4") // too few for the second
		if synctest.Wait(); !errors.Is(b.err, tokenbucket.ErrExceedsBurst) {
			t.Errorf("the second: %v", b.err)
		}
	})
}

// TestSetLimitTooSmall lowers the burst below what some of those who wait ask for, wherever they stand.
func TestSetLimitTooSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := performer{b: drained("10/s 9")}
		var all []*waiting
		for _, n := range []int{6, 2, 7, 8, 3, 9} {
			all = append(all, goWait(t.Context(), p.b, n))
		}
		time.Sleep(100 * ms)
		p.do("SetLimit 10/s 5")
		synctest.Wait()
		for _, i := range []int{0, 2, 3, 5} {
			var we *tokenbucket.WaitError
			if !all[i].returned() || !errors.Is(all[i].err, tokenbucket.ErrExceedsBurst) || !errors.As(all[i].err, &we) || we.Delay != tokenbucket.Never {
				t.Errorf("waiter %d: %v", i, all[i].err)
			}
		}
		if p.b.Waiting() != 2 {
			t.Errorf("%d are left, want 2", p.b.Waiting())
		}
		time.Sleep(100 * ms)
		if !all[1].served() || all[4].served() {
			t.Error("after 200ms the second is not served, alone")
		}
		time.Sleep(300 * ms)
		if !all[4].served() || p.b.Tokens() != 0 {
			t.Error("after 500ms the fifth is not served")
		}
	})
}

func TestChargeDelaysRefundAdvances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := drained("10/s 5")
		first, second := goWait(t.Context(), b, 2), goWait(t.Context(), b, 2)
		time.Sleep(100 * ms)
		b.Charge(3)
		time.Sleep(400*ms - 1)
		if first.served() {
			t.Error("served in spite of the charge")
		}
		time.Sleep(time.Nanosecond)
		if !first.served() {
			t.Error("not served 300ms after its turn, as was charged")
		}
		b.Refund(1)
		if time.Sleep(100*ms - 1); second.served() {
			t.Error("served before its time")
		}
		if time.Sleep(time.Nanosecond); !second.served() {
			t.Error("not served 100ms sooner, as was refunded")
		}
		third := goWait(t.Context(), b, 1)
		if b.Refund(1); !third.served() || b.Tokens() != 0 {
			t.Error("not served at once after a refund")
		}
	})
}

// TestLateTimers has every timer go off up to 10 ms late, which must cost nothing, whether one or many wait in turn.
func TestLateTimers(t *testing.T) {
	for _, waiters := range []int{1, 2, 50} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			clk := newFakeClock()
			b := drained("1000/s 1", tokenbucket.WithClock(clk))
			var granted atomic.Int64
			for range waiters {
				go func() {
					for b.Wait(ctx) == nil {
						granted.Add(1)
					}
				}()
			}
			for range 500 {
				synctest.Wait()
				late := rand.Int64N(int64(10*ms) + 1)
				move(clk, time.Duration(clk.armed()+late))
				synctest.Wait()
				if want := clk.now / int64(ms); granted.Load() != want {
					t.Fatalf("%d waiters: granted %d after %dms, the last timer %v late", waiters, granted.Load(), want, time.Duration(late))
				}
			}
			cancel()
		})
	}
}

// TestStall stops everything for a while. What comes at once afterwards is bounded, whoever takes it.
func TestStall(t *testing.T) {
	for _, stall := range []time.Duration{11 * ms, 12 * ms, sec, time.Minute, year} {
		for _, taker := range []string{"waiters", "one by one", "Allow"} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				clk := newFakeClock()
				b := drained("1000/s 5", tokenbucket.WithClock(clk))
				var granted atomic.Int64
				waiters := map[string]int{"waiters": 100, "one by one": 1}[taker]
				for range waiters {
					go func() {
						for b.Wait(ctx) == nil && taker == "one by one" {
							granted.Add(1)
						}
						if ctx.Err() == nil {
							granted.Add(1)
						}
					}()
				}
				move(clk, stall)
				synctest.Wait()
				for taker == "Allow" && b.Allow() {
					granted.Add(1)
				}
				want := min(int64(5+10), int64(stall/ms))
				if taker == "Allow" {
					want = 5
				}
				if granted.Load() != want {
					t.Errorf("%s got %d tokens after %v, want %d", taker, granted.Load(), stall, want)
				}
				if b.Allow() || b.TakeAvailable(5) > 0 {
					t.Errorf("%s and then another got more after %v", taker, stall)
				}
				cancel()
			})
		}
	}
}

// TestCreditEnds leaves behind what a late waiter may have, and has somebody else come by.
func TestCreditEnds(t *testing.T) {
	for _, test := range []struct {
		op      string
		pause   time.Duration
		granted int // to those who wait then, at once
	}{
		{"Tokens", 0, 8},
		{"Tokens", ms, 9},
		{"Tokens", 2 * ms, 10},
		{"Tokens", 4 * ms, 12},
		{"Tokens", 4*ms + 2, 2}, // the last one's turn was at 2 ms and left 2: for 10 ms all has been there that there can be
		{"Take 3", 0, 8},        // denied
		{"TakeAvailable 1", 0, 1},
		{"Charge 1", 0, 1},
		{"Refund 1", 0, 2},
		{"SetLimit 1000/s 3", 0, 2},
		{"SetLimit 1000/s 2", 0, 8},
	} {
		synctest.Test(t, func(t *testing.T) {
			clk := newFakeClock()
			p := performer{b: drained("1000/s 2", tokenbucket.WithClock(clk))}
			goWait(t.Context(), p.b, 1)
			goWait(t.Context(), p.b, 1)
			move(clk, 10*ms) // they were due after 1 and 2 ms
			p.do(test.op)
			move(clk, 10*ms+test.pause)
			granted := 0
			for ; granted < 20; granted++ {
				if w := goWait(t.Context(), p.b, 1); !w.returned() {
					w.cancel()
					break
				}
			}
			if granted != test.granted {
				t.Errorf("%s and a pause of %v left %d tokens, want %d", test.op, test.pause, granted, test.granted)
			}
		})
	}
}

// impatientClock is a clock that moves on while somebody sets a timer: exactly between the reading of the clock and the
// call of After, which any clock that goes by itself may do, and any test that steps one.
type impatientClock struct {
	*fakeClock
	by time.Duration
}

func (c *impatientClock) After(d time.Duration) <-chan time.Time {
	by := c.by
	c.by = 0
	c.set(c.now + int64(by))
	return c.fakeClock.After(d)
}

func TestClockMovesWhileATimerIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := &impatientClock{newFakeClock(), 100 * ms}
		b := drained("10/s 1", tokenbucket.WithClock(clk))
		w := goWait(t.Context(), b, 1)
		if !w.served() {
			t.Error("not served though its time has come")
		}
		w.cancel()
		synctest.Wait()
	})
}

// raceEnabled tells that the race detector is on, which knows no more than 8128 goroutines.
var raceEnabled = func() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}()

// TestManyCancels has a hundred thousand wait, and give up in random order.
func TestManyCancels(t *testing.T) {
	n := 100_000
	if raceEnabled || testing.Short() {
		n = 5000
	}
	start := time.Now()
	clk := newFakeClock()
	b := tokenbucket.New(tokenbucket.PerSecond(10), 5, tokenbucket.WithClock(clk))
	clk.set(int64(time.Hour))
	b.AllowN(5)
	level, _ := b.Word()
	cancels := make([]context.CancelFunc, n)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range cancels {
		ctx, cancel := context.WithCancel(t.Context())
		cancels[i] = cancel
		wg.Go(func() {
			if errors.Is(b.WaitN(ctx, 1+i%5), context.Canceled) {
				failed.Add(1)
			}
		})
	}
	if !poll(func() bool { return b.Waiting() == n }) {
		t.Errorf("%d are waiting", b.Waiting())
	}
	if _, inQueue := b.Word(); !inQueue {
		t.Error("they wait, and the word does not say so")
	}
	rand.Shuffle(n, func(i, j int) { cancels[i], cancels[j] = cancels[j], cancels[i] })
	for _, cancel := range cancels {
		cancel()
	}
	wg.Wait()
	if l, inQueue := b.Word(); l != level || inQueue || b.Waiting() != 0 || failed.Load() != int64(n) || b.Tokens() != 0 {
		t.Errorf("afterwards: level %d, was %d; in queue %v, waiting %d, failed %d", l, level, inQueue, b.Waiting(), failed.Load())
	}
	if clk.set(int64(time.Hour + 100*ms)); !b.Allow() || b.Allow() {
		t.Error("there is not exactly one token 100ms later")
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestSaturated measures what a saturated bucket delivers by the real clock, where every timer is late. Only a stall of the
// whole machine may cost tokens; where there was one, it measures again.
func TestSaturated(t *testing.T) {
	perSec := 100_000
	if raceEnabled {
		perSec = 20_000 // with the detector a thousand waiters at 100 000 a second are all that two processors can do
	}
	long, budget := 500*ms, 8*time.Second
	if testing.Short() {
		long, budget = 100*ms, 2*time.Second
	}
	for _, waiters := range []int{1, 10, 1000} {
		t.Run(fmt.Sprint(waiters), func(t *testing.T) {
			share, stalls := 0.0, 0
			for start := time.Now(); time.Since(start) < budget; {
				granted, d, stalled := saturate(perSec, waiters, long)
				if most := 1 + float64(perSec)*(d+10*ms).Seconds(); float64(granted) > most {
					t.Fatalf("granted %d in %v, want at most %v", granted, d, most)
				}
				if share = max(share, float64(granted)/(float64(perSec)*d.Seconds())); share >= 0.97 {
					return
				}
				if stalled || tickerShare(perSec, waiters, long) < 0.99 {
					stalls++
					long = max(long/2, 100*ms)
				} else if time.Since(start) > budget/2 {
					t.Fatalf("delivered %.1f %% of the rate", 100*share)
				}
			}
			t.Skipf("the machine was busy in %d measurements; in the best %.1f %% of the rate were delivered", stalls, 100*share)
		})
	}
}

// saturate returns how many tokens were granted in about so long, how long it was exactly, and whether a timer that has
// nothing to do with any bucket was late by half of what a bucket makes good.
func saturate(perSec, waiters int, long time.Duration) (int64, time.Duration, bool) {
	stop, cancel := context.WithCancel(context.Background())
	var granted atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	b := tokenbucket.New(tokenbucket.PerSecond(perSec), 1)
	for range waiters {
		wg.Go(func() {
			for b.Wait(stop) == nil {
				granted.Add(1)
			}
		})
	}
	stalled := false
	for time.Since(start) < long {
		before := time.Now()
		time.Sleep(ms)
		stalled = stalled || time.Since(before) > 6*ms
	}
	n, d := granted.Load(), time.Since(start) // what is granted between the two makes n too small, never too large
	cancel()
	wg.Wait()
	return n, d, stalled
}

// tickerShare is a control for saturate: the share of the rate that a goroutine with a ticker passes on
// to as many others, where it may make good 10 ms. If it is not all, the machine has no time for them.
func tickerShare(perSec, waiters int, long time.Duration) float64 {
	tokens := make(chan struct{})
	var wg sync.WaitGroup
	for range waiters {
		wg.Go(func() {
			for range tokens {
			}
		})
	}
	ticker := time.NewTicker(ms)
	defer ticker.Stop()
	start := time.Now()
	passed, lost := 0, 0
	for range ticker.C {
		due := int(float64(perSec) * time.Since(start).Seconds())
		late := max(due-lost-passed-perSec/100, 0)
		for lost += late; passed < due-lost; passed++ {
			tokens <- struct{}{}
		}
		if due >= int(float64(perSec)*long.Seconds()) {
			break
		}
	}
	d := time.Since(start)
	close(tokens)
	wg.Wait()
	return float64(passed) / (float64(perSec) * d.Seconds())
}

// TestCrowd does everything at once in a bubble, where a waiter who is not woken is a deadlock, and where nothing is late:
// so nobody is granted more than the burst at once.
func TestCrowd(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			stop, cancel := context.WithCancel(t.Context())
			c := &crowd{burst: 5, start: time.Now(), stop: stop, b: drained("1000/s 5")}
			var wg sync.WaitGroup
			for _, f := range []func(*crowd, int) (int, time.Duration){
				(*crowd).allow, (*crowd).available, (*crowd).wait, (*crowd).wait, (*crowd).wait, (*crowd).hurry, (*crowd).hurry,
				(*crowd).hurry, (*crowd).reserve, (*crowd).reserve,
			} {
				wg.Go(func() {
					c.run(func(n int) (int, time.Duration) {
						time.Sleep(time.Duration(rand.Int64N(int64(2 * ms))))
						return f(c, n)
					}, 5)
				})
			}
			time.Sleep(200 * ms)
			cancel()
			wg.Wait()
			if got := excess(c.all, 1000); got > 5.00001 {
				t.Errorf("in some window %v tokens beyond the refill, want at most 5", got)
			}
			time.Sleep(time.Hour)
			if b := c.b; b.Waiting() != 0 || b.Tokens() != 5 {
				t.Errorf("afterwards %d are waiting and there are %v tokens", b.Waiting(), b.Tokens())
			}
		})
	}
}

// TestUpheaval changes limits, charges and refunds while all sorts of callers wait. None of them must be forgotten.
func TestUpheaval(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	limits := []string{"10/s 5", "1000/s 5", "1000000/s 9", "0 5", "inf 5", "1/8760h 6", "1000/s 3"}
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			p := performer{b: drained("1000/s 5")}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 20 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rand.Int64N(int64(50*ms))))
						if rand.IntN(2) == 0 {
							ctx = noDeadline{ctx}
						}
						if rand.IntN(4) == 0 {
							ctx = t.Context()
						}
						_ = p.b.WaitN(ctx, 1+rand.IntN(5))
						cancel()
					}
				})
			}
			for range 2 {
				wg.Go(func() {
					for range 50 {
						time.Sleep(time.Duration(rand.Int64N(int64(5 * ms))))
						if r, err := p.b.ReserveN(1 + rand.IntN(3)); err == nil {
							time.Sleep(min(r.Delay(), time.Duration(rand.Int64N(int64(10*ms)))))
							r.Cancel() // which may be years away, by the limit that was in force
						}
					}
				})
			}
			wg.Go(func() {
				for range 100 {
					time.Sleep(time.Duration(rand.Int64N(int64(3 * ms))))
					switch rand.IntN(4) {
					case 0:
						p.b.Charge(rand.IntN(4))
					case 1:
						p.b.Refund(rand.IntN(8))
					default:
						p.do("SetLimit " + limits[rand.IntN(len(limits))])
					}
				}
				p.do("SetLimit 1000/s 5")
			})
			wg.Wait()
			time.Sleep(time.Hour)
			if b := p.b; b.Waiting() != 0 || b.Tokens() != 5 || !b.AllowN(5) || b.Allow() {
				t.Errorf("afterwards %d are waiting and there are %v tokens", b.Waiting(), b.Tokens())
			}
		})
	}
}

// TestNoWaiterHoldsABucket drops buckets that have been waited at.
func TestNoWaiterHoldsABucket(t *testing.T) {
	collected := make(chan int, 1)
	b := tokenbucket.New(tokenbucket.PerSecond(1000), 1)
	for range 5 {
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.AddCleanup(b, func(c chan int) { c <- 1 }, collected)
	b = nil
	if !poll(func() bool { runtime.GC(); return len(collected) == 1 }) {
		t.Error("an abandoned bucket is not collected")
	}
}

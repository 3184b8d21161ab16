package redisbucket_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// stageWaiter is a waiter and the instant at which it asks next, in the stage's time.
type stageWaiter struct {
	*redisbucket.Waiter
	next int64
	n    int
}

func enter(t testing.TB, s *stage, n int) *stageWaiter {
	t.Helper()
	w := &stageWaiter{Waiter: redisbucket.NewWaiter(s.Limiter, "k", n), n: n}
	if w.ask(t, s) {
		t.Fatal("a waiter was granted its tokens at once")
	}
	return w
}

// ask reports whether the waiter was granted its tokens.
func (w *stageWaiter) ask(t testing.TB, s *stage) bool {
	t.Helper()
	ok, err := w.Ask()
	if err != nil {
		t.Fatal(err)
	}
	w.next = s.now + w.Again.Microseconds()
	return ok
}

// play lets waiters ask whenever they should, until all have been granted their tokens or the
// stage's time is end, and calls granted for each grant.
func play(t testing.TB, s *stage, waiters []*stageWaiter, end int64, granted func(*stageWaiter)) (left []*stageWaiter) {
	t.Helper()
	for len(waiters) > 0 {
		i := 0
		for j, w := range waiters {
			if w.next < waiters[i].next {
				i = j
			}
		}
		w := waiters[i]
		if w.next > end {
			break
		}
		s.at(max(s.now, w.next))
		if w.ask(t, s) {
			granted(w)
			waiters = slices.Delete(waiters, i, i+1)
		}
	}
	s.at(max(s.now, end))
	return waiters
}

// queue empties the bucket of a new stage and lets n waiters enter.
func queue(t testing.TB, limit tokenbucket.Limit, n int) (*stage, []*stageWaiter) {
	t.Helper()
	s := newStage(t, limit)
	s.take(limit.Burst)
	var waiters []*stageWaiter
	for range n {
		waiters = append(waiters, enter(t, s, 1))
	}
	return s, waiters
}

var tenASecond = tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 1}

// When 95 of 100 waiters leave, the next one is the sixth; when all have left, the bucket is as if
// nobody had ever waited.
func TestWaitersThatLeave(t *testing.T) {
	s, waiters := queue(t, tenASecond, 100)
	if w := waiters[99]; w.Turn != 10*time.Second {
		t.Fatalf("the turn of the hundredth waiter comes in %v, want 10s", w.Turn)
	}
	for i, w := range waiters {
		if i%20 != 10 {
			w.Leave()
		}
	}
	if n, err := s.Tokens(t.Context(), "k"); err != nil || n != -5 {
		t.Errorf("Tokens = %v, %v, want -5: five still wait", n, err)
	}
	next := enter(t, s, 1)
	if next.Turn != 600*time.Millisecond {
		t.Errorf("the turn of the sixth waiter comes in %v, want 600ms", next.Turn)
	}
	next.Leave()
	for i, w := range waiters {
		if i%20 == 10 {
			w.Leave()
		}
	}
	if res := s.take(1); res.Allowed || res.RetryAfter != 100*time.Millisecond {
		t.Errorf("after all have left: %+v, want a token in 100ms", res)
	}
}

// Those who stay move forward: each is granted its token by the time it has waited twice as long as
// it would have if the others had never come.
func TestWaitersMoveForward(t *testing.T) {
	s, waiters := queue(t, tenASecond, 100)
	stay := slices.Clone(waiters[95:])
	for _, w := range waiters[:95] {
		w.Leave()
	}
	var order []*stageWaiter
	start := s.now
	play(t, s, stay, s.now+2_000_000, func(w *stageWaiter) { order = append(order, w) })
	if !slices.Equal(order, waiters[95:]) {
		t.Errorf("%d of 5 waiters were granted their token within 2 s, want all in order", len(order))
	}
	if took := s.now - start; took > 2_000_000 {
		t.Errorf("it took %d us", took)
	}
}

// A waiter that dies delays nobody, and its token is not lost.
func TestDeadWaiters(t *testing.T) {
	s, waiters := queue(t, tenASecond, 6)
	second := waiters[5]
	told := s.now + second.Turn.Microseconds()
	var at int64
	play(t, s, []*stageWaiter{second}, told, func(*stageWaiter) { at = s.now })
	if at == 0 || at > told {
		t.Errorf("a waiter behind dead ones was granted its token at %d, want by %d", at, told)
	}
	s.advance(time.Second)
	if res := s.take(1); !res.Allowed {
		t.Errorf("a second later: %+v", res)
	}
}

// After a stall of everybody, waiters are still served in order, at most a burst and 10 ms of refill
// at once.
func TestStalledWaiters(t *testing.T) {
	s, waiters := queue(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(100), Burst: 1}, 10)
	s.advance(10 * time.Second)
	all := slices.Clone(waiters)
	slices.Reverse(all)
	for _, w := range all {
		w.next = s.now
	}
	start := s.now
	var order []*stageWaiter
	play(t, s, all, s.now+1_000_000, func(w *stageWaiter) {
		order = append(order, w)
		if most := 2 + (s.now-start)/10_000; int64(len(order)) > most {
			t.Errorf("%d tokens in %d us after the stall", len(order), s.now-start)
		}
	})
	if len(order) != 10 {
		t.Fatalf("%d of 10 waiters were served", len(order))
	}
}

// Whatever the server forgets, waiters do not add to: it is as one burst.
func TestServerForgetsWaiters(t *testing.T) {
	for name, forget := range map[string]func(*stage){
		"data lost": func(s *stage) {
			if err := s.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		},
		"clock a minute forward": func(s *stage) { s.advance(time.Minute) },
		"clock an hour back":     func(s *stage) { s.advance(-time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			s, waiters := queue(t, tenASecond, 100)
			before := s.now
			forget(s)
			for _, w := range waiters { // each sleeps by its own clock
				w.next += s.now - before
			}
			start, granted, taken := s.now, 0, 0
			for s.now < start+12_000_000 {
				waiters = play(t, s, waiters, s.now+10_000, func(*stageWaiter) { granted++ })
				if s.take(1).Allowed {
					taken++
				}
				// one burst there was, and one tenth of the rate for a late waiter
				if most := 1 + 1 + (s.now-start)/100_000; int64(granted+taken) > most {
					t.Fatalf("%d tokens to waiters and %d to others in %d us", granted, taken, s.now-start)
				}
			}
			if granted != 100 {
				t.Errorf("%d of 100 waiters were granted their token in 12 s, beside %d others", granted, taken)
			}
		})
	}
}

// Waiters enter, ask, leave and die; others take, refund and change the limit; the server forgets.
// In every window the tokens granted are within what the most generous limit allows.
func TestWaitersKeepTheBound(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		playAtRandom(t, rand.New(rand.NewPCG(uint64(seed), 5)))
	}
}

func playAtRandom(t *testing.T, r *rand.Rand) {
	limits := []tokenbucket.Limit{
		{Rate: tokenbucket.PerSecond(1 + r.IntN(12)), Burst: 1 + r.IntN(6)},
		{Rate: tokenbucket.PerSecond(1 + r.IntN(12)), Burst: 1 + r.IntN(6)},
	}
	limit := limits[0]
	c := patientClient(t, shared)
	of := func(string) tokenbucket.Limit { return limit }
	s := stageOf(t, redisbucket.NewFunc(c, of, redisbucket.WithPrefix(unique(t)), patient), c)
	rate := max(limits[0].Rate.TokensPerSecond(), limits[1].Rate.TokensPerSecond())
	burst := max(limits[0].Burst, limits[1].Burst)
	var events []event
	var waiters []*stageWaiter
	for range 120 {
		waiters = play(t, s, waiters, s.now+r.Int64N(400_000), func(w *stageWaiter) {
			events = append(events, event{s.now, w.n})
		})
		n := 1 + r.IntN(min(limits[0].Burst, limits[1].Burst))
		switch r.IntN(8) {
		case 0, 1:
			if s.take(n).Allowed {
				events = append(events, event{s.now, n})
			}
		case 2, 3, 4:
			w := &stageWaiter{Waiter: redisbucket.NewWaiter(s.Limiter, "k", n), n: n}
			if w.ask(t, s) {
				events = append(events, event{s.now, n})
			} else {
				waiters = append(waiters, w)
			}
		case 5:
			if len(waiters) > 0 {
				i := r.IntN(len(waiters))
				if r.IntN(3) > 0 { // else it dies
					waiters[i].Leave()
				}
				waiters = slices.Delete(waiters, i, i+1)
			}
		case 6:
			if err := s.Refund(context.Background(), "k", 1); err != nil {
				t.Fatal(err)
			}
			events = append(events, event{s.now, -1})
		case 7:
			limit = limits[r.IntN(2)]
		}
	}
	checkEvents(t, events, rate, burst)
}

// An event is tokens granted, or if n is negative refunded, at an instant in microseconds.
type event struct {
	at int64
	n  int
}

// checkEvents looks at every window: what was granted in it, less what was refunded in it, must be
// within burst + rate*(T + 10ms).
func checkEvents(t testing.TB, events []event, rate float64, burst int) {
	t.Helper()
	for i, first := range events {
		sum, back := 0, 0
		for _, last := range events[i:] {
			if last.n < 0 {
				back -= last.n
				continue
			}
			sum += last.n
			if most := float64(burst) + rate*float64(last.at-first.at+10_000)/1e6; float64(sum-back) > most+1e-6 {
				t.Fatalf("%d tokens less %d refunded in %d us: want at most %v", sum, back, last.at-first.at, most)
			}
		}
	}
}

// A refund is granted to those who wait.
func TestRefundBesideWaiters(t *testing.T) {
	s, waiters := queue(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 10}, 2)
	if err := s.Refund(t.Context(), "k", 5); err != nil {
		t.Fatal(err)
	}
	if res := s.take(4); res.Allowed || res.Remaining != 3 {
		t.Errorf("%+v, want the 3 that the waiters leave", res)
	}
	if !waiters[1].ask(t, s) || !waiters[0].ask(t, s) {
		t.Error("there are tokens for both waiters")
	}
	if res := s.take(4); res.Allowed || res.Remaining != 3 {
		t.Errorf("%+v, want 3 left", res)
	}
}

// A waiter whose n a smaller burst can never grant is told so.
func TestBurstLoweredBelowAWaiter(t *testing.T) {
	limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 10}
	c := patientClient(t, shared)
	s := stageOf(t, redisbucket.NewFunc(c, func(string) tokenbucket.Limit { return limit }, redisbucket.WithPrefix(unique(t)), patient), c)
	s.take(10)
	w := enter(t, s, 5)
	limit.Burst = 4
	s.advance(time.Second)
	if ok, err := w.Ask(); ok || err == nil {
		t.Errorf("5 tokens of burst 4: %v, %v", ok, err)
	}
	if res := s.take(4); !res.Allowed {
		t.Errorf("%+v: the refused waiter is still in the list", res)
	}
}

// counting counts the round trips.
type counting struct {
	redisbucket.Client
	n atomic.Int64
}

func (c *counting) Process(ctx context.Context, cmd redis.Cmder) error {
	c.n.Add(1)
	return c.Client.Process(ctx, cmd)
}

// Waits take two round trips each and, all together, as long as the rate says.
func TestWaitInTurn(t *testing.T) {
	c := &counting{Client: patientClient(t, shared)}
	l := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.PerSecond(200), Burst: 1}, redisbucket.WithPrefix(unique(t)), patient)
	if err := l.Wait(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	c.n.Store(0)
	start := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := l.Wait(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d round trips for 20 waits", c.n.Load()) // more than 40 if timers were late
	if took := time.Since(start); took < 85*time.Millisecond {
		t.Errorf("20 tokens at 200/s in %v", took)
	}
}

func TestWaitRefuses(t *testing.T) {
	l := limiterOf(t, tokenbucket.PerMinute(1), 2)
	if err := l.WaitN(t.Context(), "k", 2); err != nil {
		t.Fatal(err)
	}
	check := func(err, want error, delay bool) {
		t.Helper()
		var we *tokenbucket.WaitError
		if !errors.Is(err, want) || !errors.As(err, &we) || (we.Delay > 0) != delay {
			t.Errorf("error %v, want a WaitError of %v", err, want)
		}
	}
	check(l.WaitN(t.Context(), "k", 3), tokenbucket.ErrExceedsBurst, true)
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	check(l.WaitN(soon, "k", 1), tokenbucket.ErrDeadline, true)
	cause := errors.New("the cause")
	dead, end := context.WithCancelCause(t.Context())
	end(cause)
	check(l.WaitN(dead, "k", 1), cause, false)
	check(l.WaitN(dead, "k", 1), context.Canceled, false)
	if got, err := l.Tokens(t.Context(), "k"); err != nil || got < 0 {
		t.Errorf("Tokens = %v, %v: a refused Wait took something", got, err)
	}
}

// A Wait that is cancelled while it sleeps gives its place back.
func TestWaitCancelled(t *testing.T) {
	l := limiterOf(t, tokenbucket.PerHour(1), 2)
	if err := l.WaitN(t.Context(), "k", 2); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Wait(ctx, "k") }()
	until(t, func() bool { n, err := l.Tokens(t.Context(), "k"); return err == nil && n < -0.9 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	until(t, func() bool { n, err := l.Tokens(t.Context(), "k"); return err == nil && n > -0.1 })
}

// until waits for something that is bound to happen.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for stop := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(stop) {
			t.Fatal("it has not happened in 20 s")
		}
	}
}

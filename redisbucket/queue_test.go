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

// An event is tokens granted, or if n is negative refunded, at an instant in microseconds.
type event struct {
	at int64
	n  int
}

// checkEvents looks at every window: what was granted in it, less what was refunded in it, must be within the bound.
func checkEvents(t testing.TB, events []event, a, b, burst int64) {
	t.Helper()
	slices.SortStableFunc(events, func(x, y event) int { return int(x.at - y.at) })
	for i, first := range events {
		sum, back := int64(0), int64(0)
		for _, last := range events[i:] {
			if last.n < 0 {
				back -= int64(last.n)
				continue
			}
			// A refund in the window makes room for as much; the units of a microsecond's beginning are the promise's 1µs.
			if sum += int64(last.n); (sum-back-burst)*b > a*(last.at-first.at+1) {
				t.Fatalf("%d tokens less %d refunded in %d us: more than burst %d and %d/%d a us", sum, back, last.at-first.at, burst, a, b)
			}
		}
	}
}

type sleeper struct {
	*redisbucket.Place
	turn int64
	n    int
}

// Places are taken, given back in any order, tokens taken and refunded meanwhile: whoever is granted what, the bound holds
// in every window, also for those who sleep.
func TestCancelKeepsTheBound(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		burst := 1 + r.IntN(6)
		s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(1 + r.IntN(12)), Burst: burst})
		playQueue(t, s, r, burst)
	}
}

func playQueue(t *testing.T, s *stage, r *rand.Rand, burst int) {
	a, b, _ := redisbucket.Held(s.Limiter)
	var events []event
	var asleep []sleeper
	for range 60 {
		s.at(s.now + r.Int64N(2*b/a))
		asleep = slices.DeleteFunc(asleep, func(x sleeper) bool {
			if x.turn <= s.now {
				events = append(events, event{x.turn, x.n})
			}
			return x.turn <= s.now
		})
		n := 1 + r.IntN(burst)
		switch r.IntN(6) {
		case 0:
			if s.take(n).Allowed {
				events = append(events, event{s.now, n})
			}
		case 1, 2:
			p, err := redisbucket.Reserve(s.Limiter, "k", n)
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			asleep = append(asleep, sleeper{p, s.now + p.Turn.Microseconds(), n})
		case 3, 4:
			if len(asleep) > 0 {
				i := r.IntN(len(asleep))
				if _, err := redisbucket.Cancel(s.Limiter, asleep[i].Place); err != nil {
					t.Fatal(err)
				}
				asleep = slices.Delete(asleep, i, i+1)
			}
		case 5:
			n = 1 + r.IntN(2)
			if err := s.Refund(context.Background(), "k", n); err != nil {
				t.Fatal(err)
			}
			events = append(events, event{s.now, -n})
		}
	}
	for _, x := range asleep {
		events = append(events, event{x.turn, x.n})
	}
	checkEvents(t, events, a, b, int64(burst))
}

// The design's example: burst 2 at 10 a second, drained, A=2 and B=2 queue, A gives up, D=2 comes: not beside B.
func TestNobodyBesideAPromise(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 2})
	s.take(2)
	a, b := mustReserve(t, s, 2), mustReserve(t, s, 2)
	if a.Turn != 200*time.Millisecond || b.Turn != 400*time.Millisecond {
		t.Fatal(a.Turn, b.Turn)
	}
	if got := mustCancel(t, s, a); got != 0 {
		t.Errorf("%v tokens given back, want 0", got)
	}
	if d := mustReserve(t, s, 2); d.Turn != 600*time.Millisecond {
		t.Errorf("D's turn is after %v, want 600ms", d.Turn)
	}
}

func mustReserve(t *testing.T, s *stage, n int) *redisbucket.Place {
	t.Helper()
	p, err := redisbucket.Reserve(s.Limiter, "k", n)
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	return p
}

func mustCancel(t *testing.T, s *stage, p *redisbucket.Place) float64 {
	t.Helper()
	got, err := redisbucket.Cancel(s.Limiter, p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What is given back: all from the last in the queue, and with small claims all from the middle too.
func TestGivingBack(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 10})
	s.take(10)
	var places []*redisbucket.Place
	for range 5 {
		places = append(places, mustReserve(t, s, 1))
	}
	for _, i := range []int{1, 3, 4, 0, 2} {
		if got := mustCancel(t, s, places[i]); got != 1 {
			t.Errorf("%v tokens of place %d given back, want 1", got, i)
		}
	}
	if res := s.take(1); res.RetryAfter != 100*time.Millisecond {
		t.Errorf("after all have left the next token is due in %v, want 100ms", res.RetryAfter)
	}
}

// While somebody sleeps, refunds go no further than there is room beside the promise.
func TestRefundBesideAPromise(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 10})
	s.take(10)
	mustReserve(t, s, 1)
	for i, want := range []int{4, 8, 8, 8} {
		if err := s.Refund(t.Context(), "k", 5); err != nil {
			t.Fatal(err)
		}
		if got := s.take(0).Remaining; got != want {
			t.Errorf("after refund %d there are %d tokens, want %d", i, got, want)
		}
	}
	s.advance(100 * time.Millisecond)
	if err := s.Refund(t.Context(), "k", 1); err != nil {
		t.Fatal(err)
	}
	if got := s.take(0).Remaining; got != 10 {
		t.Errorf("when the sleeper is through there are %d tokens, want 10", got)
	}
}

// What the refill has passed already cannot be given back.
func TestGivingBackLate(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 2})
	s.take(2)
	p := mustReserve(t, s, 1)
	s.advance(250 * time.Millisecond)
	s.take(1)
	if got := mustCancel(t, s, p); got != 0.5 {
		t.Errorf("%v tokens given back, want 0.5", got)
	}
}

// A place in a bucket that was deleted since is nobody's in the new one.
func TestPlaceOfAnotherLife(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 2})
	s.take(2)
	p := mustReserve(t, s, 1)
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	s.advance(time.Microsecond)
	s.take(2)
	mustReserve(t, s, 1)
	if got := mustCancel(t, s, p); got != 0 {
		t.Errorf("%v tokens given back", got)
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

// Each Wait is one round trip, and all together take as long as the rate says.
func TestWaitInTurn(t *testing.T) {
	c := &counting{Client: patientClient(t, shared)}
	l := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.PerSecond(100), Burst: 1}, redisbucket.WithPrefix(unique(t)), patient)
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
	if n := c.n.Load(); n != 20 {
		t.Errorf("%d round trips for 20 waits", n)
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("20 tokens at 100/s in %v", took)
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

package redisbucket_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

func TestDenialWritesNothing(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 2})
	s.take(2)
	if s.writes() != 1 {
		t.Error("a grant has not written once")
	}
	for range 5 {
		s.advance(10 * time.Millisecond)
		if s.take(1).Allowed || s.take(3).Allowed {
			t.Fatal("granted")
		}
	}
	if n := s.writes(); n != 0 {
		t.Errorf("denials have written %d times", n)
	}
}

// A clock that steps back earns nothing and costs nothing but the time: from there the bucket refills as ever.
func TestClockStepsBack(t *testing.T) {
	s := newStage(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 2})
	s.take(2)
	s.advance(-time.Hour)
	if res := s.take(1); res.Allowed || res.RetryAfter != 100*time.Millisecond {
		t.Errorf("after the step %+v", res)
	}
	s.advance(99_999 * time.Microsecond)
	if res := s.take(1); res.Allowed || res.RetryAfter != time.Microsecond {
		t.Errorf("100 ms later but for 1 us %+v", res)
	}
	s.advance(time.Microsecond)
	if !s.take(1).Allowed {
		t.Error("no token 100 ms after the step")
	}
	// Forward again: what lies between counts, but for no more than a full bucket.
	s.advance(time.Hour)
	if !s.take(2).Allowed || s.take(1).Allowed {
		t.Error("after the step forward there is not one burst")
	}
}

// The key expires when the bucket is full, but not within ten seconds of the last write.
func TestExpiry(t *testing.T) {
	prefix := unique(t)
	c := patientClient(t, shared)
	l := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.PerSecond(3), Burst: 100}, redisbucket.WithPrefix(prefix), patient)
	res, err := l.Take(t.Context(), "k", 50)
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := c.PTTL(t.Context(), redisbucket.Name(prefix, "k")).Result()
	if err != nil || ttl > res.ResetAfter+2*time.Millisecond || ttl < res.ResetAfter-10*time.Second {
		t.Errorf("TTL %v, %v; the bucket is full in %v", ttl, err, res.ResetAfter)
	}
	if err := l.Refund(t.Context(), "k", 50); err != nil {
		t.Fatal(err)
	}
	if ttl, err := c.PTTL(t.Context(), redisbucket.Name(prefix, "k")).Result(); err != nil || ttl > 10*time.Second+2*time.Millisecond {
		t.Errorf("the TTL of a full bucket is %v, %v", ttl, err)
	}
}

// A flood of keys is gone from the server when its buckets are full.
func TestManyKeys(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 2_000
	}
	s := patientClient(t, startOwn(t).addr)
	l := redisbucket.New(s, tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 2}, redisbucket.WithPrefix(unique(t)), patient)
	var pool pool
	for i := range n {
		pool.do(16, func() {
			if ok, err := l.Allow(t.Context(), fmt.Sprint("client ", i)); err != nil || !ok {
				t.Error(ok, err)
			}
		})
	}
	pool.wait()
	until(t, func() bool {
		left, err := s.DBSize(t.Context()).Result()
		return err == nil && left < int64(n)/100
	})
}

// pool runs some functions at once.
type pool struct{ slots chan struct{} }

func (p *pool) do(n int, f func()) {
	if p.slots == nil {
		p.slots = make(chan struct{}, n)
	}
	p.slots <- struct{}{}
	go func() { defer func() { <-p.slots }(); f() }()
}

func (p *pool) wait() {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
}

// A key that holds something else is an error of that key alone.
func TestForeignKey(t *testing.T) {
	prefix := unique(t)
	c := patientClient(t, shared)
	l := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.PerSecond(3), Burst: 100}, redisbucket.WithPrefix(prefix),
		redisbucket.WithBreaker(1, time.Hour), patient)
	c.Set(t.Context(), redisbucket.Name(prefix, "a"), "hello", 0)
	c.LPush(t.Context(), redisbucket.Name(prefix, "b"), "hello")
	for _, key := range []string{"a", "b"} {
		if _, err := l.Take(t.Context(), key, 1); err == nil || !strings.Contains(err.Error(), "redisbucket: Take: ") {
			t.Errorf("key %s: error %v", key, err)
		}
	}
	if ok, err := l.Allow(t.Context(), "c"); !ok || err != nil {
		t.Errorf("another key: %v, %v", ok, err)
	}
}

func TestTakeAll(t *testing.T) {
	c := patientClient(t, shared)
	of := func(rate tokenbucket.Rate, burst int) *redisbucket.Limiter {
		return redisbucket.New(c, tokenbucket.Limit{Rate: rate, Burst: burst}, redisbucket.WithPrefix(unique(t)), patient)
	}
	requests, tokens, free := of(tokenbucket.Rate{}, 3), of(tokenbucket.PerMinute(1), 1000), of(tokenbucket.Inf(), 1)
	for i, tc := range []struct {
		n                int
		ok               bool
		requests, tokens int
	}{{400, true, 2, 600}, {601, false, 2, 600}, {600, true, 1, 0}, {1, false, 1, 0}, {0, true, 0, 0}, {0, false, 0, 0}} {
		res, err := redisbucket.TakeAll(t.Context(), requests.Claim("k", 1), free.Claim("k", 7), tokens.Claim("k", tc.n))
		if err != nil {
			t.Fatal(err)
		}
		if res[0].Allowed != tc.ok || res[1].Allowed != tc.ok || res[2].Allowed != tc.ok {
			t.Errorf("%d: %+v", i, res)
		}
		if res[0].Remaining != tc.requests || res[2].Remaining != tc.tokens {
			t.Errorf("%d: %+v", i, res)
		}
	}
	mustPanic(t, "redisbucket: TakeAll: two claims", func() {
		_, _ = redisbucket.TakeAll(t.Context(), requests.Claim("k", 1), requests.Claim("k", 1))
	})
}

func mustPanic(t *testing.T, prefix string, f func()) {
	t.Helper()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, prefix) {
			t.Errorf("panic %q, want %q...", got, prefix)
		}
	}()
	f()
}

func TestPanics(t *testing.T) {
	c, ok := patientClient(t, shared), tokenbucket.Limit{Burst: 1}
	l := redisbucket.New(c, ok)
	ctx := t.Context()
	for want, f := range map[string]func(){
		"redisbucket: New: the client is nil":             func() { redisbucket.New(nil, ok) },
		"redisbucket: burst is 0":                         func() { redisbucket.New(c, tokenbucket.Limit{}) },
		"redisbucket: NewFunc: limit is nil":              func() { redisbucket.NewFunc(c, nil) },
		`redisbucket: WithPrefix: prefix is "a{"`:         func() { redisbucket.WithPrefix("a{") },
		"redisbucket: WithBudget: d is 0s":                func() { redisbucket.WithBudget(0) },
		"redisbucket: WithBreaker: failures is 0":         func() { redisbucket.WithBreaker(0, 1) },
		"redisbucket: WithBreaker: pause is 0":            func() { redisbucket.WithBreaker(1, 0) },
		"redisbucket: LocalShare: share is NaN":           func() { redisbucket.LocalShare(nan()) },
		"redisbucket: LocalShare: share is 1.5":           func() { redisbucket.LocalShare(1.5) },
		"redisbucket: Take: n is -1":                      func() { _, _ = l.Take(ctx, "", -1) },
		"redisbucket: AllowN: n is -1":                    func() { _, _ = l.AllowN(ctx, "", -1) },
		"redisbucket: TakeAvailable: n is -1":             func() { _, _, _ = l.TakeAvailable(ctx, "", -1) },
		"redisbucket: Refund: n is -1":                    func() { _ = l.Refund(ctx, "", -1) },
		"redisbucket: Charge: n is -1":                    func() { _ = l.Charge(ctx, "", -1) },
		"redisbucket: WaitN: n is -1":                     func() { _ = l.WaitN(ctx, "", -1) },
		"redisbucket: TakeAll: claim 0 is the zero Claim": func() { _, _ = redisbucket.TakeAll(ctx, redisbucket.Claim{}) },
	} {
		mustPanic(t, want, f)
	}
}

func nan() float64 { var z float64; return z / z }

package redisbucket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// A wire is a client that tests look at, hold up and cut.
type wire struct {
	redisbucket.Client
	asked   atomic.Int64 // commands
	flying  atomic.Int64
	crowd   atomic.Int64 // the most that were flying at once
	sending func()       // before the server gets a command; may be nil
	arrived func() error // after it has answered; an error is what the caller gets instead; may be nil
}

func (w *wire) Process(ctx context.Context, cmd redis.Cmder) error {
	w.asked.Add(1)
	for n := w.flying.Add(1); ; {
		if most := w.crowd.Load(); n <= most || w.crowd.CompareAndSwap(most, n) {
			break
		}
	}
	defer w.flying.Add(-1)
	if w.sending != nil {
		w.sending()
	}
	err := w.Client.Process(ctx, cmd)
	if w.arrived != nil {
		if lost := w.arrived(); lost != nil {
			return lost
		}
	}
	return err
}

// leasing returns a limiter with leases of a second on the shared server, and its wire. Its local clock, and the server's if
// it is a stage's, are the test's.
func leasing(t testing.TB, limit tokenbucket.Limit, opts ...redisbucket.LeaseOption) (*stage, *wire) {
	w := &wire{Client: patientClient(t, shared)}
	l := redisbucket.New(w, limit, redisbucket.WithPrefix(unique(t)), patient, redisbucket.WithLease(time.Second, opts...))
	s := stageOf(t, l, patientClient(t, shared))
	redisbucket.SetNow(l, func() time.Duration { return time.Duration(s.now) * time.Microsecond })
	return s, w
}

// settled waits until no request is out.
func settled(t testing.TB, l *redisbucket.Limiter, key string) {
	t.Helper()
	for range 20_000 {
		if _, flying := redisbucket.Leased(l, key); !flying {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("a request does not end")
}

func allow(t testing.TB, l *redisbucket.Limiter, key string, n int) bool {
	t.Helper()
	ok, err := l.AllowN(context.Background(), key, n)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestLeaseServesFromMemory(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(1_000_000), Burst: 1_000_000})
	for i := range 20_000 {
		if !allow(t, s.Limiter, "k", 1) {
			t.Fatalf("call %d was refused", i)
		}
		if i%10 == 0 {
			settled(t, s.Limiter, "k") // the clock stands still, so the network is infinitely slow otherwise
		}
	}
	if n := w.asked.Load(); n > 40 {
		t.Errorf("20000 calls took %d round trips", n)
	}
}

func TestLeaseAllocatesNothing(t *testing.T) {
	l := limiterOf(t, tokenbucket.PerSecond(1_000_000_000), 1<<30, redisbucket.WithLease(time.Minute))
	for range 1000 {
		allow(t, l, "k", 1)
	}
	settled(t, l, "k")
	ctx := context.Background()
	if allocs := testing.AllocsPerRun(100, func() { _, _ = l.Allow(ctx, "k") }); allocs != 0 {
		t.Errorf("a call that is served from memory allocates %v times", allocs)
	}
}

// A key that is seldom asked for gets no tokens that it would let lapse.
func TestLeaseOfRareKeys(t *testing.T) {
	s, _ := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 100})
	for i := range 100 {
		if !allow(t, s.Limiter, "k", 1) {
			t.Fatalf("call %d of 100 was refused", i)
		}
		s.advance(time.Second)
	}
}

func TestLeaseLapses(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 1000}, redisbucket.LeaseShare(1))
	for range 50 {
		allow(t, s.Limiter, "k", 1)
		settled(t, s.Limiter, "k")
	}
	held, _ := redisbucket.Leased(s.Limiter, "k")
	if held == 0 {
		t.Fatal("nothing is leased")
	}
	s.advance(time.Second)
	if held, _ := redisbucket.Leased(s.Limiter, "k"); held != 0 {
		t.Errorf("%d tokens outlast the lease", held)
	}
	before := w.asked.Load()
	if !allow(t, s.Limiter, "k", 1) || w.asked.Load() == before {
		t.Error("a lapsed token was served, or none was leased anew")
	}
	if got, err := s.Tokens(context.Background(), "k"); err != nil || got > 1000-51-float64(held)+1 {
		t.Errorf("%v tokens are left, %v: what lapsed was given back", got, err)
	}
}

func TestLeaseRemembersDenials(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 5}, redisbucket.LeaseShare(1))
	for allow(t, s.Limiter, "k", 1) {
		settled(t, s.Limiter, "k")
	}
	before := w.asked.Load()
	res := s.take(1)
	if res.Allowed || res.RetryAfter != 100*time.Millisecond || res.Remaining != 0 || res.ResetAfter != 500*time.Millisecond {
		t.Errorf("Take = %+v, want to be told to come back in 100ms", res)
	}
	s.advance(99 * time.Millisecond)
	for range 1000 {
		if allow(t, s.Limiter, "k", 1) || allow(t, s.Limiter, "k", 3) {
			t.Fatal("there were tokens before their time")
		}
	}
	if n := w.asked.Load() - before; n != 0 {
		t.Errorf("2001 refusals took %d round trips", n)
	}
	s.advance(time.Millisecond)
	if !allow(t, s.Limiter, "k", 1) {
		t.Error("there was no token when it was due")
	}
	if allow(t, s.Limiter, "k", 3) {
		t.Error("three tokens of one")
	}
	s.advance(200 * time.Millisecond)
	if allow(t, s.Limiter, "k", 3) || !allow(t, s.Limiter, "k", 2) {
		t.Error("a denial of three tokens should not deny two")
	}
}

// What was known by one limit tells nothing by another.
func TestLeaseLimitChanges(t *testing.T) {
	var limit atomic.Pointer[tokenbucket.Limit]
	limit.Store(&tokenbucket.Limit{Rate: tokenbucket.PerHour(7), Burst: 5})
	c := patientClient(t, shared)
	l := redisbucket.NewFunc(c, func(string) tokenbucket.Limit { return *limit.Load() }, redisbucket.WithPrefix(unique(t)), patient,
		redisbucket.WithLease(time.Second))
	s := stageOf(t, l, c)
	redisbucket.SetNow(l, func() time.Duration { return time.Duration(s.now) * time.Microsecond })
	if !allow(t, l, "k", 5) || allow(t, l, "k", 1) {
		t.Fatal("not five of five")
	}
	limit.Store(&tokenbucket.Limit{Rate: tokenbucket.PerSecond(1000), Burst: 100})
	s.advance(time.Millisecond)
	if allow(t, l, "k", 1) {
		t.Error("the millisecond passed by the old limit")
	}
	s.advance(time.Millisecond)
	if !allow(t, l, "k", 1) || allow(t, l, "k", 1) {
		t.Error("not one token a millisecond after the change")
	}
}

// Where tokens never come, others may have put some back, or deleted the key.
func TestLeaseAsksAgainWhereTokensNeverCome(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Burst: 2})
	if !allow(t, s.Limiter, "k", 2) || allow(t, s.Limiter, "k", 1) {
		t.Fatal("not two of two")
	}
	if err := s.Refund(context.Background(), "k", 1); err != nil {
		t.Fatal(err)
	}
	if !allow(t, s.Limiter, "k", 1) || allow(t, s.Limiter, "k", 1) {
		t.Error("a refund by this process is not seen at once")
	}
	if err := s.Delete(context.Background(), "k"); err != nil || !allow(t, s.Limiter, "k", 2) {
		t.Error("Delete is not seen at once:", err)
	}
	before := w.asked.Load()
	s.advance(time.Second + time.Microsecond)
	if allow(t, s.Limiter, "k", 1) || w.asked.Load() == before {
		t.Error("the server was not asked again after the length of a lease")
	}
}

// Whatever came later than the lease lasts serves nobody.
func TestLeaseLateReply(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 10})
	allow(t, s.Limiter, "another", 1) // so that the server knows the script
	w.arrived = func() error { s.now += time.Second.Microseconds(); return nil }
	ok, err := s.Allow(context.Background(), "k")
	if ok || !errors.Is(err, redisbucket.ErrUnavailable) {
		t.Errorf("Allow = %v, %v, want no decision", ok, err)
	}
	if got, err := s.Tokens(context.Background(), "k"); err != nil || got > 9.01 {
		t.Errorf("%v tokens are left, %v: the one that came late was given back", got, err)
	}
}

// A reply that is lost takes its tokens with it, and no others.
func TestLeaseLostReply(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 10})
	allow(t, s.Limiter, "another", 1) // so that the server knows the script
	lost := errors.New("connection reset")
	w.arrived = func() error { return lost }
	if ok, err := s.Allow(context.Background(), "k"); ok || !errors.Is(err, lost) {
		t.Fatalf("Allow = %v, %v", ok, err)
	}
	w.arrived = nil
	granted := 0
	for allow(t, s.Limiter, "k", 1) {
		granted++
	}
	if granted != 9 {
		t.Errorf("%d tokens after one was lost, want 9", granted)
	}
}

// However many callers there are, one request of a key is out at a time.
func TestLeaseOneRequestAtATime(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 5000})
	var granted atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for range 100 {
				if ok, err := s.Allow(context.Background(), "k"); err != nil {
					t.Error(err)
				} else if ok {
					granted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := w.crowd.Load(); n != 1 {
		t.Errorf("%d requests were out at once", n)
	}
	if n := granted.Load(); n != 5000 { // the clock stands still, so nothing lapses
		t.Errorf("%d of 10000 calls were granted, want 5000", n)
	}
	if n := w.asked.Load(); n > 200 {
		t.Errorf("10000 calls took %d round trips", n)
	}
}

// Who asks for many is not starved by those who ask for few: its tokens are out of their reach while it asks for the rest.
func TestLeaseLargeBesideSmall(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 100}, redisbucket.LeaseShare(1))
	for range 8 {
		allow(t, s.Limiter, "k", 5)
		settled(t, s.Limiter, "k")
	}
	held, _ := redisbucket.Leased(s.Limiter, "k")
	if held == 0 {
		t.Fatal("nothing is leased")
	}
	small := make(chan struct{})
	w.sending = func() { // a small one comes while the large one asks, and has to wait for it
		w.sending = nil
		go func() {
			defer close(small)
			allow(t, s.Limiter, "k", 1)
		}()
		time.Sleep(10 * time.Millisecond) // for it to try; if it comes later, the test is merely weaker
	}
	if !allow(t, s.Limiter, "k", 60) {
		t.Error("60 of 60 tokens, some of them held, were refused")
	}
	<-small
}

func TestLeaseTakeAvailable(t *testing.T) {
	s, _ := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 20}, redisbucket.LeaseShare(1))
	for range 3 {
		allow(t, s.Limiter, "k", 1)
		settled(t, s.Limiter, "k")
	}
	for _, x := range []struct{ n, want int }{{10, 10}, {10, 7}, {10, 0}} {
		if got, _, err := s.TakeAvailable(context.Background(), "k", x.n); err != nil || got != x.want {
			t.Errorf("TakeAvailable(%d) = %d, %v, want %d", x.n, got, err, x.want)
		}
	}
}

// A Wait is served from what is here, then queues at the server as others do.
func TestLeaseWait(t *testing.T) {
	l := limiterOf(t, tokenbucket.PerSecond(100), 10, redisbucket.WithLease(time.Minute))
	start := time.Now()
	for range 20 {
		if err := l.Wait(context.Background(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d < 99*time.Millisecond {
		t.Errorf("20 tokens, 10 of them there, took %v, want 100ms at least", d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Wait(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want context.Canceled", err)
	}
}

func TestLeaseStrict(t *testing.T) {
	s, _ := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 25}, redisbucket.LeaseStrict())
	if ok := allow(t, s.Limiter, "k", 16); ok {
		t.Error("16 tokens at once, want at most 25 less a second's 10")
	}
	if ok := allow(t, s.Limiter, "k", 15); !ok {
		t.Error("15 tokens were refused")
	}
	if res := s.take(16); res.Allowed || res.RetryAfter != tokenbucket.Never || res.Limit.Burst != 25 {
		t.Errorf("Take(16) = %+v, want never", res)
	}
	// A burst that is too small for leases is left as it is.
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 10}, redisbucket.LeaseStrict())
	for range 10 {
		if !allow(t, s.Limiter, "k", 1) {
			t.Error("not 10 of 10")
		}
	}
	if n := w.asked.Load(); n < 10 {
		t.Errorf("10 decisions took %d round trips, want one each", n)
	}
}

// A flood of keys takes bounded memory, and neither idle keys nor long ones stay.
func TestLeaseManyKeys(t *testing.T) {
	c := canned{int64(1), int64(1)}
	l := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 1}, redisbucket.WithLease(time.Second), patient)
	var now atomic.Int64
	redisbucket.SetNow(l, func() time.Duration { return time.Duration(now.Load()) })
	long := strings.Repeat("x", 10_000)
	for i := range 100_000 {
		if _, err := l.Allow(context.Background(), fmt.Sprint(long[:i%2*10_000], i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := redisbucket.Leases(l); n > redisbucket.MaxLeases {
		t.Errorf("%d keys are remembered, want at most %d", n, redisbucket.MaxLeases)
	}
	now.Add(int64(2 * time.Second))
	before := redisbucket.Leases(l)
	for i := range 20_000 {
		_, _ = l.Allow(context.Background(), fmt.Sprint("new", i))
		now.Add(int64(time.Millisecond))
	}
	if n := redisbucket.Leases(l); n > before/2 {
		t.Errorf("%d keys are remembered, of which 1000 came in the last second", n)
	}
}

// No key is another's, whatever its name looks like.
func TestLeaseKeysApart(t *testing.T) {
	s, _ := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 10}, redisbucket.LeaseShare(1))
	long := strings.Repeat("x", 300)
	short := redisbucket.Name("", long) // what a long key is remembered by
	for range 10 {
		allow(t, s.Limiter, long, 1)
		settled(t, s.Limiter, long)
	}
	for i := range 10 {
		if !allow(t, s.Limiter, short, 1) {
			t.Fatalf("%q had %d of its 10 tokens", short, i)
		}
		settled(t, s.Limiter, short)
	}
}

// canned is a client that answers every command with the same integers.
type canned []any

func (c canned) Process(_ context.Context, cmd redis.Cmder) error {
	cmd.(interface{ SetVal(any) }).SetVal([]any(c))
	return nil
}

func TestLeaseOptionsPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"redisbucket: WithLease: t is 0s, want more than 0":                     func() { redisbucket.WithLease(0) },
		"redisbucket: LeaseShare: share is 0, want more than 0 and at most 1":   func() { redisbucket.LeaseShare(0) },
		"redisbucket: LeaseShare: share is 1.5, want more than 0 and at most 1": func() { redisbucket.LeaseShare(1.5) },
	} {
		func() {
			defer func() {
				if got := recover(); got != name {
					t.Errorf("panic %v, want %v", got, name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkLease(b *testing.B) {
	l := limiterOf(b, tokenbucket.PerSecond(1_000_000_000), 1<<30, redisbucket.WithLease(time.Second))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := l.Allow(ctx, "k"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// What was held when a request was sent can have lapsed when the reply is there.
func TestLeaseHeldTokensLapseOnTheWay(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 30}, redisbucket.LeaseShare(1))
	redisbucket.SetDemand(s.Limiter, "k", 10)
	allow(t, s.Limiter, "k", 1)
	if held, _ := redisbucket.Leased(s.Limiter, "k"); held != 10 {
		t.Fatalf("%d tokens are held, want 10", held)
	}
	s.advance(500 * time.Millisecond)
	w.arrived = func() error { s.now += 600_000; return nil } // 11 were debited before, and 19 are now
	if allow(t, s.Limiter, "k", 20) {
		t.Error("20 tokens of 19 that came and 10 that had lapsed")
	}
	if held, _ := redisbucket.Leased(s.Limiter, "k"); held != 19 {
		t.Errorf("%d tokens are held, want the 10 that were asked for and the 9 that came with them", held)
	}
}

// Tokens that are held need no server.
func TestLeaseTakeAvailableInAnOutage(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 20}, redisbucket.LeaseShare(1))
	redisbucket.SetDemand(s.Limiter, "k", 5)
	allow(t, s.Limiter, "k", 1)
	held, _ := redisbucket.Leased(s.Limiter, "k")
	if held == 0 {
		t.Fatal("nothing is leased")
	}
	w.arrived = func() error { return errors.New("connection reset") }
	n, res, err := s.TakeAvailable(context.Background(), "k", 10)
	if int64(n) != held || err != nil || res.Allowed {
		t.Errorf("TakeAvailable = %d, %+v, %v, want the %d that are held", n, res, err, held)
	}
	if n, _, err := s.TakeAvailable(context.Background(), "k", 10); n != 0 || !errors.Is(err, redisbucket.ErrUnavailable) {
		t.Errorf("TakeAvailable = %d, %v, want an error: nothing is held", n, err)
	}
}

// A Wait that its deadline refuses takes one round trip, and none where the denial is known.
func TestLeaseWaitRefused(t *testing.T) {
	s, w := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 5})
	allow(t, s.Limiter, "k", 5)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := w.asked.Load()
	for range 3 {
		var we *tokenbucket.WaitError
		if err := s.Wait(ctx, "k"); !errors.Is(err, tokenbucket.ErrDeadline) || !errors.As(err, &we) || we.Delay != time.Hour {
			t.Errorf("Wait = %v", err)
		}
	}
	if n := w.asked.Load() - before; n > 1 {
		t.Errorf("three refused waits took %d round trips, want 1", n)
	}
}

// A leased Wait takes its budget once, whatever it asks the server.
func TestLeaseWaitWithinBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{let: make(chan struct{})}
		l := redisbucket.New(s, slow, redisbucket.WithLease(time.Minute), redisbucket.WithBudget(time.Second))
		for range 4 {
			go func() {
				start := time.Now()
				err := l.Wait(context.Background(), "k")
				if took := time.Since(start); !errors.Is(err, redisbucket.ErrUnavailable) || took > time.Second {
					t.Errorf("Wait = %v after %v, want ErrUnavailable within 1s", err, took)
				}
			}()
		}
		time.Sleep(5 * time.Second)
	})
}

func TestLeaseStats(t *testing.T) {
	s, _ := leasing(t, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 20}, redisbucket.LeaseShare(1))
	redisbucket.SetDemand(s.Limiter, "k", 5)
	allow(t, s.Limiter, "k", 1)
	held, _ := redisbucket.Leased(s.Limiter, "k")
	s.advance(2 * time.Second)
	allow(t, s.Limiter, "k", 1)
	st := s.Stats()
	if st.LeaseCalls != 2 || st.LeasedTokens < uint64(held)+2 || st.LapsedTokens != uint64(held) || st.RoundTrips != 2 {
		t.Errorf("%+v, want 2 leases of %d tokens or more, of which %d lapsed", st, held+2, held)
	}
}

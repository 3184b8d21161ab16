package redisbucket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// A stub is a client that grants every request of take.lua, when it is let to.
type stub struct {
	calls atomic.Int64
	let   chan struct{} // nil: at once
	err   error
}

func (s *stub) Process(ctx context.Context, cmd redis.Cmder) error {
	s.calls.Add(1)
	if s.let != nil {
		select {
		case <-s.let:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.err != nil {
		return s.err
	}
	var reply []any
	args := cmd.Args()
	for i := range args[2].(int) { // each key has 4 arguments, a count and as many needs
		at := 3 + args[2].(int)
		for range i {
			at += 5 + args[at+4].(int)
		}
		for range args[at+4].(int) {
			reply = append(reply, int64(1), int64(0))
		}
	}
	cmd.(interface{ SetVal(any) }).SetVal(reply)
	return nil
}

// Decisions that come while two calls are under way share the next one; none waits for more than
// the calls in front of it.
func TestCallersShareCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{let: make(chan struct{})}
		l := redisbucket.New(s, tokenbucket.Limit{Burst: 1000})
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if ok, err := l.Allow(context.Background(), "k"); !ok || err != nil {
					t.Error(ok, err)
				}
			})
		}
		synctest.Wait()
		if n := s.calls.Load(); n != 2 {
			t.Errorf("%d calls are under way, want 2", n)
		}
		close(s.let)
		all.Wait()
		if n := s.calls.Load(); n != 3 {
			t.Errorf("64 decisions took %d calls, want 3", n)
		}
		if n := l.Stats().Shared; n != 61 {
			t.Errorf("%d decisions went along with others, want 61", n)
		}
	})
}

// A caller that waits for a call of others leaves with its context or its budget; the others are
// not held up, and errors reach all.
func TestSharedCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{let: make(chan struct{})}
		l := redisbucket.New(s, tokenbucket.Limit{Burst: 1000}, redisbucket.WithBudget(time.Second), redisbucket.WithBreaker(100, time.Hour))
		for range 2 {
			go func() { _, _ = l.Allow(context.Background(), "k") }()
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := l.Allow(ctx, "k"); left <- err }()
		late := make(chan error)
		go func() { _, err := l.Allow(context.Background(), "k"); late <- err }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		start := time.Now()
		if err := <-late; !errors.Is(err, redisbucket.ErrUnavailable) || time.Since(start) > time.Second {
			t.Errorf("error %v after %v, want ErrUnavailable within the budget", err, time.Since(start))
		}
		time.Sleep(2 * time.Second) // the calls end
		synctest.Wait()
		if n := s.calls.Load(); n != 2 {
			t.Errorf("%d calls, want no call for those who have left", n)
		}
		s.let, s.err = nil, errors.New("broken")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := l.Allow(context.Background(), "k"); !errors.Is(err, s.err) {
					t.Errorf("error %v", err)
				}
			})
		}
		all.Wait()
	})
}

// However many callers and keys there are, what is granted is what there is.
func TestSharedDecisionsAreExact(t *testing.T) {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{shared}, PoolSize: 1,
		ReadTimeout: 20 * time.Second, PoolTimeout: 20 * time.Second})
	defer client.Close()
	l := redisbucket.New(client, tokenbucket.Limit{Burst: 30}, redisbucket.WithPrefix(unique(t)), patient)
	var granted [10]atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range granted {
				if ok, err := l.Allow(t.Context(), fmt.Sprint(i)); err != nil {
					t.Error(err)
				} else if ok {
					granted[i].Add(1)
				}
			}
		})
	}
	all.Wait()
	for i := range granted {
		if n := granted[i].Load(); n != 30 {
			t.Errorf("key %d: %d tokens of 30 were granted", i, n)
		}
	}
	if st := l.Stats(); st.Shared == 0 || st.RoundTrips+st.Shared != 640 {
		t.Errorf("%+v: want 640 decisions in fewer round trips", st)
	}
}

func TestTakeMany(t *testing.T) {
	c := &counting{Client: patientClient(t, shared)}
	a := redisbucket.New(c, tokenbucket.Limit{Burst: 3}, redisbucket.WithPrefix(unique(t)), patient)
	free := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: 1}, redisbucket.WithPrefix(unique(t)), patient)
	res, err := redisbucket.TakeMany(t.Context(), a.Claim("x", 2), a.Claim("x", 2), free.Claim("x", 9), a.Claim("y", 3), a.Claim("x", 1))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, true, true, true} {
		if res[i].Allowed != want {
			t.Errorf("claim %d: %+v", i, res[i])
		}
	}
	if res[0].Remaining != 1 || res[1].RetryAfter != tokenbucket.Never || res[4].Remaining != 0 {
		t.Errorf("%+v", res)
	}

	single := redisbucket.New(patientClient(t, shared), tokenbucket.Limit{Burst: 1}, redisbucket.WithPrefix(unique(t)), patient)
	var claims []redisbucket.Claim
	for i := range 1000 {
		claims = append(claims, single.Claim(fmt.Sprint(i/2), 1))
	}
	res, err = redisbucket.TakeMany(t.Context(), claims...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range res {
		if res[i].Allowed != (i%2 == 0) {
			t.Fatalf("claim %d: %+v", i, res[i])
		}
	}
	if n := single.Stats().RoundTrips; n != 4 {
		t.Errorf("1000 decisions took %d round trips, want 4", n)
	}
	down := redisbucket.New(redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{nobody(t)}}), slow)
	if res, err := redisbucket.TakeMany(t.Context(), down.Claim("a", 1), down.Claim("b", 1)); len(res) != 2 || !errors.Is(err, redisbucket.ErrUnavailable) {
		t.Errorf("%+v, %v", res, err)
	}
}

func BenchmarkAsk(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{shared}, PoolSize: 1,
				ReadTimeout: 20 * time.Second, PoolTimeout: 20 * time.Second})
			defer client.Close()
			limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(1_000_000), Burst: 1_000_000}
			l := redisbucket.New(client, limit, redisbucket.WithPrefix(unique(b)), patient)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := l.Allow(context.Background(), "k"); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}

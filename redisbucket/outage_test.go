package redisbucket_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

var slow = tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 8}

// generous is far above what any of these calls should take, and far below what go-redis takes by its defaults.
const generous = time.Second

func inTime(t *testing.T, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > generous {
		t.Errorf("it took %v", took)
	}
}

// deaf listens and never answers.
func deaf(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

func nobody(*testing.T) string { return net.JoinHostPort("127.0.0.1", "1") }

// Whatever the server does not do, and whatever the client's settings: a call ends within its budget.
func TestBudget(t *testing.T) {
	for name, addr := range map[string]func(*testing.T) string{"deaf": deaf, "nobody": nobody} {
		for kind, client := range map[string]redis.UniversalClient{
			"ours":     redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{addr(t)}}),
			"defaults": redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{addr(t)}, ReadTimeout: 2 * time.Second}),
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				defer client.Close()
				l := redisbucket.New(client, slow, redisbucket.WithBudget(20*time.Millisecond), redisbucket.WithBreaker(100, time.Hour))
				for method, call := range calls(l) {
					inTime(t, func() {
						if err := call(t.Context()); !errors.Is(err, redisbucket.ErrUnavailable) {
							t.Errorf("%s: error %v", method, err)
						}
					})
				}
			})
		}
	}
}

func calls(l *redisbucket.Limiter) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Take":          func(ctx context.Context) error { _, err := l.Take(ctx, "k", 1); return err },
		"Allow":         func(ctx context.Context) error { _, err := l.Allow(ctx, "k"); return err },
		"TakeAvailable": func(ctx context.Context) error { _, _, err := l.TakeAvailable(ctx, "k", 1); return err },
		"Refund":        func(ctx context.Context) error { return l.Refund(ctx, "k", 1) },
		"Charge":        func(ctx context.Context) error { return l.Charge(ctx, "k", 1) },
		"Tokens":        func(ctx context.Context) error { _, err := l.Tokens(ctx, "k"); return err },
		"Delete":        func(ctx context.Context) error { return l.Delete(ctx, "k") },
		"Wait":          func(ctx context.Context) error { return l.Wait(ctx, "k") },
		"TakeAll": func(ctx context.Context) error {
			_, err := redisbucket.TakeAll(ctx, l.Claim("k", 1))
			return err
		},
	}
}

// A context that ends ends the call, whether by a deadline or by a cancel, long before the budget.
func TestContextEnds(t *testing.T) {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{deaf(t)}})
	defer client.Close()
	l := redisbucket.New(client, slow, redisbucket.WithBudget(time.Hour), redisbucket.WithFallback(redisbucket.AllowAll()))
	for method, call := range calls(l) {
		inTime(t, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redisbucket.ErrUnavailable) {
				t.Errorf("%s: error %v", method, err)
			}
		})
		inTime(t, func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: error %v", method, err)
			}
		})
	}
}

func TestFallbacks(t *testing.T) {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{nobody(t)}})
	defer client.Close()
	of := func(f redisbucket.Fallback) *redisbucket.Limiter {
		return redisbucket.New(client, slow, redisbucket.WithFallback(f), redisbucket.WithPrefix(unique(t)))
	}
	granted := func(l *redisbucket.Limiter) (n int) {
		for range 10 {
			if ok, err := l.Allow(t.Context(), "k"); err != nil {
				t.Error(err)
			} else if ok {
				n++
			}
		}
		return n
	}
	if n := granted(of(redisbucket.AllowAll())); n != 10 {
		t.Errorf("AllowAll: %d of 10", n)
	}
	deny := of(redisbucket.DenyAll())
	if n := granted(deny); n != 0 {
		t.Errorf("DenyAll: %d of 10", n)
	}
	var we *tokenbucket.WaitError
	if err := deny.Wait(t.Context(), "k"); !errors.As(err, &we) || !errors.Is(err, redisbucket.ErrUnavailable) {
		t.Errorf("DenyAll: Wait = %v", err)
	}
	if res, _ := deny.Take(t.Context(), "k", 1); res.RetryAfter <= 0 || res.Limit != slow {
		t.Errorf("DenyAll: %+v", res)
	}
	local := of(redisbucket.LocalShare(0.25))
	if n := granted(local); n != 2 {
		t.Errorf("LocalShare: %d of 10, want 2", n)
	}
	if err := local.Refund(t.Context(), "k", 1); err != nil || granted(local) != 1 {
		t.Error("LocalShare: a refund is not granted again", err)
	}
	if n, _, err := of(redisbucket.LocalShare(1)).TakeAvailable(t.Context(), "k", 10); n != 8 || err != nil {
		t.Errorf("LocalShare(1): TakeAvailable = %d, %v", n, err)
	}
}

// In an outage, TakeAll takes all or nothing of the local shares too.
func TestTakeAllFallsBack(t *testing.T) {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{nobody(t)}})
	defer client.Close()
	share := redisbucket.WithFallback(redisbucket.LocalShare(0.5))
	a := redisbucket.New(client, slow, share, redisbucket.WithPrefix("a"))
	b := redisbucket.New(client, tokenbucket.Limit{Burst: 2}, share, redisbucket.WithPrefix("b"))
	for i, want := range []bool{true, false, false} {
		res, err := redisbucket.TakeAll(t.Context(), a.Claim("k", 1), b.Claim("k", 1))
		if err != nil || res[0].Allowed != want || res[1].Allowed != want {
			t.Errorf("%d: %+v, %v", i, res, err)
		}
	}
	if n, _, err := a.TakeAvailable(t.Context(), "k", 9); n != 3 || err != nil {
		t.Errorf("%d tokens left, %v, want 3", n, err)
	}
}

// After some failures the server is left alone, and asked by one call once the pause is over.
func TestBreaker(t *testing.T) {
	c := &counting{Client: redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{deaf(t)}})}
	l := redisbucket.New(c, slow, redisbucket.WithBudget(10*time.Millisecond), redisbucket.WithBreaker(3, 50*time.Millisecond))
	for range 100 {
		if _, err := l.Allow(t.Context(), "k"); !errors.Is(err, redisbucket.ErrUnavailable) {
			t.Fatal(err)
		}
		if c.n.Load() == 3 {
			break
		}
	}
	before := time.Now()
	var wg sync.WaitGroup
	for time.Since(before) < 40*time.Millisecond {
		_, _ = l.Allow(t.Context(), "k")
	}
	if n := c.n.Load(); n > 4 {
		t.Errorf("asked %d times, want 3, or 4 on a slow machine", n)
	}
	until(t, func() bool {
		for range 10 {
			wg.Go(func() { _, _ = l.Allow(t.Context(), "k") })
		}
		wg.Wait()
		return c.n.Load() > 4
	})
}

// Callers in a hurry do not make the server count as gone.
func TestHurryIsNoOutage(t *testing.T) {
	l := limiterOf(t, tokenbucket.PerSecond(1), 5, redisbucket.WithBreaker(1, time.Hour))
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		_, _ = l.Allow(ctx, "k")
		cancel()
	}
	if ok, err := l.Allow(t.Context(), "k2"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// cutting is a proxy that passes on everything, but while cut is set, no answer to a script: it hangs up instead.
func cutting(t *testing.T, cut *atomic.Bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", shared)
			if err != nil {
				down.Close()
				return
			}
			var asked atomic.Bool
			go pass(up, down, func(b []byte) bool {
				asked.Store(bytes.Contains(b, []byte("evalsha")))
				return true
			})
			go pass(down, up, func([]byte) bool { return !asked.Load() || !cut.Load() })
		}
	}()
	return l.Addr().String()
}

// pass copies what it reads as long as ok says so.
func pass(to, from net.Conn, ok func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil || !ok(buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A lost reply costs the tokens once, whatever the client's MaxRetries is.
func TestLostReply(t *testing.T) {
	var cut atomic.Bool
	client := redis.NewClient(&redis.Options{Addr: cutting(t, &cut), MaxRetries: 5})
	defer client.Close()
	prefix := redisbucket.WithPrefix(unique(t))
	l := redisbucket.New(client, slow, prefix, patient, redisbucket.WithBreaker(100, time.Hour))
	direct := redisbucket.New(patientClient(t, shared), slow, prefix, patient)
	if ok, err := l.Allow(t.Context(), "k"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	cut.Store(true)
	if _, err := l.Allow(t.Context(), "k"); !errors.Is(err, redisbucket.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if n, _, err := direct.TakeAvailable(t.Context(), "k", 100); n != 6 || err != nil {
		t.Errorf("%d tokens left, %v, want 6", n, err)
	}
	cut.Store(false)
	if err := direct.Refund(t.Context(), "k", 1); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.Allow(t.Context(), "k"); !ok || err != nil {
		t.Errorf("afterwards: %v, %v", ok, err)
	}
}

// A pipeline has no answer when it is asked, and that is said.
func TestPipelineIsNoClient(t *testing.T) {
	l := redisbucket.New(patientClient(t, shared).Pipeline(), slow)
	if _, err := l.Allow(t.Context(), "k"); err == nil {
		t.Error("no error")
	}
}

// A Wait for more than the local share's burst takes it in parts; a Take says when to try again.
func TestLocalShareOfLargeRequests(t *testing.T) {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{nobody(t)}})
	defer client.Close()
	limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(1000), Burst: 20}
	l := redisbucket.New(client, limit, redisbucket.WithFallback(redisbucket.LocalShare(0.25)))
	if err := l.WaitN(t.Context(), "k", 10); err != nil {
		t.Errorf("WaitN(10) of burst 20: %v", err)
	}
	if res, err := l.Take(t.Context(), "k", 10); err != nil || res.Allowed || res.RetryAfter <= 0 || res.RetryAfter == tokenbucket.Never {
		t.Errorf("Take(10) = %+v, %v, want to be told when the server may be back", res, err)
	}
	if err := l.WaitN(t.Context(), "k", 21); !errors.Is(err, tokenbucket.ErrExceedsBurst) {
		t.Errorf("WaitN(21) of burst 20: %v", err)
	}
	if st := l.Stats(); st.Fallbacks == 0 || st.Failures == 0 || len(st.Nodes) != 1 {
		t.Errorf("%+v", st)
	}
}

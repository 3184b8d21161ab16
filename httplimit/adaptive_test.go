package httplimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// hidden is a server that allows so much and does not say how much.
type hidden struct {
	bucket *tokenbucket.Bucket
	rtt    time.Duration
	status int // of a refusal
	served int
	asked  int
	mu     sync.Mutex
}

func (s *hidden) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(s.rtt / 2)
	code := s.status
	if s.bucket.Allow() {
		code = 200
	}
	s.mu.Lock()
	if s.asked++; code == 200 {
		s.served++
	}
	s.mu.Unlock()
	time.Sleep(s.rtt - s.rtt/2)
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}, nil
}

// reset starts the counts again.
func (s *hidden) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served, s.asked = 0, 0
}

func (s *hidden) counts() (served, asked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, s.asked
}

// saturate sends requests from several goroutines for d.
func saturate(t *testing.T, tr *Transport, workers int, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				resp, err := tr.RoundTrip(request(ctx, "GET", "http://a/", ""))
				if err != nil {
					return
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}

// TestAdaptiveFindsLimit: in the long run at least 90 % of a hidden limit is used, and at most 2
// % of requests are refused, from far above and below, for slow and fast servers, and after the
// limit has changed.
func TestAdaptiveFindsLimit(t *testing.T) {
	for _, c := range []struct {
		rate    float64 // of the server
		burst   int     // of the server
		most    int     // the configured rate
		own     int     // the configured burst
		rtt     time.Duration
		workers int
		status  int
	}{
		{100, 1, 1000, 1, 0, 1, 429},
		{100, 10, 1000, 10, 20 * time.Millisecond, 10, 429},
		{100, 100, 1000, 1, 100 * time.Millisecond, 30, 503},
		{10, 1, 10_000, 100, 50 * time.Millisecond, 10, 429},
		{2, 5, 100, 1, 100 * time.Millisecond, 4, 429},
		{333.3, 3, 400, 20, 5 * time.Millisecond, 8, 429},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				rate, _ := tokenbucket.RateOf(c.rate)
				s := &hidden{bucket: tokenbucket.New(rate, c.burst), rtt: c.rtt, status: c.status}
				tr := &Transport{Base: s, Limiter: Adaptive(tokenbucket.Limit{Rate: tokenbucket.PerSecond(c.most), Burst: c.own})}
				long := time.Duration(4000 / c.rate * float64(time.Second))
				check := func(phase string, rate float64) {
					t.Helper()
					saturate(t, tr, c.workers, long/2) // to find the limit
					s.reset()
					saturate(t, tr, c.workers, long)
					served, asked := s.counts()
					used := float64(served) / (rate * long.Seconds())
					refused := float64(asked-served) / float64(asked)
					t.Logf("%s: %.1f %% used, %.2f %% refused", phase, 100*used, 100*refused)
					if used < 0.9 || refused > 0.02 {
						t.Errorf("%s: %.1f %% used, %.2f %% refused; want at least 90 %% and at most 2 %%", phase, 100*used, 100*refused)
					}
				}
				check("at first", c.rate)
				lower, _ := tokenbucket.RateOf(c.rate / 3)
				s.bucket.SetLimit(tokenbucket.Limit{Rate: lower, Burst: c.burst})
				check("lowered", c.rate/3)
				s.bucket.SetLimit(tokenbucket.Limit{Rate: rate, Burst: c.burst})
				check("raised", c.rate)
			})
		})
	}
}

// TestAdaptiveOutage: after minutes in which everything was refused, the rate is back soon.
func TestAdaptiveOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &hidden{bucket: tokenbucket.New(tokenbucket.PerSecond(100), 1), rtt: 10 * time.Millisecond, status: 503}
		tr := &Transport{Base: s, Limiter: Adaptive(tokenbucket.Limit{Rate: tokenbucket.PerSecond(1000), Burst: 10})}
		saturate(t, tr, 10, time.Minute)
		s.bucket.SetLimit(tokenbucket.Limit{Burst: 1})
		s.reset()
		saturate(t, tr, 10, 10*time.Minute)
		if served, asked := s.counts(); asked-served > 60 {
			t.Errorf("%d requests were sent into the outage", asked-served)
		}
		s.bucket.SetLimit(tokenbucket.Limit{Rate: tokenbucket.PerSecond(100), Burst: 1})
		saturate(t, tr, 10, 40*time.Second) // the next request is at most 30 s away
		s.reset()
		saturate(t, tr, 10, 10*time.Second)
		if served, _ := s.counts(); served < 900 {
			t.Errorf("%d served in 10 s, want 900", served)
		}
	})
}

// TestAdaptiveSteps: what halves a rate, what raises it, and what does not.
func TestAdaptiveSteps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := Adaptive(tokenbucket.Limit{Rate: tokenbucket.PerSecond(64), Burst: 5})
		rate := func(key string) float64 { return a.Limit(key).Rate.TokensPerSecond() }
		f := newFake(ok())
		tr := &Transport{Base: f, Limiter: a, Jitter: noJitter}
		send := func(host string, x answer) {
			f.answers = []answer{x}
			time.Sleep(time.Second)
			mustAsk(t, tr, request(t.Context(), "GET", "http://"+host+"/", ""))
		}
		for _, c := range []struct {
			host string
			x    answer
			want float64
		}{
			{"a", ok(), 64},
			{"a", answer{status: 500}, 64},
			{"a", answer{status: 503, h: headers("Retry-After", "1")}, 64}, // a pause, not a limit
			{"a", answer{status: 503}, 32},
			{"b", ok(), 64}, // another key
			{"a", tooMany(), 16},
			{"a", tooMany("Retry-After", "1"), 8},
			{"a", answer{status: 404}, 8 + 0.45*64/8}, // nothing was served since the first refusal
			{"a", ok(), 8 + 2*0.45*64/8},
			{"a", tooMany(), 7.6},
			{"a", ok(), 7.6 + 0.45*15.2/8},
		} {
			if send(c.host, c.x); rate(c.host) < c.want-1e-9 || rate(c.host) > c.want+1e-9 {
				t.Errorf("%s after %d: %v/s, want %v/s", c.host, c.x.status, rate(c.host), c.want)
			}
		}
		// Requests that were on their way when the rate was halved do not halve it again.
		start := time.Now()
		time.Sleep(time.Second)
		before := rate("a")
		a.observe("a", start, true)
		a.observe("a", start, true)
		a.observe("a", start, false)
		if got := rate("a"); got != before/2 {
			t.Errorf("%v/s, want %v/s", got, before/2)
		}
		// It never falls below one token in 30 s.
		for range 100 {
			time.Sleep(1)
			a.observe("a", time.Now(), true)
		}
		if got := rate("a"); got < 1.0/30-1e-9 || got > 1.0/30+1e-9 {
			t.Errorf("%v/s, want one in 30 s", got)
		}
		for range 100_000 {
			a.observe("a", time.Now(), false)
		}
		if got := a.Limit("a"); got != (tokenbucket.Limit{Rate: tokenbucket.PerSecond(64), Burst: 5}) {
			t.Errorf("%v", got)
		}
	})
}

// TestAdaptiveIsALimiter: it queues and can be corrected, and takes part in a request's other
// limits.
func TestAdaptiveIsALimiter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := Adaptive(tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 2})
		ctx, start := t.Context(), time.Now()
		if res, err := a.Take(ctx, "k", 2); !res.Allowed || err != nil {
			t.Error(res, err)
		}
		if err := a.WaitN(ctx, "k", 1); err != nil || time.Since(start) != time.Second {
			t.Error(err, time.Since(start))
		}
		_ = a.Charge(ctx, "k", 3)
		_ = a.Refund(ctx, "k", 2)
		if err := a.WaitN(ctx, "k", 1); err != nil || time.Since(start) != 3*time.Second {
			t.Error(err, time.Since(start))
		}
		if err := a.WaitN(ctx, "k", 3); !errors.Is(err, tokenbucket.ErrExceedsBurst) {
			t.Error(err)
		}
	})
	for want, l := range map[string]tokenbucket.Limit{
		"the rate is 0, want a finite rate above 0":   {Burst: 1},
		"the rate is inf, want a finite rate above 0": {Rate: tokenbucket.Inf(), Burst: 1},
	} {
		mustPanic(t, "httplimit: Adaptive: "+want, func() { Adaptive(l) })
	}
}

// TestAdaptiveMemory: keys that cannot be told from new ones are dropped, and the others are
// bounded.
func TestAdaptiveMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := Adaptive(tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 1})
		for i := range 10_000 {
			_, _ = a.Take(t.Context(), fmt.Sprint(i), 1)
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		if n := len(a.keys); n > 3*minSweep {
			t.Errorf("%d keys are kept", n)
		}
		for i := range maxAdaptive + 1000 {
			_, _ = a.Take(t.Context(), fmt.Sprint("x", i), 1)
		}
		if n := len(a.keys); n > maxAdaptive {
			t.Errorf("%d keys, want %d at most", n, maxAdaptive)
		}
	})
}

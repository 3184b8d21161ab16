package httplimit

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// inProcess answers requests by a handler after a round trip of rtt, without a network.
type inProcess struct {
	h   http.Handler
	rtt time.Duration

	served, refused atomic.Int64
}

func (s *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(s.rtt / 2)
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r.WithContext(context.Background()))
	if w.Code == 200 {
		s.served.Add(1)
	} else {
		s.refused.Add(1)
	}
	time.Sleep(s.rtt - s.rtt/2)
	return w.Result(), nil
}

// TestSameLimitOnBothSides: a client with the limit of the server gets it, without a refusal, and
// so does a client that knows nothing but what the server tells.
func TestSameLimitOnBothSides(t *testing.T) {
	for _, c := range []struct {
		rate, burst, workers int
		rtt                  time.Duration
	}{{100, 1, 1, 0}, {1000, 10, 1, 0}, {1000, 10, 20, 0}, {100, 1, 10, 20 * time.Millisecond}, {1000, 10, 50, 20 * time.Millisecond}, {3, 1, 2, 0}, {999, 1, 2, 0}} {
		for _, limited := range []bool{true, false} {
			if !limited && c.rtt > 0 {
				continue // nobody could know of a limit before the first response
			}
			if !limited && c.workers > 1 && c.burst < c.workers {
				continue
			}
			t.Run(fmt.Sprint(c, limited), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := &inProcess{h: New(live(tokenbucket.PerSecond(c.rate), c.burst), WithKey(fixed("k"))).Handler(served), rtt: c.rtt}
					tr := &Transport{Base: s}
					if limited {
						tr.Limiter = live(tokenbucket.PerSecond(c.rate), c.burst)
					}
					const seconds = 20
					ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
					defer cancel()
					var wg sync.WaitGroup
					for range c.workers {
						wg.Go(func() {
							for {
								resp, err := tr.RoundTrip(request(ctx, "GET", "http://a/", ""))
								if err != nil {
									return
								}
								resp.Body.Close()
							}
						})
					}
					wg.Wait()
					if got, want := s.served.Load(), int64(c.rate*seconds*95/100); got < want || s.refused.Load() > 0 {
						t.Errorf("%d served in %d s, want %d; %d refused, want 0", got, seconds, want, s.refused.Load())
					}
				})
			})
		}
	}
}

// TestPaceIsShared: requests that wait for the same pace are sent one after the other, not all at
// its end.
func TestPaceIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(answer{status: 200, h: headers("RateLimit", `"x";r=0;t=1`, "RateLimit-Policy", `"x";q=10;w=1`)})
		tr := &Transport{Base: f}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { mustAsk(t, tr, request(t.Context(), "GET", "http://a/", "")) })
		}
		wg.Wait()
		f.want(t, "a 0s", "a 100ms", "a 200ms", "a 300ms")
		// The next response says that there is something left.
		f.answers = []answer{{status: 200, h: headers("RateLimit", `"x";r=5;t=1`)}}
		for range 3 {
			mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		}
		f.want(t, "a 400ms", "a 400ms", "a 400ms")
	})
}

// TestBackoffIsPrivate: a path that answers 503 without a hint does not slow other requests to
// its host.
func TestBackoffIsPrivate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		start := time.Now()
		base := roundTripper(func(r *http.Request) (*http.Response, error) {
			code := 200
			if r.URL.Path == "/down" {
				code = 503
			}
			return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}, nil
		})
		var mu sync.Mutex
		var waits []string
		tr := &Transport{Base: base, MaxRetries: 3, Jitter: noJitter, OnWait: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, fmt.Sprintf("%s %s %v", e.Reason, e.Key, e.Wait))
		}}
		var wg sync.WaitGroup
		wg.Go(func() {
			if code, _, _ := ask(t, tr, request(t.Context(), "GET", "http://a/down", "")); code != 503 || time.Since(start) != 7*time.Second {
				t.Errorf("%d after %v", code, time.Since(start))
			}
		})
		time.Sleep(500 * time.Millisecond)
		for range 100 {
			mustAsk(t, tr, request(t.Context(), "GET", "http://a/up", ""))
		}
		if d := time.Since(start); d != 500*time.Millisecond {
			t.Errorf("good requests waited until %v", d)
		}
		wg.Wait()
		if want := []string{"backoff a 1s", "backoff a 2s", "backoff a 4s"}; !slices.Equal(waits, want) {
			t.Errorf("%q, want %q", waits, want)
		}
	})
}

// TestPauseKeys: a pause applies to the host and the limit's key, or to what PauseKey says.
func TestPauseKeys(t *testing.T) {
	account := ByHeader("Account")
	b := func() Limiter { return live(tokenbucket.PerSecond(1000), 1000) }
	for _, c := range []struct {
		name string
		tr   func() *Transport
		want []string // when requests came: a/A again, a/B, b/A
	}{
		{"host", func() *Transport { return &Transport{} }, []string{"a 10s", "a 10s", "b 10s"}},
		{"host's limit", func() *Transport { return &Transport{Limiter: b()} }, []string{"a 10s", "a 10s", "b 10s"}},
		{"key", func() *Transport { return &Transport{Limiter: b(), Key: account} }, []string{"a 0s", "b 0s", "a 10s"}},
		{"limits", func() *Transport {
			l := b()
			return &Transport{Limits: func(r *http.Request) ([]Limit, error) {
				return []Limit{{Limiter: l, Key: r.Header.Get("Account")}, {Limiter: l, Key: "all"}}, nil
			}}
		}, []string{"a 0s", "b 0s", "a 10s"}},
		{"own", func() *Transport { return &Transport{PauseKey: account} }, []string{"a 0s", "a 10s", "b 10s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake(tooMany("Retry-After", "10"), ok())
				tr := c.tr()
				tr.Base, tr.Jitter = f, noJitter
				send := func(host, account string) {
					req := request(t.Context(), "GET", "http://"+host+"/", "")
					req.Header.Set("Account", account)
					mustAsk(t, tr, req)
				}
				send("a", "A")
				f.want(t, "a 0s")
				var wg sync.WaitGroup
				wg.Go(func() { send("a", "A") })
				time.Sleep(1)
				wg.Go(func() { send("a", "B") })
				time.Sleep(1)
				wg.Go(func() { send("b", "A") })
				wg.Wait()
				var came []string
				for _, s := range f.came {
					var host string
					var d time.Duration
					var text string
					_, _ = fmt.Sscan(s, &host, &text)
					d, _ = time.ParseDuration(text)
					came = append(came, fmt.Sprint(host, " ", d.Round(time.Millisecond)))
				}
				slices.Sort(came)
				want := slices.Sorted(slices.Values(c.want))
				if c.name == "host" || c.name == "host's limit" {
					want = []string{"a 10s", "a 10s", "b 0s"}
				}
				if !slices.Equal(came, want) {
					t.Errorf("came %q, want %q", came, want)
				}
			})
		})
	}
	tr := &Transport{PauseKey: account}
	if _, err := tr.RoundTrip(request(t.Context(), "GET", "http://a/", "")); err == nil {
		t.Error("no error without a pause key")
	}
}

// TestPausesAreKept: no pause in force is forgotten, however many there are, and the memory is
// bounded.
func TestPausesAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var p pauses
		key := func(i int) pauseKey { return pauseKey{host: fmt.Sprint("host", i)} }
		p.hold(pauseKey{host: "long"}, time.Hour, time.Now())
		p.hold(pauseKey{host: "long"}, time.Minute, time.Now()) // does not shorten it
		p.hold(pauseKey{host: "none"}, 0, time.Now())
		const hosts = maxPauses + 5000
		for i := range hosts {
			p.hold(key(i), time.Minute+time.Duration(i), time.Now())
		}
		if len(p.m) > maxPauses {
			t.Errorf("%d pauses, want %d at most", len(p.m), maxPauses)
		}
		for i := range hosts {
			if d, jitter := p.left(key(i), time.Now()); d < time.Minute+time.Duration(i) || !jitter {
				t.Fatalf("host %d is paused for %v, want %v", i, d, time.Minute+time.Duration(i))
			}
		}
		if d, _ := p.left(pauseKey{host: "long"}, time.Now()); d != time.Hour {
			t.Errorf("long: %v", d)
		}
		// When they are over, the room is used again.
		time.Sleep(2 * time.Minute)
		p.hold(key(-1), time.Minute, time.Now())
		if len(p.m) > 2 {
			t.Errorf("%d pauses, want 2", len(p.m))
		}
		if d, _ := p.left(key(3), time.Now()); d > 0 {
			t.Errorf("host 3 is still paused for %v", d)
		}
		if p.pace(key(4), time.Second, time.Now(), time.Now()); p.enter(key(4), time.Now()) {
			t.Error("entered before its pace")
		}
	})
}

package httplimit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// client makes a client with connections of its own.
func client(t *testing.T, tr *Transport) *http.Client {
	t.Helper()
	tr.Base = &http.Transport{}
	c := &http.Client{Transport: tr}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestConnectionsAreReused: retries go over the connection that the refused attempts came over.
func TestConnectionsAreReused(t *testing.T) {
	var conns, asked atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked.Add(1)%4 != 0 {
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(429)
			_, _ = io.WriteString(w, strings.Repeat("x", 20_000))
			return
		}
		_, _ = w.Write(body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := client(t, &Transport{MaxRetries: 3})
	for range 5 {
		req := request(t.Context(), "PUT", s.URL, "hello")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(b) != "hello" {
			t.Fatalf("%d %q", resp.StatusCode, b)
		}
	}
	if conns.Load() != 1 || asked.Load() != 20 {
		t.Errorf("%d connections for %d attempts, want 1 for 20", conns.Load(), asked.Load())
	}
}

// TestMisbehaving sends requests to servers that break off, hang, never end, or ask for nonsense.
func TestMisbehaving(t *testing.T) {
	for _, c := range []struct {
		name    string
		h       http.HandlerFunc
		code    int // 0: an error
		timeout bool
	}{
		{"resets", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}, 0, false},
		{"breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(429)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 429, true},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, true},
		{"never ends", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(503)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
			}
		}, 503, false},
		{"stops in the body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(503)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, 503, false},
		{"a century", pausing("3153600000"), 429, false},
		{"a date in a century", pausing("Fri, 01 Mar 2126 12:00:00 GMT"), 429, false},
		{"negative", pausing("-1"), 429, true},
		{"a date in the past", pausing("Sun, 01 Mar 2020 12:00:00 GMT"), 429, true},
		{"junk", pausing("soon;;NaN"), 429, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.h)
			b := live(tokenbucket.PerSecond(1000), 10)
			cl := client(t, &Transport{MaxRetries: 1, MaxRetryWait: 100 * time.Millisecond, Limiter: b})
			wait := 10 * time.Second
			if c.timeout && c.code == 0 {
				wait = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			start := time.Now()
			resp, err := cl.Do(request(ctx, "GET", s.URL, ""))
			if d := time.Since(start); d > 8*time.Second {
				t.Errorf("it took %v", d)
			}
			switch {
			case c.code == 0 && err == nil || c.code != 0 && (err != nil || resp.StatusCode != c.code):
				t.Errorf("%v %v, want %d", resp, err, c.code)
			case err == nil:
				resp.Body.Close()
			}
		})
	}
}

// pausing answers 429 with a Retry-After.
func pausing(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", s)
		w.WriteHeader(429)
	}
}

// TestUnsentOverNetwork: no connection, no tokens.
func TestUnsentOverNetwork(t *testing.T) {
	s := httptest.NewServer(served)
	s.Close()
	b := live(tokenbucket.Rate{}, 1)
	c := client(t, &Transport{Limiter: b, Key: fixed("k")})
	for range 3 {
		if _, err := c.Get(s.URL); err == nil {
			t.Error("no error")
		}
	}
	s = serve(t, served)
	resp, err := c.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = c.Do(request(ctx, "GET", s.URL, ""))
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, tokenbucket.ErrDeadline) {
		t.Errorf("the one token is not taken: %v", err)
	}
}

// TestBothSides: clients that know nothing of a server's limit but what it tells them all get
// served in the end.
func TestBothSides(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of the real clock")
	}
	policy := New(live(tokenbucket.PerSecond(5), 5), WithKey(fixed("all")))
	s := serve(t, policy.Handler(served))
	c := client(t, &Transport{MaxRetries: 10})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			resp, err := c.Get(s.URL)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Error(resp.StatusCode)
			}
		})
	}
	wg.Wait()
}

// TestZeroTransport: http.DefaultTransport, no limit, no retries.
func TestZeroTransport(t *testing.T) {
	s := serve(t, served)
	c := &http.Client{Transport: &Transport{}}
	defer c.CloseIdleConnections()
	resp, err := c.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "served" {
		t.Error(string(b))
	}
	(&http.Client{Transport: &Transport{Base: roundTripper(nil)}}).CloseIdleConnections() // which has none
}

func BenchmarkTransport(b *testing.B) {
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	limiter := Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerSecond(1e9), 1e9))
	for name, rt := range map[string]http.RoundTripper{"bare": base, "paced": &Transport{Base: base, Limiter: limiter}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			req := request(b.Context(), "GET", "http://a/", "")
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
	}
}

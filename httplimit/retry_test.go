package httplimit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestRetry(t *testing.T) {
	down := answer{status: 503}
	for _, c := range []struct {
		name    string
		tr      *Transport
		method  string
		body    string
		header  string
		answers []answer
		code    int
		came    []string
	}{
		{"with a hint", &Transport{MaxRetries: 2}, "GET", "", "", []answer{tooMany("Retry-After", "3"), ok()}, 200, []string{"a 0s", "a 3s"}},
		{"without a hint", &Transport{MaxRetries: 9}, "GET", "", "", []answer{tooMany(), down, tooMany("Retry-After", "-1"), tooMany(), ok()},
			200, []string{"a 0s", "a 1s", "a 3s", "a 7s", "a 15s"}},
		{"the count", &Transport{MaxRetries: 2}, "GET", "", "", []answer{down}, 503, []string{"a 0s", "a 1s", "a 3s"}},
		{"the total wait", &Transport{MaxRetries: 99, MaxRetryWait: 10 * time.Second}, "GET", "", "", []answer{down}, 503, []string{"a 0s", "a 1s", "a 3s", "a 7s"}},
		{"a century", &Transport{MaxRetries: 99}, "GET", "", "", []answer{tooMany("Retry-After", "3153600000")}, 429, []string{"a 0s"}},
		{"a long backoff", &Transport{MaxRetries: 99, MaxPause: time.Second, MaxRetryWait: 3500 * time.Millisecond}, "GET", "", "", []answer{down},
			503, []string{"a 0s", "a 1s", "a 2s", "a 3s"}},
		{"other errors", &Transport{MaxRetries: 2}, "GET", "", "", []answer{{status: 500}}, 500, []string{"a 0s"}},
		{"a method that is not idempotent", &Transport{MaxRetries: 2}, "POST", "x", "", []answer{tooMany("Retry-After", "3")}, 429, []string{"a 0s x"}},
		{"with a key for that", &Transport{MaxRetries: 2}, "POST", "x", "Idempotency-Key", []answer{tooMany("Retry-After", "3"), ok()}, 200, []string{"a 0s x", "a 3s x"}},
		{"allowed", &Transport{MaxRetries: 2, Retryable: func(*http.Request) bool { return true }}, "POST", "x", "", []answer{down, ok()}, 200, []string{"a 0s x", "a 1s x"}},
		{"forbidden", &Transport{MaxRetries: 2, Retryable: func(*http.Request) bool { return false }}, "GET", "", "", []answer{down}, 503, []string{"a 0s"}},
		{"a body", &Transport{MaxRetries: 2}, "PUT", "x", "", []answer{down, ok()}, 200, []string{"a 0s x", "a 1s x"}},
		{"every attempt takes tokens", &Transport{MaxRetries: 2, Limiter: live(tokenbucket.Every(5*time.Second), 1)}, "GET", "", "", []answer{down}, 503,
			[]string{"a 0s", "a 5s", "a 10s"}},
		{"no token in time", &Transport{MaxRetries: 2, Limiter: live(tokenbucket.Every(time.Hour), 1)}, "GET", "", "", []answer{down}, 503, []string{"a 0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tr := c.tr
				if tr.Limiter != nil { // its time is the bubble's
					tr.Limiter = live(tr.Limiter.(keyed).Keyed.Limit("").Rate, 1)
				}
				f := newFake(c.answers...)
				tr.Base, tr.Jitter = f, noJitter
				req := request(t.Context(), c.method, "http://a/", c.body)
				if c.header != "" {
					req.Header.Set(c.header, "1")
				}
				code, body, err := ask(t, tr, req)
				if code != c.code || body != "body" || err != nil {
					t.Errorf("%d %q %v, want %d", code, body, err, c.code)
				}
				f.want(t, c.came...)
				if f.open != 0 {
					t.Errorf("%d bodies are open", f.open)
				}
			})
		})
	}
}

func TestRetryBodies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(answer{status: 503})
		tr := &Transport{Base: f, MaxRetries: 2, Jitter: noJitter}
		// A body that cannot be replayed, or fails to be.
		req := request(t.Context(), "PUT", "http://a/", "x")
		req.GetBody = nil
		mustAsk(t, tr, req)
		f.want(t, "a 0s x")
		req = request(t.Context(), "PUT", "http://a/", "x")
		req.GetBody = func() (io.ReadCloser, error) { return nil, errDown }
		if code, _, err := ask(t, tr, req); code != 503 || err != nil {
			t.Error(code, err)
		}
		f.want(t, "a 0s x")
		// Cancelled in between: an error, and the body of the attempt that was not made is closed.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		again := &closer{Reader: strings.NewReader("x")}
		req = request(ctx, "PUT", "http://a/", "x")
		req.GetBody = func() (io.ReadCloser, error) { return again, nil }
		if _, _, err := ask(t, tr, req); !errors.Is(err, context.Canceled) || !again.closed {
			t.Error(err, again.closed)
		}
		if f.open != 0 {
			t.Errorf("%d bodies are open", f.open)
		}
	})
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestRetryLongBodies: the body of a response that is retried is read within bounds. If the
// response is returned after all, what was read of it is there, and that it was cut is told.
func TestRetryLongBodies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stuck, unstick := io.Pipe()
		defer unstick.Close()
		for _, c := range []struct {
			body  io.Reader
			read  int
			after time.Duration
		}{{endless{}, keepBytes, 0}, {stuck, 0, keepTime}, {strings.NewReader("short"), 5, 0}} {
			f := newFake(answer{status: 503, body: c.body, h: headers("Retry-After", "5")})
			b := live(tokenbucket.Every(time.Hour), 1) // so that the second attempt gets no token
			tr := &Transport{Base: f, MaxRetries: 2, Limiter: b, Jitter: noJitter}
			resp, err := tr.RoundTrip(request(t.Context(), "GET", "http://a/", ""))
			if err != nil || resp.StatusCode != 503 || f.open != 0 {
				t.Fatalf("%v %v, open %d", resp, err, f.open)
			}
			got, err := io.ReadAll(resp.Body)
			if len(got) != c.read || (err == nil) != (c.read == 5) || resp.Body.Close() != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if d := time.Since(f.start); d != 5*time.Second {
				t.Errorf("after %v", d)
			}
		}
	})
}

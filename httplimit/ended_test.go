package httplimit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// endings counts what a server with a remote limiter does with requests that end before they are
// decided.
type endings struct {
	served, failures, refunds atomic.Int32
	statuses                  chan int
	running                   sync.WaitGroup
}

// server starts a server whose second limiter never answers. Its first one has tokens, which have
// to come back.
func (e *endings) server(t *testing.T, opts ...Option) (*httptest.Server, keyed) {
	t.Helper()
	e.statuses = make(chan int, 100)
	local := buckets(tokenbucket.PerHour(1), 100)
	opts = append(opts,
		WithOnError(func(*http.Request, error) bool { e.failures.Add(1); return true }),
		WithRefusal(func(w http.ResponseWriter, r *http.Request, why Refusal) {
			Refuse(w, r, why)
			e.statuses <- why.Status
		}))
	p := several([]Limiter{local, &remote{hang: true}}, opts...)
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { e.served.Add(1) })
	h := p.Handler(next)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.running.Add(1)
		defer e.running.Done()
		h.ServeHTTP(w, r)
	}))
	s.EnableHTTP2 = true
	t.Cleanup(s.Close)
	return s, local
}

func (e *endings) check(t *testing.T, requests int, local keyed) {
	t.Helper()
	for i := range requests {
		if got := <-e.statuses; got != statusClientClosed {
			t.Errorf("request %d: status %d, want %d", i, got, statusClientClosed)
		}
	}
	if e.served.Load() != 0 || e.failures.Load() != 0 || local.Tokens("k") != 100 {
		t.Errorf("%d served, %d failures reported, %v tokens left; want 0, 0, 100",
			e.served.Load(), e.failures.Load(), local.Tokens("k"))
	}
}

// TestHalfClosed is a client that sends its request and closes its half of the connection, as nc
// -N does.
func TestHalfClosed(t *testing.T) {
	for name, opts := range map[string][]Option{"take": nil, "wait": {WithMaxWait(time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			var e endings
			s, local := e.server(t, opts...)
			s.Start()
			const requests = 20
			for range requests {
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != statusClientClosed {
					t.Errorf("status %d", resp.StatusCode)
				}
				conn.Close()
			}
			e.check(t, requests, local)
		})
	}
}

// TestHTTP2Reset is a client that resets its streams.
func TestHTTP2Reset(t *testing.T) {
	var e endings
	s, local := e.server(t)
	s.StartTLS()
	const requests = 20
	for range requests {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		resp, err := s.Client().Do(request(ctx, "GET", s.URL, ""))
		if err == nil {
			t.Errorf("status %d", resp.StatusCode)
			resp.Body.Close()
		}
		cancel()
	}
	// A reset can come before the request has reached the handler.
	s.Close() // waits for connections, not for the handlers of reset streams
	e.running.Wait()
	n := len(e.statuses)
	if n == 0 {
		t.Skip("no request reached the handler before its reset")
	}
	e.check(t, n, local)
}

// TestRequestEnds covers each way in which a request's own context ends before the decision.
func TestRequestEnds(t *testing.T) {
	never := WithOnError(func(*http.Request, error) bool { t.Error("OnError was called"); return true })
	full := func() keyed { l := live(tokenbucket.PerHour(1), 1); l.Keyed.Charge("192.0.2.1", 1); return l }
	wait := []Option{WithMaxWait(2 * time.Hour)}
	for _, c := range []struct {
		name   string
		l      func() Limiter
		opts   []Option
		status int
		end    func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"cancelled in Take", func() Limiter { return &remote{hang: true} }, nil, 499, cancelIn(time.Second)},
		{"deadline in Take", func() Limiter { return &remote{hang: true} }, nil, 503, deadlineIn(time.Second)},
		{"cancelled, another error", func() Limiter { return &remote{err: errDown} }, nil, 499, cancelIn(0)},
		{"cancelled in a queue", func() Limiter { return full() }, wait, 499, cancelIn(time.Second)},
		{"cancelled in a poll", func() Limiter { return &remote{Limiter: full()} }, wait, 499, cancelIn(time.Second)},
		{"no key", func() Limiter { return full() }, []Option{WithKey(fixed(""))}, 499, cancelIn(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := c.end(t.Context())
				defer cancel()
				w := httptest.NewRecorder()
				p := New(c.l(), append(c.opts, never)...)
				next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was served") })
				p.Handler(next).ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
				if w.Code != c.status {
					t.Errorf("status %d, want %d", w.Code, c.status)
				}
			})
		})
	}
}

func cancelIn(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		if d == 0 {
			cancel()
		} else {
			time.AfterFunc(d, cancel)
		}
		return ctx, cancel
	}
}

func deadlineIn(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
}

// TestGrantBeforeEnd: a request that was granted its token is served, although its client has
// closed its half meanwhile.
func TestGrantBeforeEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res, err := decided(New(buckets(tokenbucket.PerHour(1), 1)), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if !res.Allowed || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestEndedError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errDown)
	_, err := decided(New(&remote{hang: true}), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) {
		t.Errorf("%v, want both context.Canceled and its cause", err)
	}
}

package httplimit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A fake is a server in memory, for bubbles: it notes when each request came and answers with
// what comes next.
type fake struct {
	start   time.Time
	answers []answer // the last one over and over

	mu   sync.Mutex
	came []string
	open int // bodies that were not closed
}

type answer struct {
	status int
	h      http.Header
	body   io.Reader
	err    error
	unsent bool // it never got a connection
}

func newFake(answers ...answer) *fake { return &fake{start: time.Now(), answers: answers} }

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		sent = " " + string(b)
	}
	f.came = append(f.came, fmt.Sprint(r.URL.Host, " ", time.Since(f.start), sent))
	a := f.answers[0]
	if len(f.answers) > 1 {
		f.answers = f.answers[1:]
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GetConn != nil {
		trace.GetConn(r.URL.Host)
		if !a.unsent {
			trace.WroteHeaders()
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	if a.body == nil {
		a.body = strings.NewReader("body")
	}
	if a.h == nil {
		a.h = http.Header{}
	}
	f.open++
	return &http.Response{StatusCode: a.status, Header: a.h, Body: &fakeBody{a.body, f, false}, Request: r}, nil
}

type fakeBody struct {
	io.Reader
	f      *fake
	closed bool
}

func (b *fakeBody) Close() error {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.f.open--
	}
	if c, ok := b.Reader.(io.Closer); ok {
		c.Close()
	}
	return nil
}

func (f *fake) want(t *testing.T, came ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.came, came) {
		t.Errorf("came %q, want %q", f.came, came)
	}
	f.came = nil
}

// ask sends a request and reads the answer; it returns the status and the body, or the error.
func ask(t *testing.T, tr *Transport, req *http.Request) (int, string, error) {
	t.Helper()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading: %v", err)
	}
	resp.Body.Close()
	if resp.Request != req {
		t.Error("the response is not to the request")
	}
	return resp.StatusCode, string(b), nil
}

func mustAsk(t *testing.T, tr *Transport, req *http.Request) {
	t.Helper()
	if _, _, err := ask(t, tr, req); err != nil {
		t.Error(err)
	}
}

func request(ctx context.Context, method, url, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		panic(err)
	}
	return req
}

func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func noJitter() float64 { return 0 }

func ok() answer { return answer{status: 200} }

func tooMany(pairs ...string) answer { return answer{status: 429, h: headers(pairs...)} }

func TestPacing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(ok())
		var events []string
		tr := &Transport{Base: f, Limiter: live(tokenbucket.PerSecond(1), 2), OnWait: func(e Event) {
			events = append(events, fmt.Sprintf("%s %s %s %v %d", e.Reason, e.Limit, e.Key, e.Wait, e.Attempt))
		}}
		for _, u := range []string{"http://a/", "http://A:80/x", "https://a:443/", "http://b/", "http://a/"} {
			mustAsk(t, tr, request(t.Context(), "GET", u, ""))
		}
		f.want(t, "a 0s", "A:80 0s", "a:443 1s", "b 1s", "a 2s")
		if want := []string{"limit default a 1s 1", "limit default a 1s 1"}; !slices.Equal(events, want) {
			t.Errorf("%q, want %q", events, want)
		}

		// It fails at once when it would be too late, and takes nothing.
		ctx, cancel := context.WithTimeout(t.Context(), 999*time.Millisecond)
		defer cancel()
		body := &closer{Reader: strings.NewReader("x")}
		req := request(ctx, "POST", "http://a/", "")
		req.Body = body
		start := time.Now()
		_, _, err := ask(t, tr, req)
		if !errors.Is(err, tokenbucket.ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 || !body.closed {
			t.Errorf("%v after %v, body closed %v", err, time.Since(start), body.closed)
		}
		if e, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err); !ok || !e.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		if want := `httplimit: waiting for limit "default", for a: `; !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "tokenbucket:") {
			t.Errorf("%v, want %s", err, want)
		}

		// Cancelled while it waits, it leaves no debt.
		cancelled, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(500*time.Millisecond, func() { stop(errDown) })
		if _, _, err := ask(t, tr, request(cancelled, "GET", "http://a/", "")); !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, _, err := ask(t, tr, request(cancelled, "GET", "http://b/", "")); !errors.Is(err, errDown) {
			t.Error(err)
		}
		time.Sleep(500 * time.Millisecond)
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		f.want(t, "a 3s")
	})
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestPause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(tooMany("Retry-After", "8"), ok())
		var random atomic.Int64
		var mu sync.Mutex
		var waits []time.Duration
		b := live(tokenbucket.PerSecond(10), 1)
		tr := &Transport{Base: f, Limiter: b, Jitter: func() float64 { return float64(random.Add(1)) / 4 }, OnWait: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Reason == ReasonPause {
				waits = append(waits, e.Wait)
			}
		}}
		// Without retries the answer is the caller's; the pause is everybody's, each comes back
		// at another time.
		if code, _, _ := ask(t, tr, request(t.Context(), "GET", "http://a/", "")); code != 429 {
			t.Error(code)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { mustAsk(t, tr, request(t.Context(), "GET", "http://a/", "")) })
		}
		wg.Wait()
		mustAsk(t, tr, request(t.Context(), "GET", "http://b/", ""))
		f.want(t, "a 0s", "a 8.5s", "a 9s", "a 9.5s", "b 9.5s")
		if len(waits) != 3 || waits[0] != 8*time.Second {
			t.Errorf("waits %v", waits)
		}
	})
}

func TestPauseAndDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(answer{status: 200, h: headers("RateLimit", `"x";r=0;t=10`)}, ok())
		tr := &Transport{Base: f, Jitter: func() float64 { return 0.999 }}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		_, _, err := ask(t, tr, request(ctx, "GET", "http://a/", ""))
		if !errors.Is(err, tokenbucket.ErrDeadline) || time.Since(f.start) != 0 {
			t.Errorf("%v after %v", err, time.Since(f.start))
		}
		// The jitter does not make a request miss its deadline.
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second+20*time.Millisecond)
		defer cancel()
		if _, _, err := ask(t, tr, request(ctx, "GET", "http://a/", "")); err != nil {
			t.Error(err)
		}
		// Cancelled in a pause.
		tr.pauses.hold(pauseKey{host: "a"}, time.Minute, time.Now())
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(errDown) })
		if _, _, err := ask(t, tr, request(ctx, "GET", "http://a/", "")); !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) {
			t.Error(err)
		}
	})
}

// TestPauseDuringWait: a pause that begins while a request waits for its tokens counts, and the
// tokens go back meanwhile.
func TestPauseDuringWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(ok())
		b := live(tokenbucket.PerSecond(1), 1)
		tr := &Transport{Base: f, Limiter: b, Jitter: noJitter}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		time.AfterFunc(500*time.Millisecond, func() { tr.pauses.hold(pauseKey{"a", "a"}, 5*time.Second, time.Now()) })
		time.AfterFunc(4*time.Second, func() {
			if tokens := b.Tokens("a"); tokens != 1 {
				t.Errorf("%v tokens in the pause", tokens)
			}
		})
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		f.want(t, "a 0s", "a 5.5s")
	})
}

// TestUnsent: a request that got no connection costs nothing; one that may have been sent does.
func TestUnsent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, c := range []struct {
			a    answer
			left float64
		}{{answer{err: errDown, unsent: true}, 5}, {answer{err: errDown}, 4}, {ok(), 4}} {
			b := live(tokenbucket.PerSecond(1), 5)
			tr := &Transport{Base: newFake(c.a), Limiter: b}
			_, _, _ = ask(t, tr, request(t.Context(), "GET", "http://a/", ""))
			if got := b.Tokens("a"); got != c.left {
				t.Errorf("%+v: %v tokens, want %v", c.a, got, c.left)
			}
		}
	})
}

func TestTransportSeveralLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		requests, tokens := live(tokenbucket.PerMinute(60), 2), live(tokenbucket.PerSecond(100), 1000)
		cost := 400
		limits := func(*http.Request) ([]Limit, error) {
			return []Limit{{Name: "requests", Limiter: requests, Key: "k"}, {Name: "tokens", Limiter: tokens, Key: "k", Cost: cost}}, nil
		}
		f := newFake(ok())
		tr := &Transport{Base: f, Limits: limits}
		for range 4 {
			mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		}
		f.want(t, "a 0s", "a 0s", "a 2s", "a 6s")
		// One that can never be: at once, and nothing is taken.
		cost = 1001
		if _, _, err := ask(t, tr, request(t.Context(), "GET", "http://a/", "")); !errors.Is(err, tokenbucket.ErrExceedsBurst) {
			t.Error(err)
		}
		// One that is cancelled while it waits for the second: nothing is taken from the first.
		cost = 400
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		before := requests.Tokens("k")
		_, _, err := ask(t, tr, request(ctx, "GET", "http://a/", ""))
		if !errors.Is(err, tokenbucket.ErrDeadline) || !strings.Contains(err.Error(), `limit "tokens", for a`) {
			t.Error(err)
		}
		if got := requests.Tokens("k"); got != before || tokens.Tokens("k") != 0 {
			t.Errorf("%v requests, %v before; %v tokens", got, before, tokens.Tokens("k"))
		}
	})
}

func TestTransportErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(ok())
		down := &remote{err: errDown}
		req := func() *http.Request { return request(t.Context(), "GET", "http://a/", "") }
		for _, c := range []struct {
			tr   *Transport
			want error
		}{
			{&Transport{Limiter: down}, errDown},
			{&Transport{Limiter: live(tokenbucket.PerSecond(1), 1), Key: fixed("")}, ErrNoKey},
			{&Transport{Limiter: live(tokenbucket.PerSecond(1), 1), Cost: func(*http.Request) int { return -1 }}, ErrCost},
			{&Transport{Limits: func(*http.Request) ([]Limit, error) { return nil, errDown }}, errDown},
		} {
			c.tr.Base = f
			if _, _, err := ask(t, c.tr, req()); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		}
		f.want(t)
		if _, err := (&Transport{Limiter: down}).RoundTrip(&http.Request{}); !errors.Is(err, ErrNoKey) {
			t.Errorf("a request without a URL: %v", err)
		}
		mustPanic(t, `httplimit: limit "default": *httplimit.remote cannot refund; want a Settler, or the limit last`, func() {
			_, _ = (&Transport{Limiter: down, Settle: func(_ *http.Response, _ []byte, l Limit) int { return l.Cost }}).RoundTrip(req())
		})
		mustPanic(t, `httplimit: limit "x" has no Limiter`, func() {
			_, _ = (&Transport{Limits: func(*http.Request) ([]Limit, error) { return []Limit{{Name: "x", Key: "k"}}, nil }}).RoundTrip(req())
		})
		// Several, the first of which fails in the search for the slowest.
		a := live(tokenbucket.PerSecond(1), 1)
		a.Allow("k")
		tr := &Transport{Base: f, Limits: func(*http.Request) ([]Limit, error) {
			return []Limit{{Limiter: a, Key: "k"}, {Limiter: down, Key: "k"}}, nil
		}}
		if _, _, err := ask(t, tr, req()); !errors.Is(err, errDown) || a.Tokens("k") != 0 {
			t.Error(err, a.Tokens("k"))
		}
	})
}

func TestEventLogs(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	req := request(t.Context(), "GET", "http://a/secret?token=1", "")
	log.Info("waiting", "event", Event{Request: req, Attempt: 2, Reason: ReasonLimit, Limit: "tokens", Key: "sk-1", Wait: time.Second})
	log.Info("waiting", "event", Event{Request: req, Attempt: 1, Reason: ReasonPause, Key: "a", Wait: time.Second})
	want := "level=INFO msg=waiting event.reason=limit event.wait=1s event.attempt=2 event.method=GET event.host=a event.limit=tokens\n" +
		"level=INFO msg=waiting event.reason=pause event.wait=1s event.attempt=1 event.method=GET event.host=a\n"
	if b.String() != want {
		t.Errorf("%s, want %s", b.String(), want)
	}
}

// TestRequestCancel: the deprecated Cancel channel of a request ends its waits.
func TestRequestCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := live(tokenbucket.PerHour(1), 1)
		b.Keyed.Charge("a", 1)
		held := &Transport{Base: newFake(ok())}
		held.pauses.hold(pauseKey{host: "a"}, time.Hour, time.Now())
		for name, tr := range map[string]*Transport{
			"limit":   {Base: newFake(ok()), Limiter: b},
			"pause":   held,
			"backoff": {Base: newFake(answer{status: 503}), MaxRetries: 9, MaxRetryWait: time.Hour},
			"remote":  {Base: newFake(ok()), Limiter: &remote{hang: true}},
		} {
			cancel := make(chan struct{})
			start := time.Now()
			time.AfterFunc(500*time.Millisecond, func() { close(cancel) })
			req := request(t.Context(), "GET", "http://a/", "")
			req.Cancel = cancel
			_, _, err := ask(t, tr, req)
			if !errors.Is(err, context.Canceled) || time.Since(start) != 500*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
		if b.Tokens("a") > 0.001 || b.Waiting("a") != 0 {
			t.Errorf("%v tokens, %d wait", b.Tokens("a"), b.Waiting("a"))
		}
	})
}

// TestPoorBases: a Base that returns no Body, or nothing at all, makes nobody panic.
func TestPoorBases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, code := range []int{200, 429} {
			tr := &Transport{MaxRetries: 1, Limiter: live(tokenbucket.PerSecond(1), 9), Settle: func(_ *http.Response, _ []byte, l Limit) int { return l.Cost },
				Base: roundTripper(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: code}, nil })}
			if got, body, err := ask(t, tr, request(t.Context(), "GET", "http://a/", "")); got != code || body != "" || err != nil {
				t.Errorf("%d %q %v", got, body, err)
			}
		}
		tr := &Transport{Base: roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil })}
		if _, err := tr.RoundTrip(request(t.Context(), "GET", "http://a/", "")); err == nil {
			t.Error("no error for no response")
		}
	})
}

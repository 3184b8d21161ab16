package httplimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// serve starts a real server on loopback.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := live(tokenbucket.PerSecond(1), 1)
		p := New(b, WithKey(fixed("k")), WithMaxWait(2500*time.Millisecond))
		start := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var got []string
		for i := range 5 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				w := get(t, p)
				mu.Lock()
				defer mu.Unlock()
				got = append(got, fmt.Sprintf("%d after %v: %d %s retry %s", i, time.Since(start), w.Code,
					w.Header().Get("RateLimit"), w.Header().Get("Retry-After")))
			})
		}
		wg.Wait()
		want := []string{
			`0 after 0s: 200 "default";r=0;t=1 retry `,
			`3 after 3ms: 429 "default";r=0;t=3 retry 3`,
			`4 after 4ms: 429 "default";r=0;t=3 retry 3`,
			`1 after 1s: 200 "default";r=0;t=2 retry `, // one more is queued in front of the next
			`2 after 2s: 200 "default";r=0;t=1 retry `,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
}

func TestWaitRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := live(tokenbucket.PerSecond(1), 1)
		p := New(b, WithKey(fixed("k")), WithMaxWait(2*time.Second))
		get(t, p)
		time.AfterFunc(500*time.Millisecond, func() { b.Keyed.Charge("k", 100) })
		start := time.Now()
		if w := get(t, p); w.Code != 429 || time.Since(start) != 2*time.Second {
			t.Errorf("%d after %v", w.Code, time.Since(start))
		}
		if tokens := b.Tokens("k"); tokens != -98 {
			t.Errorf("%v tokens, want -98", tokens)
		}
	})
}

func TestWaitForRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One that cannot queue is asked again.
		far := &remote{Limiter: live(tokenbucket.PerSecond(1), 1)}
		p := New(far, WithMaxWait(time.Second), WithTimeout(time.Minute))
		start := time.Now()
		for i, code := range []int{200, 200, 200} {
			if w := get(t, p); w.Code != code || time.Since(start) != time.Duration(i)*time.Second {
				t.Errorf("%d: %d after %v", i, w.Code, time.Since(start))
			}
		}
		if far.calls != 1+2+2 { // at once; refused, granted
			t.Errorf("%d calls", far.calls)
		}
		// More than the burst, and tokens that never come.
		for _, c := range []struct {
			l    Limiter
			cost int
			want error
		}{
			{far, 2, tokenbucket.ErrExceedsBurst},
			{&remote{Limiter: live(tokenbucket.Rate{}, 1)}, 1, tokenbucket.ErrDeadline},
		} {
			cs := []demand{{Limit: Limit{Limiter: c.l, Key: "k", Cost: c.cost}, total: c.cost}}
			_, _ = taker{}.take(t.Context(), cs)
			if err := (taker{}).queue(t.Context(), t.Context(), &cs[0]); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		}
		// It fails while it is waited for.
		failing := &remote{Limiter: live(tokenbucket.PerSecond(1), 1)}
		p = New(failing, WithMaxWait(time.Minute))
		get(t, p)
		time.AfterFunc(time.Millisecond, failing.fail)
		if res, err := decided(p, httptest.NewRequest("GET", "/", nil)); !res.Allowed || err != errDown {
			t.Error(res, err)
		}
	})
}

// TestWaitHangs: a limiter that does not answer has failed, however short the wait; one that is
// slow has not.
func TestWaitHangs(t *testing.T) {
	for _, c := range []struct{ maxWait, timeout, after time.Duration }{
		{time.Second, 0, time.Second},
		{time.Millisecond, 0, time.Second},
		{time.Minute, 0, time.Minute},
		{time.Second, 5 * time.Second, 5 * time.Second},
		{5 * time.Second, time.Second, time.Second},
	} {
		bubble(t, func(t *testing.T) {
			var told error
			p := New(&remote{hang: true}, WithMaxWait(c.maxWait), WithTimeout(c.timeout),
				WithOnError(func(_ *http.Request, err error) bool { told = err; return false }))
			start := time.Now()
			w := get(t, p)
			if w.Code != 503 || !errors.Is(told, context.DeadlineExceeded) || time.Since(start) != c.after {
				t.Errorf("%+v: %d, told %v, after %v", c, w.Code, told, time.Since(start))
			}
		})
	}
}

// TestQueueHangs: a limiter that answers but does not return from its queue has failed too.
func TestQueueHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := hangingQueue{live(tokenbucket.PerSecond(1), 1)}
		var told error
		p := New(l, WithMaxWait(2*time.Second), WithOnError(func(_ *http.Request, err error) bool { told = err; return false }))
		get(t, p)
		if w := get(t, p); w.Code != 503 || !errors.Is(told, context.DeadlineExceeded) {
			t.Errorf("%d, told %v", w.Code, told)
		}
	})
}

type hangingQueue struct{ keyed }

func (hangingQueue) WaitN(ctx context.Context, _ string, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestWaitSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := live(tokenbucket.PerSecond(1), 2), live(tokenbucket.PerSecond(2), 10)
		b.Keyed.Charge("k", 10)
		p := New(a, WithMaxWait(time.Minute), WithLimits(func(*http.Request) ([]Limit, error) {
			return []Limit{{Name: "a", Key: "k", Cost: 2}, {Name: "b", Limiter: b, Key: "k", Cost: 3}}, nil
		}))
		start := time.Now()
		for i, want := range []time.Duration{1500 * time.Millisecond, 3500 * time.Millisecond, 5500 * time.Millisecond} {
			go func() {
				time.Sleep(time.Millisecond) // while it waits, it has nothing in hand
				if i == 0 && (a.Tokens("k") != 2 || b.Waiting("k") != 1) {
					t.Errorf("%v tokens, %d wait", a.Tokens("k"), b.Waiting("k"))
				}
			}()
			w := get(t, p)
			if got := time.Since(start); w.Code != 200 || got != want {
				t.Errorf("%d: %d after %v, want %v", i, w.Code, got, want)
			}
		}
	})
}

func TestWaitQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerSecond(1), 1, tokenbucket.WithMaxWaiters(0)))
		p := New(b, WithMaxWait(time.Minute))
		get(t, p)
		if w := get(t, p); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
}

// TestDisconnect: a client that leaves gives its place up.
func TestDisconnect(t *testing.T) {
	b := live(tokenbucket.Per(1, time.Hour), 1)
	p := New(b, WithKey(fixed("k")), WithMaxWait(2*time.Hour))
	s := serve(t, p.Handler(served))
	fetch(t, s.URL, 200)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, func() bool { return b.Waiting("k") == 1 })
	conn.Close()
	eventually(t, func() bool { return b.Waiting("k") == 0 })
	if tokens := b.Tokens("k"); tokens < 0 || tokens > 0.1 {
		t.Errorf("%v tokens, want none and no debt", tokens)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 10_000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it did not happen within 10 s")
}

func fetch(t *testing.T, url string, code int) http.Header {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != code {
		t.Fatalf("%s: %d, %v; want %d", url, resp.StatusCode, err, code)
	}
	return resp.Header
}

// TestMux: in front of a mux, inside of it by pattern, and as the type of middleware that routers
// take.
func TestMux(t *testing.T) {
	use := func(middleware func(http.Handler) http.Handler, h http.Handler) http.Handler { return middleware(h) }
	all := New(buckets(tokenbucket.PerSecond(1), 6), WithName("all"))
	byPattern := New(buckets(tokenbucket.PerSecond(1), 2), WithKey(ByPattern))
	mux := http.NewServeMux()
	mux.Handle("GET /a/{id}", byPattern.Handler(served))
	mux.Handle("GET /b/{id}", byPattern.Handler(served))
	s := serve(t, use(all.Handler, mux))
	for _, c := range []struct {
		path string
		code int
	}{{"/a/1", 200}, {"/a/2", 200}, {"/a/3", 429}, {"/b/1", 200}, {"/c", 404}, {"/b/2", 200}, {"/b/2", 429}} {
		fetch(t, s.URL+c.path, c.code)
	}
}

// grants notes when tokens were granted, from before the decision to after it.
type grants struct {
	Limiter
	mu    sync.Mutex
	times [][2]time.Time
	asked int
}

func (g *grants) Take(ctx context.Context, key string, n int) (tokenbucket.Result, error) {
	before := time.Now()
	res, err := g.Limiter.Take(ctx, key, n)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if res.Allowed {
		g.times = append(g.times, [2]time.Time{before, time.Now()})
	}
	return res, err
}

// TestSaturated: a server with more clients than it can serve keeps the bound over every window,
// and refuses without a goroutine more than net/http has.
func TestSaturated(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second of the real clock")
	}
	const rate, burst, clients = 500, 50, 8
	g := &grants{Limiter: live(tokenbucket.PerSecond(rate), burst)}
	s := serve(t, New(g, WithKey(fixed("all"))).Handler(served))
	var wg sync.WaitGroup
	stop := time.Now().Add(time.Second)
	most := 0
	for i := range clients {
		wg.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for time.Now().Before(stop) {
				resp, err := c.Get(s.URL)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if i == 0 {
					most = max(most, runtime.NumGoroutine())
				}
			}
		})
	}
	wg.Wait()
	// Each client has itself, two for its connection, and up to three in the server; the test has
	// a few.
	if most > clients*6+20 {
		t.Errorf("%d goroutines for %d clients", most, clients)
	}
	slices.SortFunc(g.times, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	for i, first := range g.times {
		end := first[1]
		for j, last := range g.times[i:] {
			if last[1].After(end) {
				end = last[1]
			}
			if most := burst + rate*(end.Sub(first[0])+time.Nanosecond).Seconds(); float64(j+1) > most+1e-6 {
				t.Fatalf("%d grants within %v, want %v at most", j+1, end.Sub(first[0]), most)
			}
		}
	}
	t.Logf("%d asked, %d granted", g.asked, len(g.times))
	if g.asked < 2*len(g.times) {
		t.Skip("the machine was too slow to saturate the server")
	}
}

func BenchmarkHandler(b *testing.B) {
	r := httptest.NewRequest("GET", "/", nil)
	w := &discard{h: http.Header{}}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	full := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(1e9), 1e9)
	empty := tokenbucket.NewKeyed[string](tokenbucket.Rate{}, 1)
	empty.Allow("192.0.2.1")
	for _, c := range []struct {
		name string
		h    http.Handler
	}{
		{"bare", nothing},
		{"allowed", New(Keyed(full)).Handler(nothing)},
		{"allowed-quiet", New(Keyed(full), WithoutRateLimit()).Handler(nothing)},
		{"refused", New(Keyed(empty)).Handler(nothing)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				c.h.ServeHTTP(w, r)
			}
		})
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// TestHandlerAllocs: deciding about a request and telling about it allocates at most once; on
// average it is far less, a block for some dozens of responses.
func TestHandlerAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	full := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(1e9), 1e9)
	empty := tokenbucket.NewKeyed[string](tokenbucket.Rate{}, 1)
	empty.Allow("192.0.2.1")
	for name, p := range map[string]*Policy{
		"allowed":        New(Keyed(full)),
		"without fields": New(Keyed(full), WithoutRateLimit()),
		"refused":        New(Keyed(empty)),
	} {
		h := p.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequest("GET", "/", nil)
		w := &discard{h: http.Header{}}
		got := testing.AllocsPerRun(1000, func() {
			clear(w.h)
			h.ServeHTTP(w, r)
		})
		if got > 1 {
			t.Errorf("%s: %v allocations a request, want 1 at most", name, got)
		}
	}
}

package httplimit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// TestCheckIsHandler: Check, SetHeader and Refuse give what Handler gives, to the byte.
func TestCheckIsHandler(t *testing.T) {
	several := func(ls ...Limiter) Option {
		return WithLimits(func(*http.Request) (limits []Limit, err error) {
			for i, l := range ls {
				limits = append(limits, Limit{Name: fmt.Sprint("l", i), Limiter: l, Key: "k"})
			}
			return limits, nil
		})
	}
	closed := WithOnError(func(*http.Request, error) bool { return false })
	b := func() Limiter { return buckets(tokenbucket.PerHour(10), 2) }
	for name, policy := range map[string]func() *Policy{
		"one limit":    func() *Policy { return New(b(), WithXRateLimit(), WithName("n")) },
		"several":      func() *Policy { return New(nil, several(b(), Bucket(tokenbucket.New(tokenbucket.PerHour(1), 1)))) },
		"no key":       func() *Policy { return New(b(), WithKey(fixed(""))) },
		"fails open":   func() *Policy { return New(&remote{err: errDown}) },
		"fails closed": func() *Policy { return New(&remote{err: errDown}, closed) },
		"own refusal": func() *Policy {
			return New(b(), WithRefusal(func(w http.ResponseWriter, _ *http.Request, f Refusal) { w.WriteHeader(f.Status + 1) }))
		},
		"queue": func() *Policy { return New(b(), WithMaxWait(time.Nanosecond)) },
		"shadow": func() *Policy {
			return New(b(), WithShadow(func(*http.Request, Refusal) {}), WithFieldNames(FieldNames{Shadow: "X-Shadow"}))
		},
		"without limits": func() *Policy { return New(nil, several()) },
	} {
		t.Run(name, func(t *testing.T) {
			p1, p2 := policy(), policy()
			h := p1.Handler(served)
			for i := range 4 {
				r := httptest.NewRequest("GET", "/", nil)
				w1, w2 := httptest.NewRecorder(), httptest.NewRecorder()
				h.ServeHTTP(w1, r)
				if d := p2.Check(r); d.Allowed {
					d.SetHeader(w2.Header())
					served(w2, r)
				} else {
					d.Refuse(w2, r)
				}
				one := fmt.Sprint(w1.Code, w1.Header(), w1.Body)
				if two := fmt.Sprint(w2.Code, w2.Header(), w2.Body); one != two {
					t.Errorf("request %d: Handler gives\n%s\nCheck gives\n%s", i, one, two)
				}
			}
			if p1.Stats() != p2.Stats() {
				t.Errorf("%+v and %+v", p1.Stats(), p2.Stats())
			}
		})
	}
}

func TestBucket(t *testing.T) {
	b := tokenbucket.New(tokenbucket.PerHour(1), 2, tokenbucket.WithClock(stopped{}))
	p := New(Bucket(b), WithKey(func(*http.Request) (string, error) { t.Error("asked for a key"); return "", nil }))
	for _, code := range []int{200, 200, 429} {
		if w := get(t, p); w.Code != code {
			t.Errorf("%d, want %d", w.Code, code)
		}
	}
	// Whatever the keys, it is one bucket: the costs of two limits add up.
	b.Refund(2)
	l := Bucket(b)
	p = New(nil, WithLimits(func(*http.Request) ([]Limit, error) {
		return []Limit{{Limiter: l, Key: "x"}, {Limiter: Bucket(b), Cost: 2}}, nil
	}))
	if w := get(t, p); w.Code != 429 || w.Header().Get("Retry-After") != "" || b.Tokens() != 2 {
		t.Errorf("%d, %v tokens", w.Code, b.Tokens())
	}
	// It queues, and can be corrected.
	bubble(t, func(t *testing.T) {
		b := tokenbucket.New(tokenbucket.PerSecond(1), 1)
		p := New(Bucket(b), WithMaxWait(time.Second))
		start := time.Now()
		get(t, p)
		if w := get(t, p); w.Code != 200 || time.Since(start) != time.Second {
			t.Errorf("%d after %v", w.Code, time.Since(start))
		}
		tr := &Transport{Base: newFake(ok()), Limiter: Bucket(b), Settle: func(*http.Response, []byte, Limit) int { return 3 }}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		if got := b.Tokens(); got != -2 {
			t.Errorf("%v tokens, want -2", got)
		}
	})
}

func TestWithLimiter(t *testing.T) {
	strict, normal := buckets(tokenbucket.PerHour(1), 1), buckets(tokenbucket.PerHour(1), 2)
	p := New(nil, WithLimiter(func(r *http.Request) Limiter {
		switch r.URL.Path {
		case "/login":
			return strict
		case "/static":
			return nil
		}
		return normal
	}))
	for _, c := range []struct {
		path string
		code int
	}{{"/login", 200}, {"/login", 429}, {"/", 200}, {"/", 200}, {"/", 429}, {"/static", 200}, {"/static", 200}} {
		w := httptest.NewRecorder()
		p.Handler(served).ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.code {
			t.Errorf("%s: %d, want %d", c.path, w.Code, c.code)
		}
	}
}

func TestShadow(t *testing.T) {
	var told []string
	report := WithShadow(func(_ *http.Request, f Refusal) {
		told = append(told, fmt.Sprintf("%d%s %v", f.Status, f.Policy, f.Err != nil))
	})
	names := WithFieldNames(FieldNames{RateLimit: "RateLimit", Shadow: "x-trial"})
	b := buckets(tokenbucket.PerHour(1), 1)
	for _, c := range []struct {
		p    *Policy
		told string
		h    map[string]string
	}{
		{New(b, report), "[429default false]", map[string]string{"RateLimit": "", "RateLimit-Policy": "", "X-Trial": ""}},
		{New(b, report, names, WithName("n")), "[429n false 429n false]",
			map[string]string{"RateLimit": `"n";r=0;t=3600`, "RateLimit-Policy": "", "X-Trial": "n"}},
		{New(b, report, names, WithKey(fixed(""))), "[400 true 400 true]", map[string]string{"X-Trial": "400"}},
		{New(&remote{err: errDown}, report, WithOnError(func(*http.Request, error) bool { return false })), "[503 true 503 true]", nil},
		{New(&remote{err: errDown}, report), "[]", nil},
		{New(b, report, WithMaxWait(2*time.Hour), WithXRateLimit()), "[429default false 429default false]", map[string]string{"X-RateLimit-Remaining": "0"}},
	} {
		told = nil
		for range 2 {
			w := get(t, c.p)
			if w.Code != 200 || w.Body.String() != "served" || w.Header().Get("Retry-After") != "" {
				t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
			}
			if len(told) > 0 {
				wantHeader(t, w.Header(), c.h)
			}
		}
		if got := fmt.Sprint(told); got != c.told {
			t.Errorf("told %s, want %s", got, c.told)
		}
	}
	if b.Tokens("192.0.2.1") != 0 {
		t.Errorf("%v tokens: an allowed request takes its token", b.Tokens("192.0.2.1"))
	}
	d := New(b, report).Check(httptest.NewRequest("GET", "/", nil))
	if f := d.Refusal(); !d.Allowed || d.Result.Allowed || f.Status != 429 || f.Policy != "default" {
		t.Errorf("%+v, %+v", d, f)
	}
}

func TestFieldNames(t *testing.T) {
	b := buckets(tokenbucket.PerHour(1), 5)
	w := get(t, New(b, WithFieldNames(FieldNames{Limit: "x-quota", Remaining: "X-Quota-Left", Reset: "x-quota-reset"})))
	wantHeader(t, w.Header(), map[string]string{"X-Quota": "5", "X-Quota-Left": "4", "RateLimit": "", "RateLimit-Policy": ""})
	if w.Header().Get("X-Quota-Reset") == "" {
		t.Error("no X-Quota-Reset")
	}
	if w := get(t, New(b, WithFieldNames(FieldNames{}))); len(w.Header()) != 1 { // Content-Type
		t.Error(w.Header())
	}
	mustPanic(t, `httplimit: WithFieldNames: "a b" cannot be the name of a header field`, func() { WithFieldNames(FieldNames{Reset: "a b"}) })
}

func TestStats(t *testing.T) {
	down := &remote{err: errDown}
	p := New(buckets(tokenbucket.PerHour(1), 2), WithOnError(func(r *http.Request, _ error) bool { return r.Method == "GET" }),
		WithLimiter(func(r *http.Request) Limiter {
			if r.URL.Path == "/down" {
				return down
			}
			return nil
		}))
	ended, cancel := cancelIn(0)(t.Context())
	defer cancel()
	for range 3 {
		p.Check(httptest.NewRequest("GET", "/", nil))
		p.Check(httptest.NewRequest("GET", "/down", nil))
		p.Check(httptest.NewRequest("POST", "/down", nil))
		p.Check(httptest.NewRequest("GET", "/down", nil).WithContext(ended))
	}
	if got, want := p.Stats(), (Stats{Allowed: 3, FailedOpen: 3, FailedClosed: 3, Ended: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	p = New(buckets(tokenbucket.PerHour(1), 2))
	for range 5 {
		get(t, p)
	}
	if got, want := p.Stats(), (Stats{Allowed: 2, Refused: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	p = New(buckets(tokenbucket.PerHour(1), 2), WithShadow(func(*http.Request, Refusal) {}))
	for range 5 {
		get(t, p)
	}
	if got, want := p.Stats(), (Stats{Allowed: 2, Shadowed: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	bubble(t, func(t *testing.T) {
		tr := &Transport{Base: newFake(tooMany("Retry-After", "1"), answer{status: 503}, ok()), MaxRetries: 5, Limiter: live(tokenbucket.PerSecond(10), 1)}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		if got, want := tr.Stats(), (TransportStats{Sent: 4, Retried: 2, Refused: 2, Paused: 1, Waited: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestHeaderValuesAreIndependent: what a handler does to the fields of one response shows in no
// other.
func TestHeaderValuesAreIndependent(t *testing.T) {
	p := New(buckets(tokenbucket.PerHour(1), 100), WithKey(fixed("k")))
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range w.Header() {
			w.Header()[name] = append(values, "more")
			for i := range values {
				values[i] = "changed"
			}
		}
	}))
	for i := range 50 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		w := httptest.NewRecorder()
		p.Handler(served).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		wantHeader(t, w.Header(), map[string]string{"RateLimit-Policy": `"default";q=100;w=360000`, "RateLimit": fmt.Sprintf(`"default";r=%d;t=3600`, 98-2*i)})
	}
}

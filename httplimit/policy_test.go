package httplimit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

var served = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })

func get(t *testing.T, p *Policy, accept ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	if accept != nil {
		r.Header["Accept"] = accept
	}
	w := httptest.NewRecorder()
	p.Handler(served).ServeHTTP(w, r)
	return w
}

func wantHeader(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	for name, v := range want {
		if got := strings.Join(h.Values(name), " + "); got != v {
			t.Errorf("%s: %s, want %s", name, got, v)
		}
	}
}

func TestHandler(t *testing.T) {
	p := New(buckets(tokenbucket.PerSecond(10), 20), WithXRateLimit())
	for i := range 20 {
		w := get(t, p)
		if w.Code != 200 || w.Body.String() != "served" {
			t.Fatalf("request %d: %d %s", i, w.Code, w.Body)
		}
		wantHeader(t, w.Header(), map[string]string{
			"RateLimit-Policy":      `"default";q=20;w=2`,
			"RateLimit":             fmt.Sprintf(`"default";r=%d;t=1`, 19-i),
			"X-RateLimit-Limit":     "20",
			"X-RateLimit-Remaining": fmt.Sprint(19 - i),
			"Retry-After":           "",
		})
		if w.Header().Get("X-RateLimit-Reset") == "" {
			t.Error("no X-RateLimit-Reset")
		}
	}
	w := get(t, p)
	if w.Code != 429 || w.Body.String() != "Too Many Requests. Try again in 1 second.\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	wantHeader(t, w.Header(), map[string]string{
		"RateLimit-Policy": `"default";q=20;w=2`, "RateLimit": `"default";r=0;t=1`, "Retry-After": "1",
		"X-RateLimit-Remaining": "0", "Content-Type": "text/plain; charset=utf-8", "Vary": "Accept",
	})
}

func TestHandlerWithoutFields(t *testing.T) {
	w := get(t, New(buckets(tokenbucket.PerSecond(10), 20), WithoutRateLimit()))
	wantHeader(t, w.Header(), map[string]string{"RateLimit-Policy": "", "RateLimit": "", "X-RateLimit-Limit": ""})
}

func TestNestedPolicies(t *testing.T) {
	outer := New(buckets(tokenbucket.PerSecond(1), 9), WithName("global"), WithKey(fixed("all")))
	inner := New(buckets(tokenbucket.PerSecond(1), 5), WithName(`say "cheese\"`))
	w := httptest.NewRecorder()
	outer.Handler(inner.Handler(served)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	wantHeader(t, w.Header(), map[string]string{
		"RateLimit-Policy": `"global";q=9;w=9 + "say \"cheese\\\"";q=5;w=5`,
		"RateLimit":        `"global";r=8;t=1 + "say \"cheese\\\"";r=4;t=1`,
	})
}

func TestProblem(t *testing.T) {
	p := New(buckets(tokenbucket.Per(1, time.Minute), 1), WithName("minute"))
	get(t, p)
	w := get(t, p, "application/problem+json")
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "https://iana.org/assignments/http-problem-types#quota-exceeded", "status": 429.0,
		"title":  "Request cannot be satisfied as assigned quota has been exceeded",
		"detail": "Try again in 60 seconds.", "violated-policies": []any{"minute"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	wantHeader(t, w.Header(), map[string]string{
		"Content-Type": "application/problem+json", "Retry-After": "60", "RateLimit": `"minute";r=0;t=60`,
	})
}

func TestNegotiation(t *testing.T) {
	for accept, want := range map[string]bool{
		"":    false,
		"*/*": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		"application/problem+json":                                        true,
		"application/json":                                                true,
		"APPLICATION/JSON":                                                true,
		"application/*":                                                   true,
		"text/plain":                                                      false,
		"text/*":                                                          false,
		"application/json, text/plain, */*":                               false,
		"application/json, */*;q=0.5":                                     true,
		"application/json;q=0.5, text/plain;q=0.9":                        false,
		"application/problem+json;q=0.9, application/json;q=0.1":          true,
		"application/problem+json;q=0, application/json, */*;q=.1":        false,
		"application/json;q=0":                                            false,
		"application/json;q=2":                                            false,
		"application/json;q=NaN":                                          false,
		"application/json; charset=utf-8; Q=1":                            true,
		";;;,,q=1":                                                        false,
	} {
		if got := prefersProblem([]string{accept}); got != want {
			t.Errorf("Accept: %s: problem is %v, want %v", accept, got, want)
		}
	}
	if !prefersProblem([]string{"text/html", "application/json"}) {
		t.Error("the second line of Accept counts too")
	}
	if prefersProblem([]string{strings.Repeat("x/y,", 1000), "application/json"}) {
		t.Error("more of Accept was read than there should")
	}
}

func TestRefusalReplaced(t *testing.T) {
	var why Refusal
	p := New(buckets(tokenbucket.Rate{}, 1), WithRefusal(func(w http.ResponseWriter, _ *http.Request, r Refusal) {
		why = r
		w.WriteHeader(http.StatusTeapot)
	}))
	get(t, p)
	if w := get(t, p); w.Code != http.StatusTeapot || w.Header().Get("Retry-After") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if why.Status != 429 || why.Policy != "default" || why.Result.RetryAfter != tokenbucket.Never || why.Err != nil {
		t.Errorf("%+v", why)
	}
}

func TestCost(t *testing.T) {
	b := buckets(tokenbucket.PerSecond(1), 10)
	cost := 3
	p := New(b, WithKey(fixed("k")), WithCost(func(*http.Request) int { return cost }))
	for _, c := range []struct{ cost, code, left int }{{3, 200, 7}, {0, 200, 7}, {8, 429, 7}, {7, 200, 0}, {0, 200, 0}, {11, 429, 0}, {-1, 400, 0}} {
		cost = c.cost
		if w := get(t, p); w.Code != c.code || b.Tokens("k") != float64(c.left) {
			t.Errorf("cost %d: %d, left %v; want %d, %d", c.cost, w.Code, b.Tokens("k"), c.code, c.left)
		}
	}
	cost = 11
	if w := get(t, p); w.Body.String() != "Too Many Requests. The request is larger than its limit can ever allow.\n" {
		t.Error(w.Body)
	}
	cost = -1
	if _, err := decided(p, httptest.NewRequest("GET", "/", nil)); !errors.Is(err, ErrCost) {
		t.Error(err)
	}
	if w := get(t, p); w.Body.String() != "Bad Request. The request does not tell how large it is.\n" {
		t.Error(w.Body)
	}
}

func TestNoKey(t *testing.T) {
	b := buckets(tokenbucket.PerSecond(1), 1)
	var told error
	for _, c := range []struct {
		key   KeyFunc
		serve *bool
		code  int
	}{
		{ByHeader("X-Api-Key"), nil, 400}, {fixed(""), nil, 400},
		{ByHeader("X-Api-Key"), new(true), 200}, {ByHeader("X-Api-Key"), new(false), 400},
		{func(*http.Request) (string, error) { return "", errDown }, nil, 400},
	} {
		opts := []Option{WithKey(c.key)}
		if c.serve != nil {
			opts = append(opts, WithOnError(func(_ *http.Request, err error) bool { told = err; return *c.serve }))
		}
		p := New(b, opts...)
		for range 3 {
			if w := get(t, p); w.Code != c.code {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.code)
			}
		}
		if _, err := decided(p, httptest.NewRequest("GET", "/", nil)); !errors.Is(err, ErrNoKey) {
			t.Error(err)
		}
	}
	if !errors.Is(told, ErrNoKey) {
		t.Error(told)
	}
	if n := b.Len(); n != 0 {
		t.Errorf("%d buckets, want none", n)
	}
	w := get(t, New(b, WithKey(ByHeader("X-Api-Key"))), "application/json")
	if got := w.Body.String(); got != `{"type":"about:blank","title":"Bad Request","status":400,`+
		`"detail":"The request does not tell who it comes from."}`+"\n" {
		t.Error(got)
	}
}

func TestLongKeys(t *testing.T) {
	b := buckets(tokenbucket.PerSecond(1), 1)
	for i := range 2 {
		get(t, New(b, WithKey(fixed(strings.Repeat("k", 1e6)+fmt.Sprint(i)))))
	}
	for key := range b.All() {
		if len(key) > maxKey {
			t.Errorf("a key of %d bytes", len(key))
		}
	}
	if b.Len() != 2 {
		t.Errorf("%d buckets, want 2", b.Len())
	}
}

func TestLimiterFails(t *testing.T) {
	var told error
	closed := WithOnError(func(_ *http.Request, err error) bool { told = err; return false })
	open := WithOnError(func(_ *http.Request, err error) bool { told = err; return true })
	down := &remote{err: errDown}
	if w := get(t, New(down)); w.Code != 200 || w.Header().Get("RateLimit") != "" {
		t.Errorf("by default: %d %v", w.Code, w.Header())
	}
	if w := get(t, New(down, open)); w.Code != 200 || told != errDown {
		t.Errorf("open: %d, told %v", w.Code, told)
	}
	told = nil
	w := get(t, New(down, closed))
	if w.Code != 503 || told != errDown || strings.Contains(w.Body.String(), "internal") {
		t.Errorf("closed: %d %s, told %v", w.Code, w.Body, told)
	}
	if res, err := decided(New(down), httptest.NewRequest("GET", "/", nil)); !res.Allowed || err != errDown {
		t.Error(res, err)
	}
	if res, err := decided(New(down, closed), httptest.NewRequest("GET", "/", nil)); res.Allowed || err != errDown {
		t.Error(res, err)
	}
}

func TestLimiterHangs(t *testing.T) {
	hanging := &remote{hang: true}
	r := httptest.NewRequest("GET", "/", nil)
	if res, err := decided(New(hanging, WithTimeout(time.Millisecond)), r); !res.Allowed || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(res, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if res, err := decided(New(hanging), r.WithContext(ctx)); res.Allowed || !errors.Is(err, context.Canceled) {
		t.Error(res, err)
	}
}

// several makes a Policy with limits of these limiters, each with the key k.
func several(ls []Limiter, opts ...Option) *Policy {
	return New(ls[0], append(opts, WithLimits(func(*http.Request) (limits []Limit, err error) {
		for i, l := range ls {
			limits = append(limits, Limit{Name: fmt.Sprint("l", i), Limiter: l, Key: "k", Cost: i + 1})
		}
		return limits, nil
	}))...)
}

func TestSeveralLimits(t *testing.T) {
	a, b, c := buckets(tokenbucket.PerSecond(1), 10), buckets(tokenbucket.PerSecond(1), 5), buckets(tokenbucket.PerSecond(1), 12)
	p := several([]Limiter{a, b, c})
	left := func() string { return fmt.Sprint(a.Tokens("k"), b.Tokens("k"), c.Tokens("k")) }
	w := get(t, p)
	wantHeader(t, w.Header(), map[string]string{
		"RateLimit-Policy": `"l0";q=10;w=10, "l1";q=5;w=5, "l2";q=12;w=12`,
		"RateLimit":        `"l0";r=9;t=1, "l1";r=3;t=1, "l2";r=9;t=1`,
	})
	res, err := decided(p, httptest.NewRequest("GET", "/", nil))
	if err != nil || res.Remaining != 1 || res.Limit.Burst != 5 || left() != "8 1 6" {
		t.Errorf("%+v %v, left %s", res, err, left())
	}
	for range 3 { // b refuses
		w = get(t, p, "application/json")
		wantHeader(t, w.Header(), map[string]string{
			"RateLimit-Policy": `"l1";q=5;w=5`, "RateLimit": `"l1";r=1;t=1`, "Retry-After": "1",
		})
		if w.Code != 429 || left() != "8 1 6" || !strings.Contains(w.Body.String(), `"violated-policies":["l1"]`) {
			t.Errorf("%d %s, left %s", w.Code, w.Body, left())
		}
	}
	b.Keyed.Refund("k", 4)
	c.Keyed.Charge("k", 4) // now the last refuses
	if w := get(t, p); w.Code != 429 || left() != "8 5 2" {
		t.Errorf("%d, left %s", w.Code, left())
	}
}

func TestSeveralLimitsFail(t *testing.T) {
	a, z := buckets(tokenbucket.PerSecond(1), 2), buckets(tokenbucket.PerSecond(1), 3)
	down := &settler{remote: remote{Limiter: a, err: errDown}}
	// Open: the others still count.
	p := several([]Limiter{a, down, z})
	for _, code := range []int{200, 429, 429} {
		if w := get(t, p); w.Code != code {
			t.Errorf("%d, want %d", w.Code, code)
		}
	}
	if a.Tokens("k") != 1 || z.Tokens("k") != 0 {
		t.Errorf("left %v %v", a.Tokens("k"), z.Tokens("k"))
	}
	// Closed: nothing is taken.
	p = several([]Limiter{a, down, z}, WithOnError(func(*http.Request, error) bool { return false }))
	if w := get(t, p); w.Code != 503 || a.Tokens("k") != 1 || z.Tokens("k") != 0 {
		t.Errorf("%d, left %v %v", w.Code, a.Tokens("k"), z.Tokens("k"))
	}
}

func TestLimitsDefaults(t *testing.T) {
	b := buckets(tokenbucket.PerSecond(1), 2)
	var limits []Limit
	var err error
	p := New(b, WithLimits(func(*http.Request) ([]Limit, error) { return limits, err }))
	if w := get(t, p); w.Code != 200 || w.Header().Get("RateLimit") != "" {
		t.Errorf("no limits: %d %v", w.Code, w.Header())
	}
	limits = []Limit{{Key: "k"}}
	if w := get(t, p); w.Header().Get("RateLimit") != `"default";r=1;t=1` {
		t.Error(w.Header())
	}
	limits = []Limit{{Key: "k"}, {}}
	if w := get(t, p); w.Code != 400 || b.Tokens("k") != 1 {
		t.Errorf("an empty key: %d", w.Code)
	}
	err = errDown
	if w := get(t, p); w.Code != 400 {
		t.Errorf("an error: %d", w.Code)
	}
	err, limits = nil, []Limit{{Limiter: &remote{Limiter: b}, Name: "far", Key: "k"}, {Key: "k"}}
	mustPanic(t, `httplimit: limit "far": *httplimit.remote cannot refund; want a Settler, or the limit last`, func() { get(t, p) })
}

func TestLateRefund(t *testing.T) {
	// The client leaves between the first limit and the second: what it took comes back, and does
	// not hold it up.
	b := buckets(tokenbucket.PerSecond(1), 2)
	first := &settler{remote: remote{Limiter: b}, settled: make(chan error)}
	p := several([]Limiter{first, &remote{hang: true}}, WithOnError(func(*http.Request, error) bool { return false }))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	_ = p.Check(httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if err := <-first.settled; err != nil {
		t.Errorf("the refund's context is done: %v", err)
	}
}

func TestPolicyPanics(t *testing.T) {
	b := buckets(tokenbucket.PerSecond(1), 2)
	for want, f := range map[string]func(){
		"Keyed: the buckets are nil":             func() { Keyed(nil) },
		"New: the limiter is nil":                func() { New(nil) },
		"Handler: next is nil":                   func() { New(b).Handler(nil) },
		"WithKey: the func is nil":               func() { WithKey(nil) },
		"WithName: the name is empty":            func() { WithName("") },
		"WithMaxWait: d is -1ns, want 0 or more": func() { WithMaxWait(-1) },
	} {
		mustPanic(t, "httplimit: "+want, f)
	}
}

package httplimit

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// counted counts the questions to a limiter, which can queue if the limiter can.
type counted struct {
	keyed
	calls *int
}

func (c counted) Take(ctx context.Context, key string, n int) (tokenbucket.Result, error) {
	if *c.calls++; *c.calls > 1000 {
		panic("a busy loop")
	}
	return c.keyed.Take(ctx, key, n)
}

func (c counted) WaitN(ctx context.Context, key string, n int) error {
	if *c.calls++; *c.calls > 1000 {
		panic("a busy loop")
	}
	return c.keyed.WaitN(ctx, key, n)
}

// twice returns limits that are the same bucket.
func twice(l Limiter, cost int) func(*http.Request) ([]Limit, error) {
	return func(*http.Request) ([]Limit, error) {
		return []Limit{{Name: "a", Limiter: l, Key: "k", Cost: cost}, {Name: "b", Limiter: l, Key: "k", Cost: cost}}, nil
	}
}

func TestEqualBuckets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		l := counted{live(tokenbucket.PerSecond(1), 2), &calls}
		p := New(l, WithLimits(twice(l, 1)), WithMaxWait(time.Minute))
		start := time.Now()
		for i := range 3 { // two tokens each: the burst, and then one pair every 2 s
			w := get(t, p)
			if got, want := time.Since(start), time.Duration(i)*2*time.Second; w.Code != 200 || got != want {
				t.Errorf("%d: %d after %v, want %v", i, w.Code, got, want)
			}
		}
		// More than the burst in sum: refused at once, and nothing is taken.
		time.Sleep(2 * time.Second)
		start, calls = time.Now(), 0
		p = New(l, WithLimits(twice(l, 2)), WithMaxWait(time.Minute))
		w := get(t, p)
		if w.Code != 429 || w.Header().Get("Retry-After") != "" || time.Since(start) != 0 || l.Tokens("k") != 2 {
			t.Errorf("%d, Retry-After %q after %v, %v tokens", w.Code, w.Header().Get("Retry-After"), time.Since(start), l.Tokens("k"))
		}
		if !strings.Contains(w.Body.String(), "larger than its limit can ever allow") {
			t.Error(w.Body)
		}
		tr := &Transport{Base: newFake(ok()), Limits: twice(l, 2)}
		if _, _, err := ask(t, tr, request(t.Context(), "GET", "http://a/", "")); !errors.Is(err, tokenbucket.ErrExceedsBurst) {
			t.Error(err)
		}
	})
}

// TestHiddenEqualBuckets: what cannot be seen to be one bucket is asked again and again, but not
// in a busy loop.
func TestHiddenEqualBuckets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		l := counted{live(tokenbucket.PerSecond(1000), 1), &calls}
		limits := func(*http.Request) ([]Limit, error) {
			return []Limit{{Limiter: l, Key: "k"}, {Limiter: &veiledCounted{l}, Key: "k"}}, nil
		}
		p := New(l, WithLimits(limits), WithMaxWait(10*time.Second))
		start := time.Now()
		if w := get(t, p); w.Code != 429 || time.Since(start) > 10*time.Second {
			t.Errorf("%d after %v", w.Code, time.Since(start))
		}
		if calls > 200 {
			t.Errorf("%d calls", calls)
		}
	})
}

type veiledCounted struct{ counted }

// TestIncomparableLimiters: a limiter whose values cannot be compared is never taken for another.
func TestIncomparableLimiters(t *testing.T) {
	b := buckets(tokenbucket.PerSecond(1), 10)
	l := incomparable{b, nil}
	p := New(l, WithLimits(twice(l, 1)))
	res, err := decided(p, httptest.NewRequest("GET", "/", nil))
	if err != nil || !res.Allowed || b.Tokens("k") != 8 {
		t.Errorf("%+v, %v, %v tokens", res, err, b.Tokens("k"))
	}
}

type incomparable struct {
	keyed
	_ []int
}

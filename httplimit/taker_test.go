package httplimit

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// TestTaker covers what only limiters that misbehave can bring about.
func TestTaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dry := func() keyed { l := live(tokenbucket.PerSecond(1), 1); l.Allow("k"); return l }
		free := live(tokenbucket.PerSecond(1), 1)
		slow := live(tokenbucket.Every(time.Hour), 1)
		slow.Allow("k")
		cs := []demand{
			{Limit: Limit{Limiter: dry(), Key: "k", Cost: 1}, total: 1},
			{waived: true},
			{Limit: Limit{Limiter: free, Key: "k", Cost: 1}, total: 1},
			{Limit: Limit{Limiter: slow, Key: "k", Cost: 1}, total: 1},
		}
		_, _ = taker{}.take(t.Context(), cs)
		if i, err := (taker{}).slowest(t.Context(), cs, 0); i != 3 || err != nil || free.Tokens("k") != 1 {
			t.Errorf("%d, %v; %v tokens", i, err, free.Tokens("k"))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		c := demand{Limit: Limit{Limiter: &remote{Limiter: dry()}, Key: "k", Cost: 1}, total: 1}
		_ = taker{}.ask(ctx, &c)
		time.AfterFunc(time.Millisecond, func() { cancel(errDown) })
		if err := (taker{}).queue(ctx, ctx, &c); !errors.Is(err, errDown) || c.held {
			t.Error(err)
		}
		if err := sleep(ctx, 0); !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestSeveralAtOnce: whatever the order of the limits, no token is lost or made, and nobody waits
// for ever.
func TestSeveralAtOnce(t *testing.T) {
	a, b := live(tokenbucket.Rate{}, 1000), live(tokenbucket.Rate{}, 600)
	there, back := several([]Limiter{a, b}), several([]Limiter{b, a})
	var granted [2]atomic.Int64
	var wg sync.WaitGroup
	ask := func(i int) bool {
		res, err := decided([]*Policy{there, back}[i%2], httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Error(err)
		}
		if res.Allowed {
			granted[i%2].Add(1)
		}
		return res.Allowed
	}
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				ask(i)
			}
		})
	}
	wg.Wait()
	for ask(0) || ask(1) { // what was refused for tokens on their way back is still there
	}
	n, m := granted[0].Load(), granted[1].Load() // of 1 and 2 tokens; of 2 and 1
	leftA, leftB := 1000-n-2*m, 600-2*n-m
	if a.Tokens("k") != float64(leftA) || b.Tokens("k") != float64(leftB) || min(leftA, leftB) > 1 {
		t.Errorf("%d and %d granted, %v and %v left, want %d and %d, one of them at most 1",
			n, m, a.Tokens("k"), b.Tokens("k"), leftA, leftB)
	}
}

// TestSeveralWait: requests that wait for both limits, in both orders, all come through, no
// faster than either allows.
func TestSeveralWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := live(tokenbucket.PerSecond(3), 2), live(tokenbucket.PerSecond(3), 2)
		wait := WithMaxWait(time.Hour)
		there, back := several([]Limiter{a, b}, wait), several([]Limiter{b, a}, wait) // 3 tokens a pair
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				res, err := decided([]*Policy{there, back}[i%2], httptest.NewRequest("GET", "/", nil))
				if err != nil || !res.Allowed {
					t.Errorf("%d: %+v, %v", i, res, err)
				}
			})
		}
		wg.Wait()
		// 60 tokens of each, 2 of which were there.
		d := time.Since(start)
		if d < 58*time.Second/3 || d > 40*time.Second {
			t.Errorf("it took %v", d)
		}
		t.Logf("%v, where a single queue would take %v", d, 58*time.Second/3)
	})
}

package redisbucket_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// mixed returns a limiter for each limit, all of the same buckets.
func mixed(t testing.TB, limits ...tokenbucket.Limit) (*stage, []*redisbucket.Limiter) {
	c := patientClient(t, shared)
	prefix := redisbucket.WithPrefix(unique(t))
	var all []*redisbucket.Limiter
	for _, limit := range limits {
		all = append(all, redisbucket.New(c, limit, prefix, patient))
	}
	s := stageOf(t, all[0], c)
	for _, l := range all[1:] {
		redisbucket.SetPreamble(l, s.preamble())
	}
	return s, all
}

// greatest returns the most generous rate and burst.
func greatest(limits []tokenbucket.Limit) (rate float64, burst int) {
	for _, l := range limits {
		rate, burst = max(rate, l.Rate.TokensPerSecond()), max(burst, l.Burst)
	}
	return rate, burst
}

// In a rolling deploy processes have different limits. In every window all of them together are
// granted at most what the most generous rate and burst allow.
func TestMixedLimits(t *testing.T) {
	for _, limits := range [][]tokenbucket.Limit{
		{{Rate: tokenbucket.PerSecond(10), Burst: 1}, {Rate: tokenbucket.PerSecond(10), Burst: 20}},
		{{Rate: tokenbucket.PerSecond(100), Burst: 10}, {Rate: tokenbucket.PerSecond(1), Burst: 100}},
		{{Rate: tokenbucket.PerSecond(3), Burst: 5}, {Rate: tokenbucket.PerSecond(7), Burst: 50}, {Burst: 20}},
	} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			s, all := mixed(t, limits...)
			rate, burst := greatest(limits)
			r := rand.New(rand.NewPCG(1, 2))
			var events []event
			for range 400 {
				pause := time.Duration(r.Int64N(25)) * time.Millisecond
				if r.IntN(50) == 0 {
					pause = time.Duration(r.Int64N(20)) * time.Second
				}
				s.advance(pause)
				n, _, err := all[r.IntN(len(all))].TakeAvailable(t.Context(), "k", 1000)
				if err != nil {
					t.Fatal(err)
				}
				if n > 0 {
					events = append(events, event{s.now, n})
				}
			}
			checkEvents(t, events, rate, burst)
		})
	}
}

// A raised burst starts with the tokens that a full bucket had, as SetLimit of a local bucket does.
func TestRaisedBurst(t *testing.T) {
	s, all := mixed(t, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 10},
		tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 1000})
	s.take(10)
	s.advance(5 * time.Second)
	ctx := context.Background()
	if n, _, err := all[1].TakeAvailable(ctx, "k", 1000); n != 10 || err != nil {
		t.Errorf("TakeAvailable = %d, %v, want the 10 that there were", n, err)
	}
	s.advance(time.Second)
	if n, _, err := all[1].TakeAvailable(ctx, "k", 1000); n != 10 || err != nil {
		t.Errorf("a second later TakeAvailable = %d, %v, want 10", n, err)
	}
	// Lowered and raised again, the large burst is not there anew either.
	s.advance(2 * time.Second)
	if res := s.take(10); !res.Allowed {
		t.Errorf("%+v", res)
	}
	s.advance(20 * time.Second)
	if n, _, err := all[1].TakeAvailable(ctx, "k", 1000); n != 10 || err != nil {
		t.Errorf("after the small burst was full, TakeAvailable = %d, %v, want 10", n, err)
	}
}

// A limit that changes takes the tokens along, also if only denials see it.
func TestLimitChanges(t *testing.T) {
	limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(1000), Burst: 100}
	c := patientClient(t, shared)
	s := stageOf(t, redisbucket.NewFunc(c, func(string) tokenbucket.Limit { return limit }, redisbucket.WithPrefix(unique(t)), patient), c)
	s.take(90)
	limit = tokenbucket.Limit{Rate: tokenbucket.PerMinute(1), Burst: 50}
	if res := s.take(11); res.Allowed || res.Remaining != 10 || res.RetryAfter != time.Minute {
		t.Errorf("%+v, want 10 left", res)
	}
	s.advance(time.Second) // a thousand tokens by the old rate
	if res := s.take(11); res.Allowed || res.RetryAfter != 59*time.Second {
		t.Errorf("%+v, want to retry after 59s", res)
	}
	limit.Burst = 5
	if res := s.take(0); res.Remaining != 5 {
		t.Errorf("%+v, want 5 left", res)
	}
	if err := s.Charge(t.Context(), "k", 10); err != nil {
		t.Fatal(err)
	}
	limit = tokenbucket.Limit{Rate: tokenbucket.Per(7, 13*time.Nanosecond), Burst: 1000}
	if n, _ := s.Tokens(t.Context(), "k"); n > -5+1e-9 || n < -5-1e-3 {
		t.Errorf("a debt of 5 became %v tokens", n)
	}
}

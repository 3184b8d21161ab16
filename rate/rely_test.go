package rate_test

import (
	"math"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket/rate"
)

// This file pins what programs rely on that were written for golang.org/x/time/rate.

func TestInfIgnoresTheBurst(t *testing.T) {
	for _, limit := range []rate.Limit{rate.Inf, rate.Limit(math.Inf(1)), rate.Every(0)} {
		lim := rate.NewLimiter(limit, 0)
		if !lim.Allow() || !lim.AllowN(t0, math.MaxInt) || !lim.AllowN(t0, -1) || lim.Wait(t.Context()) != nil {
			t.Errorf("limit %v, burst 0: something was denied", limit)
		}
		if r := lim.ReserveN(t0, 1000); !r.OK() || r.DelayFrom(t0) != 0 || lim.Limit() != limit || lim.Burst() != 0 {
			t.Errorf("limit %v, burst 0: a reservation is not OK, or the limit not as it was set", limit)
		}
	}
}

func TestNoBurst(t *testing.T) {
	zero := new(rate.Limiter)
	for name, lim := range map[string]*rate.Limiter{
		"the zero Limiter": zero, "burst 0": rate.NewLimiter(10, 0), "burst -3": rate.NewLimiter(10, -3),
		"burst MinInt": rate.NewLimiter(10, math.MinInt), "limit NaN, burst 0": rate.NewLimiter(rate.Limit(math.NaN()), 0),
	} {
		if lim.Allow() || lim.AllowN(time.Now().Add(time.Hour), 1) || lim.Reserve().OK() || lim.Wait(t.Context()) == nil {
			t.Errorf("%s: an event was permitted", name)
		}
		if lim.Tokens() != 0 || lim.Reserve().Delay() != rate.InfDuration {
			t.Errorf("%s: %v tokens, a delay of %v", name, lim.Tokens(), lim.Reserve().Delay())
		}
	}
	if !zero.AllowN(t0, 0) || rate.NewLimiter(10, -3).AllowN(t0, 0) {
		t.Error("no events are permitted with a burst of 0, and denied with a negative one")
	}
	zero = new(rate.Limiter)
	zero.SetBurstAt(t0, 2)
	zero.SetLimitAt(t0, 10)
	if zero.AllowN(t0, 1) || !zero.AllowN(at(1), 1) {
		t.Error("a burst that was 0 does not begin empty, or does not refill")
	}
}

func TestNaN(t *testing.T) {
	lim := rate.NewLimiter(rate.Limit(math.NaN()), 1)
	if !lim.AllowN(t0, 1) || lim.AllowN(t0.Add(1000*time.Hour), 1) || lim.Limit() != 0 {
		t.Error("a limit of NaN is not 0")
	}
	lim.SetLimitAt(t0, rate.Limit(math.NaN()))
	lim.SetLimitAt(t0, -5)
	if lim.AllowN(t0.Add(9000*time.Hour), 1) || lim.Limit() != -5 {
		t.Error("a negative limit refills, or is not as it was set")
	}
}

func TestNewLimitersAreEqual(t *testing.T) {
	if !reflect.DeepEqual(rate.NewLimiter(10, 5), rate.NewLimiter(10, 5)) || reflect.DeepEqual(rate.NewLimiter(10, 5), rate.NewLimiter(10, 6)) {
		t.Error("two new Limiters are not equal, or those of other bursts are")
	}
	lim := rate.NewLimiter(10, 5)
	lim.TokensAt(t0)
	if !reflect.DeepEqual(lim, rate.NewLimiter(10, 5)) {
		t.Error("TokensAt has changed a Limiter")
	}
}

type service struct{ *rate.Limiter }

func TestEmbedding(t *testing.T) {
	if s := (service{rate.NewLimiter(1, 1)}); !s.Allow() || s.Allow() {
		t.Error("an embedded Limiter does not limit")
	}
}

// TestAnyEpoch begins at times far from the present, and jumps between them.
func TestAnyEpoch(t *testing.T) {
	for _, epoch := range []time.Time{{}, time.Unix(0, 0), time.Unix(1<<40, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Now()} {
		lim := rate.NewLimiter(10, 1)
		for i := range 100 {
			if now := epoch.Add(time.Duration(i) * tick); !lim.AllowN(now, 1) || lim.AllowN(now.Add(tick-1), 1) {
				t.Fatalf("from %v on: the event %d is not at its time", epoch, i)
			}
		}
	}
	for _, limit := range []rate.Limit{0, 1e-9, 10, 1e300} { // centuries pass
		lim := rate.NewLimiter(limit, 2)
		if !lim.AllowN(time.Time{}, 2) || lim.AllowN(time.Time{}, 1) {
			t.Fatalf("limit %v: the burst is not 2", limit)
		}
		if got := lim.AllowN(t0, 1); got != (limit > 0) {
			t.Errorf("limit %v: after two thousand years AllowN = %v", limit, got)
		}
		if limit == 10 && (!lim.AllowN(t0, 1) || lim.AllowN(t0, 1) || !lim.AllowN(at(1), 1)) {
			t.Error("after two thousand years the refill does not go on")
		}
	}
}

// TestReservationsOutliveAnEpoch has a queue while the limiter begins a new epoch.
func TestReservationsOutliveAnEpoch(t *testing.T) {
	lim := rate.NewLimiter(10, 2)
	lim.AllowN(time.Time{}, 2)
	r := lim.ReserveN(time.Time{}, 2)
	lim.SetLimitAt(time.Time{}, 0)
	if r.DelayFrom(time.Time{}) != rate.InfDuration {
		t.Error("a reservation has a time though nothing refills")
	}
	lim.SetLimitAt(t0, 10)
	if got := r.DelayFrom(t0); got != 2*tick {
		t.Errorf("after an epoch and SetLimit the delay is %v, want %v", got, 2*tick)
	}
	r.CancelAt(t0)
	if got := lim.TokensAt(t0); got != 0 {
		t.Errorf("%v tokens, want 0", got)
	}
}

func TestNegativeN(t *testing.T) {
	lim := rate.NewLimiter(10, 3)
	lim.AllowN(t0, 3)
	for i, want := range []float64{1, 2, 3, 3} {
		if !lim.AllowN(t0, -1) || lim.TokensAt(t0) != want {
			t.Errorf("refund %d: %v tokens, want %v", i, lim.TokensAt(t0), want)
		}
	}
	lim.AllowN(t0, 3)
	if r := lim.ReserveN(t0, math.MinInt); !r.OK() || r.DelayFrom(t0) != 0 || lim.TokensAt(t0) != 3 {
		t.Errorf("a refund of MinInt: %v tokens, want 3", lim.TokensAt(t0))
	}
	lim = rate.NewLimiter(0, 3)
	lim.AllowN(time.Now(), 3)
	if err := lim.WaitN(t.Context(), -2); err != nil || lim.Tokens() != 2 {
		t.Errorf("WaitN(-2) = %v, and then %v tokens, want 2", err, lim.Tokens())
	}
	// In debt, a refund pays for those who wait first, and is not lost to the burst.
	lim = rate.NewLimiter(10, 2)
	lim.ReserveN(t0, 2)
	first, second := lim.ReserveN(t0, 2), lim.ReserveN(t0, 2)
	lim.AllowN(t0, -5)
	if first.DelayFrom(t0) != 0 || second.DelayFrom(t0) != 0 || lim.TokensAt(t0) != 1 {
		t.Errorf("after a refund of 5 at -4: delays %v and %v, %v tokens", first.DelayFrom(t0), second.DelayFrom(t0), lim.TokensAt(t0))
	}
}

func TestRefundServesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(1, 2)
		lim.AllowN(time.Now(), 2)
		served := waiters(t, lim, 2, 1)
		lim.AllowN(time.Now(), -3)
		synctest.Wait()
		wantServed(t, served, time.Duration(0), time.Duration(0))
	})
}

func TestNoTokenFromATimeThatGoesBack(t *testing.T) {
	lim, granted := rate.NewLimiter(10, 1), 0
	for i := range 1000 {
		if lim.AllowN(at(i%2), 1) { // two callers, whose clocks are 100 ms apart
			granted++
		}
	}
	if granted != 2 {
		t.Errorf("%d events were permitted within 100 ms at 10/s, want 2", granted)
	}
}

func TestZeroReservation(t *testing.T) {
	var r rate.Reservation
	r.Cancel()
	if r.OK() || r.Delay() != rate.InfDuration {
		t.Error("the zero Reservation is OK")
	}
	lim := rate.NewLimiter(10, 1)
	lim.AllowN(t0, 1)
	value := *lim.ReserveN(t0, 1) // programs store it by value
	value.CancelAt(t0)
	if got := lim.TokensAt(t0); got != 0 {
		t.Errorf("%v tokens after the copy was cancelled, want 0", got)
	}
}

// TestPeekChangesNothing asks for the far future, which must not bring it about.
func TestPeekChangesNothing(t *testing.T) {
	lim := rate.NewLimiter(10, 1)
	lim.AllowN(t0, 1)
	r := lim.ReserveN(t0, 1)
	if lim.TokensAt(at(10)) != 1 || r.DelayFrom(at(10)) != 0 {
		t.Errorf("in a second there will be %v tokens, and a delay of %v", lim.TokensAt(at(10)), r.DelayFrom(at(10)))
	}
	r.CancelAt(t0)
	if lim.AllowN(t0, 1) || lim.TokensAt(t0) != 0 {
		t.Error("looking at the future has changed the present")
	}
}

func TestAllocs(t *testing.T) {
	rich, poor, none := rate.NewLimiter(1, 1<<30), rate.NewLimiter(0, 1), rate.NewLimiter(rate.Inf, 0)
	poor.Allow()
	now := time.Now()
	for name, f := range map[string]func() bool{
		"Allow":          rich.Allow,
		"Allow, denied":  func() bool { return !poor.Allow() },
		"Allow, Inf":     none.Allow,
		"AllowN":         func() bool { return rich.AllowN(now, 2) },
		"AllowN, denied": func() bool { return !poor.AllowN(now, 1) },
		"AllowN, refund": func() bool { return rich.AllowN(now, -1) },
		"Wait":           func() bool { return rich.Wait(t.Context()) == nil },
		"Tokens":         func() bool { return rich.Tokens() > 0 },
	} {
		ok := true
		if n := testing.AllocsPerRun(100, func() { ok = f() && ok }); n != 0 || !ok {
			t.Errorf("%s: %v allocations, all as expected: %v", name, n, ok)
		}
	}
}

// TestConcurrent does everything at once, for the race detector, and counts what was permitted.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(1000, 10)
		start := time.Now()
		var mu sync.Mutex
		granted := 0
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				n := 0
				for i := range 200 {
					switch (g + i) % 4 {
					case 0:
						if lim.Allow() {
							n++
						}
					case 1:
						if lim.Wait(t.Context()) == nil {
							n++
						}
					case 2:
						now := time.Now()
						if r := lim.ReserveN(now, 1); i%3 == 0 {
							r.CancelAt(now)
						} else {
							time.Sleep(r.Delay())
							n++
						}
					case 3:
						lim.SetLimit(rate.Limit(500 + 500*(i%2)))
						lim.SetBurst(10)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				granted += n
			})
		}
		wg.Wait()
		if most := 10 + time.Since(start).Seconds()*1000 + 1; float64(granted) > most {
			t.Errorf("%d were permitted, want at most %v", granted, most)
		}
	})
}

func TestSometimes(t *testing.T) {
	for _, c := range []*struct {
		s    rate.Sometimes
		want []int // the calls, at 0, 1, 2 ... s, that run
	}{
		{rate.Sometimes{}, []int{0}},
		{rate.Sometimes{First: 3}, []int{0, 1, 2}},
		{rate.Sometimes{Every: 4}, []int{0, 4, 8}},
		{rate.Sometimes{Every: 1}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{rate.Sometimes{Interval: 3 * time.Second}, []int{0, 3, 6, 9}},
		{rate.Sometimes{First: 2, Every: 6, Interval: 4 * time.Second}, []int{0, 1, 5, 6}},
		{rate.Sometimes{First: -1, Every: -1, Interval: -1}, []int{0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []int
			for i := range 10 {
				c.s.Do(func() { got = append(got, i) })
				time.Sleep(time.Second)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%d, %d, %v: ran at %v, want %v", c.s.First, c.s.Every, c.s.Interval, got, c.want)
			}
		})
	}
}

func TestSometimesPanic(t *testing.T) {
	var s rate.Sometimes
	func() {
		defer func() { _ = recover() }()
		s.Do(func() { panic("f") })
	}()
	ran := false
	s.Do(func() { ran = true })
	if !ran {
		t.Error("a call that panicked counts, or left the lock behind")
	}
}

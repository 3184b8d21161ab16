package redisbucket_test

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// A serving is tokens that were granted at some instant of an interval, in microseconds.
type serving struct {
	from, to int64
	n        int
}

// mostIn returns the most tokens that were granted beyond the rate in any window: the greatest n - rate*length. The bound of
// a bucket says that it is at most the burst, and that of leases that it is at most burst + rate*T.
func mostIn(all []serving, perMicro float64) float64 {
	slices.SortFunc(all, func(a, b serving) int { return cmp.Compare(a.to, b.to) })
	most := 0.0
	for _, first := range all {
		n := 0
		for _, last := range all {
			if last.from >= first.from {
				n += last.n
				most = max(most, float64(n)-perMicro*float64(last.to-first.from))
			}
		}
	}
	return most
}

// A fleet is processes that lease from one server. Their clocks and the server's run together, by hand.
type fleet struct {
	t        *testing.T
	limiters []*redisbucket.Limiter
	wires    []*wire
	clock    *stage // the server's
	served   []serving
	faulty   bool // requests are held up, and replies are lost

	mu  sync.Mutex // of what the processes' requests do on their way
	r   *rand.Rand
	now atomic.Int64 // microseconds
}

var errCut = errors.New("cut off")

// newFleet returns three processes whose requests may be held up for up to a second and a half on either way, or lose their
// replies. While one is held up, everybody's time goes on.
func newFleet(t *testing.T, seed uint64, limit tokenbucket.Limit, opts ...redisbucket.LeaseOption) *fleet {
	f := &fleet{t: t, r: rand.New(rand.NewPCG(seed, 2))}
	prefix := unique(t)
	for i := range 3 {
		w := &wire{Client: patientClient(t, shared)}
		l := redisbucket.New(w, limit, redisbucket.WithPrefix(prefix), patient, redisbucket.WithBreaker(1<<30, time.Second),
			redisbucket.WithLease(time.Second, opts...))
		if i == 0 {
			f.clock = stageOf(t, l, patientClient(t, shared))
			f.now.Store(f.clock.now)
		}
		redisbucket.SetPreamble(l, f.clock.preamble())
		redisbucket.SetNow(l, func() time.Duration { return time.Duration(f.now.Load()) * time.Microsecond })
		w.sending = func() { _ = f.underWay() }
		w.arrived = f.underWay
		f.limiters, f.wires = append(f.limiters, l), append(f.wires, w)
	}
	return f
}

// underWay is what happens to a request on either way.
func (f *fleet) underWay() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.faulty {
		return nil
	}
	if f.r.IntN(8) == 0 {
		f.clock.advance(time.Duration(f.r.Int64N(int64(1500 * time.Millisecond))))
		f.now.Store(f.clock.now)
	}
	if f.r.IntN(8) == 0 {
		return errCut // which does not matter to what is only being sent
	}
	return nil
}

func (f *fleet) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock.advance(d)
	f.now.Store(f.clock.now)
}

// take takes n tokens, or up to n of them.
func (f *fleet) take(l *redisbucket.Limiter, n int, some bool) {
	from, got := f.now.Load(), 0
	if some {
		got, _, _ = l.TakeAvailable(context.Background(), "k", n)
	} else if ok, err := l.AllowN(context.Background(), "k", n); err == nil && ok {
		got = n
	}
	if got > 0 {
		f.served = append(f.served, serving{from, f.now.Load(), got})
	}
}

// step lets the processes do what makes it hardest to keep the bound: lease much, wait until it has nearly lapsed and the
// bucket is full again, and then take all there is.
func (f *fleet) step(r *rand.Rand, burst int) {
	l := f.limiters[r.IntN(len(f.limiters))]
	switch r.IntN(6) {
	case 0: // a little is used of much
		redisbucket.SetDemand(l, "k", float64(r.IntN(burst+1)))
		for range 1 + r.IntN(5) {
			f.take(l, 1, false)
			settled(f.t, l, "k")
		}
	case 1:
		for range r.IntN(10) {
			f.take(l, 1+r.IntN(burst), r.IntN(3) == 0)
		}
	case 2:
		f.advance(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
	case 3:
		f.advance(time.Duration(r.Int64N(int64(3 * time.Second))))
	case 4:
		f.advance(900*time.Millisecond + time.Duration(r.Int64N(int64(200*time.Millisecond))))
	case 5:
		for _, l := range f.limiters {
			for range 3 {
				f.take(l, burst, true)
				settled(f.t, l, "k")
			}
		}
	}
}

func TestLeaseBound(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		rate := []int{1, 10, 100}[r.IntN(3)]
		limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(rate), Burst: 1 + r.IntN(3*rate)}
		opts := []redisbucket.LeaseOption{redisbucket.LeaseShare([]float64{0.2, 1, 1}[r.IntN(3)])}
		most := float64(limit.Burst + rate)
		if seed%3 == 0 {
			limit.Burst += rate
			opts = append(opts, redisbucket.LeaseStrict())
			most = float64(limit.Burst)
		}
		f := newFleet(t, seed, limit, opts...)
		f.faulty = seed%2 == 0
		start := f.now.Load()
		for range 60 {
			f.step(r, limit.Burst)
		}
		perMicro := float64(rate) / 1e6
		// The microsecond of the server's clock counts, and so do the sums of floating point here.
		if got := mostIn(f.served, perMicro); got > most+perMicro+1e-6 {
			t.Errorf("seed %d, %v, strict %v: %v tokens beyond the rate in a window, want at most %v", seed, limit, seed%3 == 0, got, most)
		}
		sum := 0
		for _, s := range f.served {
			sum += s.n
		}
		for _, l := range f.limiters {
			settled(t, l, "k")
		}
		if atMost := float64(limit.Burst) + perMicro*float64(f.now.Load()-start+1); float64(sum) > atMost+1e-6 {
			t.Errorf("seed %d, %v: %d tokens in all, want at most %v", seed, limit, sum, atMost)
		}
		if sum == 0 {
			t.Errorf("seed %d, %v: nothing was granted", seed, limit)
		}
	}
}

// A saturated limit is used up, whoever saturates it.
func TestLeaseDeliversTheRate(t *testing.T) {
	const rate, burst = 1000, 100
	f := newFleet(t, 1, tokenbucket.Limit{Rate: tokenbucket.PerSecond(rate), Burst: burst})
	for _, w := range f.wires {
		w.sending, w.arrived = nil, nil
	}
	start := f.now.Load()
	for f.now.Load()-start < 3_000_000 {
		for _, l := range f.limiters {
			for range 3 {
				f.take(l, 1, false)
				settled(t, l, "k")
			}
		}
		f.advance(time.Millisecond)
	}
	if n := len(f.served); n < 3*rate*98/100 || n > 3*rate+burst {
		t.Errorf("%d tokens in 3 s at %d/s", n, rate)
	}
}

package plan

import (
	"context"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func limitOf(t testing.TB, rate string, burst int) (tokenbucket.Limit, scale) {
	t.Helper()
	r, err := tokenbucket.ParseRate(rate)
	if err != nil {
		t.Fatal(err)
	}
	l := tokenbucket.Limit{Rate: r, Burst: burst}
	s, err := newScale(l)
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

func TestScaleIsTheRate(t *testing.T) {
	for rate, want := range map[string]scale{
		"10/s": {1, 1e8, 3}, "0.3/s": {3, 1e10, 3}, "100/m": {1, 6e8, 3}, "1/24h": {1, 864e11, 3}, "7/2500000001ns": {7, 2500000001, 3},
		"3000000000/s": {3, 1, 3}, "1e-9/s": {1, 1e18, 3},
	} {
		if _, s := limitOf(t, rate, 3); s != want {
			t.Errorf("%s is %v, want %v", rate, s, want)
		}
	}
	for _, rate := range []string{"inf", "1e-19/s", "1/9999999h"} {
		r, err := tokenbucket.ParseRate(rate)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := newScale(tokenbucket.Limit{Rate: r, Burst: 1}); err == nil {
			t.Errorf("%s is %v, want an error", rate, s)
		}
	}
}

// traffic returns n sorted times, in bursts and pauses.
func traffic(r *rand.Rand, n int) []int64 {
	unit := []int64{1, 1e6, 1e9}[r.IntN(3)]
	t := int64(17e17) / unit * unit
	times := make([]int64, n)
	for i := range times {
		switch r.IntN(4) {
		case 0: // at once
		case 1:
			t += unit * r.Int64N(100)
		default:
			t += unit * r.Int64N(10)
		}
		times[i] = t
	}
	return times
}

// bruteBurst is the largest j-i+1 - rate*(t_j-t_i), rounded up.
func bruteBurst(times []int64, s scale) *big.Int {
	most := new(big.Rat)
	for i := range times {
		for j := i; j < len(times); j++ {
			refill := new(big.Rat).SetFrac(big.NewInt(times[j]-times[i]), new(big.Int).SetUint64(s.q))
			refill.Mul(refill, new(big.Rat).SetInt(new(big.Int).SetUint64(s.p)))
			if x := new(big.Rat).Sub(big.NewRat(int64(j-i+1), 1), refill); x.Cmp(most) > 0 {
				most = x
			}
		}
	}
	n := new(big.Int).Add(most.Num(), most.Denom())
	return n.Sub(n, big.NewInt(1)).Quo(n, most.Denom())
}

// bruteSlope is the largest (j-i+1-burst)/(t_j-t_i).
func bruteSlope(times []int64, burst int) slope {
	best := slope{0, 1}
	for i := range times {
		for j := i + burst; j < len(times); j++ {
			s := slope{uint64(j - i + 1 - burst), uint64(times[j] - times[i])}
			if s.ns == 0 {
				s = slope{1, 0}
			}
			if best.less(s) {
				best = s
			}
		}
	}
	return best
}

// replayed runs times through a replay, without a key.
func replayed(l tokenbucket.Limit, s scale, times []int64) *replay {
	r := newReplay(l, s, 10)
	for _, t := range times {
		r.add(request{ns: t})
	}
	r.finish()
	return r
}

// only returns the record of a replay without keys.
func (r *replay) only() *followed { return r.keys[r.hash.of(nil)] }

func TestNeedsAgainstBruteForce(t *testing.T) {
	rates := []string{"10/s", "0.3/s", "100/m", "7/h", "3/7ns", "1/1ms", "123456789/s", "2/3s"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		times := traffic(r, 1+r.IntN(60))
		burst := 1 + r.IntN(8)
		l, s := limitOf(t, rates[r.IntN(len(rates))], burst)
		got := replayed(l, s, times)
		k := got.only()
		need, steep := k.demand.burst(s), got.steepest.slope
		if want := bruteBurst(times, s); need.Cmp(want) != 0 {
			t.Fatalf("at %v of %v the burst needed is %v, want %v", l.Rate, times, need, want)
		}
		want := bruteSlope(times, burst)
		if steep.less(want) || want.less(steep) || steep.ns == 0 != (want.ns == 0) {
			t.Fatalf("with burst %d of %v the rate needed is %v, want %v", burst, times, steep, want)
		}
		if atOnce := mostAtOnce(times); got.steepest.atOnce != atOnce {
			t.Fatalf("of %v at once are %d, want %d", times, got.steepest.atOnce, atOnce)
		}
		checkByLibrary(t, l, times, int(need.Int64()), got.steepest)
	}
}

func mostAtOnce(times []int64) (most uint64) {
	var n uint64
	for i, x := range times {
		if i > 0 && times[i-1] == x {
			n++
		} else {
			n = 1
		}
		most = max(most, n)
	}
	return most
}

// checkByLibrary replays with what is said to be the smallest burst and rate, and with a little
// less.
func checkByLibrary(t *testing.T, l tokenbucket.Limit, times []int64, burst int, steep steepest) {
	t.Helper()
	denied := func(l tokenbucket.Limit) int64 {
		var clock virtualClock
		clock.ns.Store(times[0])
		b := tokenbucket.New(l.Rate, l.Burst, tokenbucket.WithClock(&clock))
		var n int64
		for _, at := range times {
			if clock.ns.Store(at); !b.Allow() {
				n++
			}
		}
		return n
	}
	if n := denied(tokenbucket.Limit{Rate: l.Rate, Burst: burst}); n != 0 {
		t.Fatalf("at the smallest burst %d at %v, %d of %v are denied", burst, l.Rate, n, times)
	}
	// Which is less by less than a bucket's quantum, 1 ns of refill, it need not tell apart.
	coarse := !slices.ContainsFunc(times, func(at int64) bool { return at%1e6 != 0 })
	if coarse && burst > 1 && denied(tokenbucket.Limit{Rate: l.Rate, Burst: burst - 1}) == 0 {
		t.Fatalf("at burst %d at %v none of %v is denied, but %d is said to be the smallest", burst-1, l.Rate, times, burst)
	}
	text, _ := roundUp(slope{max(steep.tokens, 1), max(steep.ns, 1)})
	up, err := tokenbucket.ParseRate(text)
	if err != nil {
		t.Fatalf("%v is printed as %s, which is no rate: %v", steep.slope, text, err)
	}
	if steep.ns == 0 || steep.tokens == 0 {
		return
	}
	for _, r := range []tokenbucket.Rate{steep.rate(), up} {
		if n := denied(tokenbucket.Limit{Rate: r, Burst: l.Burst}); n != 0 {
			t.Fatalf("at the smallest rate %v of %v, burst %d, %d of %v are denied", r, steep.slope, l.Burst, n, times)
		}
	}
	less := slope{steep.tokens * 9999, steep.ns * 10000}
	if coarse && denied(tokenbucket.Limit{Rate: less.rate(), Burst: l.Burst}) == 0 {
		t.Fatalf("at %v, burst %d, none of %v is denied, but %v is said to be the smallest", less, l.Burst, times, steep.slope)
	}
}

// TestLongestWait compares with clients that do wait, at a bucket of the library.
func TestLongestWait(t *testing.T) {
	rates := []string{"10/s", "100/m", "1/1ms", "2/3s", "7/h"}
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		times := traffic(r, 1+r.IntN(40))
		l, s := limitOf(t, rates[r.IntN(len(rates))], 1+r.IntN(4))
		got := replayed(l, s, times).only().demand.wait(s)
		var want time.Duration
		synctest.Test(t, func(t *testing.T) {
			b := tokenbucket.New(l.Rate, l.Burst)
			begun := time.Now()
			waits := make(chan time.Duration, len(times))
			for _, at := range times {
				go func() {
					time.Sleep(time.Duration(at - times[0]))
					came := time.Since(begun)
					_ = b.Wait(context.Background())
					waits <- time.Since(begun) - came
				}()
			}
			for range times {
				want = max(want, <-waits)
			}
		})
		// The bucket may be up to its quantum early or late.
		if d := got - want; d < -2 || d > 2 {
			t.Fatalf("at %v of %v the longest wait is %v, want %v", l, times, got, want)
		}
	}
}

func TestByHand(t *testing.T) {
	l, s := limitOf(t, "1/s", 2)
	const sec = 1e9
	// Of the four at 0 two are denied; at 1 there is a token, at 1.5 there is not, at 10 all is
	// full again.
	r := replayed(l, s, []int64{0, 0, 0, 0, 1 * sec, 1.5 * sec, 10 * sec})
	k := r.only()
	if k.allowed != 4 || k.denied != 3 {
		t.Errorf("%d allowed and %d denied, want 4 and 3", k.allowed, k.denied)
	}
	// If they wait they get their tokens at 0, 0, 1, 2, 3, 4: the one that comes at 1.5 waits 2.5
	// s.
	if w := k.demand.wait(s); w != 2500*time.Millisecond {
		t.Errorf("the longest wait is %v, want 2.5s", w)
	}
	// At 1.5, 6 have come and 1.5 tokens: 4.5, so 5.
	if b := k.demand.burst(s); b.Int64() != 5 {
		t.Errorf("the burst needed is %v, want 5", b)
	}
	if r.steepest.rate() != tokenbucket.Inf() || r.steepest.atOnce != 4 {
		t.Errorf("the rate needed is %v for %d at once, want inf for 4", r.steepest.rate(), r.steepest.atOnce)
	}
	// With burst 2: the third, 0.5 s after the first, needs 1 token in that time. So does the
	// fourth in 1 s: 2 tokens.
	r = replayed(l, s, []int64{0, 0.25 * sec, 0.5 * sec, 1 * sec, 20 * sec})
	if r.steepest.rate() != tokenbucket.PerSecond(2) {
		t.Errorf("the rate needed is %v, want 2/s", r.steepest.rate())
	}
}

// The hull stays small, and where it does not it is cut, which is told.
func TestHullIsBounded(t *testing.T) {
	best := newSteepest()
	best.maxHull = 64
	var h hull
	var at int64
	for i := range int64(1000) {
		at += 2000 - i // faster and faster
		h.add(&best, 5000, at)
		if len(h.points) > best.maxHull {
			t.Fatalf("%d points, want at most %d", len(h.points), best.maxHull)
		}
	}
	if !best.thinned {
		t.Error("a hull that was cut is not told of")
	}
	if n := testing.AllocsPerRun(100, func() { at += 1000; h.add(&best, 5000, at) }); n != 0 {
		t.Errorf("%v allocations a request, want none", n)
	}
}

func TestReorder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		q := reorder{ahead: 1 + r.IntN(20)}
		times := make([]int64, r.IntN(200))
		for i := range times { // never more than ahead/2 places late
			times[i] = int64(i + r.IntN(q.ahead/2+1))
		}
		var got []int64
		for i, at := range times {
			if e, full := q.push(event{t: at, seq: int64(i)}); full {
				got = append(got, e.t)
			}
		}
		for e, ok := q.pop(); ok; e, ok = q.pop() {
			got = append(got, e.t)
		}
		slices.Sort(times)
		if !slices.Equal(got, times) {
			t.Fatalf("with %d ahead: %v, want %v", q.ahead, got, times)
		}
	}
}

func TestTooLateToBeSorted(t *testing.T) {
	l, s := limitOf(t, "1/s", 1)
	r := newReplay(l, s, 10)
	r.sorted.ahead = 1
	for _, at := range []int64{5e9, 9e9, 1e9, 9e9} { // 1 comes after 5 was replayed
		r.add(request{ns: at})
	}
	r.finish()
	k := r.only()
	if r.late != 1 || r.outOfOrder != 1 || k.allowed != 2 || k.denied != 2 {
		t.Errorf("%d late, %d out of order, %d allowed, %d denied; want 1, 1, 2, 2", r.late, r.outOfOrder, k.allowed, k.denied)
	}
}

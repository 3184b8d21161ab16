package rate_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket/rate"
)

// A taken is a grant of n tenths of a token at the time t, in ms.
type taken struct{ t, n int }

// replay returns the tenths of a token that are there at the time t, in ms, after the grants in log
// were made to a bucket of 100/s and the burst.
func replay(log []taken, burst, t int) int {
	level := 0
	for _, g := range log {
		level = max(level, g.t) + g.n
	}
	return 10*burst - max(level-t, 0)
}

// redeemable returns how many tenths of a token of log[i] can be put back at the time t without minting:
// what a bucket would have more if it had never taken them.
func redeemable(log []taken, i, burst, t int) int {
	with := replay(log, burst, t)
	for k := log[i].n; k > 0; k-- {
		less := append([]taken(nil), log...)
		less[i].n -= k
		if replay(less, burst, t) == with+k {
			return k
		}
	}
	return 0
}

// TestCancelPutsBackWhatWouldBeThere cancels reservations whose tokens were there at once, as of their
// own time but after other calls at later times, and compares with a replay without them.
func TestCancelPutsBackWhatWouldBeThere(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		burst := 1 + rnd.IntN(5)
		lim := rate.NewLimiter(100, burst)
		ms := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }
		var log []taken
		open := map[int]*rate.Reservation{}
		lim.AllowN(ms(0), 0) // the refill begins
		for now := 0; now < 500; now += rnd.IntN(25) {
			n := 1 + rnd.IntN(burst)
			switch {
			case rnd.IntN(3) == 0:
				for i, r := range open { // in any order
					last := log[len(log)-1].t
					k := redeemable(log, i, burst, last)
					r.CancelAt(ms(log[i].t))
					r.CancelAt(ms(log[i].t))
					log[i].n -= k
					delete(open, i)
					break
				}
			case replay(log, burst, now) < 10*n:
				if lim.AllowN(ms(now), n) {
					t.Fatalf("seed %d, %d ms: %d tokens were granted, which are not there", seed, now, n)
				}
			case rnd.IntN(2) == 0:
				open[len(log)] = lim.ReserveN(ms(now), n)
				log = append(log, taken{now, 10 * n})
			default:
				if !lim.AllowN(ms(now), n) {
					t.Fatalf("seed %d, %d ms: %d tokens were denied, which are there", seed, now, n)
				}
				log = append(log, taken{now, 10 * n})
			}
			if got, want := lim.TokensAt(ms(now)), float64(replay(log, burst, now))/10; got < want-1e-6 || got > want+1e-6 {
				t.Fatalf("seed %d, %d ms: %v tokens, want %v", seed, now, got, want)
			}
		}
	}
}

// TestReserveThenCancelRestoresAll is how programs ask several limiters: they reserve, and cancel with
// the same time if they can't have all.
func TestReserveThenCancelRestoresAll(t *testing.T) {
	lim := rate.NewLimiter(10, 5)
	for range 100 {
		a, b, c := lim.ReserveN(t0, 5), lim.ReserveN(t0, 3), lim.ReserveN(t0, 1)
		if a.DelayFrom(t0) != 0 || b.DelayFrom(t0) != 3*tick || c.DelayFrom(t0) != 4*tick {
			t.Fatalf("delays are %v, %v and %v", a.DelayFrom(t0), b.DelayFrom(t0), c.DelayFrom(t0))
		}
		for _, r := range []*rate.Reservation{b, a, c, a} {
			r.CancelAt(t0)
		}
		if got := lim.TokensAt(t0); got != 5 {
			t.Fatalf("%v tokens after all was cancelled, want 5", got)
		}
	}
	// Others may have come a little later meanwhile.
	r := lim.ReserveN(t0, 2)
	lim.AllowN(t0.Add(time.Microsecond), 1)
	r.CancelAt(t0)
	if got := lim.TokensAt(t0.Add(time.Microsecond)); got != 4 { // the refill of a full bucket is lost
		t.Errorf("%v tokens after a cancel that others overtook, want 4", got)
	}
}

// TestCancelMintsNothing cancels as of a time at which the bucket was not yet full again.
func TestCancelMintsNothing(t *testing.T) {
	lim := rate.NewLimiter(10, 1)
	r := lim.ReserveN(t0, 1)
	if !lim.AllowN(at(1), 1) {
		t.Fatal("the refilled token is not there")
	}
	r.CancelAt(t0)
	if lim.AllowN(at(1), 1) {
		t.Error("a late cancel minted a token: a full bucket would have lost it")
	}
	late := lim.ReserveN(at(5), 1)
	lim.AllowN(at(5).Add(1001*time.Millisecond), 0)
	late.CancelAt(at(5))
	if got := lim.TokensAt(at(5)); got != 0 {
		t.Errorf("%v tokens after a cancel that is more than a second late, want 0", got)
	}
	used := lim.ReserveN(at(30), 1)
	used.CancelAt(at(30).Add(1))
	if got := lim.TokensAt(at(30)); got != 0 {
		t.Errorf("%v tokens after a cancel behind the reservation's time, want 0", got)
	}
}

// TestManyReceipts makes more reservations at one instant than a limiter remembers.
func TestManyReceipts(t *testing.T) {
	const n = 10_000
	lim := rate.NewLimiter(1, n)
	var all []*rate.Reservation
	for range n {
		all = append(all, lim.ReserveN(t0, 1))
	}
	for _, r := range all {
		r.CancelAt(t0)
	}
	if got := lim.TokensAt(t0); got != 4096 {
		t.Errorf("%v tokens are back, want those of the last 4096 reservations", got)
	}
}

// TestDecisionsAreLockFreeAgain requires that a receipt does not keep decisions slow once it is old.
func TestDecisionsAreLockFreeAgain(t *testing.T) {
	lim := rate.NewLimiter(1, 10)
	lim.ReserveN(t0, 1)
	if !lim.WordQueued() {
		t.Error("a reservation that can be cancelled does not hold the word")
	}
	lim.AllowN(at(11), 1)
	if lim.WordQueued() {
		t.Error("a reservation that can't be cancelled any more still holds the word")
	}
}

// TestCancelAfterSetLimit cancels across changes of the limit, which count tokens in other units.
func TestCancelAfterSetLimit(t *testing.T) {
	for _, limit := range []rate.Limit{0, 1e-6, 1, 1e9, 1e15} {
		lim := rate.NewLimiter(10, 7)
		r := lim.ReserveN(t0, 5)
		lim.SetLimitAt(t0, limit)
		r.CancelAt(t0)
		if got := lim.TokensAt(t0); got != 7 {
			t.Errorf("%v tokens after a cancel at the limit %v, want 7", got, limit)
		}
	}
}

// TestReceiptsGiveNoCredit requires that a word held for receipts is not taken for one whose last
// waiter was served late.
func TestReceiptsGiveNoCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := rate.NewLimiter(1000, 1)
		lim.Reserve()
		time.Sleep(5 * time.Millisecond)
		wantWait(t, lim, t.Context(), 1, 0, "")
		wantWait(t, lim, t.Context(), 1, time.Millisecond, "")
	})
}

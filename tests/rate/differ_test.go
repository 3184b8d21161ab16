package rate_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket/rate"
	xrate "golang.org/x/time/rate"
)

// limits are what a fuzzed limiter can have. Negative ones, NaN and fractions are among them.
var limits = []float64{10, 1, 100, 3, 7, 0.5, 1000, 1e6, 999983, 1e9, 0.1, 1.0 / 3, 100.0 / 60, 0, -1, float64(rate.Inf)}

var bursts = []int{1, 2, 3, 5, 10, 100, 0, 1000}

// A twin is the same limiter by both packages.
type twin struct {
	ours   *rate.Limiter
	theirs *xrate.Limiter
	limit  float64
	dust   float64 // tokens that ours may have been rounded by
	now    time.Time
	script string
}

func (w *twin) note(format string, args ...any) { w.script += fmt.Sprintf(format, args...) + "\n" }

// near reports whether two numbers of tokens differ by dust: x/time/rate counts in float64, and ours
// in what refills in about a nanosecond, rounded down when the limit or the burst changes.
func (w *twin) near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b))+w.dust
}

// addDust notes that tokens are counted at the present limit.
func (w *twin) addDust() {
	w.dust += 1e-6
	if w.limit > 0 && w.limit < float64(rate.Inf) {
		w.dust += 2e-9 * w.limit
	}
}

// onEdge reports whether x/time/rate has n tokens, or just not, but for dust.
func (w *twin) onEdge(n int) bool { return w.near(w.theirs.TokensAt(w.now), float64(n)) }

// FuzzSameAnswers makes the same calls to both, at times that do not go back, and wants the same
// answers. The rules for what differs stand where they apply. A sequence ends when dust has made a
// difference, since from there on the states differ by tokens.
func FuzzSameAnswers(f *testing.F) {
	for _, seed := range []string{"", "\x00\x01aAbBcCdD", "\x03\x02\x00\x01\x05\x10\x01\x01\x05\x21\x02\x02", "\x0d\x02 reserve it all again and again", "\x0f\x06 no limit at all, and then one"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 2 || len(ops) > 300 {
			return
		}
		limit, burst := limits[int(ops[0])%len(limits)], bursts[int(ops[1])%len(bursts)]
		w := &twin{
			ours:   rate.NewLimiter(rate.Limit(limit), burst),
			theirs: xrate.NewLimiter(xrate.Limit(limit), burst),
			limit:  limit, now: time.Unix(1e9, 0),
		}
		w.note("NewLimiter(%v, %d)", limit, burst)
		w.addDust()
		// The first call tells both when the refill begins.
		w.ours.SetBurstAt(w.now, burst)
		w.theirs.SetBurstAt(w.now, burst)
		for ops = ops[2:]; len(ops) >= 3; ops = ops[3:] {
			if !w.step(t, ops[0], int(ops[1]), ops[2]) {
				return
			}
		}
	})
}

// step makes one call, and reports whether to go on.
func (w *twin) step(t *testing.T, op byte, n int, wait byte) bool {
	w.now = w.now.Add(pause(wait))
	n = n%8 - 1 // -1 to 6
	if n == 6 {
		n = 100
	}
	ok := true
	switch op % 8 {
	case 0, 1, 2:
		ok = w.allow(t, n)
	case 3, 4:
		ok = w.reserve(t, n)
	case 5:
		return w.tokens(t)
	case 6:
		w.setLimit(limits[int(wait)%len(limits)])
	case 7:
		w.setBurst(bursts[n&7%len(bursts)])
	}
	return ok && w.tokens(t)
}

// pause returns how long to wait before a call: nothing, or from 1 ns to 10 s.
func pause(wait byte) time.Duration {
	if wait%3 == 0 {
		return 0
	}
	return time.Duration(math.Pow10(int(wait)%11)) * time.Duration(1+wait%7)
}

// setBurst changes the burst. Rule: without a limit theirs is full a nanosecond later, and ours at
// once. Rule: in debt a smaller burst cuts what ours has gathered for a reservation, but not theirs.
func (w *twin) setBurst(burst int) {
	if burst < w.ours.Burst() && w.theirs.TokensAt(w.now) < 0 {
		return
	}
	w.note("%v SetBurst(%d)", w.now.UnixNano(), burst)
	w.addDust()
	w.ours.SetBurstAt(w.now, burst)
	w.theirs.SetBurstAt(w.now, burst)
	if w.limit == float64(rate.Inf) {
		w.now = w.now.Add(time.Nanosecond)
	}
}

// setLimit changes the limit. From and to Inf, time has to pass: x/time/rate has a full bucket after
// any time without a limit, but not at once, and ours always.
func (w *twin) setLimit(limit float64) {
	if w.limit == float64(rate.Inf) || limit == float64(rate.Inf) {
		w.now = w.now.Add(time.Nanosecond)
	}
	w.note("%v SetLimit(%v)", w.now.UnixNano(), limit)
	w.limit = limit
	w.addDust()
	w.ours.SetLimitAt(w.now, rate.Limit(limit))
	w.theirs.SetLimitAt(w.now, xrate.Limit(limit))
	if limit == float64(rate.Inf) {
		w.now = w.now.Add(time.Nanosecond)
	}
}

func (w *twin) allow(t *testing.T, n int) bool {
	if n < 0 {
		// Rule: a refund in debt is refused by their AllowN, and lost. Ours is made, as by their ReserveN.
		w.theirs.ReserveN(w.now, n)
		w.note("%v AllowN(%d)", w.now.UnixNano(), n)
		if !w.ours.AllowN(w.now, n) {
			t.Fatalf("%sa refund was refused", w.script)
		}
		return true
	}
	edge := w.onEdge(n)
	ours, theirs := w.ours.AllowN(w.now, n), w.theirs.AllowN(w.now, n)
	w.note("%v AllowN(%d) = %v", w.now.UnixNano(), n, ours)
	if ours != theirs && !edge {
		t.Fatalf("%sx/time/rate: %v, with %v tokens", w.script, theirs, w.theirs.TokensAt(w.now))
	}
	return ours == theirs
}

func (w *twin) reserve(t *testing.T, n int) bool {
	edge := w.onEdge(n)
	r, x := w.ours.ReserveN(w.now, n), w.theirs.ReserveN(w.now, n)
	ours, theirs := r.DelayFrom(w.now), x.DelayFrom(w.now)
	w.note("%v ReserveN(%d): %v, delay %v", w.now.UnixNano(), n, r.OK(), ours)
	if theirs == xrate.InfDuration && x.OK() {
		// Rule: what will never be there is not OK. Theirs is, and has to be cancelled.
		x.CancelAt(w.now)
		if r.OK() || ours != rate.InfDuration {
			t.Fatalf("%sa reservation is OK that never comes", w.script)
		}
		return true
	}
	if n < 0 {
		return true // Rule: their delay is that of the debt which is left. Ours is the same, or 0.
	}
	dust := 4 + math.Abs(float64(theirs))*1e-9
	if w.limit > 0 {
		dust += w.dust / w.limit * 1e9
	}
	if r.OK() != x.OK() || r.OK() && math.Abs(float64(ours-theirs)) > dust {
		t.Fatalf("%sx/time/rate: %v, delay %v", w.script, x.OK(), theirs)
	}
	return !edge || ours == theirs
}

func (w *twin) tokens(t *testing.T) bool {
	ours, theirs := w.ours.TokensAt(w.now), w.theirs.TokensAt(w.now)
	if !w.near(ours, theirs) {
		t.Fatalf("%s%v: %v tokens, x/time/rate: %v", w.script, w.now.UnixNano(), ours, theirs)
	}
	return true
}

// TestSameErrors compares the errors of WaitN, and when they come.
func TestSameErrors(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	soon, stop := context.WithTimeout(t.Context(), time.Hour)
	defer stop()
	for _, limit := range []float64{0, 1e-6, float64(rate.Inf)} {
		for _, burst := range []int{-1, 0, 1} {
			for _, n := range []int{-2, -1, 0, 1, 2} {
				for name, ctx := range map[string]context.Context{"cancelled": gone, "an hour": soon} {
					ours, theirs := rate.NewLimiter(rate.Limit(limit), burst), xrate.NewLimiter(xrate.Limit(limit), burst)
					ours.Allow()
					theirs.Allow()
					if got, want := fmt.Sprint(ours.WaitN(ctx, n)), fmt.Sprint(theirs.WaitN(ctx, n)); got != want {
						t.Errorf("limit %v, burst %d: WaitN(%s, %d) = %s, want %s", limit, burst, name, n, got, want)
					}
				}
			}
		}
	}
}

// TestEveryIsTheSame compares the limits of intervals, bit by bit.
func TestEveryIsTheSame(t *testing.T) {
	for d := time.Duration(-3); d < math.MaxInt64/7; d = d*7/2 + 1 + d/3 {
		for i := range time.Duration(50) {
			if got, want := rate.Every(d+i), xrate.Every(d+i); float64(got) != float64(want) {
				t.Fatalf("Every(%v) = %v, want %v", d+i, got, want)
			}
		}
		if d < 0 {
			d = -d
		}
	}
}

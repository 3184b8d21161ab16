package rate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket/rate"
)

// The cases of this file are those of the tests of golang.org/x/time/rate v0.16.0, written anew, one
// table entry a test. Times are multiples of 100 ms after t0.

const tick = 100 * time.Millisecond

var t0 = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(n int) time.Time { return t0.Add(time.Duration(n) * tick) }

// A step is one call and its result. Where x/time/rate has another result, theirs says which, and why
// says what is wrong with it.
type step struct {
	do     string // "allow", "reserve", "cancel", "limit" or "burst"
	t, n   int    // of cancel, n is the index of the step that reserved
	want   any    // of allow: "tokens before, ok"; of reserve: the time, or false
	theirs any
	why    string
}

type xtimeCase struct {
	name  string
	limit rate.Limit
	burst int
	steps []step
}

func allow(t, n int, tokens float64, ok bool) step {
	return step{do: "allow", t: t, n: n, want: fmt.Sprint(tokens, ok)}
}

func reserve(t, n, act int) step { return step{do: "reserve", t: t, n: n, want: act} }
func refuse(t, n int) step       { return step{do: "reserve", t: t, n: n, want: false} }
func cancel(t, of int) step      { return step{do: "cancel", t: t, n: of} }
func setLimit(t, limit int) step { return step{do: "limit", t: t, n: limit} }
func setBurst(t, burst int) step { return step{do: "burst", t: t, n: burst} }
func (s step) notAs(theirs any, why string) step {
	s.theirs, s.why = theirs, why
	return s
}

func (s step) notAsAllow(tokens float64, ok bool, why string) step {
	return s.notAs(fmt.Sprint(tokens, ok), why)
}

const (
	minted = "theirs: the time went back and forth, and refilled twice"
	lost   = "theirs: the place of the cancelled reservation was lost"
)

var xtimeCases = []xtimeCase{
	{"LimiterBurst1", 10, 1, []step{
		allow(0, 1, 1, true), allow(0, 1, 0, false), allow(0, 1, 0, false),
		allow(1, 1, 1, true), allow(1, 1, 0, false), allow(1, 1, 0, false),
		allow(2, 2, 1, false), allow(2, 1, 1, true), allow(2, 1, 0, false),
	}},
	{"LimiterBurst3", 10, 3, []step{
		allow(0, 2, 3, true), allow(0, 2, 1, false), allow(0, 1, 1, true), allow(0, 1, 0, false),
		allow(1, 4, 1, false), allow(2, 1, 2, true), allow(3, 1, 2, true), allow(4, 1, 2, true),
		allow(4, 1, 1, true), allow(4, 1, 0, false), allow(4, 1, 0, false),
		allow(9, 3, 3, true), allow(9, 0, 0, true),
	}},
	{"LimiterJumpBackwards", 10, 3, []step{
		allow(1, 1, 3, true), allow(0, 1, 2, true), allow(0, 1, 1, true), allow(0, 1, 0, false), allow(0, 1, 0, false),
		allow(1, 1, 0, false).notAsAllow(1, true, minted), allow(1, 1, 0, false), allow(1, 1, 0, false),
		allow(2, 1, 1, true), allow(2, 1, 0, false), allow(2, 1, 0, false),
	}},
	{"SimpleReserve", 10, 2, []step{reserve(0, 2, 0), reserve(0, 2, 2), reserve(3, 2, 4)}},
	{"Mix", 10, 2, []step{
		refuse(0, 3), reserve(0, 2, 0), allow(1, 2, 1, false), reserve(1, 2, 2), allow(1, 1, -1, false), allow(3, 1, 1, true),
	}},
	{"CancelInvalid", 10, 2, []step{reserve(0, 2, 0), refuse(0, 3), cancel(0, 1), reserve(0, 2, 2)}},
	{"CancelLast", 10, 2, []step{reserve(0, 2, 0), reserve(0, 2, 2), cancel(1, 1), reserve(1, 2, 2)}},
	{"CancelTooLate", 10, 2, []step{reserve(0, 2, 0), reserve(0, 2, 2), cancel(3, 1), reserve(3, 2, 4)}},
	{"Cancel0Tokens", 10, 2, []step{
		reserve(0, 2, 0), reserve(0, 1, 1), reserve(0, 1, 2), cancel(0, 1),
		reserve(0, 1, 2).notAs(3, lost),
	}},
	{"Cancel1Token", 10, 2, []step{
		reserve(0, 2, 0), reserve(0, 2, 2), reserve(0, 1, 3), cancel(2, 1), reserve(2, 2, 4),
	}},
	{"CancelMulti", 10, 4, []step{
		reserve(0, 4, 0), reserve(0, 3, 3), reserve(0, 1, 4), reserve(0, 1, 5), cancel(1, 3), cancel(1, 1),
		reserve(1, 3, 4).notAs(5, lost),
	}},
	{"ReserveJumpBack", 10, 2, []step{
		reserve(1, 2, 1), reserve(0, 1, 2).notAs(1, minted), reserve(2, 2, 4).notAs(3, minted), refuse(0, 3),
		reserve(2, 1, 5).notAs(4, minted), reserve(2, 1, 6).notAs(5, minted),
	}},
	{"ReserveJumpBackCancel", 10, 2, []step{
		reserve(1, 2, 1), reserve(1, 2, 3), reserve(1, 1, 4), cancel(0, 1),
		reserve(1, 2, 5).notAs(4, minted),
	}},
	{"ReserveSetLimit", 5, 2, []step{reserve(0, 2, 0), reserve(0, 2, 4), setLimit(2, 10), reserve(2, 1, 4)}},
	{"ReserveSetBurst", 5, 2, []step{
		reserve(0, 2, 0), reserve(0, 2, 4), setBurst(3, 4), reserve(0, 4, 12).notAs(9, minted),
	}},
	{"ReserveSetLimitCancel", 5, 2, []step{
		reserve(0, 2, 0), reserve(0, 2, 4), setLimit(2, 10), cancel(2, 1), reserve(2, 2, 3),
	}},
	// Their reserveN with a longest wait is a ReserveN that is cancelled when the wait is longer.
	{"ReserveMax", 10, 2, []step{reserve(0, 2, 0), reserve(0, 1, 1), reserve(0, 1, 2), cancel(0, 2), reserve(0, 1, 2)}},
	{"ZeroLimit", 0, 1, []step{allow(0, 1, 1, true), allow(9, 1, 0, false)}},
	{"SetAfterZeroLimit", 0, 1, []step{
		allow(0, 1, 1, true), allow(1, 1, 0, false), setLimit(2, 10), reserve(2, 1, 3),
	}},
	{"TinyLimit", 1e-10, 1, []step{allow(0, 1, 1, true), {do: "allow", t: 9, n: 1, want: "9e-11 false"}}},
	{"Limiter_noTruncationErrors", 0.7692307692307693, 1, []step{allow(0, 1, 1, true)}},
}

// TestXTimeTable runs the steps of the tests of x/time/rate that tell the time. Those that read the
// clock or wait are in TestXTimeClock.
func TestXTimeTable(t *testing.T) {
	for _, c := range xtimeCases {
		t.Run(c.name, func(t *testing.T) {
			lim := rate.NewLimiter(c.limit, c.burst)
			reservations := map[int]*rate.Reservation{}
			for i, s := range c.steps {
				if got := s.run(lim, reservations, i); s.want != nil && got != s.want {
					t.Errorf("step %d, %s(%d, %d) = %v, want %v; x/time/rate: %v %s", i, s.do, s.t, s.n, got, s.want, s.theirs, s.why)
				}
			}
		})
	}
}

func (s step) run(lim *rate.Limiter, reservations map[int]*rate.Reservation, i int) any {
	switch s.do {
	case "allow":
		tokens := lim.TokensAt(at(s.t))
		return fmt.Sprintf("%.6g %v", tokens, lim.AllowN(at(s.t), s.n))
	case "reserve":
		r := lim.ReserveN(at(s.t), s.n)
		reservations[i] = r
		if !r.OK() {
			return false
		}
		return s.t + int(r.DelayFrom(at(s.t))/tick)
	case "cancel":
		reservations[s.n].CancelAt(at(s.t))
	case "limit":
		lim.SetLimitAt(at(s.t), rate.Limit(s.n))
	case "burst":
		lim.SetBurstAt(at(s.t), s.n)
	}
	return nil
}

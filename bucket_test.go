package tokenbucket_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A step is a line of a script: at this time by the fake clock, the operation is to have this outcome.
type step struct {
	at   time.Duration
	op   string // a method and its arguments, see performer.do
	want string
}

type script struct {
	name  string
	limit string // rate and burst; empty for the zero Bucket
	steps []step
}

func (s script) run(t *testing.T, opts ...tokenbucket.Option) {
	t.Run(s.name, func(t *testing.T) {
		clk := newFakeClock()
		p := performer{b: new(tokenbucket.Bucket)}
		if s.limit != "" {
			l := limitOf(strings.Fields(s.limit))
			p.b = tokenbucket.New(l.Rate, l.Burst, append(opts, tokenbucket.WithClock(clk))...)
		}
		for i, step := range s.steps {
			clk.set(int64(step.at))
			if got := p.do(step.op); got != step.want {
				t.Fatalf("step %d, at %v: %s: %s, want %s", i, step.at, step.op, got, step.want)
			}
		}
	})
}

// A performer performs operations that are given as text, and tells as text what came of them.
type performer struct {
	b  *tokenbucket.Bucket
	rs []*tokenbucket.Reservation // made so far, in order
}

func (p *performer) do(op string) string {
	f := strings.Fields(op)
	n := 1
	if len(f) == 2 {
		n = countOf(f[1])
	}
	switch f[0] {
	case "Allow":
		return fmt.Sprint(p.b.AllowN(n))
	case "Take":
		return figures(p.b.Take(n))
	case "TakeAvailable":
		return fmt.Sprint(p.b.TakeAvailable(n))
	case "Refund":
		p.b.Refund(n)
	case "Charge":
		p.b.Charge(n)
	case "Tokens":
		return strconv.FormatFloat(p.b.Tokens(), 'g', 6, 64)
	case "Limit":
		return p.b.Limit().String()
	case "SetLimit":
		p.b.SetLimit(limitOf(f[1:]))
	case "Reserve":
		r, err := p.b.ReserveN(n)
		if err != nil {
			return err.Error()
		}
		p.rs = append(p.rs, r)
		return span(r.Delay())
	case "Delay":
		return span(p.rs[n].Delay())
	case "Cancel":
		p.rs[n].Cancel()
	default:
		panic(op)
	}
	return ""
}

func countOf(s string) int {
	if s == "max" {
		return math.MaxInt
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func limitOf(f []string) tokenbucket.Limit {
	r, err := tokenbucket.ParseRate(f[0])
	if err != nil {
		panic(err)
	}
	return tokenbucket.Limit{Rate: r, Burst: countOf(f[1])}
}

func span(d time.Duration) string {
	if d == tokenbucket.Never {
		return "never"
	}
	return d.String()
}

// figures writes a Result as "ok, 3 left, full in 2s" or "no, 3 left, retry in 1s, full in 2s".
func figures(r tokenbucket.Result) string {
	s := fmt.Sprintf("ok, %d left", r.Remaining)
	if !r.Allowed || r.RetryAfter != 0 {
		s = fmt.Sprintf("no, %d left, retry in %s", r.Remaining, span(r.RetryAfter))
	}
	return s + ", full in " + span(r.ResetAfter)
}

const (
	ms  = time.Millisecond
	sec = time.Second
)

var scripts = []script{
	{"take all or nothing", "10/s 5", []step{
		{0, "Limit", "10/s burst 5"},
		{0, "Tokens", "5"},
		{0, "Allow 3", "true"},
		{0, "Allow 3", "false"},
		{0, "Tokens", "2"},
		{0, "Take 3", "no, 2 left, retry in 100ms, full in 300ms"},
		{0, "Take 2", "ok, 0 left, full in 500ms"},
		{0, "Allow", "false"},
		{99 * ms, "Allow", "false"},
		{100 * ms, "Allow", "true"},
		{100 * ms, "Allow", "false"},
		{250 * ms, "Tokens", "1.5"},
		{250 * ms, "Take 1", "ok, 0 left, full in 450ms"},
		{700 * ms, "Take 5", "ok, 0 left, full in 500ms"},
	}},
	{"none of them", "10/s 2", []step{
		{0, "Allow 0", "true"},
		{0, "Take 0", "ok, 2 left, full in 0s"},
		{0, "TakeAvailable 0", "0"},
		{0, "Refund 0", ""},
		{0, "Charge 0", ""},
		{0, "Reserve 0", "0s"},
		{0, "Tokens", "2"},
		{0, "Charge 5", ""},
		{0, "Allow 0", "true"},
		{0, "Take 0", "ok, 0 left, full in 500ms"},
		{0, "TakeAvailable 0", "0"},
		{0, "Tokens", "-3"},
	}},
	{"none of them writes nothing", "10/s 2", []step{
		{time.Hour, "Allow 0", "true"},
		{time.Hour, "Take 0", "ok, 2 left, full in 0s"},
		{time.Hour, "TakeAvailable 0", "0"},
		{time.Hour, "Refund 0", ""},
		{time.Hour, "Charge 0", ""},
		{0, "Tokens", "2"}, // a clock that has stepped back finds the bucket as it was
	}},
	{"more than the burst", "10/s 5", []step{
		{0, "Allow 6", "false"},
		{0, "Take 6", "no, 5 left, retry in never, full in 0s"},
		{0, "Take max", "no, 5 left, retry in never, full in 0s"},
		{0, "Allow max", "false"},
		{0, "Reserve 6", "tokenbucket: waiting for 6: more tokens asked for than the burst"},
		{0, "TakeAvailable max", "5"},
		{0, "Take 6", "no, 0 left, retry in never, full in 500ms"},
	}},
	{"as many as there are", "10/s 5", []step{
		{0, "TakeAvailable 3", "3"},
		{0, "TakeAvailable 3", "2"},
		{0, "TakeAvailable 3", "0"},
		{199 * ms, "TakeAvailable 3", "1"},
		{199 * ms, "Tokens", "0.99"},
		{200 * ms, "TakeAvailable 3", "1"},
		{time.Hour, "TakeAvailable max", "5"},
		{time.Hour, "Charge 2", ""},
		{time.Hour, "TakeAvailable 1", "0"},
	}},
	{"refund", "10/s 5", []step{
		{0, "Refund 3", ""},
		{0, "Tokens", "5"},
		{0, "Allow 5", "true"},
		{0, "Refund 2", ""},
		{0, "Take 3", "no, 2 left, retry in 100ms, full in 300ms"},
		{0, "Refund max", ""},
		{0, "Take 0", "ok, 5 left, full in 0s"},
		{0, "Charge max", ""},
		{0, "Refund max", ""},
		{0, "Tokens", "5"},
		{50 * ms, "Take 5", "ok, 0 left, full in 500ms"},
		{100 * ms, "Refund 5", ""}, // half a token has come back by itself and has no room
		{100 * ms, "Tokens", "5"},
	}},
	{"charge and debt", "10/s 5", []step{
		{0, "Charge 2", ""},
		{0, "Tokens", "3"},
		{0, "Charge 10", ""},
		{0, "Tokens", "-7"},
		{0, "Take 1", "no, 0 left, retry in 800ms, full in 1.2s"},
		{0, "Take 5", "no, 0 left, retry in 1.2s, full in 1.2s"},
		{0, "TakeAvailable 1", "0"},
		{799 * ms, "Allow", "false"},
		{800 * ms, "Allow", "true"},
		{800 * ms, "Allow", "false"},
		{800 * ms, "Charge 3", ""},
		{1100 * ms, "Tokens", "0"},
		{1100 * ms, "Refund 1", ""},
		{1100 * ms, "Allow", "true"},
	}},
	{"a burst of 1", "10/s 1", []step{
		{0, "Take 1", "ok, 0 left, full in 100ms"},
		{0, "Take 2", "no, 0 left, retry in never, full in 100ms"},
		{100*ms - 3, "Allow", "false"},
		{100 * ms, "Take 1", "ok, 0 left, full in 100ms"},
		{time.Hour, "Allow", "true"},
		{time.Hour, "Allow", "false"},
	}},
	{"Inf", "inf 3", []step{
		{0, "Limit", "inf burst 3"},
		{0, "Allow max", "true"},
		{0, "Take max", "ok, 3 left, full in 0s"},
		{0, "TakeAvailable max", strconv.Itoa(math.MaxInt)},
		{0, "Charge max", ""},
		{0, "Tokens", "3"},
		{0, "Refund max", ""},
		{0, "Reserve max", "0s"},
		{-time.Hour, "Allow", "true"},
	}},
	{"the zero rate", "0 3", []step{
		{0, "Take 2", "ok, 1 left, full in never"},
		{0, "Take 0", "ok, 1 left, full in never"},
		{century, "Take 2", "no, 1 left, retry in never, full in never"},
		{century, "TakeAvailable 5", "1"},
		{century, "Reserve", "tokenbucket: waiting for 1: the tokens will never be there"},
		{century, "Charge 1", ""},
		{century, "Refund 2", ""},
		{century, "Tokens", "1"},
		{2 * century, "Allow", "true"},
		{2 * century, "Refund 5", ""},
		{2 * century, "Take 3", "ok, 0 left, full in never"},
	}},
	{"the zero Bucket", "", []step{
		{0, "Allow", "false"},
		{0, "Allow 0", "true"},
		{0, "Take 1", "no, 0 left, retry in never, full in never"},
		{0, "Take 0", "ok, 0 left, full in never"},
		{0, "TakeAvailable 1", "0"},
		{0, "Tokens", "0"},
		{0, "Charge max", ""},
		{0, "Refund max", ""},
		{0, "Limit", "0 burst 0"},
		{0, "Reserve 0", "0s"},
		{0, "Reserve", "tokenbucket: waiting for 1: more tokens asked for than the burst"},
		{0, "SetLimit 1/24h 3", ""}, // and without any tokens to begin with
		{0, "Limit", "1/24h burst 3"},
		{0, "Allow", "false"},
		{0, "Refund 2", ""},
		{0, "Allow 2", "true"},
	}},
	{"the zero Bucket without limit", "", []step{
		{0, "SetLimit inf 3", ""},
		{0, "Take 5", "ok, 3 left, full in 0s"},
		{0, "SetLimit 0 5", ""},
		{0, "Take 3", "ok, 0 left, full in never"},
	}},
	{"SetLimit keeps the tokens", "10/s 10", []step{
		{0, "Allow 4", "true"},
		{0, "SetLimit 10/s 100", ""},
		{0, "Tokens", "6"},
		{0, "SetLimit 1/s 100", ""},
		{1500 * ms, "Tokens", "7.5"},
		{1500 * ms, "SetLimit 1/s 5", ""}, // what has no room is gone
		{1500 * ms, "Tokens", "5"},
		{1500 * ms, "SetLimit 1/s 10", ""},
		{1500 * ms, "Tokens", "5"},
		{2000 * ms, "SetLimit 1/s 10", ""}, // the same: nothing happens
		{2499 * ms, "Allow 6", "false"},
		{2500 * ms, "Allow 6", "true"},
		{2500 * ms, "SetLimit 1000000000/s 1", ""},
		{2500*ms + 3, "Take 1", "ok, 0 left, full in 1ns"},
	}},
	{"SetLimit keeps a debt", "10/s 10", []step{
		{0, "Charge 30", ""},
		{0, "SetLimit 1/s 2", ""},
		{0, "Tokens", "-20"},
		{0, "Take 2", "no, 0 left, retry in 22s, full in 22s"},
		{0, "SetLimit 0 20", ""}, // which remembers a debt of a burst and more
		{time.Hour, "Tokens", "-20"},
		{time.Hour, "SetLimit 100/s 10", ""},
		{time.Hour + 200*ms, "Tokens", "0"},
	}},
	{"SetLimit to Inf and back", "10/s 10", []step{
		{0, "Charge 30", ""},
		{0, "SetLimit inf 4", ""}, // counts as full
		{0, "Tokens", "4"},
		{0, "SetLimit 1/s 3", ""},
		{0, "Take 1", "ok, 2 left, full in 1s"},
		{0, "SetLimit inf 4", ""},
		{0, "SetLimit 1/s 5", ""},
		{0, "Take 1", "ok, 3 left, full in 2s"},
	}},
	{"SetLimit to the zero rate and back", "10/s 10", []step{
		{0, "Allow 9", "true"},
		{50 * ms, "SetLimit 0 10", ""},
		{time.Hour, "Tokens", "1.5"},
		{time.Hour, "Take 2", "no, 1 left, retry in never, full in never"},
		{time.Hour, "SetLimit 10/s 10", ""},
		{time.Hour, "Take 2", "no, 1 left, retry in 50ms, full in 850ms"},
		{time.Hour + 50*ms, "Allow 2", "true"},
	}},
	{"one a year", "1/8760h 1", []step{
		{0, "Take 1", "ok, 0 left, full in 8760h0m0s"},
		{year - 3, "Allow", "false"},
		{year, "Take 1", "ok, 0 left, full in 8760h0m0s"},
		{100 * year, "Allow", "true"},
		{100 * year, "Take 1", "no, 0 left, retry in 8760h0m0s, full in 8760h0m0s"},
		{101*year - 3, "Allow", "false"},
		{101 * year, "Allow", "true"},
	}},
	{"one a nanosecond", "1000000000/s 1000", []step{
		{0, "TakeAvailable 1000", "1000"},
		{1, "TakeAvailable 1000", "1"},
		{1000, "TakeAvailable 1000", "999"},
		{1001, "Take 3", "no, 1 left, retry in 2ns, full in 999ns"},
		{century, "TakeAvailable 1001", "1000"},
		{century + 7, "TakeAvailable 1001", "7"},
	}},
	{"idle for years", "3/s 7", []step{
		{0, "Allow 7", "true"},
		{10 * year, "Take 7", "ok, 0 left, full in 2.333333334s"},
		{99 * year, "Take 8", "no, 7 left, retry in never, full in 0s"},
		{99 * year, "TakeAvailable 9", "7"},
		{99*year + sec, "TakeAvailable 9", "3"},
	}},
	{"centuries", "10/s 5", []step{
		{century, "TakeAvailable 9", "5"},
		{century, "Take 1", "no, 0 left, retry in 100ms, full in 500ms"},
		{century + 100*ms, "TakeAvailable 9", "1"},
		{150 * year, "Take 9", "no, 5 left, retry in never, full in 0s"},
		{150 * year, "TakeAvailable 9", "5"},
		{150*year + 100*ms, "Take 1", "ok, 0 left, full in 500ms"},
		{150*year + 100*ms, "Charge 30", ""},
		{150*year + 3100*ms, "Tokens", "0"},
		{292 * year, "TakeAvailable 9", "5"},
		{292*year + 250*ms, "Tokens", "2.5"},
	}},
	{"an end of time", "10/s 5", []step{
		{never - sec, "TakeAvailable 9", "5"},
		{never, "TakeAvailable 9", "5"},
		{never, "Take 1", "no, 0 left, retry in never, full in never"},
		{never, "Allow", "false"},
		{never, "Charge 1", ""},
		{never, "Tokens", "-1"},
		{never, "SetLimit 20/s 5", ""},
		{never, "Tokens", "-1"},
		{never, "Refund 2", ""},
		{never, "Allow", "true"},
		{never, "Allow", "false"},
	}},
	{"a debt across timelines", "10/s 5", []step{
		{140 * year, "Charge 25", ""},
		{150 * year, "Allow 5", "true"},
		{150 * year, "Charge 2000000000", ""},
		{151 * year, "SetLimit 10/s 6", ""},
		{151 * year, "Tokens", "-1.68464e+09"},
	}},
	{"a debt that no word can hold", "10/s 1", []step{
		{0, "Charge 1000000000", ""},
		{0, "SetLimit 1/8760h 1", ""}, // two centuries are as much as is remembered
		{0, "Tokens", "-255"},
		{0, "Take 1", "no, 0 left, retry in never, full in never"},
	}},
	{"slow", "1e-25/s 2", []step{
		{0, "Take 1", "ok, 1 left, full in never"},
		{century, "Take 2", "no, 1 left, retry in never, full in never"},
		{290 * year, "TakeAvailable 2", "1"},
		{290 * year, "Reserve", "tokenbucket: waiting for 1: the tokens will never be there"},
	}},
	{"slower than can be counted, and so held as the zero rate", "1e-28/s 5", []step{
		{0, "Take 4", "ok, 1 left, full in never"},
		{century, "Take 2", "no, 1 left, retry in never, full in never"},
		{290 * year, "TakeAvailable 2", "1"},
		{290 * year, "Reserve", "tokenbucket: waiting for 1: the tokens will never be there"},
	}},
	{"slow for its large burst", "1/2562047h max", []step{
		{0, "TakeAvailable max", strconv.FormatUint(min(math.MaxInt, 1<<61), 10)},
		{0, "Allow", "false"},
		{century, "Allow", "false"},
	}},
	{"a clock that steps back by centuries", "10/s 1", []step{
		{100 * year, "SetLimit 1/8760h 1", ""},
		{100 * year, "Charge 120", ""},
		{100 * year, "Take 1", "no, 0 left, retry in 1051200h0m0s, full in 1051200h0m0s"},
		{-40 * year, "Take 1", "no, 0 left, retry in 2277600h0m0s, full in 2277600h0m0s"},
		{-140 * year, "Take 1", "no, 0 left, retry in never, full in never"},
		{220 * year, "Allow", "true"},
	}},
	{"a change of limit after a step back earns nothing twice", "1/s 10", []step{
		{100 * sec, "SetLimit 2/s 10", ""},
		{100 * sec, "Allow 10", "true"},
		{0, "SetLimit 1/s 10", ""},
		{100 * sec, "TakeAvailable 10", "0"},
		{103 * sec, "TakeAvailable 10", "3"},
	}},
	{"a clock that steps back", "10/s 5", []step{
		{10 * sec, "Allow 5", "true"},
		{5 * sec, "Allow", "false"},
		{5 * sec, "Take 1", "no, 0 left, retry in 5.1s, full in 5.5s"},
		{-5 * sec, "Take 1", "no, 0 left, retry in 15.1s, full in 15.5s"},
		{10 * sec, "Allow", "false"},
		{10*sec + 100*ms, "Allow", "true"},
		{5 * sec, "Refund 1", ""},
		{10*sec + 100*ms, "Allow", "true"},
		{10*sec + 100*ms, "Allow", "false"},
	}},
	{"a clock that steps back before the bucket was made", "10/s 5", []step{
		{-sec, "Take 3", "ok, 2 left, full in 1.3s"},
		{-sec, "Take 3", "no, 2 left, retry in 1.1s, full in 1.3s"},
		{-century, "Allow 2", "true"},
		{-century, "Allow", "false"},
		{-150 * year, "Allow", "false"},
		{0, "Allow", "false"},
		{100 * ms, "Allow", "true"},
	}},
	{"a clock that steps back before SetLimit", "10/s 5", []step{
		{sec, "Allow 5", "true"},
		{10 * sec, "SetLimit 1/s 10", ""},
		{10 * sec, "Allow 5", "true"},
		{5 * sec, "Allow", "false"},
		{5 * sec, "Take 1", "no, 0 left, retry in 6s, full in 15s"},
		{11 * sec, "Take 1", "ok, 0 left, full in 10s"},
	}},
}

func TestBucket(t *testing.T) {
	for _, s := range scripts {
		s.run(t)
	}
}

func TestLargestBurst(t *testing.T) {
	held := min(uint64(math.MaxInt), 1<<61)
	clk := newFakeClock()
	b := tokenbucket.New(tokenbucket.PerSecond(1), math.MaxInt, tokenbucket.WithClock(clk))
	if got := b.Tokens(); got != float64(held) {
		t.Errorf("Tokens = %v, want %v", got, float64(held))
	}
	if n := b.TakeAvailable(math.MaxInt); uint64(n) != held {
		t.Errorf("TakeAvailable = %d, want %d", n, held)
	}
	if r := b.Take(1); figures(r) != "no, 0 left, retry in 1s, full in never" && strconv.IntSize == 64 {
		t.Errorf("Take: %s", figures(r))
	}
	clk.set(int64(time.Second))
	if !b.Allow() || b.Allow() {
		t.Error("a second later there is not exactly one token")
	}
}

func TestFastestRate(t *testing.T) {
	clk := newFakeClock()
	for _, burst := range []int{1, 5, math.MaxInt} {
		b := tokenbucket.New(tokenbucket.Per(math.MaxInt, 1), burst, tokenbucket.WithClock(clk))
		for range 1000 {
			clk.set(clk.now + 1 + rand.Int64N(int64(time.Hour)))
			before := b.Tokens()
			n := b.TakeAvailable(math.MaxInt)
			if float64(n) != before || n < min(burst, math.MaxInt32) || b.Allow() {
				t.Fatalf("burst %d: took %d of %v", burst, n, before)
			}
		}
	}
	b := tokenbucket.New(tokenbucket.Per(math.MaxInt, 1), 1) // by the real clock, every reading is on a new timeline
	for range 100 {
		b.Allow()
		b.Take(1)
		b.Refund(1)
		b.Charge(1)
		b.Tokens()
	}
}

func TestNegative(t *testing.T) {
	b := tokenbucket.New(tokenbucket.PerSecond(1), 5)
	var zero tokenbucket.Bucket
	for _, b := range []*tokenbucket.Bucket{b, &zero} {
		for name, op := range map[string]func(int){
			"AllowN":        func(n int) { b.AllowN(n) },
			"Take":          func(n int) { b.Take(n) },
			"TakeAvailable": func(n int) { b.TakeAvailable(n) },
			"Refund":        b.Refund,
			"Charge":        b.Charge,
			"ReserveN":      func(n int) { _, _ = b.ReserveN(n) },
			"WaitN":         func(n int) { _ = b.WaitN(t.Context(), n) },
		} {
			for _, n := range []int{-1, math.MinInt} {
				want := fmt.Sprintf("tokenbucket: %s: n is %d, want 0 or more", name, n)
				if got := panicOf(func() { op(n) }); got != want {
					t.Errorf("panic %q, want %q", got, want)
				}
			}
		}
	}
	if b.Tokens() != 5 {
		t.Errorf("a panic took tokens: %v left", b.Tokens())
	}
}

func TestMistakes(t *testing.T) {
	b := tokenbucket.New(tokenbucket.PerSecond(1), 5)
	for want, op := range map[string]func(){
		"tokenbucket: New: burst is 0, want 1 to math.MaxInt":       func() { tokenbucket.New(tokenbucket.Inf(), 0) },
		"tokenbucket: New: burst is -7, want 1 to math.MaxInt":      func() { tokenbucket.New(tokenbucket.PerSecond(1), -7) },
		"tokenbucket: SetLimit: burst is 0, want 1 to math.MaxInt":  func() { b.SetLimit(tokenbucket.Limit{}) },
		"tokenbucket: SetLimit: burst is -1, want 1 to math.MaxInt": func() { b.SetLimit(tokenbucket.Limit{Burst: -1}) },
		"tokenbucket: WithClock: the clock is nil":                  func() { tokenbucket.WithClock(nil) },
		"tokenbucket: WithMaxWaiters: n is -1, want 0 or more":      func() { tokenbucket.WithMaxWaiters(-1) },
	} {
		if got := panicOf(op); got != want {
			t.Errorf("panic %q, want %q", got, want)
		}
	}
	if got := b.Limit().String(); got != "1/s burst 5" {
		t.Errorf("a panic left the limit %s", got)
	}
}

// exactRates are tokens per nanoseconds.
var exactRates = []struct{ n, per int64 }{
	{1, int64(year)}, {1, int64(24 * time.Hour)}, {3, 1e9}, {7, 1e9}, {10, 1e9}, {100, 60e9}, {1000, 3600e9}, {999983, 1e9},
	{3e6, 1e9}, {600e6, 1e9}, {1e9, 1e9},
}

// TestRefillIsExact asks a bucket that owes up to a century of refill when it will have paid, and looks whether it has.
// It must never be late, and at most a quantum early: 1.37 ns, a century in 2^61 parts.
func TestRefillIsExact(t *testing.T) {
	quantum := new(big.Rat).SetFrac64(int64(century), 1<<61)
	for _, r := range exactRates {
		rate := tokenbucket.Per(int(r.n), time.Duration(r.per))
		for range 200 {
			clk := newFakeClock()
			b := tokenbucket.New(rate, 1, tokenbucket.WithClock(clk))
			k := owedWithin(r.n, r.per, century)
			b.Charge(int(k))
			due := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(k), big.NewInt(r.per)), big.NewInt(r.n))
			got := int64(b.Take(1).RetryAfter)
			late := new(big.Rat).Sub(rat(got), due)
			if late.Cmp(rat(1)) >= 0 || late.Cmp(new(big.Rat).Neg(quantum)) < 0 {
				t.Fatalf("%v: %d tokens are paid for after %dns, %s late", rate, k, got, late.FloatString(3))
			}
			clk.set(got - 3)
			if got > 3 && r.per/r.n > 3 && b.Allow() {
				t.Fatalf("%v: %d tokens are paid for 3 ns too soon", rate, k)
			}
			clk.set(got)
			if !b.Allow() {
				t.Fatalf("%v: %d tokens are not paid for after %dns", rate, k, got)
			}
		}
	}
}

// owedWithin returns a random number of tokens, at least 1, that are refilled within d at n per so many ns.
func owedWithin(n, per int64, d time.Duration) int64 {
	most := new(big.Int).Mul(big.NewInt(int64(d)), big.NewInt(n))
	most.Quo(most, big.NewInt(per))
	return 1 + rand.Int64N(min(most.Int64(), math.MaxInt)>>rand.IntN(20)+1)
}

// TestAnyPhase looks for the token that is due a period after the last one, from wherever the period begins.
func TestAnyPhase(t *testing.T) {
	for _, period := range []time.Duration{10, 1000, 100_000, ms, 100 * ms, sec, time.Minute, 24 * time.Hour} {
		for range 500 {
			clk := newFakeClock()
			clk.set(rand.Int64N(int64(time.Hour)))
			b := tokenbucket.New(tokenbucket.Every(period), 1, tokenbucket.WithClock(clk))
			at := clk.now + rand.Int64N(int64(50*year))
			if clk.set(at); !b.Allow() {
				t.Fatal("the first token is not there")
			}
			for range 5 {
				at += int64(period)
				if clk.set(at - 3); b.Allow() {
					t.Fatalf("every %v: granted 3 ns before its time", period)
				}
				if clk.set(at); !b.Allow() {
					t.Fatalf("every %v: not granted at its time, %d", period, at)
				}
			}
		}
	}
}

// TestRetryAfterIsEnough sleeps as long as Take says, which must do, and 3 ns less, which must not.
func TestRetryAfterIsEnough(t *testing.T) {
	for _, r := range exactRates {
		rate := tokenbucket.Per(int(r.n), time.Duration(r.per))
		for range 300 {
			clk := newFakeClock()
			burst := 1 + rand.IntN(1000)
			b := tokenbucket.New(rate, burst, tokenbucket.WithClock(clk))
			at := rand.Int64N(int64(10 * year))
			clk.set(at)
			b.TakeAvailable(rand.IntN(burst + 1))
			b.Charge(rand.IntN(5))
			n := 1 + rand.IntN(burst)
			res := b.Take(n)
			if res.Allowed || res.RetryAfter > century {
				continue
			}
			at += int64(res.RetryAfter)
			if early := at - 3; res.RetryAfter > 3 {
				if clk.set(early); b.AllowN(n) && r.n < r.per/3 {
					t.Fatalf("%v, burst %d: %d tokens 3 ns before RetryAfter is over", rate, burst, n)
				}
			}
			if clk.set(at); !b.AllowN(n) {
				t.Fatalf("%v, burst %d: no %d tokens after RetryAfter, %v", rate, burst, n, res.RetryAfter)
			}
		}
	}
}

// TestResetAfterIsExact sleeps as long as Take says until the bucket is full.
func TestResetAfterIsExact(t *testing.T) {
	for _, r := range exactRates {
		clk := newFakeClock()
		b := tokenbucket.New(tokenbucket.Per(int(r.n), time.Duration(r.per)), 50, tokenbucket.WithClock(clk))
		clk.set(rand.Int64N(int64(10 * year)))
		b.Charge(1 + rand.IntN(50))
		at := clk.now + int64(b.Take(0).ResetAfter)
		if clk.set(at - 3); b.Take(0).ResetAfter == 0 {
			t.Errorf("%v tokens a %v: full 3 ns before ResetAfter is over", r.n, time.Duration(r.per))
		}
		if clk.set(at); b.Tokens() != 50 || b.Take(0).ResetAfter != 0 {
			t.Errorf("%v tokens a %v: %v of 50 when the bucket should be full", r.n, time.Duration(r.per), b.Tokens())
		}
	}
}

package tokenbucket

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	_ encoding.TextMarshaler   = Rate{}
	_ encoding.TextUnmarshaler = (*Rate)(nil)
	_ fmt.Stringer             = Rate{}
)

const (
	bigPrime  = 9223372036854775783 // the largest below 2^63
	nextPrime = 9223372036854775643 // the one before it
)

// texts are rates, what they print as, and their value. Every one is also read from its text, in TestParseRate.
var texts = []struct {
	rate  Rate
	text  string
	value Rate
}{
	{Rate{}, "0", Rate{0, 0, 0}},
	{Inf(), "inf", Rate{1, 0, 0}},
	{Per(0, time.Hour), "0", Rate{0, 0, 0}},
	{PerSecond(0), "0", Rate{0, 0, 0}},
	{PerSecond(10), "10/s", Rate{1, 0, 100e6}},
	{Per(20, 2*time.Second), "10/s", Rate{1, 0, 100e6}},
	{Per(5, 250*time.Millisecond), "20/s", Rate{1, 0, 50e6}},
	{PerMinute(60), "1/s", Rate{1, 0, 1e9}},
	{PerMinute(100), "100/m", Rate{1, 0, 600e6}},
	{PerHour(1000), "1000/h", Rate{1, 0, 3600e6}},
	{PerHour(1), "1/h", Rate{1, 0, 3600e9}},
	{Every(time.Nanosecond), "1000000000/s", Rate{1, 0, 1}},
	{Every(10 * time.Second), "6/m", Rate{1, 0, 10e9}},
	{Every(7 * time.Second), "1/7s", Rate{1, 0, 7e9}},
	{Every(7 * time.Microsecond), "1/7µs", Rate{1, 0, 7000}},
	{Every(24 * time.Hour), "1/24h", Rate{1, 0, 86400e9}},
	{Every(25*time.Hour + 30*time.Minute), "1/25h30m", Rate{1, 0, 91800e9}},
	{Every(25*time.Hour + 7*time.Second), "1/25h0m7s", Rate{1, 0, 90007e9}},
	{Every(70 * time.Minute), "1/1h10m", Rate{1, 0, 4200e9}},
	{Per(3, 7*time.Nanosecond), "3/7ns", Rate{3, 0, 7}},
	{Per(123, 1000*time.Second), "0.123/s", Rate{123, 0, 1000e9}},
	{Per(3, 10*time.Second), "18/m", Rate{3, 0, 10e9}},
	{Every(math.MaxInt64), "1/2562047h47m16.854775807s", Rate{1, 0, math.MaxInt64}},
	{Per(math.MaxInt, math.MaxInt), "1000000000/s", Rate{1, 0, 1}},
	{
		Rate{bigPrime, 0, nextPrime},
		"9223372036854775783/2562047h47m16.854775643s",
		Rate{bigPrime, 0, nextPrime},
	},
	{
		Rate{math.MaxUint64, math.MaxUint64, math.MaxUint64 - 1}, // the longest
		"18446744073709551615/340282366920938463463374607431768211454ns",
		Rate{math.MaxUint64, math.MaxUint64, math.MaxUint64 - 1},
	},
	{
		Rate{math.MaxUint64, 0, 1}, // the fastest
		"18446744073709551615000000000/s",
		Rate{math.MaxUint64, 0, 1},
	},
	{
		Rate{1, math.MaxUint64, math.MaxUint64}, // the slowest
		"1/340282366920938463463374607431768211455ns",
		Rate{1, math.MaxUint64, math.MaxUint64},
	},
	{
		Rate{3, 1 << 63, 0}, // 3/2^127: a decimal with 118 digits
		"3/170141183460469231731687303715884105728ns",
		Rate{3, 1 << 63, 0},
	},
}

func TestRateString(t *testing.T) {
	for _, c := range texts {
		if c.rate != c.value {
			t.Errorf("%s: is %#v, want %#v", c.text, c.rate, c.value)
		}
		if got := c.rate.String(); got != c.text {
			t.Errorf("%#v prints %q, want %q", c.rate, got, c.text)
		}
		mustReadBack(t, c.rate)
	}
}

// mustReadBack checks what holds for every Rate: its invariant, and that its text reads back.
func mustReadBack(t *testing.T, r Rate) {
	t.Helper()
	gcd := new(big.Int).GCD(nil, nil, new(big.Int).SetUint64(r.tokens), r.period())
	if gcd.Cmp(big.NewInt(1)) != 0 && r != (Rate{}) {
		t.Errorf("%#v has a common divisor %v", r, gcd)
	}
	text := r.String()
	back, err := ParseRate(text)
	if err != nil || back != r {
		t.Errorf("%#v prints %q, reads back %#v, %v", r, text, back, err)
	}
	if len(text) > maxRateText {
		t.Errorf("%#v prints %q, %d bytes", r, text, len(text))
	}
}

func TestRateOf(t *testing.T) {
	for _, c := range []struct {
		x    float64
		want Rate
	}{
		{0, Rate{}},
		{math.Copysign(0, -1), Rate{}},
		{math.Inf(1), Inf()},
		{10, PerSecond(10)},
		{0.1, Every(10 * time.Second)},
		{0.3, Per(3, 10*time.Second)},
		{1e9, Every(1)},
		{1e-18, Rate{1, 54210108, 11515845246265065472}}, // per 10^27 ns
		{1e27, Rate{1e18, 0, 1}},
		{1.0 / 3, Rate{3333333333333333, 542101, 1590897978359414784}}, // per 10^25 ns
	} {
		if got, err := RateOf(c.x); err != nil || got != c.want {
			t.Errorf("RateOf(%v) = %#v, %v, want %#v", c.x, got, err, c.want)
		}
	}
}

// For a decimal of a few digits it makes no difference whether it was a float64 or a text.
func TestRateOfIsTheShortestDecimal(t *testing.T) {
	for range 2000 {
		text := fmt.Sprintf("%de%d", rand.IntN(1e6), rand.IntN(40)-20)
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, err := RateOf(x)
		want, err2 := ParseRate(text + "/s")
		if err != nil || err2 != nil || got != want {
			t.Errorf("RateOf(%s) = %v, %v, ParseRate gives %v, %v", text, got, err, want, err2)
		}
	}
}

func TestRateOfRejects(t *testing.T) {
	for x, text := range map[float64]string{
		math.Inf(-1):    "-Inf",
		-1:              "-1",
		-5e-324:         "-5e-324",
		5e-324:          "5e-324",
		2.9e-30:         "2.9e-30",
		fastest:         "1.8446744073709552e+28",
		math.MaxFloat64: "1.7976931348623157e+308",
		math.NaN():      "NaN",
	} {
		got, err := RateOf(x)
		want := "tokenbucket: RateOf: tokensPerSecond is " + text + ", want 0, or about 3e-30 to 1.8e28, or +Inf"
		if err == nil || err.Error() != want || got != (Rate{}) {
			t.Errorf("RateOf(%v) = %#v, %v\nwant %s", x, got, err, want)
		}
	}
}

// slowest and fastest are where RateOf ends: one token per 2^128-1 ns, and 2^64 tokens a nanosecond, which is too many.
const (
	slowest = 1e9 / (1<<128 - 1)
	fastest = 1e9 * (1 << 64)
)

func mustRoundTrip(t *testing.T, x float64) {
	t.Helper()
	r, err := RateOf(x)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.TokensPerSecond(); got != x {
		t.Errorf("RateOf(%v) is %v, %v tokens per second", x, r, got)
	}
	mustReadBack(t, r)
}

func TestTokensPerSecond(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		want float64
	}{
		{Rate{}, 0},
		{Inf(), math.Inf(1)},
		{PerSecond(10), 10},
		{PerMinute(100), 100.0 / 60},
		{Every(24 * time.Hour), 1.0 / 86400},
		{Rate{math.MaxUint64, 0, 1}, fastest},
		{Rate{1, math.MaxUint64, math.MaxUint64}, slowest},
	} {
		if got := c.rate.TokensPerSecond(); got != c.want {
			t.Errorf("%v: %v tokens per second, want %v", c.rate, got, c.want)
		}
	}
	for range 5000 { // where a single division gives the result
		n, d := rand.Int64N(1e7)+1, rand.Int64()>>rand.IntN(50)+1
		want, _ := new(big.Rat).Mul(big.NewRat(n, d), big.NewRat(1e9, 1)).Float64()
		if got := Per(int(n), time.Duration(d)).TokensPerSecond(); got != want {
			t.Errorf("Per(%d, %d): %v tokens per second, want %v", n, d, got, want)
		}
	}
	for _, x := range []float64{math.Nextafter(slowest, 1), math.Nextafter(fastest, 0), 1e-13, 9.999999999999999e-14} {
		mustRoundTrip(t, x)
	}
	for range 5000 {
		mustRoundTrip(t, math.Exp(math.Log(slowest)+rand.Float64()*(math.Log(fastest)-math.Log(slowest))))
	}
}

// randInt is random over all magnitudes, with the extremes and two primes among them.
func randInt() int64 {
	special := []int64{1, bigPrime, nextPrime, math.MaxInt64}
	if i := rand.IntN(20); i < len(special) {
		return special[i]
	}
	return max(1, rand.Int64()>>rand.IntN(63))
}

func TestPerRandom(t *testing.T) {
	for range 5000 {
		n, d := int(min(randInt(), math.MaxInt)), time.Duration(randInt())
		r := Per(n, d)
		if want := big.NewRat(int64(n), int64(d)); r.perNano().Cmp(want) != 0 {
			t.Errorf("Per(%d, %d) is %v per ns, want %v", n, d, r.perNano(), want)
		}
		if x, ok := fromRat(r.perNano()); !ok || x != r {
			t.Errorf("Per(%d, %d) is %#v, want %#v", n, d, r, x)
		}
		mustReadBack(t, r)
	}
}

func TestPerPanics(t *testing.T) {
	for _, c := range []struct {
		want string
		f    func() Rate
	}{
		{"Per: n is -1, want 0 or more", func() Rate { return Per(-1, time.Second) }},
		{fmt.Sprintf("Per: n is %d, want 0 or more", math.MinInt), func() Rate { return Per(math.MinInt, time.Second) }},
		{"Per: d is 0s, want more than 0", func() Rate { return Per(1, 0) }},
		{"Per: d is 0s, want more than 0", func() Rate { return Per(0, 0) }},
		{"Per: d is -1ns, want more than 0", func() Rate { return Per(1, -1) }},
		{"PerSecond: n is -2, want 0 or more", func() Rate { return PerSecond(-2) }},
		{"PerMinute: n is -3, want 0 or more", func() Rate { return PerMinute(-3) }},
		{"PerHour: n is -4, want 0 or more", func() Rate { return PerHour(-4) }},
		{"Every: d is 0s, want more than 0", func() Rate { return Every(0) }},
		{"Every: d is -1m0s, want more than 0", func() Rate { return Every(-time.Minute) }},
	} {
		func() {
			defer func() {
				if got := recover(); got != "tokenbucket: "+c.want {
					t.Errorf("panics with %v, want %s", got, c.want)
				}
			}()
			c.f()
		}()
	}
}

func TestPerDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Per(math.MaxInt, nextPrime) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// Rates as people write them are made without big numbers.
func TestRateOfDoesNotAllocate(t *testing.T) {
	for _, x := range []float64{10, 0.1, 1e6, 2.5e-4, 99.99, 1e9} {
		if n := testing.AllocsPerRun(100, func() { _, _ = RateOf(x) }); n != 0 {
			t.Errorf("RateOf(%v): %v allocations, want 0", x, n)
		}
	}
	for _, r := range []Rate{PerSecond(10), PerMinute(7), Every(24 * time.Hour), Inf(), {}} {
		if n := testing.AllocsPerRun(100, func() { r.TokensPerSecond() }); n != 0 {
			t.Errorf("%v.TokensPerSecond(): %v allocations, want 0", r, n)
		}
	}
}

func TestRat(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		want *big.Rat
	}{
		{Rate{}, new(big.Rat)},
		{PerMinute(10), big.NewRat(1, 6)},
		{PerSecond(3), big.NewRat(3, 1)},
		{Per(3, 7), big.NewRat(3e9, 7)},
	} {
		got := c.rate.Rat()
		if got.Cmp(c.want) != 0 {
			t.Errorf("%v: %v tokens a second, want %v", c.rate, got, c.want)
		}
		got.SetInt64(-1) // belongs to the caller
		if again := c.rate.Rat(); again.Cmp(c.want) != 0 {
			t.Errorf("%v: %v tokens a second when asked again, want %v", c.rate, again, c.want)
		}
	}
	if got := Inf().Rat(); got != nil {
		t.Errorf("Inf: %v, want nil", got)
	}
}

func TestRateIsItsMapKey(t *testing.T) {
	m := map[Rate]int{}
	for _, r := range []Rate{
		Per(10, time.Second), Per(20, 2*time.Second), PerMinute(600), PerHour(36000), Every(100 * time.Millisecond),
	} {
		m[r]++
	}
	if want := map[Rate]int{PerSecond(10): 5}; !reflect.DeepEqual(m, want) {
		t.Errorf("%v, want %v", m, want)
	}
}

func TestPerNano(t *testing.T) {
	if got := (Rate{}).perNano(); got.Sign() != 0 {
		t.Errorf("zero: %v", got)
	}
	r := Per(3, 7)
	r.perNano().SetInt64(0) // its caller's own
	if got := r.perNano(); got.Cmp(big.NewRat(3, 7)) != 0 {
		t.Errorf("3/7ns: %v", got)
	}
	for _, c := range []struct {
		rate      Rate
		zero, inf bool
	}{{Rate{}, true, false}, {Inf(), false, true}, {Every(1), false, false}, {Rate{1, 1, 0}, false, false}} {
		if c.rate.isZero() != c.zero || c.rate.isInf() != c.inf {
			t.Errorf("%v: zero %v, inf %v", c.rate, c.rate.isZero(), c.rate.isInf())
		}
	}
}

func FuzzRateOf(f *testing.F) {
	for _, x := range []float64{
		0, math.Copysign(0, -1), 1, 0.1, 1.0 / 3, 1e-18, 1e27, -1, math.Inf(1), math.Inf(-1), math.NaN(), 5e-324,
		math.MaxFloat64, slowest, fastest, 1e-13, 9.999999999999999e-14, 1.0 / (1 << 60), 1 << 53, 1<<53 - 1,
	} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x float64) {
		if x == 0 || math.IsInf(x, 1) || (x > slowest && x < fastest) {
			mustRoundTrip(t, x)
			return
		}
		r, err := RateOf(x)
		if err == nil && r.TokensPerSecond() != x {
			t.Errorf("RateOf(%v) = %v", x, r)
		}
		if err != nil && (r != (Rate{}) || !strings.HasPrefix(err.Error(), "tokenbucket: RateOf: tokensPerSecond is ")) {
			t.Errorf("RateOf(%v) = %#v, %v", x, r, err)
		}
	})
}

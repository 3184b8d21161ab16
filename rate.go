package tokenbucket

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Rate is how fast a bucket refills: a number of tokens per period, exactly. It is a small immutable value, to be copied
// freely. Rates are equal by == (and as map keys) if and only if they are equally fast: Per(10, time.Second) ==
// Per(20, 2*time.Second). The zero Rate never refills; [Inf] is no limit at all.
//
// In lowest terms a Rate has less than 2^64 tokens per less than 2^128 nanoseconds. Its text, for flags, JSON and the
// like, is what [Rate.String] prints and [ParseRate] reads.
type Rate struct {
	// tokens per period of perHi<<64|perLo ns, with no common divisor; {0, 0, 0} is zero and {1, 0, 0} is Inf. Every rate
	// has only this one form, or == would lie. 128 bits, because the decimal of a double as small as 1e-13 a second needs
	// 127 of them.
	tokens       uint64
	perHi, perLo uint64
}

// Per returns the rate of n tokens per d. It panics if n is negative or d is not positive; Per(0, d) is the zero Rate.
func Per(n int, d time.Duration) Rate { return per("Per", n, d) }

// PerSecond returns the rate of n tokens a second. It panics if n is negative.
func PerSecond(n int) Rate { return per("PerSecond", n, time.Second) }

// PerMinute returns the rate of n tokens a minute. It panics if n is negative.
func PerMinute(n int) Rate { return per("PerMinute", n, time.Minute) }

// PerHour returns the rate of n tokens an hour. It panics if n is negative.
func PerHour(n int) Rate { return per("PerHour", n, time.Hour) }

// Every returns the rate of one token every d. It panics if d is not positive.
func Every(d time.Duration) Rate { return per("Every", 1, d) }

// Inf returns the rate that is no limit.
func Inf() Rate { return Rate{tokens: 1} }

func per(where string, n int, d time.Duration) Rate {
	if n < 0 {
		panic(fmt.Sprintf("tokenbucket: %s: n is %d, want 0 or more", where, n))
	}
	if d <= 0 {
		panic(fmt.Sprintf("tokenbucket: %s: d is %v, want more than 0", where, d))
	}
	if n == 0 {
		return Rate{}
	}
	g := gcd(uint64(n), uint64(d))
	return Rate{tokens: uint64(n) / g, perLo: uint64(d) / g}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// RateOf returns the rate of so many tokens a second. A float64 is taken for the shortest decimal that reads back as it,
// exactly: RateOf(0.1) is one token every 10 s. Only below 1e-13, a token in 300 000 years, where that decimal can be too
// long for a Rate, it is then taken for one token in the nearest whole number of nanoseconds.
//
// 0 gives the zero Rate and +Inf gives [Inf]. NaN, a negative number, and a positive one outside of about 3e-30 to 1.8e28
// give an error.
func RateOf(tokensPerSecond float64) (Rate, error) {
	x := tokensPerSecond
	switch {
	case x == 0: // -0 too
		return Rate{}, nil
	case math.IsInf(x, 1):
		return Inf(), nil
	case x > 0:
		exact, _ := parseTokens(strconv.FormatFloat(x, 'g', -1, 64))
		if r, ok := fromRat(exact.Quo(exact, ratOf(time.Second))); ok {
			return r, nil
		}
		if r, ok := everyNearest(x); ok {
			return r, nil
		}
	}
	return Rate{}, fmt.Errorf("tokenbucket: RateOf: tokensPerSecond is %v, want 0, or about 3e-30 to 1.8e28, or +Inf", x)
}

// everyNearest returns one token per 1/x seconds, rounded to a nanosecond. Where RateOf comes to it that is at least
// 1e22 ns, so TokensPerSecond still gives x.
func everyNearest(x float64) (Rate, bool) {
	ns := new(big.Rat).SetFloat64(x)
	ns.Quo(ratOf(time.Second), ns).Add(ns, big.NewRat(1, 2))
	whole := new(big.Int).Quo(ns.Num(), ns.Denom())
	if whole.Sign() == 0 {
		return Rate{}, false
	}
	return fromRat(new(big.Rat).SetFrac(big.NewInt(1), whole))
}

// fromRat returns the rate of x tokens a nanosecond, for x >= 0, if a Rate can be that.
func fromRat(x *big.Rat) (Rate, bool) {
	if x.Sign() == 0 {
		return Rate{}, true
	}
	if !x.Num().IsUint64() || x.Denom().BitLen() > 128 {
		return Rate{}, false
	}
	hi := new(big.Int).Rsh(x.Denom(), 64)
	lo := new(big.Int).And(x.Denom(), new(big.Int).SetUint64(math.MaxUint64))
	return Rate{tokens: x.Num().Uint64(), perHi: hi.Uint64(), perLo: lo.Uint64()}, true
}

func ratOf(d time.Duration) *big.Rat { return new(big.Rat).SetInt64(int64(d)) }

func (r Rate) isZero() bool { return r.tokens == 0 }
func (r Rate) isInf() bool  { return r.tokens != 0 && r.perHi == 0 && r.perLo == 0 }

// perNano returns the tokens a nanosecond, exactly, in a big.Rat of the caller's own. It panics for Inf.
func (r Rate) perNano() *big.Rat {
	if r.isZero() {
		return new(big.Rat)
	}
	return new(big.Rat).SetFrac(new(big.Int).SetUint64(r.tokens), r.period())
}

// period returns the nanoseconds in which r.tokens refill.
func (r Rate) period() *big.Int {
	p := new(big.Int).SetUint64(r.perHi)
	return p.Lsh(p, 64).Add(p, new(big.Int).SetUint64(r.perLo))
}

// TokensPerSecond returns the float64 that is nearest to the rate: +Inf for [Inf], 0 for the zero Rate. For every x
// that [RateOf] accepts, RateOf(x).TokensPerSecond() is x.
func (r Rate) TokensPerSecond() float64 {
	if r.isInf() {
		return math.Inf(1)
	}
	f, _ := r.in(time.Second).Float64()
	return f
}

// in returns the tokens in d, exactly.
func (r Rate) in(d time.Duration) *big.Rat {
	x := r.perNano()
	return x.Mul(x, ratOf(d))
}

// String returns the rate as [ParseRate] reads it back, to an equal Rate, in at most 64 bytes: "0", "inf", or tokens per
// period. If it is a whole number per second, minute or hour, it is printed as such, for the first of them: "10/s",
// "100/m", "1000/h", but also "18/m" for 0.3 a second. Otherwise it is a decimal per second or a whole number per
// duration, whichever is shorter: "0.123/s", "1/24h".
func (r Rate) String() string {
	switch {
	case r.isZero():
		return "0"
	case r.isInf():
		return "inf"
	}
	for _, unit := range []string{"s", "m", "h"} {
		if x := r.in(unitOf(unit)); x.IsInt() {
			return x.Num().String() + "/" + unit
		}
	}
	// At most 20 digits, a slash, 39 digits and "ns".
	s := strconv.FormatUint(r.tokens, 10) + "/" + periodString(r.period())
	x := r.in(time.Second)
	if digits, finite := x.FloatPrec(); finite && digits+len("0./s") < len(s) {
		if short := x.FloatString(digits) + "/s"; len(short) < len(s) {
			return short
		}
	}
	return s
}

// periodString prints ns as time.Duration does, without the units at the end that are zero.
func periodString(ns *big.Int) string {
	if !ns.IsInt64() {
		return ns.String() + "ns"
	}
	s := time.Duration(ns.Int64()).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements [encoding.TextMarshaler] by [Rate.String]. The error is always nil.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseRate]. On an error r is left as it was.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

const (
	// maxRateText is how many bytes ParseRate looks at, so that hostile input costs little. String needs at most 62.
	maxRateText = 64

	// maxExponent is enough for every float64. With 64 bytes around it, what is beyond is too large or too small anyway.
	maxExponent = 400

	decimal = "0123456789."
)

// ParseRate reads a rate: tokens/period, as in "10/s", "100/m", "5/250ms", "0.3/s", "1e6/s" and "1/1h30m"; or "0", which
// never refills; or "inf", no limit. Tokens are a decimal, with an exponent or without. A period is a unit (ns, us, µs,
// ms, s, m, h) or a positive duration as [time.ParseDuration] reads it, without a sign, but without its limit of 292 years.
//
// The text is taken exactly or not at all. What is negative, has a period that is not a whole number of nanoseconds, is
// longer than 64 bytes or does not fit in a Rate is an error that names it.
func ParseRate(s string) (Rate, error) {
	if len(s) > maxRateText {
		return Rate{}, fmt.Errorf("tokenbucket: rate %.16q... has %d bytes, want at most %d", s, len(s), maxRateText)
	}
	r, err := parseRate(s)
	if err != nil {
		return Rate{}, fmt.Errorf("tokenbucket: rate %q: %w", s, err)
	}
	return r, nil
}

func parseRate(s string) (Rate, error) {
	switch s {
	case "0":
		return Rate{}, nil
	case "inf":
		return Inf(), nil
	}
	tokens, period, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, errors.New(`want tokens/period, such as "10/s" or "5/250ms", or "inf", or "0"`)
	}
	n, err := parseTokens(tokens)
	if err != nil {
		return Rate{}, err
	}
	d, err := parsePeriod(period)
	if err != nil {
		return Rate{}, err
	}
	r, ok := fromRat(n.Quo(n, d))
	if !ok {
		return Rate{}, errors.New("out of range, want less than 2^64 tokens per less than 2^128ns, in lowest terms")
	}
	return r, nil
}

// parseTokens reads a decimal with an optional exponent.
func parseTokens(s string) (*big.Rat, error) {
	if exp := strings.TrimLeft(s, decimal); exp != "" {
		e, err := strconv.Atoi(exp[1:])
		if (exp[0] != 'e' && exp[0] != 'E') || err != nil || e < -maxExponent || e > maxExponent {
			return nil, tokensError(s)
		}
	}
	x, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil, tokensError(s)
	}
	return x, nil
}

func tokensError(s string) error {
	return fmt.Errorf("tokens are %q, want a decimal of 0 or more, with an exponent of at most %d", s, maxExponent)
}

// parsePeriod reads a period into nanoseconds. It does not leave it to time.ParseDuration, which cuts "1.5ns" to 1ns and
// ends at 292 years.
func parsePeriod(s string) (*big.Rat, error) {
	if unit := unitOf(s); unit != 0 {
		return ratOf(unit), nil
	}
	sum := new(big.Rat)
	for more, rest := true, s; more; more = rest != "" {
		var part *big.Rat
		if part, rest = cutPart(rest); part == nil {
			return nil, fmt.Errorf(`period is %q, want a duration such as "s", "250ms" or "1h30m"`, s)
		}
		sum.Add(sum, part)
	}
	if sum.Sign() == 0 || !sum.IsInt() {
		return nil, fmt.Errorf("period is %q, want a whole number of nanoseconds, 1 or more", s)
	}
	return sum, nil
}

// cutPart cuts a number and its unit off a duration: "1h30m" is 1 h, in nanoseconds, and "30m". It is nil if there is none.
func cutPart(s string) (ns *big.Rat, rest string) {
	unitAndMore := strings.TrimLeft(s, decimal)
	number := s[:len(s)-len(unitAndMore)]
	rest = strings.TrimLeftFunc(unitAndMore, func(c rune) bool { return !strings.ContainsRune(decimal, c) })
	unit := unitOf(unitAndMore[:len(unitAndMore)-len(rest)])
	x, ok := new(big.Rat).SetString(number)
	if !ok || unit == 0 {
		return nil, ""
	}
	return x.Mul(x, ratOf(unit)), rest
}

// unitOf returns the unit of that name, or 0.
func unitOf(name string) time.Duration {
	switch name {
	case "ns":
		return time.Nanosecond
	case "us", "µs", "μs": // with the micro sign, and with the Greek letter
		return time.Microsecond
	case "ms":
		return time.Millisecond
	case "s":
		return time.Second
	case "m":
		return time.Minute
	case "h":
		return time.Hour
	}
	return 0
}

// Limit is what a bucket enforces: it holds at most Burst tokens, and refills at Rate. It is a plain value, comparable,
// to be copied freely. The zero Limit is not valid, for want of a burst.
type Limit struct {
	Rate  Rate
	Burst int // 1 to math.MaxInt; more than 2^61 is held as 2^61
}

// Validate returns an error if Burst is less than 1. Every Rate is valid.
func (l Limit) Validate() error {
	if l.Burst < 1 {
		return fmt.Errorf("tokenbucket: Limit: Burst is %d, want 1 to math.MaxInt", l.Burst)
	}
	return nil
}

// String returns the limit in the manner of "10/s burst 20".
func (l Limit) String() string { return fmt.Sprintf("%v burst %d", l.Rate, l.Burst) }

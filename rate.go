package tokenbucket

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Rate is how fast a bucket refills: an exact number of tokens per period. It is a small immutable
// value that may be copied freely. Two rates are equal by == (and as map keys) if and only if they
// are equally fast: Per(10, time.Second) == Per(20, 2*time.Second). The zero Rate never refills;
// [Inf] is no limit at all.
//
// In lowest terms a Rate has less than 2^64 tokens per less than 2^128 nanoseconds. [Rate.String]
// prints a Rate as text, for flags, JSON and the like, and [ParseRate] reads that text back.
type Rate struct {
	// tokens per period of perHi<<64|perLo ns, without a common divisor. {0, 0, 0} is the zero Rate
	// and {1, 0, 0} is Inf. Each rate has exactly one such form, so that == compares speeds. The
	// period needs 128 bits because the decimal of a float64 as small as 1e-13 a second takes 127.
	tokens       uint64
	perHi, perLo uint64
}

// Per returns the rate of n tokens per d. It panics if n is negative or d is not positive.
// Per(0, d) is the zero Rate.
func Per(n int, d time.Duration) Rate { return per("Per", n, d) }

// PerSecond returns the rate of n tokens a second. It panics if n is negative.
func PerSecond(n int) Rate { return per("PerSecond", n, time.Second) }

// PerMinute returns the rate of n tokens a minute. It panics if n is negative.
func PerMinute(n int) Rate { return per("PerMinute", n, time.Minute) }

// PerHour returns the rate of n tokens an hour. It panics if n is negative.
func PerHour(n int) Rate { return per("PerHour", n, time.Hour) }

// Every returns the rate of one token every d. It panics if d is not positive.
func Every(d time.Duration) Rate { return per("Every", 1, d) }

// Inf returns the infinite rate, which limits nothing.
func Inf() Rate { return Rate{tokens: 1} }

func per(where string, n int, d time.Duration) Rate {
	if n < 0 {
		panic(fmt.Sprintf("tokenbucket: %s: n is %d, want 0 or more", where, n))
	}
	if d <= 0 {
		panic(fmt.Sprintf("tokenbucket: %s: d is %v, want more than 0", where, d))
	}
	return fraction(uint64(n), uint64(d))
}

// fraction returns n tokens per d nanoseconds, in lowest terms, for d > 0.
func fraction(n, d uint64) Rate {
	if n == 0 {
		return Rate{}
	}
	g := gcd(n, d)
	return Rate{tokens: n / g, perLo: d / g}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// RateOf returns the rate of so many tokens a second. It takes a float64 for the shortest decimal
// that reads back as that float64, exactly: RateOf(0.1) is one token every 10 s. Only below 1e-13,
// one token in 300 000 years, that decimal may have too many digits for a Rate; RateOf then returns
// one token in the nearest whole number of nanoseconds.
//
// 0 gives the zero Rate and +Inf gives [Inf]. NaN, negative numbers, and positive numbers outside of
// about 3e-30 to 1.8e28 give an error.
func RateOf(tokensPerSecond float64) (Rate, error) {
	x := tokensPerSecond
	switch {
	case x == 0: // -0 too
		return Rate{}, nil
	case math.IsInf(x, 1):
		return Inf(), nil
	case x > 0:
		// 'e' always prints digits, "e", a sign and an exponent.
		text := strconv.AppendFloat(make([]byte, 0, 32), x, 'e', -1, 64)
		if r, ok := fromDigits(text); ok {
			return r, nil
		}
		exact, _ := parseTokens(string(text))
		if r, ok := fromRat(exact.Quo(exact, ratOf(time.Second))); ok {
			return r, nil
		}
		if r, ok := everyNearest(x); ok {
			return r, nil
		}
	}
	return Rate{}, fmt.Errorf(
		"tokenbucket: RateOf: tokensPerSecond is %v, want 0, or about 3e-30 to 1.8e28, or +Inf", x)
}

// fromDigits returns the rate of a decimal per second in the form that strconv prints, such as
// "1.5e-03", if 64 bits have room for it. It is the path of RateOf that does not allocate.
func fromDigits(text []byte) (Rate, bool) {
	var digits uint64 // at most 17 decimal digits
	scale, i := 9, 0  // the value is digits / 10^scale tokens a nanosecond
	for point := false; text[i] != 'e'; i++ {
		if text[i] == '.' {
			point = true
			continue
		}
		digits = digits*10 + uint64(text[i]-'0')
		if point {
			scale++
		}
	}
	exponent := 0
	for _, c := range text[i+2:] {
		exponent = exponent*10 + int(c-'0')
	}
	if text[i+1] == '-' {
		exponent = -exponent
	}
	if scale -= exponent; scale < 0 || scale > 19 { // 10^19 < 2^64
		return Rate{}, false
	}
	power := uint64(1)
	for range scale {
		power *= 10
	}
	return fraction(digits, power), true
}

// everyNearest returns one token per 1/x seconds, rounded to a nanosecond. RateOf comes here only
// with periods of at least 1e22 ns, so TokensPerSecond still gives x.
func everyNearest(x float64) (Rate, bool) {
	ns := new(big.Rat).SetFloat64(x)
	ns.Quo(ratOf(time.Second), ns).Add(ns, big.NewRat(1, 2))
	whole := new(big.Int).Quo(ns.Num(), ns.Denom())
	if whole.Sign() == 0 {
		return Rate{}, false
	}
	return fromRat(new(big.Rat).SetFrac(big.NewInt(1), whole))
}

// fromRat returns the rate of x >= 0 tokens a nanosecond, and reports whether a Rate can hold it.
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

// perNano returns the exact tokens a nanosecond, in a new big.Rat. It panics for Inf.
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

// Rat returns the exact tokens per second, as a new big.Rat that belongs to the caller. For [Inf],
// which no big.Rat can hold, it returns nil.
func (r Rate) Rat() *big.Rat {
	if r.isInf() {
		return nil
	}
	return r.in(time.Second)
}

// TokensPerSecond returns the float64 nearest to the rate: +Inf for [Inf], 0 for the zero Rate. For
// every x that [RateOf] accepts, RateOf(x).TokensPerSecond() is x.
func (r Rate) TokensPerSecond() float64 {
	const second, exact = uint64(time.Second), 1 << 53
	switch {
	case r.isInf():
		return math.Inf(1)
	case r.tokens == 0:
		return 0
	case r.perHi == 0 && r.perLo <= exact && r.tokens <= exact/second:
		// A float64 holds both operands exactly, so the quotient is correctly rounded.
		return float64(r.tokens*second) / float64(r.perLo)
	}
	f, _ := r.in(time.Second).Float64()
	return f
}

// in returns the exact tokens in d. It panics for Inf.
func (r Rate) in(d time.Duration) *big.Rat {
	x := r.perNano()
	return x.Mul(x, ratOf(d))
}

// String returns the rate as text of at most 64 bytes, which [ParseRate] reads back to an equal Rate:
// "0", "inf", or tokens per period. A rate that is a whole number per second, minute or hour is
// printed so, for the first of them: "10/s", "100/m", "1000/h", and "18/m" for 0.3 a second. Any
// other rate is a decimal per second or a whole number per duration, whichever is shorter:
// "0.123/s", "1/24h".
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

// periodString prints ns as time.Duration does, without trailing units that are zero.
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

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseRate]. On an error r is unchanged.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

package tokenbucket

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRateText limits the work that hostile input can cause, in bytes. String prints at most 62.
	maxRateText = 64

	// maxExponent is enough for every float64. A larger exponent, with at most 64 bytes around it, is
	// out of a Rate's range anyway.
	maxExponent = 400

	decimal = "0123456789."
)

// MustParseRate is like [ParseRate] but panics if s is not a rate. It is for rates that are constants
// of a program.
func MustParseRate(s string) Rate {
	r, err := ParseRate(s)
	if err != nil {
		panic(err.Error())
	}
	return r
}

// ParseRate reads a rate: tokens/period, as in "10/s", "100/min", "5/250ms", "0.3/s", "1e6/day" and
// "1/1h30m"; or "0", which never refills; or "inf", no limit. Tokens are a decimal, with or without
// an exponent. A period is a unit or a positive duration without a sign: numbers, each with a unit,
// as [time.ParseDuration] reads them but without its limit of 292 years. The units are
//
//	ns, us (or µs), ms
//	s, sec, secs, second, seconds
//	m, min, mins, minute, minutes
//	h, hr, hrs, hour, hours
//	d, day, days (24 hours)
//
// ParseRate never rounds. It returns an error that names the text if the text is negative, has a
// period that is not a whole number of nanoseconds, is longer than 64 bytes or does not fit in a Rate.
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

// parsePeriod reads a period and returns its nanoseconds. It does not use time.ParseDuration, which
// truncates "1.5ns" to 1ns, ends at 292 years and knows no days.
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

// cutPart splits a duration after its first number and unit: "1h30m" gives 1 h, in nanoseconds, and
// "30m". The number is nil if s does not begin with a number and a unit.
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
	case "s", "sec", "secs", "second", "seconds":
		return time.Second
	case "m", "min", "mins", "minute", "minutes":
		return time.Minute
	case "h", "hr", "hrs", "hour", "hours":
		return time.Hour
	case "d", "day", "days":
		return 24 * time.Hour
	}
	return 0
}

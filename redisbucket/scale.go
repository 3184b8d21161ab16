package redisbucket

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A scale is a limit in the integers that the script counts in. It is immutable.
//
// Time is whole microseconds, which is what the server's clock tells. Tokens are counted in units of 1/b, b such that a
// whole number a of them refills in a microsecond: so the refill is exact, and there is no rounding that could add up. The
// units in a full bucket have to stay below 2^52, which leaves as much for debt and for those who wait.
type scale struct {
	limit tokenbucket.Limit
	inf   bool
	burst int64 // tokens; what limit says, as far as it can be held
	a, b  int64
	cap   int64  // burst, in units
	batch int64  // most tokens that are leased at once, 0 if none are
	spec  string // the limit as it stands in a bucket's state
}

const (
	maxUnits = 1 << 52
	huge     = 1<<53 - 1 // the script's greatest integer
	maxBurst = 1 << 40
	century  = 100 * 365.25 * 24 * time.Hour
)

func newScale(l tokenbucket.Limit, leases *leasing) *scale {
	if err := l.Validate(); err != nil {
		panic(fmt.Sprintf("redisbucket: burst is %d, want 1 to math.MaxInt", l.Burst))
	}
	s := &scale{limit: l, burst: min(int64(l.Burst), maxBurst), b: 1}
	if l.Rate == tokenbucket.Inf() {
		s.inf = true
		return s
	}
	r := perMicrosecond(l.Rate)
	if leases != nil {
		if burst := leases.burst(r, s.burst); burst >= 1 {
			s.burst, s.batch = burst, leases.batch(burst)
		}
	}
	if r.Sign() > 0 {
		s.burst = min(s.burst, inCentury(r))
		if all := new(big.Rat).SetInt64(s.burst); r.Cmp(all) > 0 {
			r = all // any bucket is full again after a microsecond
		}
	}
	s.a, s.b = atMost(r, maxUnits/s.burst)
	s.cap = s.burst * s.b
	s.spec = specOf(s.a, s.b, s.burst)
	return s
}

// specOf returns the limit as it stands in a bucket's state; see state.lua.
func specOf(a, b, burst int64) string {
	var spec []byte
	if a != 1 {
		spec = binary.AppendUvarint(append(spec, 0), uint64(a))
	}
	exponent := int64(0)
	for exponent < 15 && b%10 == 0 {
		b, exponent = b/10, exponent+1
	}
	spec = binary.AppendUvarint(spec, uint64(b*16+exponent))
	return string(binary.AppendUvarint(spec, uint64(burst)))
}

// perMicrosecond reads it from the rate's text, which is exact.
func perMicrosecond(r tokenbucket.Rate) *big.Rat {
	text := r.String()
	if text == "0" {
		return new(big.Rat)
	}
	tokens, period, _ := strings.Cut(text, "/")
	x, ok := new(big.Rat).SetString(tokens)
	if !ok {
		panic("redisbucket: cannot read the rate " + text)
	}
	x.Mul(x, big.NewRat(int64(time.Microsecond), 1))
	return x.Quo(x, nanoseconds(period))
}

// nanoseconds reads the period of a rate: a unit, a duration, or for more than 292 years a number of nanoseconds.
func nanoseconds(period string) *big.Rat {
	if strings.Trim(period, "smh") == "" {
		period = "1" + period
	}
	if d, err := time.ParseDuration(period); err == nil {
		return new(big.Rat).SetInt64(int64(d))
	}
	x, ok := new(big.Rat).SetString(strings.TrimSuffix(period, "ns"))
	if !ok {
		panic("redisbucket: cannot read the period " + period)
	}
	return x
}

// inCentury returns how many tokens refill in a century: a bucket that takes longer to fill could not be counted in
// microseconds. At least 1, at most maxBurst.
func inCentury(r *big.Rat) int64 {
	x := new(big.Rat).SetInt64(int64(century / time.Microsecond))
	x.Mul(x, r)
	n := new(big.Int).Quo(x.Num(), x.Denom())
	if !n.IsInt64() {
		return maxBurst
	}
	return max(min(n.Int64(), maxBurst), 1)
}

// atMost returns the greatest fraction that is not above r, with a denominator of at most most. It descends the
// Stern-Brocot tree: lo <= r < hi are neighbours in it, and whatever lies between them has a denominator of at least the
// sum of theirs.
func atMost(r *big.Rat, most int64) (num, den int64) {
	if r.Denom().IsInt64() && r.Denom().Int64() <= most {
		return r.Num().Int64(), r.Denom().Int64()
	}
	lo, hi := [2]int64{0, 1}, [2]int64{1, 0}
	for {
		up := min(quo(above(r, lo), below(r, hi), 0), room(most, lo[1], hi[1]))
		lo[0], lo[1] = lo[0]+up*hi[0], lo[1]+up*hi[1]
		down := min(quo(below(r, hi), above(r, lo), 1), room(most, hi[1], lo[1]))
		hi[0], hi[1] = hi[0]+down*lo[0], hi[1]+down*lo[1]
		if up == 0 && down == 0 {
			return lo[0], lo[1]
		}
	}
}

// above returns how far r is above x, and below how far it is below, times both denominators.
func above(r *big.Rat, x [2]int64) *big.Int {
	p := new(big.Int).Mul(r.Num(), big.NewInt(x[1]))
	return p.Sub(p, new(big.Int).Mul(r.Denom(), big.NewInt(x[0])))
}

func below(r *big.Rat, x [2]int64) *big.Int { return new(big.Int).Neg(above(r, x)) }

// quo returns (x-less) / y, at most maxUnits; what is beyond is bounded by room.
func quo(x, y *big.Int, less int64) int64 {
	if y.Sign() == 0 {
		return maxUnits
	}
	q := new(big.Int).Quo(new(big.Int).Sub(x, big.NewInt(less)), y)
	if !q.IsInt64() {
		return maxUnits
	}
	return min(q.Int64(), maxUnits)
}

// room returns how often a denominator can be increased by step.
func room(most, den, step int64) int64 {
	if step == 0 {
		return maxUnits
	}
	return (most - den) / step
}

// need converts n tokens of a decision to units. What is more than the burst is so by one token.
func (s *scale) need(n int) int64 { return min(int64(n), s.burst+1) * s.b }

// units converts n tokens to units, at most huge: more than any debt that can be held.
func (s *scale) units(n int) int64 {
	if int64(n) > huge/s.b {
		return huge
	}
	return int64(n) * s.b
}

// args returns the first arguments of every script, and more behind them.
func (s *scale) args(more ...any) []any { return append([]any{s.spec, s.a, s.b, s.cap}, more...) }

// until returns how long it takes until x units have refilled.
func (s *scale) until(x int64) time.Duration {
	switch {
	case x <= 0:
		return 0
	case s.a == 0:
		return tokenbucket.Never
	}
	return time.Duration((x-1)/s.a+1) * time.Microsecond
}

// result is the Result of a decision on n tokens, after which missing units are missing.
func (s *scale) result(n int, allowed bool, missing int64) tokenbucket.Result {
	res := tokenbucket.Result{Allowed: allowed, Limit: s.limit}
	res.Remaining = int(max(s.cap-missing, 0) / s.b)
	if !allowed {
		res.RetryAfter = tokenbucket.Never
		if int64(n) <= s.burst {
			res.RetryAfter = s.until(missing + s.need(n) - s.cap)
		}
	}
	res.ResetAfter = s.until(missing)
	return res
}

// unlimited is the Result of every decision at the rate Inf.
func (s *scale) unlimited() tokenbucket.Result {
	return tokenbucket.Result{Allowed: true, Remaining: s.limit.Burst, Limit: s.limit}
}

// scales remembers the scales of limits that were seen. Its memory is bounded: when there are too many it begins anew.
type scales struct {
	leases *leasing
	mu     sync.RWMutex
	seen   map[tokenbucket.Limit]*scale // guarded by mu
}

const maxScales = 1024

func (c *scales) of(l tokenbucket.Limit) *scale {
	c.mu.RLock()
	s := c.seen[l]
	c.mu.RUnlock()
	if s != nil {
		return s
	}
	s = newScale(l, c.leases)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxScales {
		c.seen = make(map[tokenbucket.Limit]*scale)
	}
	c.seen[l] = s
	return s
}

package tokenbucket

import (
	"math"
	"math/big"
	"math/bits"
	"time"
)

// A timeline is a Limit put on the clock at an instant: how many tokens the refill has issued since, as a pure function
// of the time. It is immutable.
//
// Tokens are counted in quanta of 2^-frac tokens. frac is the largest with which a century of refill stays within 2^62
// quanta and the burst within 2^61, so a quantum is what refills in 0.7 to 1.4 ns, whatever the rate (less than that
// above 1.4e9 tokens a second, where a quantum is one token; more where the burst is so large that it, and not the
// century, decides).
type timeline struct {
	base  int64  // ns since the bucket's epoch; the refill begins here
	span  uint64 // refill may be asked for less than this many ns after base; 0 when there is no limit
	mult  uint64 // quanta per ns, times 2^(64+post-pre), rounded up: a token is never late, and early by less than
	pre   uint8  // a quantum a century. In [2^63, 2^64), unless the rate is zero.
	post  uint8
	frac  uint8
	burst uint64 // quanta
	slack uint64 // quanta that refill in catchUp
	birth uint64 // the level of a new bucket: full, unless an earlier limit had a smaller burst
	limit Limit
}

const (
	century = 100 * 365.25 * 24 * time.Hour

	maxRefill = 1 << 62 // quanta that a timeline issues before it has to be begun anew
	maxBurst  = 1 << 61 // quanta, and so also tokens

	// catchUp is how late a waiter may be served without a token being lost for it. Timers were measured to be 0.6 ms
	// late in the median and 1.1 ms at the 99th percentile; a stall of a minute must not release a minute's backlog.
	catchUp = 10 * time.Millisecond

	forever = math.MaxInt64 // an instant that never comes
	always  = math.MinInt64 // and one that is past by any clock, also one that stepped back to before a timeline's base
)

// newTimeline puts a valid limit on the clock at base.
func newTimeline(l Limit, base int64) *timeline {
	p := &timeline{base: base, limit: l}
	if l.Rate.isInf() {
		p.burst = min(uint64(l.Burst), maxBurst)
		return p
	}
	burst := min(uint64(l.Burst), maxBurst)
	frac := 61 - bits.Len64(burst-1)
	p.span = maxRefill
	if !l.Rate.isZero() {
		rate := l.Rate.perNano()
		if fastest := big.NewRat(maxBurst, 1); rate.Cmp(fastest) > 0 {
			rate = fastest // any bucket is full again after a nanosecond
		}
		frac = min(frac, fracOf(rate))
		if p.setRate(rate, frac); p.mult != 0 {
			p.span = min(p.span, 1<<(64-p.pre), uint64(p.when(maxRefill)-base))
		}
	}
	p.frac = uint8(frac)
	p.burst = burst << frac
	p.slack = min(p.refill(min(uint64(catchUp), p.span-1)), maxBurst)
	return p
}

// fracOf returns the largest f >= 0 with rate * 2^f * century <= maxRefill, where that is possible.
func fracOf(rate *big.Rat) int {
	most := new(big.Int).Mul(big.NewInt(maxRefill), rate.Denom())
	most.Quo(most, new(big.Int).Mul(big.NewInt(int64(century)), rate.Num()))
	return max(most.BitLen()-1, 0)
}

// setRate finds mult = ceil(rate * 2^(frac+s)) with 64 significant bits, and splits s into pre and post.
func (p *timeline) setRate(rate *big.Rat, frac int) {
	s := 64 - rate.Num().BitLen() + rate.Denom().BitLen() - frac
	m := scaled(rate, frac+s)
	for m.BitLen() > 64 {
		s--
		m = scaled(rate, frac+s)
	}
	if s-62 > 63 {
		return // not a quantum in the 292 years that a bucket counts: as good as a rate of zero
	}
	p.mult = m.Uint64()
	// A pre of 2 leaves room for 2^62 ns, 146 years. Rates above 2 quanta a ns need more of it, for a shorter span.
	pre := max(2, 64-s)
	p.pre, p.post = uint8(pre), uint8(pre+s-64)
}

// scaled returns rate * 2^s, rounded up, for s >= 0.
func scaled(rate *big.Rat, s int) *big.Int {
	num := new(big.Int).Lsh(rate.Num(), uint(s))
	q, r := num.QuoRem(num, rate.Denom(), new(big.Int))
	if r.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

// refill returns the quanta issued in the first d ns, for d < span.
func (p *timeline) refill(d uint64) uint64 {
	hi, _ := bits.Mul64(d<<(p.pre&63), p.mult)
	return hi >> (p.post & 63)
}

// refillAt returns the quanta issued until the instant t. A clock before base has earned nothing; beyond the span the
// refill stands still, which is for estimates only: a bucket that gets there begins a new timeline.
func (p *timeline) refillAt(t int64) uint64 {
	if t <= p.base || p.span == 0 {
		return 0
	}
	return p.refill(min(uint64(t)-uint64(p.base), p.span-1))
}

// spent tells that t lies beyond what this timeline can count. One without a limit has nothing to count.
func (p *timeline) spent(t int64) bool {
	return p.span != 0 && t > p.base && uint64(t)-uint64(p.base) >= p.span
}

// when returns the first instant at which x quanta have been issued, or forever. It inverts refill:
// refill(d) >= x if and only if d * 2^pre * mult >= x * 2^(64+post).
func (p *timeline) when(x uint64) int64 {
	if x == 0 {
		return always
	}
	x2 := x << p.post
	if x2>>p.post != x || x2 >= p.mult {
		return forever
	}
	q, rem := bits.Div64(x2, 0, p.mult)
	d := q >> p.pre
	if rem != 0 || d<<p.pre != q {
		d++
	}
	if d >= p.span {
		d++ // the next timeline begins with what was issued rounded down
	}
	if d > uint64(forever) || p.base > forever-int64(d) {
		return forever
	}
	return p.base + int64(d)
}

// until returns the time from the instant t until x quanta have been issued, or Never.
func (p *timeline) until(t int64, x uint64) time.Duration { return between(t, p.when(x)) }

// between returns the time from one instant to another, 0 if it is past, or Never.
func between(t, then int64) time.Duration {
	switch {
	case then == forever:
		return Never
	case then <= t:
		return 0
	case t < 0 && then > forever+t:
		return Never
	}
	return time.Duration(then - t)
}

// most returns the greatest number of tokens that the bucket can hold.
func (p *timeline) most() uint64 { return p.burst >> p.frac }

// quanta converts tokens to quanta, at most maxLevel of them: more than any bucket holds, and two centuries of refill. The
// sum of a level and that does not overflow.
func (p *timeline) quanta(n uint64) uint64 {
	if n > maxLevel>>p.frac {
		return maxLevel
	}
	return n << p.frac
}

// balance returns the quanta there are at the instant t in a bucket whose word has the level v: negative in debt, and
// never above the burst.
func (p *timeline) balance(t int64, v uint64) int64 {
	if p.span == 0 || (p.spent(t) && p.issuedBig(t) >= v) {
		return int64(p.burst)
	}
	r := p.refillAt(t)
	if p.spent(t) {
		r = p.issuedBig(t)
	}
	return min(int64(r-v), 0) + int64(p.burst)
}

// issuedBig is refillAt for instants beyond the span, where 64 bits do not do; at most maxLevel.
func (p *timeline) issuedBig(t int64) uint64 {
	x := new(big.Int).SetUint64(uint64(t) - uint64(p.base))
	x.Lsh(x, uint(p.pre)).Mul(x, new(big.Int).SetUint64(p.mult)).Rsh(x, uint(64+int(p.post)))
	if !x.IsUint64() || x.Uint64() > maxLevel {
		return maxLevel
	}
	return x.Uint64()
}

// adopt returns the level that gives, at the instant t, the balance that the level v of the timeline old has then, rounded
// down to a quantum and cut to p's burst.
func (p *timeline) adopt(old *timeline, v uint64, t int64) uint64 {
	bal := rescale(old.balance(t, v), int(p.frac)-int(old.frac), int64(p.burst))
	return min(p.refillAt(t)+p.burst-uint64(bal), maxLevel) // it does not overflow: all but bal are less than 2^63 together
}

// after returns the timeline of a new limit for the keys of a Keyed. A key that is not there may have been dropped, which
// nobody must notice: a new one is like one that was full under the old limit when it ended, at the instant t.
func (p *timeline) after(l Limit, t int64) *timeline {
	if l == p.limit {
		return p
	}
	to := newTimeline(l, 0)
	if to.spent(t) {
		to = newTimeline(l, t)
	}
	to.birth = to.adopt(p, p.birth, t)
	return to
}

// rescale returns x * 2^by, rounded down, within [-maxLevel, most].
func rescale(x int64, by int, most int64) int64 {
	switch {
	case by < 0:
		x >>= -by
	case x > most>>by:
		return most
	case x < -int64(maxLevel>>by):
		return -int64(maxLevel)
	default:
		x <<= by
	}
	return min(x, most)
}

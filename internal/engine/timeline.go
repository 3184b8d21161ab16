package engine

import (
	"math"
	"math/bits"
	"time"
)

// A Limit is a rate and a burst as plain numbers: Tokens refill in PerHi<<64|PerLo nanoseconds, up
// to Burst. {0, 0, 0} is a rate of zero and {1, 0, 0} is no limit. Two limits are the same if they
// are equal by ==.
type Limit struct {
	Tokens       uint64
	PerHi, PerLo uint64
	Burst        int // 0 or more
}

func (l Limit) isZero() bool      { return l.Tokens == 0 }
func (l Limit) isUnlimited() bool { return l.Tokens != 0 && l.PerHi == 0 && l.PerLo == 0 }

// A Timeline is a [Limit] put on the clock at an instant: how many quanta the refill has issued
// since, as a pure function of the time. It is immutable and safe for concurrent use.
//
// A quantum is 2^-frac tokens. frac is the largest with which a century of refill stays within 2^62
// quanta and the burst within 2^61. So a quantum is what refills in 0.7 to 1.4 ns, whatever the
// rate. It is less above 1.4e9 tokens a second, where a quantum is one token, and more where the
// burst is so large that it decides, and not the century.
type Timeline struct {
	base int64 // ns; the refill begins here

	// span is how many ns after base the refill can be computed for; the instant base+span is
	// beyond it. It is 0 when there is no limit.
	span uint64

	// mult is the quanta per ns, times 2^(64+post-pre), rounded up. So a token is never late, and
	// it is early by less than a quantum in a century. It is in [2^63, 2^64), or 0 for a rate of 0.
	mult  uint64
	inv   uint64 // (2^127-1) / mult, rounded down: its reciprocal, for when
	pre   uint8
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

	// catchUp is how late a waiter may be served without a token being lost for it. Timers were
	// measured to be 0.6 ms late in the median and 1.1 ms at the 99th percentile. A stall of a
	// minute must not release a minute's backlog.
	catchUp = 10 * time.Millisecond

	// Forever is an instant that never comes.
	Forever int64 = math.MaxInt64

	// Past is an instant that is over by any clock, also by one before a timeline's base.
	Past int64 = math.MinInt64
)

// Limit returns the limit of the timeline.
func (p *Timeline) Limit() Limit { return p.limit }

// Unlimited reports whether the timeline has no limit. Then everything is granted, and the level
// means nothing.
func (p *Timeline) Unlimited() bool { return p.span == 0 }

// Birth returns the level of a bucket that begins on this timeline.
func (p *Timeline) Birth() uint64 { return p.birth }

// refill returns the quanta issued in the first d ns, for d < span.
func (p *Timeline) refill(d uint64) uint64 {
	hi, _ := bits.Mul64(d<<(p.pre&63), p.mult)
	return hi >> (p.post & 63)
}

// refillAt returns the quanta issued until the instant t. Before base none are issued. Beyond the
// span the refill stands still, which is good for estimates only: a bucket that gets there begins a
// new timeline.
func (p *Timeline) refillAt(t int64) uint64 {
	if t <= p.base || p.Unlimited() {
		return 0
	}
	return p.refill(min(uint64(t)-uint64(p.base), p.span-1))
}

// Spent reports whether t lies beyond what the timeline can compute.
func (p *Timeline) Spent(t int64) bool {
	return !p.Unlimited() && t > p.base && uint64(t)-uint64(p.base) >= p.span
}

// when returns the first instant at which x quanta have been issued, or Forever. It inverts refill:
// refill(d) >= x if and only if d * 2^pre * mult >= x * 2^(64+post).
func (p *Timeline) when(x uint64) int64 {
	if x == 0 {
		return Past
	}
	x2 := x << p.post
	if x2>>p.post != x || x2 >= p.mult {
		return Forever
	}
	// A multiplication by the reciprocal takes half the time of a division. inv is less than 2
	// below 2^127/mult, so the quotient is less than 5 too small. That is at most 3 ns, which
	// refill finds.
	hi, lo := bits.Mul64(x2, p.inv)
	d := (hi<<1 | lo>>63) >> (p.pre & 63)
	if d+3 >= p.span {
		return p.whenLate(x2)
	}
	for p.refill(d) < x {
		d++
	}
	return p.instant(d)
}

// whenLate is when for an instant that may lie beyond the span. x2 is x * 2^post.
func (p *Timeline) whenLate(x2 uint64) int64 {
	q, rem := bits.Div64(x2, 0, p.mult)
	d := q >> p.pre
	if rem != 0 || d<<p.pre != q {
		d++
	}
	if d >= p.span {
		d++ // the next timeline begins with what was issued, rounded down
	}
	return p.instant(d)
}

// instant returns the instant d ns after base, or Forever.
func (p *Timeline) instant(d uint64) int64 {
	if d > uint64(Forever) || p.base > Forever-int64(d) {
		return Forever
	}
	return p.base + int64(d)
}

// most returns the greatest number of tokens that the bucket can hold.
func (p *Timeline) most() uint64 { return p.burst >> p.frac }

// Exceeds reports whether n tokens are more than the bucket can ever hold.
func (p *Timeline) Exceeds(n uint64) bool { return !p.Unlimited() && n > p.most() }

// quanta converts tokens to quanta, at most maxLevel of them: more than any bucket holds, and two
// centuries of refill. The sum of a level and the result does not overflow.
func (p *Timeline) quanta(n uint64) uint64 {
	if n > maxLevel>>p.frac {
		return maxLevel
	}
	return n << p.frac
}

// tokens returns how many whole tokens there are at level v when r has been issued.
func (p *Timeline) tokens(r, v uint64) uint64 {
	if v >= r+p.burst {
		return 0
	}
	return (r + p.burst - v) >> p.frac
}

// SlowerThan reports whether n tokens take longer to refill than the divisor'th part of 10 ms.
func (p *Timeline) SlowerThan(n, divisor uint64) bool { return n<<p.frac > p.slack/divisor }

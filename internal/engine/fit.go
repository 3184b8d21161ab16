package engine

import (
	"math/big"
	"math/bits"
)

// NewTimeline puts l on the clock at the instant base. The burst of l must be at least 1.
func NewTimeline(l Limit, base int64) *Timeline {
	p := &Timeline{base: base, limit: l}
	if l.isUnlimited() {
		p.burst = min(uint64(l.Burst), maxBurst)
		return p
	}
	burst := min(uint64(l.Burst), maxBurst)
	frac := 61 - bits.Len64(burst-1)
	p.span = maxRefill
	if !l.isZero() {
		rate := l.perNano()
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

// perNano returns the tokens that refill in a nanosecond, exactly.
func (l Limit) perNano() *big.Rat {
	per := new(big.Int).SetUint64(l.PerHi)
	per.Lsh(per, 64).Add(per, new(big.Int).SetUint64(l.PerLo))
	return new(big.Rat).SetFrac(new(big.Int).SetUint64(l.Tokens), per)
}

// fracOf returns the largest f >= 0 with rate * 2^f * century <= maxRefill, or 0 if there is none.
func fracOf(rate *big.Rat) int {
	most := new(big.Int).Mul(big.NewInt(maxRefill), rate.Denom())
	most.Quo(most, new(big.Int).Mul(big.NewInt(int64(century)), rate.Num()))
	return max(most.BitLen()-1, 0)
}

// setRate finds mult = ceil(rate * 2^(frac+s)) with 64 significant bits, and splits s into pre and
// post. It leaves mult at 0 for a rate that issues no quantum in the 292 years that a bucket counts.
func (p *Timeline) setRate(rate *big.Rat, frac int) {
	s := 64 - rate.Num().BitLen() + rate.Denom().BitLen() - frac
	m := scaled(rate, frac+s)
	for m.BitLen() > 64 {
		s--
		m = scaled(rate, frac+s)
	}
	if s-62 > 63 {
		return
	}
	p.mult = m.Uint64()
	p.inv, _ = bits.Div64(1<<63-1, ^uint64(0), p.mult)
	// A pre of 2 leaves room for 2^62 ns, 146 years. Rates above 2 quanta a ns need a larger pre,
	// and have a shorter span.
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

// NewEmptyTimeline returns the timeline of a bucket that was never given a limit: it has no tokens and
// never will.
func NewEmptyTimeline() *Timeline { return &Timeline{span: maxRefill} }

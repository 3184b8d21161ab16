package engine

import "math/bits"

// NewTimeline puts l on the clock at the instant base. The burst of l must not be negative. A bucket
// with a burst of 0 grants nothing, but its debt is paid by the refill.
func NewTimeline(l Limit, base int64) *Timeline {
	p := &Timeline{base: base, limit: l}
	if l.isUnlimited() {
		p.burst = min(uint64(l.Burst), maxBurst)
		return p
	}
	burst := min(uint64(l.Burst), maxBurst)
	frac := 61 - bits.Len64(max(burst, 1)-1)
	p.span = maxRefill
	if !l.isZero() {
		frac = p.fit(l, frac)
	}
	if p.mult != 0 {
		p.span = min(p.span, 1<<(64-p.pre), uint64(p.when(maxRefill)-base))
	}
	p.frac = uint8(frac)
	p.burst = burst << frac
	p.slack = min(p.refill(min(uint64(catchUp), p.span-1)), maxBurst)
	return p
}

// fit sets mult, pre and post for the rate of l, and returns frac, at most most. Nearly all rates
// fit in 64 bits; the others take the way of big numbers.
func (p *Timeline) fit(l Limit, most int) (frac int) {
	if l.PerHi != 0 || l.Tokens>>61 >= l.PerLo {
		return p.fitBig(l, most)
	}
	frac = min(most, fracOf(l.Tokens, l.PerLo))
	mult, shift := quotient(l.Tokens, l.PerLo)
	p.setRate(mult, shift-frac)
	return frac
}

// fracOf returns the largest f >= 0 with tokens/per * 2^f * century <= maxRefill, or 0 if there is
// none.
func fracOf(tokens, per uint64) int {
	hi, lo := bits.Mul64(tokens, uint64(century))
	mostHi, mostLo := bits.Mul64(per, maxRefill)
	f := max(len128(mostHi, mostLo)-len128(hi, lo), 0)
	hi, lo = hi<<f|lo>>(64-f), lo<<f
	if hi > mostHi || hi == mostHi && lo > mostLo {
		f--
	}
	return max(f, 0)
}

func len128(hi, lo uint64) int {
	if hi != 0 {
		return 64 + bits.Len64(hi)
	}
	return bits.Len64(lo)
}

// quotient returns x/y as q / 2^shift, where q is rounded up and has its top bit set.
func quotient(x, y uint64) (q uint64, shift int) {
	shift = bits.LeadingZeros64(x) - bits.LeadingZeros64(y) + 64
	x, y = x<<bits.LeadingZeros64(x), y<<bits.LeadingZeros64(y)
	hi, lo := x, uint64(0)
	if x >= y {
		hi, lo, shift = x>>1, x<<63, shift-1
	}
	q, rem := bits.Div64(hi, lo, y)
	if rem != 0 {
		if q++; q == 0 {
			return 1 << 63, shift - 1
		}
	}
	return q, shift
}

// setRate stores mult = rate * 2^(frac+s), and splits s into pre and post. It leaves mult at 0 for
// a rate that issues no quantum in the 292 years that a bucket counts.
func (p *Timeline) setRate(mult uint64, s int) {
	if s-62 > 63 {
		return
	}
	p.mult = mult
	p.inv, _ = bits.Div64(1<<63-1, ^uint64(0), mult)
	// A pre of 2 leaves room for 2^62 ns, 146 years. Rates above 2 quanta a ns need a larger pre,
	// and have a shorter span.
	pre := max(2, 64-s)
	p.pre, p.post = uint8(pre), uint8(pre+s-64)
}

// NewEmptyTimeline returns the timeline of a bucket that was never given a limit: it has no tokens
// and never will.
func NewEmptyTimeline() *Timeline { return &Timeline{span: maxRefill} }

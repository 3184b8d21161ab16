package engine

import "math/big"

// fitBig is fit for every rate.
func (p *Timeline) fitBig(l Limit, most int) (frac int) {
	rate := l.perNano()
	if fastest := big.NewRat(maxBurst, 1); rate.Cmp(fastest) > 0 {
		rate = fastest // any bucket is full again after a nanosecond
	}
	frac = min(most, fracOfBig(rate))
	mult, shift := quotientBig(rate)
	p.setRate(mult, shift-frac)
	return frac
}

// perNano returns the tokens that refill in a nanosecond, exactly.
func (l Limit) perNano() *big.Rat {
	per := new(big.Int).SetUint64(l.PerHi)
	per.Lsh(per, 64).Add(per, new(big.Int).SetUint64(l.PerLo))
	return new(big.Rat).SetFrac(new(big.Int).SetUint64(l.Tokens), per)
}

// fracOfBig is fracOf for every rate.
func fracOfBig(rate *big.Rat) int {
	most := new(big.Int).Mul(big.NewInt(maxRefill), rate.Denom())
	most.Quo(most, new(big.Int).Mul(big.NewInt(int64(century)), rate.Num()))
	return max(most.BitLen()-1, 0)
}

// quotientBig is quotient for every rate.
func quotientBig(rate *big.Rat) (q uint64, shift int) {
	shift = 64 - rate.Num().BitLen() + rate.Denom().BitLen()
	m := scaled(rate, shift)
	for m.BitLen() > 64 {
		shift--
		m = scaled(rate, shift)
	}
	return m.Uint64(), shift
}

// scaled returns rate * 2^s, rounded up.
func scaled(rate *big.Rat, s int) *big.Int {
	num, den := new(big.Int).Lsh(rate.Num(), uint(max(s, 0))), new(big.Int).Lsh(rate.Denom(), uint(max(-s, 0)))
	q, r := num.QuoRem(num, den, new(big.Int))
	if r.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

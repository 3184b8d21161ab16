package engine

import "math/big"

// balance returns the quanta that are there at the instant t in a bucket of level v. It is negative
// in debt, and never above the burst.
func (p *Timeline) balance(t int64, v uint64) int64 {
	r := p.refillAt(t)
	if p.Spent(t) {
		r = p.issuedBig(t)
	}
	if p.Unlimited() || r >= v {
		return int64(p.burst)
	}
	return int64(r-v) + int64(p.burst)
}

// issuedBig is refillAt for instants beyond the span, where 64 bits do not do. It returns at most
// maxLevel.
func (p *Timeline) issuedBig(t int64) uint64 {
	x := new(big.Int).SetUint64(uint64(t) - uint64(p.base))
	x.Lsh(x, uint(p.pre)).Mul(x, new(big.Int).SetUint64(p.mult)).Rsh(x, uint(64+int(p.post)))
	if !x.IsUint64() || x.Uint64() > maxLevel {
		return maxLevel
	}
	return x.Uint64()
}

// Full reports whether a bucket of level v is full at the instant t.
func (p *Timeline) Full(t int64, v uint64) bool { return p.balance(t, v) >= int64(p.burst) }

// FullLevel returns the level of a bucket that is full at the instant t and not before.
func (p *Timeline) FullLevel(t int64) uint64 { return p.refillAt(t) }

// Adopt returns the level that gives, at the instant t, the balance that level v of the timeline
// old has then, rounded down to a quantum and cut to the burst of p.
func (p *Timeline) Adopt(old *Timeline, v uint64, t int64) uint64 {
	bal := rescale(old.balance(t, v), int(p.frac)-int(old.frac), int64(p.burst))
	// This does not overflow: all but bal are less than 2^63 together.
	return min(p.refillAt(t)+p.burst-uint64(bal), maxLevel)
}

// After returns the timeline of limit l, which replaces p at the instant t, for the keys of one
// map. A key that is not in the map may have been evicted, which nobody must notice: a new key has
// what a bucket that was full under p at the instant t would have now.
func (p *Timeline) After(l Limit, t int64) *Timeline {
	if l == p.limit {
		return p
	}
	to := NewTimeline(l, 0)
	if to.Spent(t) {
		to = NewTimeline(l, t)
	}
	to.birth = to.Adopt(p, p.birth, t)
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

package plan

import (
	"errors"
	"math/big"
	"math/bits"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// This file finds the smallest burst and the smallest rate that deny nothing, exactly. Requests
// come at t_1 <= t_2 <= ... and take a token each. A bucket of rate r and burst b, full at first,
// denies none of them if and only if for all i <= j:
//
//	j-i+1 <= b + r*(t_j-t_i)
//
// So the smallest burst at rate r is the largest j-i+1 - r*(t_j-t_i), rounded up. That is the
// largest debt of a bucket that starts empty and grants everything: see demand. The smallest rate
// at burst b is the largest (j-i+1-b)/(t_j-t_i): see hull. A request that waits for its token,
// behind those before it, waits until the debt beyond b is refilled.

// scale is a limit in whole numbers: p/q tokens a nanosecond. Debts are counted in 1/q tokens: a
// request adds q, and a nanosecond takes off p, without rounding.
type scale struct {
	p, q  uint64
	burst uint64
}

// newScale takes the fraction from the rate's text, which is exact. Its error says what was
// expected.
func newScale(l tokenbucket.Limit) (scale, error) {
	tokens, period, _ := strings.Cut(l.Rate.String(), "/")
	if period != "" && (period[0] < '0' || period[0] > '9') {
		period = "1" + period
	}
	x, ok := new(big.Rat).SetString(tokens)
	d, err := time.ParseDuration(period)
	if !ok || err != nil {
		return scale{}, errors.New("a finite rate, with a period of at most 292 years")
	}
	x.Quo(x, new(big.Rat).SetInt64(int64(d)))
	if !x.Num().IsUint64() || !x.Denom().IsUint64() {
		return scale{}, errors.New("a rate of fewer digits: less than 2^64 tokens in less than 2^64 ns")
	}
	return scale{x.Num().Uint64(), x.Denom().Uint64(), uint64(l.Burst)}, nil
}

// uint128 holds a debt: n*q for any number n of requests that a machine can count.
type uint128 struct{ hi, lo uint64 }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a uint128) plus(n uint64) uint128 {
	lo, carry := bits.Add64(a.lo, n, 0)
	return uint128{a.hi + carry, lo}
}

// minus returns a-b, or 0 if b is greater.
func (a uint128) minus(b uint128) uint128 {
	if a.less(b) {
		return uint128{}
	}
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return uint128{hi, lo}
}

func product(a, b uint64) uint128 {
	hi, lo := bits.Mul64(a, b)
	return uint128{hi, lo}
}

// over returns a/b, rounded up.
func (a uint128) over(b uint64) *big.Int {
	n := new(big.Int).SetUint64(a.hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(a.lo))
	d := new(big.Int).SetUint64(b)
	n.Add(n, d).Sub(n, big.NewInt(1))
	return n.Quo(n, d)
}

// demand follows the debt of one key. The zero demand has seen no requests.
type demand struct {
	last   int64 // ns
	debt   uint128
	most   uint128 // of the debts
	mostAt int64
}

// add counts a request at t, not before the last one.
func (d *demand) add(s scale, t int64) {
	refilled := product(uint64(t-d.last), s.p)
	d.debt, d.last = d.debt.minus(refilled).plus(s.q), t
	if d.most.less(d.debt) {
		d.most, d.mostAt = d.debt, t
	}
}

// burst returns the smallest burst that denies nothing.
func (d *demand) burst(s scale) *big.Int { return d.most.over(s.q) }

// wait returns the longest wait of a request, if each request waited for its turn and was served in
// order.
func (d *demand) wait(s scale) time.Duration {
	beyond := d.most.minus(product(s.burst, s.q))
	ns := beyond.over(s.p)
	if !ns.IsInt64() {
		return tokenbucket.Never
	}
	return time.Duration(ns.Int64())
}

// slope is a number of tokens in a number of ns. The slope 1/0 is steeper than any rate, 0/1 is
// flat.
type slope struct{ tokens, ns uint64 }

func (a slope) less(b slope) bool { return product(a.tokens, b.ns).less(product(b.tokens, a.ns)) }

// rate returns the slope as a rate, exactly.
func (a slope) rate() tokenbucket.Rate {
	switch {
	case a.ns == 0:
		return tokenbucket.Inf()
	case a.tokens == 0:
		return tokenbucket.Rate{}
	}
	return tokenbucket.Per(int(a.tokens), time.Duration(a.ns))
}

// steepest is the smallest rate that denies nothing to the keys seen so far.
type steepest struct {
	slope
	atOnce  uint64 // the most requests of one key at one instant; no rate is enough if burst < atOnce
	thinned bool   // a hull was too long and has lost points: slope is a lower bound
	points  int    // of all hulls

	maxHull, maxPoints int // the constants, but for tests
}

// maxHull and maxPoints bound the memory: that of a key to 1 MiB, that of all keys to 16 MiB and 1
// KiB for each key. The hull of real traffic has a handful of points. It grows while gaps become
// shorter and shorter and the rate found so far is below all of them.
const (
	maxHull   = 1 << 16
	maxPoints = 1 << 20
	minHull   = 1 << 6 // what a key may always have
)

func newSteepest() steepest {
	return steepest{slope: slope{0, 1}, maxHull: maxHull, maxPoints: maxPoints}
}

// hull finds the steepest slope of one key, in one pass. A request j at t_j is the point (t_j, j).
// It needs the largest slope from the point of an earlier request i to (t_j, j+1-b). Only points on
// the lower convex hull of the earlier points can give the largest. Of these, only points that are
// followed by an edge steeper than the best slope so far matter: for any steeper slope, the next
// point is the better start. So a steady key has a few points, and the first of them shows whether
// there is a steeper slope. The zero hull is empty.
type hull struct {
	n      uint64
	points []point
}

type point struct {
	t int64
	n uint64
}

func to(a, b point) slope { return slope{b.n - a.n, uint64(b.t - a.t)} }

// add counts a request at t, not before the last one.
func (h *hull) add(best *steepest, burst uint64, t int64) {
	before := len(h.points)
	h.n++
	h.extend(point{t, h.n})
	first := h.points[len(h.points)-1] // of the requests at t
	best.atOnce = max(best.atOnce, h.n-first.n+1)
	h.trim(best.slope)
	h.look(best, burst, point{t, h.n})
	best.points += len(h.points) - before
	if n := len(h.points); n > best.maxHull || n > minHull && best.points > best.maxPoints {
		h.thin()
		best.points += len(h.points) - n
		best.thinned = true
	}
}

// extend puts p on the hull. Of several points at one instant, the first is the lowest and stands
// for all.
func (h *hull) extend(p point) {
	k := len(h.points)
	if k > 0 && h.points[k-1].t == p.t {
		return
	}
	for k >= 2 && !to(h.points[k-2], h.points[k-1]).less(to(h.points[k-1], p)) {
		k--
	}
	h.points = append(h.points[:k], p)
}

// trim drops the points at the front that are followed by an edge no steeper than best.
func (h *hull) trim(best slope) {
	k := 0
	for k+1 < len(h.points) && !best.less(to(h.points[k], h.points[k+1])) {
		k++
	}
	if k > 0 {
		h.points = append(h.points[:0], h.points[k:]...)
	}
}

// look raises best to the slope that the request j needs.
func (h *hull) look(best *steepest, burst uint64, j point) {
	asks := func(i point) (slope, bool) {
		count := j.n - i.n + 1
		return slope{count - min(count, burst), uint64(j.t - i.t)}, count > burst
	}
	// After trim, no point beats best if the first does not.
	if s, more := asks(h.points[0]); !more || !best.less(s) {
		return
	}
	for _, i := range h.points {
		s, more := asks(i)
		if !more {
			break // later points have fewer requests after them
		}
		if s.ns == 0 {
			s = slope{1, 0}
		}
		if best.less(s) {
			best.slope = s
		}
	}
	h.trim(best.slope)
}

// thin drops every second point but the first and the last, and the memory of those dropped.
func (h *hull) thin() {
	kept := append(make([]point, 0, len(h.points)/2+2), h.points[0])
	for i := 2; i < len(h.points)-1; i += 2 {
		kept = append(kept, h.points[i])
	}
	h.points = append(kept, h.points[len(h.points)-1])
}

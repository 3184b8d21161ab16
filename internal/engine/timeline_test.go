package engine

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// someLimit returns a limit of any size that a rate in lowest terms can have.
func someLimit(r *rand.Rand) Limit {
	l := Limit{Tokens: 1 + r.Uint64()>>r.IntN(64), PerLo: 1 + r.Uint64()>>r.IntN(64), Burst: 1 + int(r.Uint64()>>(1+r.IntN(63)))}
	if r.IntN(8) == 0 {
		l.PerHi = r.Uint64() >> r.IntN(64)
	}
	if l.Burst < 1 {
		l.Burst = math.MaxInt
	}
	return l
}

// The short way of laying out a rate gives what big numbers give.
func TestFit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		l := someLimit(r)
		most := r.IntN(62)
		var p, want Timeline
		got, frac := p.fit(l, most), want.fitBig(l, most)
		if got != frac || p != want {
			t.Fatalf("%+v: frac %d, %+v, want %d, %+v", l, got, p, frac, want)
		}
	}
}

// A timeline issues the rate times the time, rounded: never less, and hardly more.
func TestRefill(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50_000 {
		l := someLimit(r)
		p := NewTimeline(l, 0)
		if p.mult == 0 || l.Tokens>>61 >= l.PerLo {
			continue
		}
		d := r.Uint64N(p.span)
		exact := new(big.Rat).Mul(l.perNano(), new(big.Rat).SetFrac(new(big.Int).Lsh(new(big.Int).SetUint64(d), uint(p.frac)), big.NewInt(1)))
		least := new(big.Int).Quo(exact.Num(), exact.Denom())
		got := new(big.Int).SetUint64(p.refill(d))
		if diff := got.Sub(got, least); diff.Sign() < 0 || diff.Cmp(big.NewInt(1)) > 0 {
			t.Fatalf("%+v: %v quanta too many after %d ns", l, diff, d)
		}
	}
}

// when inverts refill, by the reciprocal as by the division.
func TestWhen(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		p := NewTimeline(someLimit(r), 0)
		if p.mult == 0 {
			continue
		}
		x := 1 + r.Uint64N(p.refill(p.span-1)+1)>>r.IntN(64)
		at := p.when(x)
		if at == Forever {
			continue
		}
		if at >= int64(p.span) {
			continue // of the next timeline
		}
		if p.refill(uint64(at)) < x || at > 0 && p.refill(uint64(at)-1) >= x {
			t.Fatalf("%+v: %d quanta at %d", p, x, at)
		}
		if late := p.whenLate(x << p.post); late != at {
			t.Fatalf("%+v: %d quanta at %d by the reciprocal, %d by division", p, x, at, late)
		}
	}
}

// The conversion of a balance to another timeline never makes tokens.
func TestAdopt(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 50_000 {
		old := NewTimeline(someLimit(r), 0)
		p := NewTimeline(someLimit(r), 0)
		at := int64(r.Uint64N(min(old.span, p.span)))
		v := r.Uint64N(maxLevel) >> r.IntN(63)
		w := p.Adopt(old, v, at)
		before, after := inTokens(old, old.balance(at, v)), inTokens(p, p.balance(at, w))
		if most := new(big.Rat).SetFrac(new(big.Int).SetUint64(p.burst), new(big.Int).Lsh(big.NewInt(1), uint(p.frac))); before.Cmp(most) > 0 {
			before = most
		}
		if after.Cmp(before) > 0 && w != maxLevel {
			t.Fatalf("%v tokens became %v", before, after)
		}
		quantum := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), uint(p.frac)))
		if lost := before.Sub(before, after); lost.Cmp(quantum) >= 0 && w != maxLevel {
			t.Fatalf("%v tokens were lost", lost)
		}
	}
}

func inTokens(p *Timeline, quanta int64) *big.Rat {
	return new(big.Rat).SetFrac(big.NewInt(quanta), new(big.Int).Lsh(big.NewInt(1), uint(p.frac)))
}

func TestNewTimelineAllocs(t *testing.T) {
	l := Limit{Tokens: 10, PerLo: 1e9, Burst: 20}
	var p *Timeline
	if n := testing.AllocsPerRun(100, func() { p = NewTimeline(l, 0) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	_ = p
}

func BenchmarkNewTimeline(b *testing.B) {
	l := Limit{Tokens: 10, PerLo: 1e9, Burst: 20}
	b.ReportAllocs()
	for b.Loop() {
		NewTimeline(l, 0)
	}
}

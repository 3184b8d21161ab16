package redisbucket_test

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// exact is a bucket in rational numbers: what is missing, in tokens.
type exact struct {
	rate, burst, missing *big.Rat // tokens a microsecond, tokens
	most                 *big.Rat // the greatest debt and burst that the script can write down
	limit                tokenbucket.Limit
}

func newExact(a, b, burst int64, l tokenbucket.Limit) *exact {
	return &exact{rate: big.NewRat(a, b), burst: big.NewRat(burst, 1), missing: new(big.Rat), limit: l,
		most: big.NewRat(1<<53-1, b)}
}

func (e *exact) advance(us int64) {
	e.add(new(big.Rat).Neg(new(big.Rat).Mul(e.rate, big.NewRat(us, 1))))
}

func (e *exact) add(x *big.Rat) {
	if e.missing.Add(e.missing, x); e.missing.Sign() < 0 {
		e.missing.SetInt64(0)
	}
	if e.missing.Cmp(e.most) > 0 {
		e.missing.Set(e.most)
	}
}

func (e *exact) charge(n int) { e.add(big.NewRat(int64(n), 1)) }
func (e *exact) refund(n int) { e.add(big.NewRat(-int64(n), 1)) }

// until is the first microsecond by which x tokens have refilled.
func (e *exact) until(x *big.Rat) time.Duration {
	switch {
	case x.Sign() <= 0:
		return 0
	case e.rate.Sign() == 0:
		return tokenbucket.Never
	}
	q := new(big.Rat).Quo(x, e.rate)
	up := new(big.Int).Add(q.Num(), new(big.Int).Sub(q.Denom(), big.NewInt(1)))
	return time.Duration(up.Quo(up, q.Denom()).Int64()) * time.Microsecond
}

func (e *exact) take(n int) tokenbucket.Result {
	short := new(big.Rat).Add(e.missing, big.NewRat(int64(n), 1))
	short.Sub(short, e.burst)
	res := tokenbucket.Result{Allowed: n == 0 || short.Sign() <= 0, Limit: e.limit}
	if res.Allowed {
		e.charge(n)
	} else if big.NewRat(int64(n), 1).Cmp(e.burst) > 0 {
		res.RetryAfter = tokenbucket.Never
	} else {
		res.RetryAfter = e.until(short)
	}
	left := new(big.Rat).Sub(e.burst, e.missing)
	if left.Sign() > 0 {
		res.Remaining = int(new(big.Int).Quo(left.Num(), left.Denom()).Int64())
	}
	res.ResetAfter = e.until(e.missing)
	return res
}

// clock is a tokenbucket.Clock set by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time                       { return c.now }
func (c *clock) After(time.Duration) <-chan time.Time { return nil }

func microsecondsUp(d time.Duration) time.Duration {
	if d == tokenbucket.Never || d%time.Microsecond == 0 {
		return d
	}
	return d.Truncate(time.Microsecond) + time.Microsecond
}

// trio drives the server's bucket, the exact one and the local one with the same operations at the same times.
type trio struct {
	*stage
	e *exact
	// local counts in quanta of a nanosecond and may be early by one, so it decides alike only at rates whose tokens are
	// never due less than that after a whole microsecond. Else it is nil.
	local *tokenbucket.Bucket
	clock *clock
}

func newTrio(t testing.TB, l tokenbucket.Limit, alike bool) *trio {
	s := newStage(t, l)
	a, b, burst := redisbucket.Held(s.Limiter)
	tr := &trio{stage: s, e: newExact(a, b, burst, l), clock: &clock{time.UnixMicro(epoch)}}
	if alike {
		tr.local = tokenbucket.New(l.Rate, l.Burst, tokenbucket.WithClock(tr.clock))
	}
	return tr
}

func (tr *trio) pass(d time.Duration) {
	tr.advance(d)
	tr.e.advance(d.Microseconds())
	tr.clock.now = tr.clock.now.Add(d)
}

func (tr *trio) do(op, n int) {
	tr.t.Helper()
	ctx := context.Background()
	switch op {
	case 0, 1, 2:
		tr.compareTake(n)
	case 3:
		got, _, err := tr.TakeAvailable(ctx, "k", n)
		if want := min(n, tr.e.take(0).Remaining); err != nil || got != want {
			tr.t.Fatalf("TakeAvailable(%d) = %d, %v, want %d", n, got, err, want)
		} else if tr.e.charge(got); tr.local != nil && tr.local.TakeAvailable(n) != got {
			tr.t.Fatalf("TakeAvailable(%d) = %d, the local bucket differs", n, got)
		}
	case 4:
		if err := tr.Refund(ctx, "k", n); err != nil {
			tr.t.Fatal(err)
		}
		if tr.e.refund(n); tr.local != nil {
			tr.local.Refund(n)
		}
	case 5:
		if tr.local != nil && tr.e.missing.Cmp(tr.e.burst) > 0 {
			return // the local bucket need not remember a debt of more than its burst
		}
		if err := tr.Charge(ctx, "k", n); err != nil {
			tr.t.Fatal(err)
		}
		if tr.e.charge(n); tr.local != nil {
			tr.local.Charge(n)
		}
	case 6:
		tr.compareTokens()
	}
}

func (tr *trio) compareTake(n int) {
	tr.t.Helper()
	got, want := tr.take(n), tr.e.take(n)
	if got != want {
		tr.t.Fatalf("Take(%d) = %+v, want %+v", n, got, want)
	}
	if tr.local == nil {
		return
	}
	local := tr.local.Take(n)
	local.RetryAfter, local.ResetAfter = microsecondsUp(local.RetryAfter), microsecondsUp(local.ResetAfter)
	if got != local {
		tr.t.Fatalf("Take(%d) = %+v, the local bucket has %+v", n, got, local)
	}
}

func (tr *trio) compareTokens() {
	tr.t.Helper()
	got, err := tr.Tokens(context.Background(), "k")
	left, _ := new(big.Rat).Sub(tr.e.burst, tr.e.missing).Float64()
	if err != nil || math.Abs(got-left) > 1e-9*math.Max(1, math.Abs(left)) {
		tr.t.Fatalf("Tokens() = %v, %v, want %v", got, err, left)
	}
}

func TestSameAsTheLocalBucket(t *testing.T) {
	long, err := tokenbucket.RateOf(1.0 / 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rate  tokenbucket.Rate
		burst int
		alike bool
	}{
		{tokenbucket.PerSecond(10), 20, true},
		{tokenbucket.PerSecond(3), 2, true},
		{tokenbucket.PerSecond(7), 1, true},
		{tokenbucket.PerMinute(100), 100, true},
		{tokenbucket.PerHour(1000), 50, true},
		{tokenbucket.Every(24 * time.Hour), 3, true},
		{tokenbucket.PerSecond(1_000_000), 1000, true},
		{tokenbucket.Per(5, 250*time.Millisecond), 1_000_000, true},
		{tokenbucket.Rate{}, 10, true},
		{tokenbucket.PerSecond(999_983), 7, false},
		{tokenbucket.PerSecond(600_000_000), 5_000, false},
		{tokenbucket.Per(7, 11*time.Nanosecond), 100_000, false},
		{tokenbucket.Every(3 * 365 * 24 * time.Hour), 1_000_000, false},
		{tokenbucket.PerSecond(1), math.MaxInt, false},
		{long, 5, false},
	} {
		l := tokenbucket.Limit{Rate: c.rate, Burst: c.burst}
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			tr, r := newTrio(t, l, c.alike), rand.New(rand.NewPCG(1, uint64(c.burst)))
			steps := 1000
			if testing.Short() {
				steps = 250
			}
			for range steps {
				tr.pass(randomPause(r, tr.e))
				tr.do(r.IntN(7), randomCount(r, c.burst))
			}
		})
	}
}

// randomPause is nothing, some time, or exactly until something is due, or a microsecond less.
func randomPause(r *rand.Rand, e *exact) time.Duration {
	full := e.until(e.missing)
	if full == tokenbucket.Never || full > 1000*time.Hour {
		full = 1000 * time.Hour
	}
	one := min(e.until(big.NewRat(1, 1)), 1000*time.Hour)
	switch r.IntN(6) {
	case 0:
		return 0
	case 1:
		return full
	case 2:
		return max(full-time.Microsecond, 0)
	case 3:
		return one
	case 4:
		return max(one-time.Microsecond, 0)
	}
	return time.Duration(r.Int64N(int64(full/time.Microsecond)+10)/4) * time.Microsecond
}

func randomCount(r *rand.Rand, burst int) int {
	switch r.IntN(6) {
	case 0:
		return r.IntN(3)
	case 1:
		return burst
	case 2:
		return burst - burst/7
	case 3:
		if burst < math.MaxInt {
			return burst + 1
		}
	}
	return r.IntN(min(burst, math.MaxInt32-1)/3 + 2)
}

func FuzzScript(f *testing.F) {
	f.Add(int64(10), int64(time.Second), 20, []byte("\x00\x01\x10\x20\x04\x02\x05\x33\x00\x10"))
	f.Add(int64(7), int64(11), 3, []byte("\x05\xff\x00\x01\x04\xff\x00\x09"))
	f.Fuzz(func(t *testing.T, n, per int64, burst int, ops []byte) {
		if n < 0 || n > math.MaxInt32 || per <= 0 || burst < 1 || len(ops) > 200 {
			t.Skip()
		}
		tr := newTrio(t, tokenbucket.Limit{Rate: tokenbucket.Per(int(n), time.Duration(per)), Burst: burst}, false)
		r := rand.New(rand.NewPCG(uint64(n), uint64(per)))
		for _, op := range ops {
			if op&8 != 0 {
				tr.pass(randomPause(r, tr.e))
			}
			tr.do(int(op&7)%7, min(int(op>>4)*(1+burst/16), 1<<30))
		}
	})
}

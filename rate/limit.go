package rate

import (
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// Limit is the number of events per second that a [Limiter] permits. A Limit of zero permits no
// events beyond the burst, and so does one that is negative or NaN.
//
// A Limiter counts in integers. It takes a Limit that is the result of [Every] for exactly that
// interval, and any other for the shortest decimal that reads back as the same float64.
type Limit float64

// Inf is the Limit that permits everything, even with a burst of zero. What is larger, such as
// math.Inf(1), is the same.
const Inf = Limit(math.MaxFloat64)

// Every returns the Limit of one event per interval. It returns [Inf] if interval is not positive.
func Every(interval time.Duration) Limit {
	if interval <= 0 {
		return Inf
	}
	return Limit(1 / interval.Seconds())
}

// normal returns r, or 0 for NaN, so that limits can be compared.
func (r Limit) normal() Limit {
	if r != r {
		return 0
	}
	return r
}

// plain returns the limit of r and burst as the engine has it. A negative burst is held as 0.
func (r Limit) plain(burst int) engine.Limit {
	l := r.perNano()
	l.Burst = max(burst, 0)
	return l
}

// perNano returns the rate of r without a burst.
func (r Limit) perNano() engine.Limit {
	switch {
	case !(r > 0):
		return engine.Limit{}
	case r >= Inf:
		return engine.Limit{Tokens: 1}
	}
	if d := math.Round(1e9 / float64(r)); d >= 1 && d < 1<<63 && Every(time.Duration(d)) == r {
		return engine.Limit{Tokens: 1, PerLo: uint64(d)}
	}
	x, _ := new(big.Rat).SetString(strconv.FormatFloat(float64(r), 'g', -1, 64))
	x.Quo(x, big.NewRat(int64(time.Second), 1))
	return fromRat(x)
}

// fromRat returns the rate of x > 0 tokens a nanosecond. What does not fit becomes the nearest that
// behaves alike: beyond 2^62 tokens a nanosecond any bucket is always full, and a rate of less than
// a token in 2^128 ns issues nothing in the 292 years that a limiter counts.
func fromRat(x *big.Rat) engine.Limit {
	const fastest = 1 << 62
	if x.Cmp(big.NewRat(fastest, 1)) > 0 {
		return engine.Limit{Tokens: fastest, PerLo: 1}
	}
	num, per := x.Num(), x.Denom()
	if per.BitLen() > 128 { // fewer than 1e-13 a second: a token in a whole number of nanoseconds
		num, per = big.NewInt(1), new(big.Int).Quo(per, num)
	}
	if per.BitLen() > 128 {
		return engine.Limit{}
	}
	lo := new(big.Int).And(per, new(big.Int).SetUint64(math.MaxUint64))
	hi := new(big.Int).Rsh(per, 64)
	return engine.Limit{Tokens: num.Uint64(), PerHi: hi.Uint64(), PerLo: lo.Uint64()}
}

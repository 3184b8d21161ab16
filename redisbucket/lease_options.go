package redisbucket

import (
	"fmt"
	"math"
	"math/big"
	"time"
)

// A leasing is how tokens are leased.
type leasing struct {
	ttl    time.Duration
	share  float64
	strict bool
}

// A LeaseOption configures [WithLease].
type LeaseOption func(*leasing)

// WithLease makes the limiter take tokens in batches, in advance, and serve them from memory.
// Most decisions then take nanoseconds and no round trip. A token is debited at the server before
// it is served, so all processes together never get more than the limit; but it may be served up
// to t after it was debited. In every window of length T they are granted at most
//
//	burst + rate*(T + t)
//
// tokens. What a process has not served after t lapses: it is not given back. t is measured by
// the process's monotonic clock, from before the server was asked. It must be longer than a round
// trip; a second is a good choice. WithLease panics if t is not positive.
//
// The size of a batch follows the demand of the process: as many tokens as it took lately, in
// about a quarter of t, between one and a share of the burst ([WithLeaseShare]). The next batch
// is fetched in the background when half of one is used, so steady callers never wait for the
// network. A key that is seldom asked for takes a round trip a decision, as without leases. A
// denial is remembered until the server would have the tokens, so denials take no round trips
// either; a [Limiter.Refund] or [Limiter.Delete] by another process is not noticed until then.
//
// A process that ends, or a reply that is lost, loses at most a batch, which is refilled like any
// other tokens.
//
// Results are what is known in the process: Remaining is what it holds and what the server had
// when it was last asked, refilled since. Waiters that find nothing wait at the server, as
// without leases; Refund, Charge, [TakeAll] and [TakeMany] go to the server, too. All processes
// should have the same option. The memory is bounded: beyond 65536 keys in use within t, keys are
// decided one by one.
func WithLease(t time.Duration, opts ...LeaseOption) Option {
	if t <= 0 {
		panic(fmt.Sprintf("redisbucket: WithLease: t is %v, want more than 0", t))
	}
	l := leasing{ttl: t, share: 1.0 / 8}
	for _, o := range opts {
		o(&l)
	}
	return func(s *settings) { s.leasing = &l }
}

// WithLeaseShare bounds a batch to a share of the burst, an eighth without this option. A batch
// is never less than what is asked for. A large share takes fewer round trips, and lets one busy
// process hold tokens that others could use meanwhile. It panics if share is not in (0, 1].
func WithLeaseShare(share float64) LeaseOption {
	if !(share > 0 && share <= 1) {
		panic(fmt.Sprintf("redisbucket: WithLeaseShare: share is %v, want more than 0 and at most 1", share))
	}
	return func(l *leasing) { l.share = share }
}

// WithLeaseStrict keeps the bound of the limit itself, burst + rate*T, by giving the buckets at
// the server a burst that is smaller by rate*t, rounded up. That is then the most that can be
// taken at once. Keys whose burst is too small for that are not leased but decided one by one.
func WithLeaseStrict() LeaseOption { return func(l *leasing) { l.strict = true } }

// burst returns the burst that buckets have at the server, less than 1 if there can be no leases
// at this rate.
func (l *leasing) burst(perMicrosecond *big.Rat, burst int64) int64 {
	if !l.strict {
		return burst
	}
	x := new(big.Rat).SetFrac64(int64(l.ttl), int64(time.Microsecond))
	x.Mul(x, perMicrosecond)
	lapsing := new(big.Int).Quo(new(big.Int).Sub(new(big.Int).Add(x.Num(), x.Denom()), big.NewInt(1)), x.Denom())
	if !lapsing.IsInt64() {
		return 0
	}
	return burst - lapsing.Int64()
}

// batch returns the most that is leased at once of buckets of the given burst.
func (l *leasing) batch(burst int64) int64 {
	return max(int64(math.Min(l.share*float64(burst), float64(burst))), 1)
}

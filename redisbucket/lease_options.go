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

// WithLease makes the limiter take tokens in batches, in advance, and serve them from memory: most decisions then take
// nanoseconds and no round trip. A token is debited at the server before it is served, so all processes together never get
// more than the limit; but one that was debited may be served up to t later. In every window of length T they are granted
// at most
//
//	burst + rate*(T + t)
//
// tokens. What a process has not served after t lapses, for good: it is not given back to be granted again. t is measured
// by the process's monotonic clock, from before the server was asked. It has to be longer than a round trip; a second is a
// good choice. It panics if t is not positive.
//
// The batches follow the demand of the process: as many tokens as it took lately, in about a quarter of t, between one and
// a share of the burst ([LeaseShare]). The next batch is fetched in the background when half of one is used, so who comes
// steadily never waits for the network; a key that is seldom asked for costs a round trip a decision, as without leases. A
// refusal is remembered until the server would have the tokens, so refusing costs no round trips either; that somebody
// else's [Limiter.Refund] or [Limiter.Delete] made tokens available sooner is not noticed until then.
//
// A process that ends, or a reply that is lost, takes at most a batch with it, which is refilled like any other.
//
// Results tell what is known here: Remaining is what this process holds and what the server had when it was last asked,
// refilled since. Waiters who find nothing here queue at the server, as without leases; Refund, Charge and [TakeAll] go to
// the server, too. All processes should have the same option. The memory is bounded: beyond 65536 keys in use within t, keys
// are decided one by one.
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

// LeaseShare bounds a batch to a share of the burst, an eighth without this option; a batch is never less than what is asked
// for. A large share needs fewer round trips, and lets one busy process hold more than others can get meanwhile. It
// panics if share is not in (0, 1].
func LeaseShare(share float64) LeaseOption {
	if !(share > 0 && share <= 1) {
		panic(fmt.Sprintf("redisbucket: LeaseShare: share is %v, want more than 0 and at most 1", share))
	}
	return func(l *leasing) { l.share = share }
}

// LeaseStrict keeps the bound of the limit itself, burst + rate*T, by giving the buckets at the server a burst that is
// smaller by rate*t, rounded up. That is then the most that can be taken at once. Keys whose burst is too small for that are
// not leased but decided one by one.
func LeaseStrict() LeaseOption { return func(l *leasing) { l.strict = true } }

// burst returns the burst that buckets have at the server, less than 1 if there can be no leases at this rate.
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

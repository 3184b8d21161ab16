package httplimit

import (
	"context"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// An AdaptiveLimiter is a [Limiter] in memory for a [Transport] whose server does not say how much
// it allows. It has a bucket for each key, with a rate of its own: a refused request halves the
// rate, and served requests raise it again, up to the configured limit. [Adaptive] makes one.
//
// A request is refused by status 429, or by 503 without a time to wait. However many of the
// requests on their way are refused, the rate is halved once, and the tokens that are left are
// dropped. Then it rises in even steps: in 8 served requests from a half to 95 % of what it was,
// and from there by 5 % in 200 served requests. The slow steps double after every 200, so that a
// limit that has been raised is found. The rate never falls below one token in 30 s, and after an
// outage it rises to what it was before.
//
// These are the additive increase and multiplicative decrease of Chiu and Jain (Analysis of the
// Increase and Decrease Algorithms for Congestion Avoidance, 1989), with the step back to a known
// good rate of CUBIC (RFC 9438).
//
// It is a [Waiter] and a [Settler] too, never fails, and is safe for concurrent use. It has no use
// in a [Policy], where its rates never change. Keys whose buckets are full and whose rates are that
// of the limit take no memory. Beyond 128 Ki other keys, keys share 64 buckets.
type AdaptiveLimiter struct {
	limit tokenbucket.Limit
	opts  []tokenbucket.Option

	mu      sync.Mutex
	keys    map[string]*adaptive
	sweepAt int
	swept   time.Time
	shared  [64]*adaptive
	seed    maphash.Seed
}

const (
	maxAdaptive = 1 << 17 // keys with a bucket of their own

	// slowestAdaptive is the longest time between two tokens: as long as the longest backoff.
	slowestAdaptive = mostBackoff

	fastSteps = 8    // served requests from half of a rate to nearly all of it
	nearly    = 0.95 // how much of a rate that was refused is taken for safe
	slowSteps = 200  // served requests from there to all of it
)

// Adaptive returns an AdaptiveLimiter that grants no more than limit, to each key. It panics if the
// burst is less than 1, or if the rate is zero or infinite, which cannot be adapted.
func Adaptive(limit tokenbucket.Limit, opts ...tokenbucket.Option) *AdaptiveLimiter {
	switch {
	case limit.Burst < 1:
		panic("httplimit: Adaptive: " + plain(limit.Validate()))
	case limit.Rate == tokenbucket.Inf(), limit.Rate == tokenbucket.Rate{}:
		panic("httplimit: Adaptive: the rate is " + limit.Rate.String() + ", want a finite rate above 0")
	}
	return &AdaptiveLimiter{limit: limit, opts: opts, seed: maphash.MakeSeed()}
}

// Limit returns the limit of key that is in force now.
func (a *AdaptiveLimiter) Limit(key string) tokenbucket.Limit {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x, ok := a.keys[key]; ok {
		return x.bucket.Limit()
	}
	return a.limit
}

// Take implements [Limiter].
func (a *AdaptiveLimiter) Take(_ context.Context, key string, n int) (tokenbucket.Result, error) {
	x := a.use(key)
	defer a.done(x)
	return x.bucket.Take(n), nil
}

// WaitN implements [Waiter].
func (a *AdaptiveLimiter) WaitN(ctx context.Context, key string, n int) error {
	x := a.use(key)
	defer a.done(x)
	return x.bucket.WaitN(ctx, n)
}

// Refund implements [Settler].
func (a *AdaptiveLimiter) Refund(_ context.Context, key string, n int) error {
	x := a.use(key)
	defer a.done(x)
	x.bucket.Refund(n)
	return nil
}

// Charge implements [Settler].
func (a *AdaptiveLimiter) Charge(_ context.Context, key string, n int) error {
	x := a.use(key)
	defer a.done(x)
	x.bucket.Charge(n)
	return nil
}

// use returns the bucket of key, which is not dropped until done.
func (a *AdaptiveLimiter) use(key string) *adaptive {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, ok := a.keys[key]
	if !ok {
		x = a.addLocked(key)
	}
	x.users++
	return x
}

func (a *AdaptiveLimiter) done(x *adaptive) {
	a.mu.Lock()
	x.users--
	a.mu.Unlock()
}

// addLocked makes a bucket for key, or shares one if there are too many. The caller must hold mu.
func (a *AdaptiveLimiter) addLocked(key string) *adaptive {
	now := time.Now()
	full := len(a.keys) >= maxAdaptive
	if len(a.keys) >= max(a.sweepAt, minSweep) && (!full || now.Sub(a.swept) >= time.Second) {
		a.sweepLocked(now)
	}
	if len(a.keys) < maxAdaptive {
		if a.keys == nil {
			a.keys = make(map[string]*adaptive)
		}
		x := a.newBucket()
		a.keys[key] = x
		return x
	}
	shared := &a.shared[maphash.String(a.seed, key)%uint64(len(a.shared))]
	if *shared == nil {
		*shared = a.newBucket()
	}
	return *shared
}

func (a *AdaptiveLimiter) newBucket() *adaptive {
	return &adaptive{
		bucket: tokenbucket.New(a.limit.Rate, a.limit.Burst, a.opts...),
		good:   true,
		rate:   a.limit.Rate.TokensPerSecond(),
	}
}

// sweepLocked drops the keys that cannot be told from new ones. The caller must hold mu.
func (a *AdaptiveLimiter) sweepLocked(now time.Time) {
	for key, x := range a.keys {
		if x.users == 0 && x.bucket.Limit() == a.limit && x.bucket.Tokens() >= float64(a.limit.Burst) {
			delete(a.keys, key)
		}
	}
	a.sweepAt, a.swept = min(2*len(a.keys), maxAdaptive), now
}

// observe adapts the rate of key to the answer to a request that was sent at the given time.
func (a *AdaptiveLimiter) observe(key string, sent time.Time, refused bool) {
	x := a.use(key)
	defer a.done(x)
	x.mu.Lock()
	defer x.mu.Unlock()
	if sent.Before(x.halved) {
		return // it was sent at the rate before
	}
	most := a.limit.Rate.TokensPerSecond()
	before := x.rate
	if refused {
		x.refuse(min(1/slowestAdaptive.Seconds(), most))
		x.halved = time.Now()
		x.bucket.TakeAvailable(a.limit.Burst) // saved up at a rate that was too high
	} else {
		x.serve(most)
	}
	if x.rate == before {
		return
	}
	l := a.limit
	if x.rate < most {
		l.Rate, _ = tokenbucket.RateOf(x.rate) // between two valid rates: it cannot fail
	}
	x.bucket.SetLimit(l)
}

// An adaptive is the bucket of a key, and its rate.
type adaptive struct {
	bucket *tokenbucket.Bucket
	users  int // guarded by AdaptiveLimiter.mu

	mu     sync.Mutex
	rate   float64   // tokens per second
	peak   float64   // the rate that was refused last, after a request that was served
	good   bool      // a request was served since the rate was halved, or it never was
	served int       // requests since the rate was nearly at its peak
	halved time.Time // when that was; zero if it never was
}

// refuse halves the rate, but not below least. While nothing is served, as in an outage, the peak
// stays, so that the rate is found again quickly.
func (x *adaptive) refuse(least float64) {
	if x.good {
		x.peak = x.rate
	}
	x.good, x.served = false, 0
	x.rate = max(x.rate/2, least)
}

// serve raises the rate by a step, but not above most.
func (x *adaptive) serve(most float64) {
	x.good = true
	if x.rate >= most {
		return
	}
	if safe := nearly * x.peak; x.rate < safe {
		x.rate = min(x.rate+(nearly-0.5)*x.peak/fastSteps, safe, most)
		return
	}
	step := (1 - nearly) * x.peak / slowSteps * float64(uint64(1)<<min(x.served/slowSteps, 40))
	x.rate = min(x.rate+step, most)
	x.served++
}

// adapt lets the limiters of an attempt know how it was answered.
func (c *call) adapt(resp *http.Response, ds []demand) {
	refused := resp.StatusCode == http.StatusTooManyRequests
	if !refused && resp.StatusCode >= http.StatusInternalServerError {
		if resp.StatusCode != http.StatusServiceUnavailable || c.t.heed(resp, time.Now()).pause > 0 {
			return // nothing about a limit
		}
		refused = true
	}
	for i := range ds {
		if a, ok := ds[i].Limiter.(*AdaptiveLimiter); ok && !ds[i].merged {
			a.observe(ds[i].Key, c.sent, refused)
		}
	}
}

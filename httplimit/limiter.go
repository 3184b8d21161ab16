package httplimit

import (
	"context"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Limiter decides for a [Policy] or a [Transport] whether a key may take tokens. [Keyed],
// [Bucket] and [Adaptive] make limiters in memory; a limiter shared by many processes is another
// kind.
//
// Take takes n tokens of key now, all or nothing. An error means that there was no decision.
// Implementations must be safe for concurrent use and must return when ctx ends. Fields of the
// Result that the limiter does not know stay zero; without a Limit, the response says nothing about
// it in its header.
//
// A Limiter that is a [Waiter] or a [Settler] too can do more.
type Limiter interface {
	Take(ctx context.Context, key string, n int) (tokenbucket.Result, error)
}

// A Waiter is a [Limiter] with a queue. A limiter that is not a Waiter is asked again after each
// RetryAfter, in no particular order of the callers.
//
// WaitN takes n tokens as soon as it is the caller's turn. It fails at once if the turn is known to
// come after ctx's deadline, and gives up its place when ctx ends. An error means that nothing was
// taken. It is a [*tokenbucket.WaitError] if the limit is the reason, and anything else if there
// was no decision.
type Waiter interface {
	Limiter
	WaitN(ctx context.Context, key string, n int) error
}

// A Settler is a [Limiter] whose decisions can be corrected afterwards. All limits of a request
// must be Settlers, except the last, and all limits of a Transport that has a Settle.
type Settler interface {
	Limiter

	// Refund puts back n tokens that were taken and not used.
	Refund(ctx context.Context, key string, n int) error

	// Charge takes n tokens, into debt if need be.
	Charge(ctx context.Context, key string, n int) error
}

// A Limit is one limit that a request is subject to. It is a plain value and may be copied.
type Limit struct {
	// Name is the name of the limit in RateLimit, RateLimit-Policy and events; "" is "default".
	Name string

	// Limiter decides; nil is the Limiter of the Policy or the Transport.
	Limiter Limiter

	// Key is whose tokens are taken. It must not be empty, except for a [Bucket].
	Key string

	// Cost is the number of tokens to take; 0 is 1. A limit that costs nothing has to be left out.
	Cost int
}

// Keyed returns a [Limiter] with a bucket in memory for each key. It is a [Waiter] and a [Settler]
// too, and never fails. It panics if buckets is nil.
func Keyed(buckets *tokenbucket.Keyed[string]) Limiter {
	if buckets == nil {
		panic("httplimit: Keyed: the buckets are nil")
	}
	return keyed{buckets}
}

type keyed struct {
	*tokenbucket.Keyed[string]
}

func (k keyed) Take(_ context.Context, key string, n int) (tokenbucket.Result, error) {
	return k.Keyed.Take(key, n), nil
}

func (k keyed) Refund(_ context.Context, key string, n int) error {
	k.Keyed.Refund(key, n)
	return nil
}

func (k keyed) Charge(_ context.Context, key string, n int) error {
	k.Keyed.Charge(key, n)
	return nil
}

// Bucket returns a [Limiter] of one bucket for all requests. It needs no key: a [KeyFunc] is not
// called for it, and a key in a [Limit] is ignored. It is a [Waiter] and a [Settler] too, and never
// fails. It panics if b is nil.
func Bucket(b *tokenbucket.Bucket) Limiter {
	if b == nil {
		panic("httplimit: Bucket: the bucket is nil")
	}
	return single{b}
}

type single struct {
	bucket *tokenbucket.Bucket
}

func (s single) Take(_ context.Context, _ string, n int) (tokenbucket.Result, error) {
	return s.bucket.Take(n), nil
}

func (s single) WaitN(ctx context.Context, _ string, n int) error { return s.bucket.WaitN(ctx, n) }

func (s single) Refund(_ context.Context, _ string, n int) error {
	s.bucket.Refund(n)
	return nil
}

func (s single) Charge(_ context.Context, _ string, n int) error {
	s.bucket.Charge(n)
	return nil
}

// isKeyless reports whether l has one bucket for all keys.
func isKeyless(l Limiter) bool {
	_, ok := l.(single)
	return ok
}

// isLocal reports whether a call of l takes no longer than a lock.
func isLocal(l Limiter) bool {
	switch l.(type) {
	case keyed, single, *AdaptiveLimiter:
		return true
	}
	return false
}

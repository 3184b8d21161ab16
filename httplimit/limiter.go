package httplimit

import (
	"context"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Limiter is what a [Policy] or a [Transport] asks: n tokens of key, now, all or nothing. [Keyed] makes one of buckets
// in memory; a limiter shared by many processes is another. Any number of goroutines may call it at once.
//
// An error means that there was no decision. Take must return when ctx ends; nobody here can make it. The fields of the
// Result that it does not know it leaves zero; without a Limit nothing is said in the response's header fields.
//
// A Limiter that is a [Waiter] or a [Settler] too can do more.
type Limiter interface {
	Take(ctx context.Context, key string, n int) (tokenbucket.Result, error)
}

// A Waiter is a [Limiter] at which callers can queue. One that is not is asked again after the RetryAfter that it told,
// which is fair to nobody.
//
// WaitN fails at once if the turn is known to come after ctx's deadline, gives the place up when ctx ends, and took
// nothing if it returns an error: a [*tokenbucket.WaitError] if the limit is the reason, anything else if there was no
// decision.
type Waiter interface {
	Limiter
	WaitN(ctx context.Context, key string, n int) error
}

// A Settler is a [Limiter] that can be corrected afterwards. All limits of a request must be one, except the last, and all
// those of a Transport with Settle.
type Settler interface {
	Limiter
	Refund(ctx context.Context, key string, n int) error // puts back n tokens that were taken and not used
	Charge(ctx context.Context, key string, n int) error // takes n tokens, into debt if need be
}

// Keyed makes a [Limiter] of buckets in memory, which is a [Waiter] and a [Settler] too. It never fails.
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

// A Limit is one of several that a request is subject to. It is a plain value, to be copied freely.
type Limit struct {
	// Name is the limit's name in RateLimit and RateLimit-Policy and in events; "" is "default".
	Name string

	// Limiter decides; nil is the one of the Policy or the Transport.
	Limiter Limiter

	// Key is whose tokens are taken. It must not be empty.
	Key string

	// Cost is how many tokens are taken; 0 is 1. What costs nothing is to be left out.
	Cost int
}

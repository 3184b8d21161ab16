package redisbucket

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Claim is a number of tokens of one of several limits. It is a plain value, to be copied freely.
type Claim struct {
	Limiter *Limiter
	N       int
}

// TakeAll takes what is claimed of key from all limiters or from none, in one round trip: requests and tokens a minute, say.
// The limiters must have the same client, and each a prefix of its own; the buckets of one key lie in one slot of a Cluster.
// It panics otherwise.
//
// It returns a Result for each claim. Either all are Allowed or none is; of one that is not the reason for that, RetryAfter
// is 0. Where the server gives no decision, each limiter's Fallback answers for its claim, and those that allowed are
// refunded if another one did not.
func TakeAll(ctx context.Context, key string, claims ...Claim) ([]tokenbucket.Result, error) {
	mustFit(claims)
	var asker *Limiter
	names, args := make([]string, 0, len(claims)), make([]any, 0, 5*len(claims))
	scales := make([]*scale, len(claims))
	for i, c := range claims {
		s := c.Limiter.limit(key)
		if scales[i] = s; s.inf {
			continue
		}
		asker = c.Limiter
		names = append(names, name(c.Limiter.prefix, key))
		args = append(args, s.args(s.need(c.N))...)
	}
	reply := []int64{1}
	if asker != nil {
		var err error
		reply, err = asker.ask(ctx, "TakeAll", &asker.scripts.takeAll, 1+len(names), names, args)
		if err != nil {
			return fallbackAll(key, claims, scales, err)
		}
	}
	return resultsAll(claims, scales, reply[0] == 1, reply[1:]), nil
}

func mustFit(claims []Claim) {
	for i, c := range claims {
		mustCount("TakeAll", c.N)
		if c.Limiter == nil {
			panic(fmt.Sprintf("redisbucket: TakeAll: the limiter of claim %d is nil", i))
		}
		for _, d := range claims[:i] {
			if c.Limiter.prefix == d.Limiter.prefix {
				panic(fmt.Sprintf("redisbucket: TakeAll: two limiters have the prefix %q, want one of its own for each", c.Limiter.prefix))
			}
			if c.Limiter.client != d.Limiter.client {
				panic("redisbucket: TakeAll: the limiters have different clients, want one")
			}
		}
	}
}

// resultsAll makes the results out of what is missing in each bucket that has a limit.
func resultsAll(claims []Claim, scales []*scale, allowed bool, missing []int64) []tokenbucket.Result {
	out := make([]tokenbucket.Result, len(claims))
	for i, s := range scales {
		if s.inf {
			out[i] = s.unlimited()
			out[i].Allowed = allowed
			continue
		}
		out[i] = s.result(claims[i].N, allowed, missing[0])
		if claims[i].N == 0 {
			out[i].RetryAfter = 0
		}
		missing = missing[1:]
	}
	return out
}

// fallbackAll asks the fallbacks, in order, and takes back what they allowed if one refuses or has no answer.
func fallbackAll(key string, claims []Claim, scales []*scale, err error) ([]tokenbucket.Result, error) {
	for _, c := range claims {
		if c.Limiter.fallback.final(err) {
			return nil, err
		}
	}
	out, allowed := make([]tokenbucket.Result, len(claims)), true
	var errs error
	for i, c := range claims {
		if scales[i].inf {
			out[i] = scales[i].unlimited()
			continue
		}
		var e error
		out[i], e = c.Limiter.fallback.take(c.Limiter, scales[i], key, c.N, err)
		errs = errors.Join(errs, e)
		allowed = allowed && out[i].Allowed
	}
	for i, c := range claims {
		if !allowed && out[i].Allowed {
			out[i].Allowed = false
			errs = errors.Join(errs, c.Limiter.fallback.settle(key, 0, c.N, err))
		}
	}
	return out, errs
}

package redisbucket

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Claim is a number of tokens of one bucket, for [TakeAll] and [TakeMany]. [Limiter.Claim] makes
// one. It is a plain value, to be copied freely; the zero Claim must not be used.
type Claim struct {
	limiter *Limiter
	key     string
	n       int
}

// Claim returns a claim of n tokens of key. It takes nothing. A negative n panics.
func (l *Limiter) Claim(key string, n int) Claim {
	mustCount("Claim", n)
	return Claim{limiter: l, key: key, n: n}
}

// TakeAll takes what all claims ask for or nothing, in one round trip: a request and its bytes, say,
// or a user's tokens and those of the user's team. The limiters must have the same client, and no
// two claims may be of one bucket; otherwise TakeAll panics.
//
// It returns a Result for each claim. Either all are Allowed or none is; RetryAfter is 0 for a
// claim that is not the reason for that. Where the server gives no decision, each limiter's
// Fallback answers for its claim, and those that allowed it are refunded if another one did not.
//
// In a Cluster all buckets must lie in one slot, as those of one key under several prefixes do.
// Otherwise the server refuses, with an error of the kind CROSSSLOT.
func TakeAll(ctx context.Context, claims ...Claim) ([]tokenbucket.Result, error) {
	mustFit("TakeAll", claims)
	mustDiffer(claims)
	names, args := make([]string, 0, len(claims)), make([]any, 0, 5*len(claims))
	scales := make([]*scale, len(claims))
	var asker *Limiter
	for i, c := range claims {
		s := c.limiter.limit(c.key)
		if scales[i] = s; s.inf {
			continue
		}
		asker = c.limiter
		names = append(names, c.limiter.name(c.key))
		args = append(args, s.args(s.need(c.n))...)
	}
	reply := []int64{1}
	if asker != nil {
		var err error
		reply, err = asker.ask(ctx, "TakeAll", &asker.scripts.takeAll, 1+len(names), names, args)
		if err != nil {
			return fallbackAll(claims, scales, err)
		}
	}
	return resultsAll(claims, scales, reply[0] == 1, reply[1:]), nil
}

func mustFit(method string, claims []Claim) {
	for i, c := range claims {
		if c.limiter == nil {
			panic(fmt.Sprintf("redisbucket: %s: claim %d is the zero Claim", method, i))
		}
		if i > 0 && c.limiter != claims[0].limiter && c.limiter.client != claims[0].limiter.client {
			panic(fmt.Sprintf("redisbucket: %s: the limiters have different clients, want one", method))
		}
	}
}

func mustDiffer(claims []Claim) {
	seen := make(map[string]bool, len(claims))
	for _, c := range claims {
		name := c.limiter.name(c.key)
		if seen[name] {
			panic(fmt.Sprintf("redisbucket: TakeAll: two claims of key %q with the prefix %q, want one for each bucket",
				c.key, c.limiter.prefix))
		}
		seen[name] = true
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
		out[i] = s.result(claims[i].n, allowed, missing[0])
		if claims[i].n == 0 {
			out[i].RetryAfter = 0
		}
		missing = missing[1:]
	}
	return out
}

// fallbackAll asks the fallbacks, in order, and takes back what they allowed if one refuses or has
// no answer.
func fallbackAll(claims []Claim, scales []*scale, err error) ([]tokenbucket.Result, error) {
	for _, c := range claims {
		if c.limiter.fallback.final(err) {
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
		out[i], e = c.limiter.fallback.take(c.limiter, scales[i], c.key, c.n, err)
		errs = errors.Join(errs, e)
		allowed = allowed && out[i].Allowed
	}
	for i, c := range claims {
		if !allowed && out[i].Allowed {
			out[i].Allowed = false
			errs = errors.Join(errs, c.limiter.fallback.adjust(c.limiter, c.key, 0, c.n, err))
		}
	}
	return out, errs
}

// TakeMany decides on each claim on its own, as [Limiter.Take] does, but in as few round trips as
// it can: one for up to 256 claims with a single server, one for each key with several. Claims of
// one bucket are decided in their order. The limiters must have the same client, otherwise TakeMany
// panics; leases are not used.
//
// It returns a Result for each claim. If the server gives no decision on some and their Fallback
// has none either, those Results are zero and the error wraps [ErrUnavailable].
func TakeMany(ctx context.Context, claims ...Claim) ([]tokenbucket.Result, error) {
	mustFit("TakeMany", claims)
	out := make([]tokenbucket.Result, len(claims))
	calls := map[callName][]int{}
	for i, c := range claims {
		if s := c.limiter.limit(c.key); s.inf {
			out[i] = s.unlimited()
			continue
		}
		name := callName{c.limiter, c.limiter.gateOf(c.key)}
		calls[name] = append(calls[name], i)
	}
	errs := make(chan error, len(calls))
	slots := make(chan struct{}, maxTogether)
	for name, indexes := range calls {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			errs <- name.limiter.takeMany(ctx, claims, indexes, out)
		}()
	}
	var err error
	for range calls {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return out, err
}

// A callName is what the claims of one call have in common.
type callName struct {
	limiter *Limiter
	gate    string
}

// maxTogether is how many calls of one TakeMany are under way at once.
const maxTogether = 16

// takeMany decides on the claims with the given indexes, and returns an error if some have none.
func (l *Limiter) takeMany(ctx context.Context, claims []Claim, indexes []int, out []tokenbucket.Result) (failed error) {
	for len(indexes) > 0 {
		some := indexes[:min(len(indexes), maxBatch)]
		indexes = indexes[len(some):]
		requests := make([]*request, len(some))
		for j, i := range some {
			requests[j] = &request{key: claims[i].key, s: l.limit(claims[i].key), n: claims[i].n}
		}
		err := l.askAll(ctx, "TakeMany", requests)
		for j, i := range some {
			r := requests[j]
			if err == nil {
				out[i] = r.s.result(r.n, r.allowed, r.missing)
				continue
			}
			var e error
			if out[i], e = l.fallback.take(l, r.s, r.key, r.n, err); e != nil {
				failed = e
			}
		}
	}
	return failed
}

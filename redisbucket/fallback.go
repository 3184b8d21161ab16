package redisbucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Fallback is what a [Limiter] answers when the server gives no decision: [ReturnError], [AllowAll], [DenyAll] or
// [LocalShare]. It is a plain value, to be copied freely; the zero Fallback is ReturnError. A context that ended is always
// an error, and so is a failed Tokens or Delete.
type Fallback struct {
	kind  kind
	share float64
	local *tokenbucket.Keyed[string] // of a Limiter with LocalShare
}

type kind int

const (
	returnError kind = iota
	allowAll
	denyAll
	localShare
)

// ReturnError returns the Fallback that returns the error, and leaves it to the caller.
func ReturnError() Fallback { return Fallback{kind: returnError} }

// AllowAll returns the Fallback that lets everything pass: the limit is not kept during an outage. A Refund or a Charge
// is forgotten.
func AllowAll() Fallback { return Fallback{kind: allowAll} }

// DenyAll returns the Fallback that refuses everything. A Wait fails with a *tokenbucket.WaitError around
// [ErrUnavailable]; a Refund or a Charge is forgotten.
func DenyAll() Fallback { return Fallback{kind: denyAll} }

// LocalShare returns the Fallback that limits by buckets in this process's memory, of a share of the rate and of the
// burst, but a burst of at least 1. With a share of one over the number of processes, all of them together keep the limit,
// but for what the server's buckets had left when it went away, and for bursts smaller than there are processes. The
// memory is bounded: beyond 65536 keys they share buckets. It panics if share is not in (0, 1].
func LocalShare(share float64) Fallback {
	if !(share > 0 && share <= 1) {
		panic(fmt.Sprintf("redisbucket: LocalShare: share is %v, want more than 0 and at most 1", share))
	}
	return Fallback{kind: localShare, share: share}
}

const localKeys = 1 << 16

// open makes the buckets that the fallback needs.
func (f *Fallback) open(limit func(string) *scale) {
	if f.kind == localShare {
		share := f.share
		part := func(key string) tokenbucket.Limit { return partOf(limit(key).limit, share) }
		f.local = tokenbucket.NewKeyedFunc(part, tokenbucket.WithMaxKeys(localKeys))
	}
}

func partOf(l tokenbucket.Limit, share float64) tokenbucket.Limit {
	rate, err := tokenbucket.RateOf(l.Rate.TokensPerSecond() * share)
	if err != nil {
		rate = tokenbucket.Rate{} // a share that is too small for a rate
	}
	burst := float64(l.Burst) * share
	if share == 1 {
		return l
	}
	return tokenbucket.Limit{Rate: rate, Burst: max(int(burst), 1)}
}

// final tells whether there is no answer but the error.
func (f *Fallback) final(err error) bool {
	return f.kind == returnError || !errors.Is(err, ErrUnavailable)
}

func (f *Fallback) take(l *Limiter, s *scale, key string, n int, err error) (tokenbucket.Result, error) {
	l.count.fallbacks.Add(1)
	switch {
	case f.final(err):
		return tokenbucket.Result{}, err
	case f.kind == localShare:
		res := f.local.Take(key, n)
		if res.RetryAfter == tokenbucket.Never && int64(n) <= s.burst {
			res.RetryAfter = l.retry(key) // more than the share, but not more than the server may grant
		}
		return res, nil
	case f.kind == allowAll || n == 0:
		return tokenbucket.Result{Allowed: true, Limit: s.limit}, nil
	}
	return tokenbucket.Result{RetryAfter: l.retry(key), Limit: s.limit}, nil
}

// retry returns when the server may be there again.
func (l *Limiter) retry(key string) time.Duration {
	return max(l.nodes.of(l.name(key)).wait(), l.budget)
}

func (f *Fallback) takeAvailable(l *Limiter, s *scale, key string, n int, err error) (int, tokenbucket.Result, error) {
	l.count.fallbacks.Add(1)
	switch {
	case f.final(err):
		return 0, tokenbucket.Result{}, err
	case f.kind == localShare:
		got := f.local.TakeAvailable(key, n)
		res := f.local.Take(key, 0)
		if res.Allowed = got == n; !res.Allowed {
			res.RetryAfter = l.retry(key)
		}
		return got, res, nil
	case f.kind == allowAll || n == 0:
		return n, tokenbucket.Result{Allowed: true, Limit: s.limit}, nil
	}
	return 0, tokenbucket.Result{RetryAfter: l.retry(key), Limit: s.limit}, nil
}

func (f *Fallback) adjust(l *Limiter, key string, charge, refund int, err error) error {
	l.count.fallbacks.Add(1)
	if f.final(err) {
		return err
	}
	if f.kind == localShare {
		f.local.Charge(key, charge)
		f.local.Refund(key, refund)
	}
	return nil
}

func (f *Fallback) wait(ctx context.Context, l *Limiter, key string, n int, err error) error {
	l.count.fallbacks.Add(1)
	switch {
	case f.final(err):
		return err
	case f.kind == localShare:
		return f.waitInParts(ctx, l, key, n)
	case f.kind == allowAll:
		return nil
	}
	return &tokenbucket.WaitError{N: n, Delay: tokenbucket.Never, Err: err}
}

// waitInParts waits for n tokens of the local share, whose burst may be less than n: then for a burst
// at a time. What it has is put back if it does not get the rest.
func (f *Fallback) waitInParts(ctx context.Context, l *Limiter, key string, n int) error {
	burst := partOf(l.limit(key).limit, f.share).Burst
	for got := 0; got < n; {
		part := min(burst, n-got)
		if err := f.local.WaitN(ctx, key, part); err != nil {
			f.local.Refund(key, got)
			return err
		}
		got += part
	}
	return nil
}

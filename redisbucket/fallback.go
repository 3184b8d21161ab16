package redisbucket

import (
	"context"
	"errors"
	"fmt"

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
	switch {
	case f.final(err):
		return tokenbucket.Result{}, err
	case f.kind == localShare:
		return f.local.Take(key, n), nil
	case f.kind == allowAll || n == 0:
		return tokenbucket.Result{Allowed: true, Limit: s.limit}, nil
	}
	return tokenbucket.Result{RetryAfter: max(l.breaker.wait(), l.budget), Limit: s.limit}, nil
}

func (f *Fallback) takeAvailable(key string, n int, err error) (int, error) {
	switch {
	case f.final(err):
		return 0, err
	case f.kind == localShare:
		return f.local.TakeAvailable(key, n), nil
	case f.kind == allowAll:
		return n, nil
	}
	return 0, nil
}

func (f *Fallback) settle(key string, charge, refund int, err error) error {
	if f.final(err) {
		return err
	}
	if f.kind == localShare {
		f.local.Charge(key, charge)
		f.local.Refund(key, refund)
	}
	return nil
}

func (f *Fallback) wait(ctx context.Context, key string, n int, err error) error {
	switch {
	case f.final(err):
		return err
	case f.kind == localShare:
		return f.local.WaitN(ctx, key, n)
	case f.kind == allowAll:
		return nil
	}
	return &tokenbucket.WaitError{N: n, Delay: tokenbucket.Never, Err: err}
}

package redisbucket

import (
	"context"

	"github.com/go-tokenbucket/tokenbucket"
)

// Take takes n tokens of key or nothing, and returns all that is known about the bucket. The times
// in the Result are whole microseconds, as the server's clock is.
func (l *Limiter) Take(ctx context.Context, key string, n int) (tokenbucket.Result, error) {
	mustCount("Take", n)
	return l.take(ctx, "Take", key, n)
}

func (l *Limiter) take(ctx context.Context, method, key string, n int) (tokenbucket.Result, error) {
	s := l.limit(key)
	if s.inf {
		return s.unlimited(), nil
	}
	if e := l.leaseOf(key, s, n); e != nil {
		return l.takeLeased(ctx, method, key, e, s, n)
	}
	allowed, missing, err := l.decide(ctx, method, key, s, n)
	if err != nil {
		return l.fallback.take(l, s, key, n, err)
	}
	return s.result(n, allowed, missing), nil
}

// Allow takes one token of key if there is one, and reports whether it did.
func (l *Limiter) Allow(ctx context.Context, key string) (bool, error) {
	return l.AllowN(ctx, key, 1)
}

// AllowN takes n tokens of key if there are as many, and reports whether it did.
func (l *Limiter) AllowN(ctx context.Context, key string, n int) (bool, error) {
	mustCount("AllowN", n)
	if n == 0 {
		return true, nil
	}
	if l.leases != nil {
		s := l.limit(key)
		if e := l.leaseOf(key, s, n); e != nil {
			got, err := l.serve(ctx, "AllowN", key, e, s, int64(n), false)
			if err == nil {
				return got > 0, nil
			}
			res, err := l.fallback.take(l, s, key, n, err)
			return res.Allowed, err
		}
	}
	res, err := l.take(ctx, "AllowN", key, n)
	return res.Allowed, err
}

// TakeAvailable takes n tokens of key, or as many as there are if they are fewer, and returns how
// many it took. The Result is that of taking those: it is Allowed if they are n, and RetryAfter is
// the time until the rest could be taken.
func (l *Limiter) TakeAvailable(ctx context.Context, key string, n int) (int, tokenbucket.Result, error) {
	mustCount("TakeAvailable", n)
	s := l.limit(key)
	if s.inf {
		return n, s.unlimited(), nil
	}
	most := min(int64(n), s.burst)
	if e := l.leaseOf(key, s, int(most)); e != nil {
		got, err := l.serve(ctx, "TakeAvailable", key, e, s, most, true)
		if err != nil {
			return l.fallback.takeAvailable(l, s, key, n, err)
		}
		return int(got), l.leasedResult(e, s, n-int(got), int(got) == n), nil
	}
	reply, err := l.ask(ctx, "TakeAvailable", &l.scripts.available, 2, []string{l.name(key)}, s.args(0, most))
	if err != nil {
		return l.fallback.takeAvailable(l, s, key, n, err)
	}
	got := int(reply[0])
	return got, s.result(n-got, got == n, reply[1]), nil
}

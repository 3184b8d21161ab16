package pace

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Policy says how often [Retry] tries, and how long it waits between attempts. It is a plain
// value and may be copied. The zero Policy is a good one. No field may be negative.
//
// The wait after failure k is random, between 0 and Base * 2^(k-1), and at most Max. The whole
// range is used ("full jitter", M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog
// 2015) because that spreads clients that failed together best. A short wait does no harm, since
// each attempt also waits for a token.
type Policy struct {
	Attempts int           // the most calls of f; 0 means 10
	Base     time.Duration // the longest wait after the first failure; 0 means 100 ms
	Max      time.Duration // the longest wait of all; 0 means 30 s, or Base if that is more
}

// Elsewhere the exponential belongs to a library (github.com/cenkalti/backoff is well kept). Here
// it would be a dependency of the root module for the ten lines of delay. Its loop does not fit:
// each attempt must wait for a token after the backoff, and its hints are whole seconds.

// orDefault returns the policy with the defaults in place of its zero fields.
func (p Policy) orDefault() Policy {
	mustAtLeast("Retry", "Attempts", p.Attempts, 0)
	if p.Base < 0 || p.Max < 0 {
		panic(fmt.Sprintf("pace: Retry: Base is %v and Max is %v, want 0 or more", p.Base, p.Max))
	}
	if p.Attempts == 0 {
		p.Attempts = 10
	}
	if p.Base == 0 {
		p.Base = 100 * time.Millisecond
	}
	if p.Max == 0 {
		p.Max = max(p.Base, 30*time.Second)
	}
	return p
}

// bound returns the longest wait after the given number of failures.
func (p Policy) bound(failures int) time.Duration {
	d := min(p.Base, p.Max)
	for ; failures > 1 && d < p.Max; failures-- {
		if d > p.Max/2 {
			return p.Max
		}
		d *= 2
	}
	return d
}

// delay returns how long to wait after the given number of failures; err is the last of them.
func (p Policy) delay(failures int, err error) time.Duration {
	var hint *hinted
	if errors.As(err, &hint) {
		return hint.after
	}
	return 1 + rand.N(p.bound(failures)) // in (0, bound]
}

// Retry calls f until it succeeds, each time with a token of b, and then returns nil. After a
// failure it waits as the policy says or, if the error is marked by [RetryAfter], exactly that
// long; then it waits for the token. The calling goroutine calls f. A panic in f is not retried.
//
// Otherwise Retry returns an error, which wraps the last error of f if f was called:
//   - A [Permanent] error is returned as it is, after the attempt that returned it.
//   - After the last attempt that the policy allows, the error is "pace: gave up after attempt N: "
//     followed by that of f.
//   - If ctx ends during a wait, or its deadline is known to come before the wait is over, the
//     error is returned at once and also wraps the end of ctx: errors.Is matches both the context's
//     error and its cause, or [context.DeadlineExceeded] and [tokenbucket.ErrDeadline].
//   - If the bucket refuses, the error also wraps that of [tokenbucket.Bucket.Wait], a
//     [*tokenbucket.WaitError].
//
// The backoff is measured by the runtime's clock even if the bucket has another. Retry panics if b
// or f is nil or a field of the policy is negative.
func Retry(ctx context.Context, b *tokenbucket.Bucket, policy Policy, f func(context.Context) error) error {
	mustBucket("Retry", b)
	mustJob("Retry", f)
	policy = policy.orDefault()
	if err := b.Wait(ctx); err != nil {
		return waitError(ctx, err)
	}
	for attempt := 1; ; attempt++ {
		last := f(ctx)
		var final *permanent
		switch {
		case last == nil:
			return nil
		case errors.As(last, &final):
			return final.bare(last)
		case attempt == policy.Attempts:
			return fmt.Errorf("pace: gave up after attempt %d: %w", attempt, last)
		}
		err := sleep(ctx, policy.delay(attempt, last))
		if err == nil {
			err = waitError(ctx, b.Wait(ctx))
		}
		if err != nil {
			return fmt.Errorf("pace: gave up after attempt %d: %w; the last error was: %w", attempt, err, last)
		}
	}
}

// sleep waits for d, unless ctx ends before or is known to.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return tooLate(d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// tooLate is the error for a next attempt that would come only after the context's deadline: the
// time until then.
type tooLate time.Duration

func (d tooLate) Error() string {
	return fmt.Sprintf("the next attempt in %v would be after the deadline", time.Duration(d))
}

func (tooLate) Unwrap() error { return tokenbucket.ErrDeadline }

// Permanent wraps err to mark it as final: [Retry] does not try again, and returns it. The result
// may be wrapped further. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// bare returns err without the mark if p is the outermost error, and err as it is otherwise.
func (p *permanent) bare(err error) error {
	if err == error(p) {
		return p.error
	}
	return err
}

// RetryAfter wraps err with the shortest time until another attempt makes sense, such as a server's
// Retry-After. [Retry] waits exactly d, whatever its policy's Base and Max are; with d <= 0 it
// tries again at once. The result may be wrapped further; of several marks the outermost counts.
// RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &hinted{err, max(d, 0)}
}

type hinted struct {
	error
	after time.Duration
}

func (h *hinted) Unwrap() error { return h.error }

package pace

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// Policy tells how often [Retry] tries, and how long it waits in between. It is a plain value, to be copied freely; the
// zero Policy is a good one. No field may be negative.
//
// The wait after the k-th failure is a random one, up to Base * 2^(k-1) and never beyond Max. It is drawn from the whole of
// that range ("full jitter") because that spreads clients that failed together best; that the wait may be short does no
// harm where each attempt is paced.
type Policy struct {
	Attempts int           // how often f is called at most; 0 stands for 10
	Base     time.Duration // the longest wait after the first failure; 0 stands for 100 ms
	Max      time.Duration // the longest wait at all; 0 stands for 30 s, or for Base if that is more
}

// The exponential is a library's business elsewhere (github.com/cenkalti/backoff is the well-kept one). Here it would be a
// dependency of the root module for the ten lines of delay: Retry itself can't be taken from it, since each attempt has to
// wait for its token after the backoff, and its hint is a number of whole seconds.

// orDefault returns the policy with what its zero fields stand for.
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

// bound returns the longest wait after so many failures.
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

// delay returns how long to wait after so many failures, of which err is the last.
func (p Policy) delay(failures int, err error) time.Duration {
	var hint *hinted
	if errors.As(err, &hint) {
		return hint.after
	}
	return 1 + rand.N(p.bound(failures)) // in (0, bound]
}

// Retry calls f until it succeeds, each time with a token of b, and then returns nil. After a failure it waits as the
// policy says or, if the error says [RetryAfter], exactly as long as that, and then for the token. f is called by the
// calling goroutine; a panic in it is nothing to be retried.
//
// Otherwise it returns an error, which wraps the last one of f, if f was called:
//   - a [Permanent] error is returned as it is, after the attempt in which it came;
//   - after the last attempt that the policy allows, "pace: gave up after attempt N: " and the error;
//   - if ctx ends during a wait, or its deadline is known to come before the wait is over, the same with the end of ctx,
//     at once: errors.Is tells of it the context's error and its cause, or [context.DeadlineExceeded], too;
//   - if the bucket refuses, the same with the error of [tokenbucket.Bucket.Wait], a [*tokenbucket.WaitError].
//
// The backoff is measured by the runtime's clock, also if the bucket has another. Retry panics if b is nil or a field of the
// policy is negative.
func Retry(ctx context.Context, b *tokenbucket.Bucket, policy Policy, f func(context.Context) error) error {
	if b == nil {
		panic("pace: Retry: the bucket is nil")
	}
	policy = policy.orDefault()
	if err := b.Wait(ctx); err != nil {
		return err
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
			err = b.Wait(ctx)
		}
		if err != nil {
			return fmt.Errorf("pace: gave up after attempt %d: %w; it failed: %w", attempt, err, last)
		}
	}
}

// sleep waits for d, unless ctx ends before or is known to.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return fmt.Errorf("the next is due in %v: %w", d, tokenbucket.ErrDeadline)
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

// Permanent wraps err so that [Retry] gives up and returns it: it would not help to try again. It may be wrapped further.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// bare returns err without the mark, if nothing is wrapped around it.
func (p *permanent) bare(err error) error {
	if err == error(p) {
		return p.error
	}
	return err
}

// RetryAfter wraps err with the hint that it will not help to try again within d, such as a server gives with a Retry-After.
// [Retry] obeys it, whatever its policy's Base and Max are; d <= 0 lets it try again at once. The error may be wrapped
// further; of several hints in it the outermost counts. RetryAfter(nil, d) is nil.
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

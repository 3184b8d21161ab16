package pace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// failing returns a job that records its attempts and returns one error after the other, then nil.
func (d *eventLog) failing(errs ...error) func(context.Context) error {
	attempt := 0
	return func(context.Context) error {
		attempt++
		d.record(attempt)
		if attempt > len(errs) {
			return nil
		}
		return errs[attempt-1]
	}
}

func TestPolicyBound(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		policy   Policy
		failures int
		want     time.Duration
	}{
		{Policy{}, 1, 100 * ms},
		{Policy{}, 2, 200 * ms},
		{Policy{}, 9, 25600 * ms},
		{Policy{}, 10, 30 * time.Second},
		{Policy{}, math.MaxInt, 30 * time.Second},
		{Policy{Base: time.Minute}, 1, time.Minute},
		{Policy{Base: time.Minute}, 2, time.Minute},
		{Policy{Base: time.Minute, Max: time.Second}, 1, time.Second},
		{Policy{Max: time.Nanosecond}, 1, time.Nanosecond},
		{Policy{Base: 3 * ms, Max: 10 * ms}, 2, 6 * ms},
		{Policy{Base: 3 * ms, Max: 10 * ms}, 3, 10 * ms},
		{Policy{Base: 1, Max: math.MaxInt64}, 63, 1 << 62},
		{Policy{Base: 1, Max: math.MaxInt64}, 64, math.MaxInt64},
		{Policy{Base: math.MaxInt64}, 5, math.MaxInt64},
	} {
		p := c.policy.orDefault()
		if got := p.bound(c.failures); got != c.want {
			t.Errorf("%+v after %d failures: at most %v, want %v", c.policy, c.failures, got, c.want)
		}
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for range 1000 {
			d := p.delay(c.failures, errBoom)
			least, most = min(least, d), max(most, d)
		}
		if least <= 0 || most > c.want || c.want > ms && (least > c.want/8 || most < c.want-c.want/8) { // fails once in 10^58
			t.Errorf("%+v after %d failures: between %v and %v, want all of (0, %v]", c.policy, c.failures, least, most, c.want)
		}
	}
}

// Each attempt takes a token, and waits for it after the backoff.
func TestRetryIsPaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		b := tokenbucket.New(tokenbucket.PerSecond(1), 2)
		err := Retry(context.Background(), b, Policy{Base: time.Millisecond, Max: time.Millisecond},
			d.failing(errBoom, RetryAfter(errBoom, 0), errBoom))
		if err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.events) != 4 || d.events[2] != "3@1s" || d.events[3] != "4@2s" {
			t.Errorf("happened %v, want the attempts after the burst at 1 s and 2 s", d.events)
		}
	})
}

// A hint is obeyed to the nanosecond, beyond the policy's Max too, however it is wrapped.
func TestRetryAfterHint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		err := Retry(context.Background(), unlimited(), Policy{Max: time.Second}, d.failing(
			RetryAfter(errBoom, time.Hour),
			fmt.Errorf("wrapped: %w", RetryAfter(errBoom, time.Nanosecond)),
			errors.Join(errBoom, RetryAfter(RetryAfter(errBoom, time.Hour), -time.Second)),
			RetryAfter(errBoom, time.Minute),
		))
		if err != nil {
			t.Error(err)
		}
		d.want(t, "1@0s 2@1h0m0s 3@1h0m0.000000001s 4@1h0m0.000000001s 5@1h1m0.000000001s")
	})
}

func TestRetryGivesUp(t *testing.T) {
	for _, c := range []struct {
		attempts, want int
		message        string
	}{{0, 10, "pace: gave up after attempt 10: boom"}, {1, 1, "pace: gave up after attempt 1: boom"}, {3, 3, "pace: gave up after attempt 3: boom"}} {
		bubble(t, func(t *testing.T) {
			n := 0
			err := Retry(context.Background(), unlimited(), Policy{Attempts: c.attempts}, func(context.Context) error { n++; return errBoom })
			if wantIs(t, err, errBoom); n != c.want || err.Error() != c.message {
				t.Errorf("%d attempts, %v; want %d, %s", n, err, c.want, c.message)
			}
		})
	}
}

func TestRetryPermanent(t *testing.T) {
	wrapped := fmt.Errorf("wrapped: %w", Permanent(errBoom))
	hinted := RetryAfter(Permanent(errBoom), time.Hour)
	for _, c := range []struct{ err, want error }{
		{Permanent(errBoom), errBoom},
		{wrapped, wrapped},
		{hinted, hinted},
		{Permanent(hinted), hinted},
	} {
		d := newEventLog()
		err := Retry(context.Background(), unlimited(), Policy{Base: 1}, d.failing(errBoom, c.err))
		if wantIs(t, err, errBoom); err != c.want || len(d.events) != 2 {
			t.Errorf("%v after %v, want %v after two attempts", err, d.events, c.want)
		}
	}
	if Permanent(nil) != nil || RetryAfter(nil, time.Second) != nil {
		t.Error("nil became an error")
	}
}

// Retry ends with ctx, wherever it is, and at once if it is known that the next attempt would be
// too late.
func TestRetryEndsWithin(t *testing.T) {
	always := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	hour := always(RetryAfter(errBoom, time.Hour))
	for _, c := range []struct {
		name    string
		bucket  func() *tokenbucket.Bucket
		f       func(context.Context) error
		cancel  time.Duration // when to cancel for the cause errCause; never if 0
		timeout time.Duration // the time of the deadline; none if 0
		after   time.Duration
		is      []error
		message string
	}{
		{"backoff", unlimited, hour, time.Minute, 0, time.Minute, []error{context.Canceled, errCause, errBoom},
			"pace: gave up after attempt 1: context canceled: cause; the last error was: boom"},
		{"backoff beyond the deadline", unlimited, hour, 0, time.Minute, 0,
			[]error{context.DeadlineExceeded, tokenbucket.ErrDeadline, errBoom}, ""},
		{"token", func() *tokenbucket.Bucket { return tokenbucket.New(tokenbucket.Rate{}, 1) }, always(RetryAfter(errBoom, 0)),
			time.Minute, 0, time.Minute, []error{context.Canceled, errCause, errBoom}, ""},
		{"token beyond the deadline", func() *tokenbucket.Bucket { return tokenbucket.New(tokenbucket.PerHour(1), 1) },
			always(RetryAfter(errBoom, 0)), 0, time.Minute, 0, []error{context.DeadlineExceeded, tokenbucket.ErrDeadline, errBoom}, ""},
		{"first token", func() *tokenbucket.Bucket { return drained(tokenbucket.PerHour(1), 1) }, nothing,
			time.Minute, 0, time.Minute, []error{context.Canceled, errCause}, ""},
		{"first token beyond the deadline", func() *tokenbucket.Bucket { return drained(tokenbucket.PerHour(1), 1) }, nothing,
			0, time.Minute, 0, []error{tokenbucket.ErrDeadline}, ""},
		{"attempt", unlimited, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			time.Minute, 0, time.Minute, []error{context.Canceled, errCause}, ""},
		{"attempt, at the deadline", unlimited, func(ctx context.Context) error { <-ctx.Done(); return errBoom },
			0, time.Minute, time.Minute, []error{context.DeadlineExceeded, errBoom}, ""},
		{"refused", func() *tokenbucket.Bucket { return new(tokenbucket.Bucket) }, nothing, 0, 0, 0, []error{tokenbucket.ErrExceedsBurst}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, func() { cancel(errCause) })
				}
				if c.timeout > 0 {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, c.timeout)
					defer stop()
				}
				begun := time.Now()
				err := Retry(ctx, c.bucket(), Policy{}, c.f)
				elapsed(t, begun, c.after)
				wantIs(t, err, c.is...)
				if c.message != "" && err.Error() != c.message {
					t.Errorf("error %v, want %s", err, c.message)
				}
				synctest.Wait()
			})
		})
	}
}

var errCause = errors.New("cause")

func TestRetryPanic(t *testing.T) {
	if v := panicOf(func() {
		_ = Retry(context.Background(), unlimited(), Policy{}, func(context.Context) error { panic(errBoom) })
	}); v != errBoom {
		t.Errorf("panic %v, want that of f as it is", v)
	}
}

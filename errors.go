package tokenbucket

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The reasons for which a Wait or a Reserve is refused. They arrive wrapped in a [*WaitError]; test for them with
// [errors.Is]. In every case nothing was taken.
var (
	// ErrExceedsBurst says that more tokens were asked for than the bucket can ever hold.
	ErrExceedsBurst = errors.New("tokenbucket: more tokens asked for than the burst")

	// ErrQueueFull says that as many callers queue already as [WithMaxWaiters] admits.
	ErrQueueFull = errors.New("tokenbucket: too many waiters")

	// ErrDeadline says that the turn would come only after the context's deadline, which is known at once, without
	// waiting for it. errors.Is(ErrDeadline, context.DeadlineExceeded) holds.
	ErrDeadline error = deadlineError{}
)

// deadlineError is ErrDeadline's type: a sentinel that is also [context.DeadlineExceeded], so that callers who handle
// the one that a context gives need no second case.
type deadlineError struct{}

func (deadlineError) Error() string   { return "tokenbucket: the turn would come after the deadline" }
func (deadlineError) Is(t error) bool { return t == context.DeadlineExceeded }
func (deadlineError) Timeout() bool   { return true }

// WaitError is the error of a Wait or a Reserve that took nothing. It unwraps to one of the sentinels of this package
// or, when the context ended, to its cause ([context.Cause]) and its error.
type WaitError struct {
	N     int           // the tokens asked for
	Delay time.Duration // how long the turn was away when the call gave up, or Never
	Err   error         // the reason

	ctxErr error // of a context that ended: its Err, where Err is its Cause
}

func (e *WaitError) Error() string {
	if e.Delay == Never {
		return fmt.Sprintf("tokenbucket: waiting for %d: %v", e.N, e.Err)
	}
	return fmt.Sprintf("tokenbucket: waiting for %d, due in %v: %v", e.N, e.Delay, e.Err)
}

// Unwrap returns the reason.
func (e *WaitError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, context.Canceled) hold for a context that was cancelled for a cause of its own.
func (e *WaitError) Is(target error) bool { return e.ctxErr != nil && e.ctxErr == target }

package tokenbucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// These are the reasons for which a Wait or a Reserve is refused. They are returned wrapped in a
// [*WaitError]; test for them with [errors.Is]. In every case nothing was taken.
var (
	// ErrExceedsBurst means that more tokens were asked for than the bucket can ever hold.
	ErrExceedsBurst = errors.New("tokenbucket: more tokens asked for than the burst")

	// ErrQueueFull means that as many callers queue already as [WithMaxWaiters] admits.
	ErrQueueFull = errors.New("tokenbucket: too many waiters")

	// ErrNever means that a reservation's tokens will never be there: the rate is zero, or the
	// instant is centuries away.
	ErrNever = errors.New("tokenbucket: the tokens will never be there")

	// ErrDeadline means that the turn would come after the context's deadline, which is known at
	// once. errors.Is(ErrDeadline, context.DeadlineExceeded) holds.
	ErrDeadline error = deadlineError{}
)

// deadlineError is the type of ErrDeadline: a sentinel that is also [context.DeadlineExceeded], so
// that callers that handle the error of a context need no second case.
type deadlineError struct{}

func (deadlineError) Error() string   { return "tokenbucket: the turn would come after the deadline" }
func (deadlineError) Is(t error) bool { return t == context.DeadlineExceeded }
func (deadlineError) Timeout() bool   { return true }

// WaitError is the error of a Wait or a Reserve that took nothing. It unwraps to one of the
// sentinels of this package or, when the context ended, to its cause ([context.Cause]); errors.Is
// holds for the context's error too.
type WaitError struct {
	N     int           // the tokens asked for
	Delay time.Duration // how far away the turn was when the call gave up; 0 if unknown, or Never
	Err   error         // the reason

	ctxErr error // of a context that ended: its Err, where Err is its Cause
}

func (e *WaitError) Error() string {
	reason := strings.TrimPrefix(fmt.Sprint(e.Err), "tokenbucket: ")
	if e.Delay == Never || e.Delay == 0 {
		return fmt.Sprintf("tokenbucket: waiting for %d: %s", e.N, reason)
	}
	return fmt.Sprintf("tokenbucket: waiting for %d, due in %v: %s", e.N, e.Delay, reason)
}

// Unwrap returns the reason.
func (e *WaitError) Unwrap() error { return e.Err }

// Is reports whether target is the error of the context that ended. So errors.Is(err,
// context.Canceled) holds for a context that was cancelled for a cause of its own.
func (e *WaitError) Is(target error) bool { return e.ctxErr != nil && e.ctxErr == target }

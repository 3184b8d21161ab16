package redisbucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrUnavailable is the error of a call that got no decision: the server could not be reached, did
// not answer in time, or answered with an error. Test for it with errors.Is. The error that wraps
// it names the cause and wraps the client's error.
var ErrUnavailable = errors.New("redisbucket: the server gave no decision")

// unavailable is ErrUnavailable with its cause.
type unavailable struct {
	method string // that was called
	cause  error
}

func (e *unavailable) Error() string        { return fmt.Sprintf("redisbucket: %s: %v", e.method, e.cause) }
func (e *unavailable) Unwrap() error        { return e.cause }
func (e *unavailable) Is(target error) bool { return target == ErrUnavailable }

// ended is the error of a context that ended, and its cause.
type ended struct{ err, cause error }

func (e *ended) Error() string   { return e.cause.Error() }
func (e *ended) Unwrap() []error { return []error{e.err, e.cause} }

func endOf(ctx context.Context) error {
	if ctx.Err() == nil {
		return &ended{err: context.DeadlineExceeded, cause: context.DeadlineExceeded}
	}
	return &ended{err: ctx.Err(), cause: context.Cause(ctx)}
}

// over reports whether ctx has ended or its deadline has passed: a client that goes by the deadline
// can notice it before ctx does.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// errBudget is the cause of a call that got no reply within the budget.
var errBudget = errors.New("no reply within the budget")

// code returns the first word of an error that the server replied with.
func code(reply string) string {
	word, _, _ := strings.Cut(reply, " ")
	return word
}

// ofNode reports whether an error that the server replied with concerns the whole server and will
// pass. Others concern one key, one slot or one user's rights: the server itself is well.
func ofNode(reply string) bool {
	switch code(reply) {
	case "LOADING", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "BUSY", "NOREPLICAS", "NOAUTH", "WRONGPASS":
		return true
	case "CLUSTERDOWN":
		return !strings.Contains(reply, "slot") // "Hash slot not served" is about one slot
	}
	return false
}

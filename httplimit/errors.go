package httplimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoKey is the error for a request that has no key: a header field or a cookie is missing,
	// the address of the client is not known, or a [KeyFunc] returned "" or an error, which is
	// then wrapped too.
	ErrNoKey = errors.New("httplimit: the request has no key")

	// ErrCost is the error for a request whose cost is negative. An http.Request's ContentLength
	// can be -1.
	ErrCost = errors.New("httplimit: the request has a negative cost")

	errRequestCancelled = errors.New("httplimit: the request's Cancel channel was closed")
)

// requestsFault reports whether err is about a request, not about a limiter.
func requestsFault(err error) bool { return errors.Is(err, ErrNoKey) || errors.Is(err, ErrCost) }

// A noKeyError is ErrNoKey with a reason.
type noKeyError struct {
	reason string
	err    error
}

func (e *noKeyError) Error() string   { return ErrNoKey.Error() + ": " + e.reason }
func (e *noKeyError) Unwrap() []error { return []error{ErrNoKey, e.err} }

// noKey returns err as an ErrNoKey; err can be nil.
func noKey(err error) error {
	switch {
	case err == nil:
		return ErrNoKey
	case errors.Is(err, ErrNoKey):
		return err
	}
	return &noKeyError{plain(err), err}
}

// noKeys returns an ErrNoKey that has all of errs for its reason.
func noKeys(errs []error) error {
	var reasons []string
	for _, err := range errs {
		if reason := strings.TrimPrefix(err.Error(), ErrNoKey.Error()); reason != "" {
			reasons = append(reasons, plain(errors.New(strings.TrimPrefix(reason, ": "))))
		}
	}
	if reasons == nil {
		return ErrNoKey
	}
	return &noKeyError{strings.Join(reasons, "; "), errors.Join(errs...)}
}

// plain returns the text of err without the names of this package and the root package, for use
// behind one of them.
func plain(err error) string {
	return strings.NewReplacer("tokenbucket: ", "", "httplimit: ", "").Replace(err.Error())
}

// An endedError is the reason to refuse a request whose context ended before there was a decision.
type endedError struct{ err error }

func (e *endedError) Error() string {
	return "httplimit: the request ended before it was decided: " + plain(e.err)
}

func (e *endedError) Unwrap() error { return e.err }

// ended returns the error of ctx together with its cause, or nil if ctx has not ended.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == cause {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

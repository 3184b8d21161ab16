package redisbucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrUnavailable says that the server gave no decision: it could not be reached, did not answer in time, or answered with
// an error. Test for it with errors.Is; the error that it comes in tells more, and wraps the client's error.
var ErrUnavailable = errors.New("redisbucket: the server gave no decision")

// unavailable is ErrUnavailable with its cause.
type unavailable struct {
	what  string // the method that was called
	cause error
}

func (e *unavailable) Error() string        { return fmt.Sprintf("redisbucket: %s: %v", e.what, e.cause) }
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

// over tells whether ctx has ended, or its deadline has passed: a client that goes by the deadline can notice it before ctx
// does.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// ask runs a script that is to return least integers or more, within ctx and the budget. Its error is an *unavailable, or
// an *ended if ctx ended first.
func (l *Limiter) ask(ctx context.Context, what string, s *script, least int, keys []string, args []any) ([]int64, error) {
	return l.askWithin(ctx, l.budget, what, s, least, keys, args)
}

// askWithin is ask for a caller who has spent some of the budget already.
func (l *Limiter) askWithin(ctx context.Context, budget time.Duration, what string, s *script, least int, keys []string, args []any) ([]int64, error) {
	if ctx.Err() != nil {
		return nil, endOf(ctx)
	}
	if ok, err := l.breaker.enter(); !ok {
		return nil, &unavailable{what, fmt.Errorf("not asked, because of failures before: %w", err)}
	}
	start := time.Now()
	reply, err := l.within(ctx, budget, s, keys, args)
	if err == nil && len(reply) < least {
		err = fmt.Errorf("the reply has %d integers, want %d", len(reply), least)
	}
	left := err != nil && over(ctx)
	l.breaker.leave(l.judge(left, time.Since(start), err), err)
	switch {
	case err == nil:
		return reply, nil
	case left:
		return nil, endOf(ctx)
	}
	return nil, &unavailable{what, err}
}

// errBudget says that the budget was spent.
var errBudget = errors.New("no reply within the budget")

// within runs the script, within ctx and the budget. A client that heeds deadlines is left to it.
func (l *Limiter) within(ctx context.Context, budget time.Duration, s *script, keys []string, args []any) ([]int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, budget, errBudget)
	defer cancel()
	if !l.heeds {
		return l.guarded(ctx, s, keys, args)
	}
	reply, err := s.run(ctx, l.client, keys, args)
	if err != nil && over(ctx) {
		err = errBudget // or the caller's deadline, which ask sees for itself
	}
	return reply, err
}

// heedsDeadlines tells whether a client returns when the deadline of its context has come, as go-redis does for a single
// server if it was told to. A Cluster's client may be busy asking all nodes where the slots are.
func heedsDeadlines(c Client) bool {
	single, ok := c.(*redis.Client)
	return ok && single.Options().ContextTimeoutEnabled
}

// guarded runs the script in a goroutine that the caller need not wait for; it ends when the client returns. Going through
// another goroutine costs a caller who is alone some 12 us, half of what a round trip to the same machine takes.
func (l *Limiter) guarded(ctx context.Context, s *script, keys []string, args []any) ([]int64, error) {
	type answer struct {
		reply []int64
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		reply, err := s.run(ctx, l.client, keys, args)
		done <- answer{reply, err}
	}()
	select {
	case a := <-done:
		return a.reply, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// judge tells what a call says about the server. A caller who left says something only if the server had a fair part of
// its budget: otherwise callers in a hurry would open the breaker for all, or with a server that hangs, never.
func (l *Limiter) judge(left bool, took time.Duration, err error) outcome {
	var reply redis.Error
	switch {
	case err == nil:
		return answered
	case errors.As(err, &reply) && !temporary(reply.Error()):
		return answered // with an error of one key, such as one that holds something else: no reason to fail the others
	case left && took < l.budget/4:
		return undecided
	}
	return failed
}

// temporary tells whether an error that the server replied with is one of the whole server.
func temporary(reply string) bool {
	word, _, _ := strings.Cut(reply, " ")
	switch word {
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "MISCONF", "BUSY", "NOREPLICAS", "NOAUTH",
		"NOPERM", "WRONGPASS":
		return true
	}
	return false
}

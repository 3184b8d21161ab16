package redisbucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ask runs a script that returns at least least integers, within ctx and the budget. Its error is
// an *unavailable, or an *ended if ctx ended first.
func (l *Limiter) ask(ctx context.Context, method string, s *script, least int, keys []string, args []any) ([]int64, error) {
	return l.askWithin(ctx, l.budget, method, s, least, keys, args)
}

// askWithin is ask for a caller that has spent some of the budget already.
func (l *Limiter) askWithin(ctx context.Context, budget time.Duration, method string, s *script, least int, keys []string, args []any) ([]int64, error) {
	if ctx.Err() != nil {
		return nil, endOf(ctx)
	}
	b := l.nodes.of(keys[0])
	if ok, err := b.enter(); !ok {
		return nil, &unavailable{method, fmt.Errorf("not asked, because of failures before: %w", err)}
	}
	check := !l.checked.Load()
	if check {
		args = append(args, "check")
	}
	start := time.Now()
	reply, err := l.within(ctx, budget, s, keys, args)
	if err == nil && len(reply) < least {
		err = fmt.Errorf("the reply has %d integers, want %d", len(reply), least)
	}
	left := err != nil && over(ctx)
	b.leave(l.judge(left, time.Since(start), err), err)
	switch {
	case err == nil:
		if check {
			l.checked.Store(true)
			l.nodes.known.Store(true)
		}
		return reply, nil
	case left:
		return nil, endOf(ctx)
	}
	l.count.failures.Add(1)
	return nil, &unavailable{method, err}
}

// within runs the script, within ctx and the budget. A client that heeds deadlines is left to it.
func (l *Limiter) within(ctx context.Context, budget time.Duration, s *script, keys []string, args []any) ([]int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, budget, errBudget)
	defer cancel()
	l.count.roundTrips.Add(1)
	if !l.heeds {
		return l.guarded(ctx, s, keys, args)
	}
	reply, err := s.run(ctx, l.client, keys, args)
	if err != nil && over(ctx) {
		err = errBudget // or the caller's deadline, which askWithin sees for itself
	}
	return reply, err
}

// heedsDeadlines reports whether a client returns when the deadline of its context has come, as
// go-redis does for a single server if it was told to. A Cluster's client may be busy asking all
// nodes where the slots are.
func heedsDeadlines(c Client) bool {
	single, ok := c.(*redis.Client)
	return ok && single.Options().ContextTimeoutEnabled
}

// guarded runs the script in a goroutine that the caller need not wait for; it ends when the client
// returns. Going through another goroutine costs a lone caller some 12 us, half of what a round
// trip to the same machine takes (go test -bench Ask).
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

// judge returns what a call shows about the server. A caller that left early shows something only
// if the server had a fair part of its budget. Otherwise callers in a hurry would open the breaker
// for all, or with a server that hangs, never.
func (l *Limiter) judge(left bool, took time.Duration, err error) outcome {
	var reply redis.Error
	switch {
	case err == nil:
		return answered
	case errors.As(err, &reply) && !ofNode(reply.Error()):
		return answered
	case left && took < l.budget/4:
		return undecided
	}
	return failed
}

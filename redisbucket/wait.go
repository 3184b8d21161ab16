package redisbucket

import (
	"context"
	"errors"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// Wait takes one token of key, as soon as it is its turn. See [Limiter.WaitN].
func (l *Limiter) Wait(ctx context.Context, key string) error { return l.WaitN(ctx, key, 1) }

// WaitN takes n tokens of key, as soon as it is its turn: in one round trip it takes a place behind all who wait already, in
// whatever process, and is told its time; then it sleeps, once. Nobody overtakes it, except with tokens that were refunded.
//
// A *tokenbucket.WaitError means that it took nothing. It wraps
//   - tokenbucket.ErrExceedsBurst, at once, if n is more than the burst;
//   - tokenbucket.ErrDeadline, at once, if the turn is known to come after ctx's deadline, or with a Delay of Never if it
//     never comes, at a rate of zero;
//   - the cause of ctx if it ends before the turn has come, or is done already.
//
// Who gives up gives the place back, in the background for no longer than the budget: in full if nobody queued behind,
// else as far as those behind, who have been promised their times, leave room for it beside them; see [Limiter.Refund]. What
// they don't leave room for lapses, and so does the place of a process that dies.
func (l *Limiter) WaitN(ctx context.Context, key string, n int) error {
	mustCount("WaitN", n)
	s := l.limit(key)
	switch {
	case ctx.Err() != nil:
		return refused(n, 0, endOf(ctx))
	case n == 0 || s.inf:
		return nil
	case int64(n) > s.burst:
		return refused(n, tokenbucket.Never, tokenbucket.ErrExceedsBurst)
	}
	if e := l.leaseOf(key, s, n); e != nil {
		if got, err := l.serve(ctx, "WaitN", key, e, s, int64(n), false); err != nil || got > 0 {
			return l.unserved(ctx, key, n, err)
		}
	}
	p, err := l.reserve(ctx, s, key, n)
	switch {
	case err != nil:
		return l.unserved(ctx, key, n, err)
	case p.answer != reserved || p.late(ctx):
		if p.answer == reserved {
			l.giveBack(ctx, p)
		}
		return refused(n, p.delay, tokenbucket.ErrDeadline)
	}
	return l.sleep(ctx, p)
}

// unserved is what WaitN answers to an error of the server's, or of ctx; nil if there is none.
func (l *Limiter) unserved(ctx context.Context, key string, n int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*ended)):
		return refused(n, 0, err)
	}
	return l.fallback.wait(ctx, key, n, err)
}

func refused(n int, delay time.Duration, err error) error {
	return &tokenbucket.WaitError{N: n, Delay: delay, Err: err}
}

// A place is one in the queue at the server, with what the server needs to find it again.
type place struct {
	s      *scale
	name   string
	n      int
	answer int64
	delay  time.Duration // from when the reply was there; the turn is not later than that
	handle []int64
}

// What reserve.lua answers first.
const reserved = 0

// reserve takes a place, unless its turn is too late for ctx.
func (l *Limiter) reserve(ctx context.Context, s *scale, key string, n int) (place, error) {
	p := place{s: s, name: name(l.prefix, key), n: n}
	most := int64(-1)
	if deadline, ok := ctx.Deadline(); ok {
		most = max(time.Until(deadline).Microseconds(), 0)
	}
	reply, err := l.ask(ctx, "WaitN", &l.scripts.reserve, 5, []string{p.name}, s.args(s.need(n), most))
	if err != nil {
		return p, err
	}
	p.answer, p.handle = reply[0], reply[1:5]
	missing := reply[1]
	if p.answer != reserved {
		missing += s.need(n)
	}
	p.delay = s.until(missing - s.cap)
	return p, nil
}

// late tells whether the turn comes after ctx's deadline, now that the round trip has taken its time.
func (p *place) late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && p.delay > 0 && p.delay > time.Until(deadline)
}

// sleep waits for the turn. If it has come, the tokens are taken, whatever ctx says.
func (l *Limiter) sleep(ctx context.Context, p place) error {
	if p.delay == 0 {
		return nil
	}
	turn := time.Now().Add(p.delay)
	timer := time.NewTimer(p.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	left := time.Until(turn)
	if left <= 0 {
		return nil
	}
	l.giveBack(ctx, p)
	return refused(p.n, left, endOf(ctx))
}

// giveBack returns at once: the caller's context has ended or is about to. If the server does not answer, the place lapses
// when its turn has come.
func (l *Limiter) giveBack(ctx context.Context, p place) {
	args := p.s.args(p.s.need(p.n), p.handle[0], p.handle[1], p.handle[2], p.handle[3])
	go func() {
		_, _ = l.ask(context.WithoutCancel(ctx), "WaitN", &l.scripts.cancel, 1, []string{p.name}, args)
	}()
}

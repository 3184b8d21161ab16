package httplimit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A claim is a Limit that a request is subject to, and what came of asking it.
type claim struct {
	Limit
	total  int  // tokens to take: Cost, and that of later limits of the same bucket
	merged bool // an earlier claim of the same bucket takes its tokens
	result tokenbucket.Result
	held   bool // its tokens were taken, and not refunded
	waived bool // its limiter failed, and it was decided to do without
}

// A source tells the claims of a request.
type source struct {
	limiter Limiter
	name    string
	key     KeyFunc
	cost    func(*http.Request) int              // nil: 1
	limits  func(*http.Request) ([]Limit, error) // nil: one limit, of the above
	settles bool                                 // the claims will be settled
}

// claims appends the claims of r to cs.
func (s *source) claims(r *http.Request, cs []claim) ([]claim, error) {
	if s.limits == nil {
		l, err := s.limit(r)
		if err != nil {
			return nil, noKey(err)
		}
		return s.claim(cs, l, true)
	}
	limits, err := s.limits(r)
	if err != nil {
		return nil, noKey(err)
	}
	for i, l := range limits {
		if l.Limiter == nil {
			l.Limiter = s.limiter
		}
		l.Name = cmp.Or(l.Name, s.name)
		l.Cost = cmp.Or(l.Cost, 1)
		if cs, err = s.claim(cs, l, i == len(limits)-1); err != nil {
			return nil, err
		}
	}
	return cs, nil
}

func (s *source) limit(r *http.Request) (l Limit, err error) {
	l = Limit{Name: s.name, Limiter: s.limiter, Cost: 1}
	if s.cost != nil {
		l.Cost = s.cost(r)
	}
	l.Key, err = s.key(r)
	return l, err
}

func (s *source) claim(cs []claim, l Limit, last bool) ([]claim, error) {
	if l.Limiter == nil {
		panic(fmt.Sprintf("httplimit: limit %q has no Limiter", l.Name))
	}
	if s.settles || !last {
		mustSettle(l)
	}
	if l.Key == "" {
		return nil, noKey(nil)
	}
	if l.Cost < 0 {
		return nil, fmt.Errorf("%w: %d", ErrCost, l.Cost)
	}
	l.Key = bounded(l.Key)
	return appendClaim(cs, l), nil
}

// appendClaim appends the claim of l. Limits of one bucket are taken from in one step: taken one after the other, each
// would wait for the tokens that the other has in hand.
func appendClaim(cs []claim, l Limit) []claim {
	merged := false
	for i := range cs {
		if c := &cs[i]; !c.merged && c.Key == l.Key && equalLimiters(c.Limiter, l.Limiter) {
			c.total += min(l.Cost, math.MaxInt-c.total)
			merged = true
			break
		}
	}
	return append(cs, claim{Limit: l, total: l.Cost, merged: merged})
}

// equalLimiters reports whether a and b are the same limiter. Values that cannot be compared count as different.
func equalLimiters(a, b Limiter) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// mustSettle panics where a refund would be impossible, which is a mistake that shows with the first request.
func mustSettle(l Limit) {
	if _, ok := l.Limiter.(Settler); !ok {
		panic(fmt.Sprintf("httplimit: limit %q: %T cannot refund; want a Settler, or the limit last", l.Name, l.Limiter))
	}
}

// maxKey is the longest key that is held as it is. Keys come from clients, and WithMaxKeys bounds their number only.
const maxKey = 256

func bounded(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// An asker asks limiters, each call within a timeout if there is one.
type asker struct {
	timeout time.Duration
}

func (a asker) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, a.timeout)
}

// ask takes the tokens of c, if they are there.
func (a asker) ask(ctx context.Context, c *claim) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	var err error
	c.result, err = c.Limiter.Take(ctx, c.Key, c.total)
	c.held = err == nil && c.result.Allowed
	return err
}

// take takes the tokens of all claims, or of none if one refuses, and returns the index of that, or -1. With an error it
// returns the index of the one that failed, and those before it are still held.
func (a asker) take(ctx context.Context, cs []claim) (int, error) {
	for i := range cs {
		c := &cs[i]
		if c.held || c.waived || c.merged {
			continue
		}
		if err := a.ask(ctx, c); err != nil {
			return i, err
		}
		if !c.held {
			a.release(ctx, cs)
			return i, nil
		}
	}
	return -1, nil
}

// wait is take that queues, with nothing in hand, at the claim that is slowest. Before that it calls patient, and refuses
// if that returns false. An error of a wait that came to nothing has the index of its claim.
//
// Questions last as long as ctx, and waits as long as queue: a limiter that does not answer has failed, while one that
// has no tokens in time has refused.
func (a asker) wait(ctx, queue context.Context, cs []claim, patient func(*claim) bool) (int, error) {
	for idle := 0; ; {
		i, err := a.take(ctx, cs)
		if err != nil || i < 0 {
			return i, err
		}
		if i, err = a.slowest(ctx, cs, i); err != nil {
			return i, err
		}
		c := &cs[i]
		if !patient(c) {
			return i, nil
		}
		if idle >= maxIdle {
			if err := sleep(queue, min(time.Millisecond<<min(idle-maxIdle, 10), time.Second)); err != nil {
				return i, &tokenbucket.WaitError{N: c.total, Delay: c.result.RetryAfter, Err: err}
			}
		}
		asked := time.Now()
		if err := c.wait(ctx, queue, a); err != nil {
			return i, err
		}
		c.held = true
		if idle++; time.Since(asked) > c.result.RetryAfter/2 {
			idle = 0
		}
	}
}

// maxIdle is how many waits in a row may end much earlier than predicted before the next one is delayed. Two limiters
// that share a bucket without being equal answer so without end: what one takes, the other waits for.
const maxIdle = 3

// slowest returns the claim with the longest RetryAfter, given the first that refused. It leaves nothing taken.
func (a asker) slowest(ctx context.Context, cs []claim, first int) (int, error) {
	worst := first
	for i := first + 1; i < len(cs); i++ {
		c := &cs[i]
		if c.waived || c.merged {
			continue
		}
		if err := a.ask(ctx, c); err != nil {
			return i, err
		}
		switch {
		case c.held:
			a.release(ctx, cs[i:i+1])
		case c.result.RetryAfter > cs[worst].result.RetryAfter:
			worst = i
		}
	}
	return worst, nil
}

// wait takes the tokens of c as soon as it is its turn.
func (c *claim) wait(ctx, queue context.Context, a asker) error {
	if w, ok := c.Limiter.(Waiter); ok {
		return w.WaitN(queue, c.Key, c.total)
	}
	for {
		if d := c.result.RetryAfter; d == tokenbucket.Never {
			err := tokenbucket.ErrDeadline
			if c.total > c.result.Limit.Burst {
				err = tokenbucket.ErrExceedsBurst
			}
			return &tokenbucket.WaitError{N: c.total, Delay: d, Err: err}
		} else if err := sleep(queue, max(d, time.Millisecond)); err != nil {
			return &tokenbucket.WaitError{N: c.total, Delay: d, Err: err}
		}
		if err := a.ask(ctx, c); err != nil || c.held {
			return err
		}
	}
}

// sleep waits for d, or fails: at once if ctx's deadline is earlier, and when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return tokenbucket.ErrDeadline
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// release refunds what is held.
func (a asker) release(ctx context.Context, cs []claim) {
	for i := range cs {
		if c := &cs[i]; c.held {
			c.held = false
			a.adjust(ctx, c, c.total)
		}
	}
}

// lateTimeout bounds the correction of a remote limiter for a request whose context has ended.
const lateTimeout = time.Second

// adjust refunds n tokens of c, or charges -n. It is tried once, since what may have arrived must not be refunded twice:
// a correction that fails is lost, and the limit stays on the strict side. It never holds up a request that has ended.
func (a asker) adjust(ctx context.Context, c *claim, n int) {
	s, ok := c.Limiter.(Settler)
	if !ok || n == 0 {
		return
	}
	f := s.Refund
	if n < 0 {
		f, n = s.Charge, -n
	}
	if _, local := s.(keyed); !local && ctx.Err() != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateTimeout)
		go func() {
			defer cancel()
			_ = f(ctx, c.Key, n)
		}()
		return
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	_ = f(ctx, c.Key, n)
}

package httplimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Policy decides which requests a server serves. Create one with [New]; the zero Policy must not be used. It does not
// change afterwards, and any number of goroutines may use it at once.
type Policy struct {
	source  source
	asker   asker
	maxWait time.Duration
	onError func(*http.Request, error) bool
	refuse  func(http.ResponseWriter, *http.Request, Refusal)

	draftFields bool // RateLimit, RateLimit-Policy
	xFields     bool // X-RateLimit-*
	shapes      shapes
}

// An Option configures a [Policy] when it is made.
type Option func(*Policy)

// New returns a Policy that takes one token of l for each request, by the client's address; see [ByIP]. It panics if l is
// nil.
func New(l Limiter, opts ...Option) *Policy {
	if l == nil {
		panic("httplimit: New: the limiter is nil")
	}
	p := &Policy{
		source:      source{limiter: l, name: "default", key: ByIP(ClientIP{})},
		onError:     func(_ *http.Request, err error) bool { return !requestsFault(err) },
		refuse:      Refuse,
		draftFields: true,
	}
	for _, o := range opts {
		o(p)
	}
	if p.asker.timeout == 0 && p.maxWait > 0 {
		// A short wait must not make a limiter fail that is only slow.
		p.asker.timeout = max(p.maxWait, time.Second)
	}
	return p
}

// WithKey tells requests apart by key. It panics if key is nil.
func WithKey(key KeyFunc) Option {
	mustFunc("WithKey", key != nil)
	return func(p *Policy) { p.source.key = key }
}

// WithCost takes as many tokens for a request as cost returns, of one limit or, with [WithLimits], not at all: there each
// Limit has a Cost. A request that costs 0 is allowed; less than 0 is [ErrCost]. It panics if cost is nil.
func WithCost(cost func(*http.Request) int) Option {
	mustFunc("WithCost", cost != nil)
	return func(p *Policy) { p.source.cost = cost }
}

// WithLimits makes requests subject to several limits, all of which must allow, or else nothing is taken from any; see the
// package documentation. It takes the place of [WithKey] and [WithCost]. A request for which limits returns none is allowed.
// All but the last must have a Limiter that is a [Settler], or the first request panics. It panics if limits is nil.
func WithLimits(limits func(*http.Request) ([]Limit, error)) Option {
	mustFunc("WithLimits", limits != nil)
	return func(p *Policy) { p.source.limits = limits }
}

// WithName names the policy in RateLimit and RateLimit-Policy, where it is "default" otherwise. It panics if name is empty.
func WithName(name string) Option {
	mustName("WithName", name)
	return func(p *Policy) { p.source.name = name }
}

// WithMaxWait lets requests wait for their tokens up to d instead of refusing them; those that would have to wait longer
// are refused at once. A client that disconnects loses its place. (A server notices that only when it has read the
// request's body.) Bound how many may wait by tokenbucket.WithMaxWaiters. It panics if d is negative.
func WithMaxWait(d time.Duration) Option {
	mustDuration("WithMaxWait", d)
	return func(p *Policy) { p.maxWait = d }
}

// WithTimeout bounds each question to a limiter, which then counts as failed. A limiter across a network needs it, or a
// bound of its own, for a server's requests have no deadline by themselves. Without this option, [WithMaxWait] bounds each
// question too, but by no less than a second. It panics if d is negative.
func WithTimeout(d time.Duration) Option {
	mustDuration("WithTimeout", d)
	return func(p *Policy) { p.asker.timeout = d }
}

// WithOnError calls f for each request that could not be judged, to tell why and to ask whether it is to be served. An err
// that is [ErrNoKey] or [ErrCost] is about the request; any other means that a limiter failed.
//
// Without it, requests are served when a limiter fails (fail open), and refused when they have no key or a negative cost.
// Of several limits, those that did not fail are in force in any case. It panics if f is nil.
func WithOnError(f func(r *http.Request, err error) (serve bool)) Option {
	mustFunc("WithOnError", f != nil)
	return func(p *Policy) { p.onError = f }
}

// WithRefusal makes f answer the requests that are refused. The header fields that tell of the limit are set already, f
// writes the status and the body, as [Refuse] does otherwise. It panics if f is nil.
func WithRefusal(f func(http.ResponseWriter, *http.Request, Refusal)) Option {
	mustFunc("WithRefusal", f != nil)
	return func(p *Policy) { p.refuse = f }
}

// WithoutRateLimit leaves the fields RateLimit and RateLimit-Policy out of the responses.
func WithoutRateLimit() Option { return func(p *Policy) { p.draftFields = false } }

// WithXRateLimit adds the older fields X-RateLimit-Limit, -Remaining and -Reset to the responses: the burst, the whole
// tokens left, and the time at which the bucket is full, in seconds since 1970. Of several limits they are about the one
// with the fewest tokens left.
func WithXRateLimit() Option { return func(p *Policy) { p.xFields = true } }

func mustFunc(where string, ok bool) {
	if !ok {
		panic(fmt.Sprintf("httplimit: %s: the func is nil", where))
	}
}

func mustDuration(where string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("httplimit: %s: d is %v, want 0 or more", where, d))
	}
}

// Check decides about r as [Policy.Handler] does, taking the tokens if it is allowed, and waiting for them if the Policy
// does that. Result.Allowed tells whether it is to be served. An error tells that a limiter failed or that the request
// could not be judged; then Allowed is what [WithOnError] decided, unless another limit refused. Of several limits, the
// Result is that of the one that refused, or has the fewest tokens left.
func (p *Policy) Check(r *http.Request) (tokenbucket.Result, error) {
	d := p.decide(r)
	return d.result(), d.err
}

// A decision is what came of a request's claims.
type decision struct {
	claims  []claim
	one     [1]claim // backs claims when there is one, as there nearly always is
	refused int      // the index of the claim that refused, or -1
	serve   bool
	err     error // why a limiter or the request could not be asked
}

// fail records that there was no decision. The end of the request's own context is no failure of a limiter: were it one,
// a client could void the limit of a limiter that fails open by closing its connection halfway.
func (p *Policy) fail(d *decision, r *http.Request, err error) {
	if end := ended(r.Context()); end != nil {
		d.err, d.serve = &endedError{end}, false
		return
	}
	d.err, d.serve = err, p.onError(r, err)
}

func (d *decision) result() tokenbucket.Result {
	if c := d.tightest(); c != nil {
		return c.result
	}
	return tokenbucket.Result{Allowed: d.serve}
}

// tightest returns the claim that refused, or of those that allowed the one with the fewest tokens left; nil if there is
// none.
func (d *decision) tightest() *claim {
	if d.refused >= 0 {
		return &d.claims[d.refused]
	}
	var least *claim
	for i := range d.claims {
		c := &d.claims[i]
		if c.held && (least == nil || c.result.Remaining < least.result.Remaining) {
			least = c
		}
	}
	return least
}

func (p *Policy) decide(r *http.Request) *decision {
	d := &decision{refused: -1}
	var err error
	if d.claims, err = p.source.claims(r, d.one[:0]); err != nil {
		p.fail(d, r, err)
		return d
	}
	ctx := r.Context()
	take := p.asker.take
	if p.maxWait > 0 {
		queue, cancel := context.WithTimeout(ctx, p.maxWait)
		defer cancel()
		take = func(ctx context.Context, cs []claim) (int, error) { return p.wait(ctx, queue, cs) }
	}
	for {
		i, err := take(ctx, d.claims)
		if err == nil {
			d.refused, d.serve = i, i < 0
			return d
		}
		// A limiter that failed is asked no more, but what the others say counts.
		if p.fail(d, r, err); !d.serve {
			p.asker.release(ctx, d.claims)
			return d
		}
		d.claims[i].waived = true
	}
}

// wait is asker.take that queues for as long as the context queue lasts. That it came to nothing is a refusal, unless the
// request itself has ended.
func (p *Policy) wait(ctx, queue context.Context, cs []claim) (int, error) {
	waited := false
	i, err := p.asker.wait(ctx, queue, cs, func(c *claim) bool {
		waited = c.result.RetryAfter <= p.maxWait
		return waited
	})
	if _, ok := errors.AsType[*tokenbucket.WaitError](err); ok && ctx.Err() == nil {
		p.asker.release(ctx, cs)
		cs[i].result.Allowed = false
		return i, nil
	}
	if waited && err == nil && i < 0 {
		p.refresh(ctx, cs)
	}
	return i, err
}

// refresh asks for the figures again that were told before the wait.
func (p *Policy) refresh(ctx context.Context, cs []claim) {
	for i := range cs {
		c := &cs[i]
		if !c.held || c.result.Allowed {
			continue
		}
		look := claim{Limit: c.Limit} // of no tokens
		if p.asker.ask(ctx, &look) == nil {
			c.result = look.result
		}
		c.result.Allowed, c.result.RetryAfter = true, 0
	}
}

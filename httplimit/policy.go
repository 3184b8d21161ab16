package httplimit

import (
	"fmt"
	"net/http"
	"time"
)

// A Policy decides which requests a server serves. Create one with [New]; the zero Policy must not
// be used. A Policy does not change afterwards and is safe for concurrent use. It must not be
// copied.
type Policy struct {
	source  source
	taker   taker
	maxWait time.Duration
	onError func(*http.Request, error) bool
	shadow  func(*http.Request, Refusal)
	refuse  func(http.ResponseWriter, *http.Request, Refusal)

	names    FieldNames
	named    bool // names was set by an option
	quotas   quotas
	counters counters
}

// New returns a Policy that takes one token of l for each request, by the client's address; see
// [ByIP]. It panics if l is nil, unless [WithLimits] or [WithLimiter] says where to take tokens.
func New(l Limiter, opts ...Option) *Policy {
	p := &Policy{
		source:  source{name: "default", limiter: l, key: ByIP(ClientIP{})},
		onError: func(_ *http.Request, err error) bool { return !requestsFault(err) },
		refuse:  Refuse,
		names:   draftNames(),
	}
	for _, o := range opts {
		o(p)
	}
	if l == nil && p.source.limits == nil && p.source.choose == nil {
		panic("httplimit: New: the limiter is nil")
	}
	if p.taker.timeout == 0 && p.maxWait > 0 {
		// A short wait must not make a limiter fail that is only slow.
		p.taker.timeout = max(p.maxWait, time.Second)
	}
	if p.shadow != nil && !p.named {
		p.names = FieldNames{} // clients would obey the fields
	}
	return p
}

// An Option configures a [Policy] when it is made.
type Option func(*Policy)

// WithKey makes key choose whose tokens a request takes. It panics if key is nil.
func WithKey(key KeyFunc) Option {
	mustFunc("WithKey", key != nil)
	return func(p *Policy) { p.source.key = key }
}

// WithCost makes a request take as many tokens as cost returns. A request that costs 0 is allowed;
// a negative cost is [ErrCost]. With [WithLimits] it has no effect: there each Limit has a Cost. It
// panics if cost is nil.
func WithCost(cost func(*http.Request) int) Option {
	mustFunc("WithCost", cost != nil)
	return func(p *Policy) { p.source.cost = cost }
}

// WithLimiter makes choose return the limiter of each request, by its route or its client's plan,
// say. It takes the place of the limiter given to [New], which may be nil. A request for which
// choose returns nil is allowed. With [WithLimits] it has no effect. It panics if choose is nil.
func WithLimiter(choose func(*http.Request) Limiter) Option {
	mustFunc("WithLimiter", choose != nil)
	return func(p *Policy) { p.source.choose = choose }
}

// WithLimits makes requests subject to several limits. All of them must allow a request, or else
// nothing is taken from any; see the package documentation. It takes the place of [WithKey],
// [WithCost] and [WithLimiter]. A request for which limits returns no Limit is allowed, and one for
// which it returns an error has no key. All limits but the last must have a Limiter that is a
// [Settler], or the first request panics. It panics if limits is nil.
func WithLimits(limits func(*http.Request) ([]Limit, error)) Option {
	mustFunc("WithLimits", limits != nil)
	return func(p *Policy) { p.source.limits = limits }
}

// WithName sets the name of the limit in RateLimit and RateLimit-Policy, which is "default"
// otherwise. It panics if name is empty.
func WithName(name string) Option {
	mustName("WithName", name)
	return func(p *Policy) { p.source.name = name }
}

// WithMaxWait lets requests wait up to d for their tokens. A request that would have to wait longer
// is refused at once. A client that disconnects loses its place; a server notices that only when it
// has read the request's body. Use tokenbucket.WithMaxWaiters to bound the number of waiters. It
// panics if d is negative.
func WithMaxWait(d time.Duration) Option {
	mustDuration("WithMaxWait", d)
	return func(p *Policy) { p.maxWait = d }
}

// WithTimeout bounds each call of a limiter that is not in memory. A limiter that takes longer has
// failed. A limiter across a network needs this option or a bound of its own, because a server's
// requests have no deadline. Without it, [WithMaxWait] bounds each call too, but by no less than a
// second. It panics if d is negative.
func WithTimeout(d time.Duration) Option {
	mustDuration("WithTimeout", d)
	return func(p *Policy) { p.taker.timeout = d }
}

// WithOnError makes f decide whether to serve a request for which there was no decision. An err
// that is [ErrNoKey] or [ErrCost] is about the request; any other means that a limiter failed. f is
// not called for a request whose own context has ended: that request is not served.
//
// Without this option, a request is served when a limiter fails (it fails open), and refused when
// it has no key or a negative cost. Of several limits, those that did not fail are enforced in any
// case. It panics if f is nil.
func WithOnError(f func(r *http.Request, err error) (serve bool)) Option {
	mustFunc("WithOnError", f != nil)
	return func(p *Policy) { p.onError = f }
}

// WithRefusal makes f answer the requests that are refused. The header fields about the limit are
// set already; f writes the status and the body. Without this option, [Refuse] does. It panics if f
// is nil.
func WithRefusal(f func(http.ResponseWriter, *http.Request, Refusal)) Option {
	mustFunc("WithRefusal", f != nil)
	return func(p *Policy) { p.refuse = f }
}

// WithShadow makes the Policy a trial: it decides about each request, takes its tokens and counts
// it, but refuses nobody. Requests that would have been refused are reported to f and then
// served, and so are requests for which [WithOnError] decided not to serve. Requests whose
// context has ended are served too.
//
// Nobody waits: a request for which [WithMaxWait] would find a token in time is reported too,
// with a Result.RetryAfter of no more than that. The fields of [WithFieldNames] are left out of
// the responses, because clients would obey them, unless that option, [WithXRateLimit] or
// [WithoutRateLimit] is given. It panics if f is nil.
func WithShadow(f func(*http.Request, Refusal)) Option {
	mustFunc("WithShadow", f != nil)
	return func(p *Policy) { p.shadow = f }
}

func mustFunc(option string, ok bool) {
	if !ok {
		panic(fmt.Sprintf("httplimit: %s: the func is nil", option))
	}
}

func mustDuration(option string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("httplimit: %s: d is %v, want 0 or more", option, d))
	}
}

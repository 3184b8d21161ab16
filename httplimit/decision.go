package httplimit

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Decision is what a [Policy] decided about a request. [Policy.Check] makes one.
type Decision struct {
	// Allowed reports whether the request is to be served.
	Allowed bool

	// Result is the result of the limit that refused, or else of the limit with the fewest tokens
	// left. If no limit was asked, it has nothing but Allowed.
	Result tokenbucket.Result

	// Err is the reason if there was no decision: a limiter failed, the request has no key or a
	// negative cost, or its context has ended. Allowed is then what [WithOnError] decided, unless
	// another limit refused.
	Err error

	policy  *Policy
	refused int      // the index of the demand that was refused, or -1
	name    string   // the name of its limit
	demands []demand // for SetHeader after Check; Handler keeps them on its stack
}

// Check decides about r as [Policy.Handler] does: it takes the tokens of a request that is allowed,
// and waits for them with [WithMaxWait]. Together with the methods of the Decision it does all that
// Handler does, for servers that do not use http.Handler:
//
//	d := policy.Check(r)
//	if !d.Allowed {
//		d.Refuse(w, r)
//		return
//	}
//	d.SetHeader(w.Header())
func (p *Policy) Check(r *http.Request) Decision {
	d, ds := p.decide(r, nil)
	d.demands = ds
	return d
}

// SetHeader sets the fields of h that tell about the limits. Fields about a Policy further out
// stay.
func (d *Decision) SetHeader(h http.Header) {
	if d.policy != nil {
		d.policy.setFields(h, d, d.demands)
	}
}

// Refuse sets the header fields and answers a request that is not allowed, as [WithRefusal] says.
func (d *Decision) Refuse(w http.ResponseWriter, r *http.Request) {
	refuse := Refuse
	if d.policy != nil {
		refuse = d.policy.refuse
	}
	d.SetHeader(w.Header())
	refuse(w, r, d.Refusal())
}

// Refusal returns why the request is not allowed, or, with [WithShadow], would not have been. It is
// the zero Refusal if the request is allowed in any case.
func (d *Decision) Refusal() Refusal {
	switch {
	case d.name != "":
		return Refusal{Status: http.StatusTooManyRequests, Policy: d.name, Result: d.Result}
	case d.Err == nil:
		return Refusal{}
	}
	return Refusal{Status: statusOf(d.Err), Err: d.Err}
}

func statusOf(err error) int {
	switch _, early := errors.AsType[*endedError](err); {
	case early && errors.Is(err, context.Canceled):
		return statusClientClosed
	case early:
		return http.StatusServiceUnavailable
	case requestsFault(err):
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}

// decide decides about r. It returns the demands too, appended to room, which can be on the
// caller's stack: a Decision escapes to the heap with its Err.
func (p *Policy) decide(r *http.Request, room []demand) (Decision, []demand) {
	d := Decision{policy: p, refused: -1}
	ds, err := p.source.demands(r, room)
	switch {
	case err != nil:
		p.fail(&d, r, err)
	case p.maxWait > 0 && p.shadow == nil:
		escaping := slices.Clone(ds) // a wait lets it escape to the heap
		p.takeWaiting(&d, r, escaping)
		ds = escaping
	default:
		p.takeNow(&d, r, ds)
	}
	if x := tightest(ds, d.refused); x != nil {
		d.Result = x.result
		if d.refused >= 0 {
			d.name = x.Name
		}
	} else {
		d.Result.Allowed = d.Allowed
	}
	o := d.outcome()
	if p.shadow != nil && !d.Allowed {
		d.Allowed = true
		if o != endedEarly {
			o = shadowed
			p.shadow(r, d.Refusal())
		}
	}
	p.counters.add(o)
	return d, ds
}

func (d *Decision) outcome() outcome {
	switch {
	case d.refused >= 0:
		return refused
	case d.Err == nil:
		return allowed
	case d.Allowed:
		return failedOpen
	}
	if errors.As(d.Err, new(*endedError)) {
		return endedEarly
	}
	return failedClosed
}

// takeNow takes the tokens of ds if all of them are there.
func (p *Policy) takeNow(d *Decision, r *http.Request, ds []demand) {
	ctx := r.Context()
	for {
		i, err := p.taker.take(ctx, ds)
		if p.done(d, r, ds, i, err) {
			return
		}
	}
}

// takeWaiting takes the tokens of ds, and waits for them up to maxWait.
func (p *Policy) takeWaiting(d *Decision, r *http.Request, ds []demand) {
	queue, cancel := context.WithTimeout(r.Context(), p.maxWait)
	defer cancel()
	for {
		i, err := p.wait(r.Context(), queue, ds)
		if p.done(d, r, ds, i, err) {
			return
		}
	}
}

// done notes what came of the attempt to take tokens, and reports whether it was the last. After
// the failure of one limiter the others are asked again: what they say counts.
func (p *Policy) done(d *Decision, r *http.Request, ds []demand, i int, err error) bool {
	if err == nil {
		d.refused, d.Allowed = i, i < 0
		return true
	}
	if p.fail(d, r, err); d.Allowed {
		ds[i].waived = true
		return false
	}
	p.taker.release(r.Context(), ds)
	return true
}

// fail notes that there was no decision. The end of the request's own context is no failure of a
// limiter. Otherwise a client could void the limit of a limiter that fails open, by closing its
// half of the connection.
func (p *Policy) fail(d *Decision, r *http.Request, err error) {
	if end := ended(r.Context()); end != nil {
		d.Err, d.Allowed = &endedError{end}, false
		return
	}
	d.Err, d.Allowed = err, p.onError(r, err)
}

// wait is taker.wait for as long as the context queue lasts. If the tokens do not come in time, the
// request is refused, unless its own context has ended.
func (p *Policy) wait(ctx, queue context.Context, ds []demand) (int, error) {
	waited := false
	i, err := p.taker.wait(ctx, queue, ds, func(d *demand) bool {
		waited = d.result.RetryAfter <= p.maxWait
		return waited
	})
	if _, ok := errors.AsType[*tokenbucket.WaitError](err); ok && ctx.Err() == nil {
		p.taker.release(ctx, ds)
		ds[i].result.Allowed = false
		return i, nil
	}
	if waited && err == nil && i < 0 {
		p.refresh(ctx, ds)
	}
	return i, err
}

// refresh asks again for the figures that are from before the wait, by taking no tokens.
func (p *Policy) refresh(ctx context.Context, ds []demand) {
	for i := range ds {
		d := &ds[i]
		if !d.held || d.result.Allowed {
			continue
		}
		look := demand{Limit: d.Limit}
		if p.taker.ask(ctx, &look) == nil {
			d.result = look.result
		}
		d.result.Allowed, d.result.RetryAfter = true, 0
	}
}

// tightest returns the demand that was refused, or else the granted demand with the fewest tokens
// left, or nil.
func tightest(ds []demand, refused int) *demand {
	if refused >= 0 {
		return &ds[refused]
	}
	var least *demand
	for i := range ds {
		d := &ds[i]
		if d.held && (least == nil || d.result.Remaining < least.result.Remaining) {
			least = d
		}
	}
	return least
}

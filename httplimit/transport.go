package httplimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A Transport is an http.RoundTripper that sends requests no faster than its limits and the server allow.
//
// A request waits, for as long as its context lasts, until no pause is in force at its host and all limits have granted
// their tokens. It fails at once when that cannot be before the context's deadline; errors.Is(err, tokenbucket.ErrDeadline)
// tells that, and context.DeadlineExceeded holds too. A request that was not sent, because its context ended or no
// connection was to be had, has its tokens refunded. An error of a Limiter is the request's error.
//
// A pause is what a server asks for, by Retry-After in an error, or RateLimit, X-RateLimit-Remaining and their kin saying
// that nothing is left. It applies to all requests to the host through this Transport, and each adds a random delay of up to
// a quarter of it, so that they do not come back all at once. A server cannot do more than that: what it says never adds
// to a limit's tokens.
//
// The zero Transport has no limit of its own, obeys the server and does not retry. The fields must not be changed once it is
// in use, nor may it be copied then. Any number of goroutines may use it at once.
type Transport struct {
	// Base sends the requests; nil is http.DefaultTransport. Tokens of requests that were not sent are refunded if
	// it supports net/http/httptrace, as http.Transport does.
	Base http.RoundTripper

	// Limiter, if not nil, is asked for Cost tokens of Key before each attempt to send. Key's default is the host, in lower
	// case and without the scheme's own port, and Cost's is 1.
	Limiter Limiter
	Key     KeyFunc
	Cost    func(*http.Request) int

	// Limits, if not nil, takes the place of Limiter, Key and Cost, for requests that are subject to several limits; see the
	// package documentation.
	Limits func(*http.Request) ([]Limit, error)

	// Settle, if not nil, corrects an estimated cost. It is called once for each response, those that are retried
	// included, when its body has ended: read to the end, failed or closed. It gets the limits that were taken from, and sets
	// their Cost to what it should have been; the difference is refunded or charged. body is the end of what has been
	// read of the response's body, at most SettleBytes. It must be quick. All limits must be of a [Settler].
	Settle func(resp *http.Response, body []byte, limits []Limit)

	// SettleBytes is how much of each body is kept for Settle; 0 is 64 KiB.
	SettleBytes int

	// MaxRetries is how often a request is sent again after a 429 or a 503, with a pause in between: the server's, or else
	// 1s, doubled each time up to 30s. Every attempt takes tokens. When it gives up, the last response is returned; if it
	// was to be retried and there was no token in time, what is left of its body is the first 64 KiB, and
	// io.ErrUnexpectedEOF if there was more.
	MaxRetries int

	// MaxRetryWait bounds the time from the first such response of a request to the last attempt; 0 is a minute. If the
	// next attempt could only be later, the request gives up at once.
	MaxRetryWait time.Duration

	// Retryable tells whether a request may be sent more than once; nil allows those that HTTP defines as idempotent and
	// those with an Idempotency-Key. One whose body cannot be replayed (http.Request.GetBody) is never retried.
	Retryable func(*http.Request) bool

	// PauseKey, if not nil, is what a server's pauses apply to: all requests with the same key pause together. The default
	// is the host together with the key of the first limit, so that the pause of one account holds up no other.
	PauseKey KeyFunc

	// MaxPause bounds how long a server can pause a host, whatever it says; 0 is an hour.
	MaxPause time.Duration

	// Jitter returns random numbers in [0, 1), for the delays after a pause; nil is math/rand/v2.Float64. Any number of
	// goroutines may call it at once, as they may the other funcs.
	Jitter func() float64

	// OnWait, if not nil, is called before each wait.
	OnWait func(Event)

	pauses pauses
}

const (
	defaultSettleBytes  = 64 << 10
	defaultMaxRetryWait = time.Minute
	defaultMaxPause     = time.Hour
)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := &call{t: t, req: req, ctx: req.Context(), host: hostOf(req.URL), body: req.Body}
	if req.Cancel != nil { // deprecated, but http.Client.Timeout still sets it
		ctx, cancel := context.WithCancelCause(c.ctx)
		defer cancel(nil)
		c.ctx = ctx
		go func() {
			select {
			case <-req.Cancel:
				cancel(errRequestCancelled)
			case <-ctx.Done():
			}
		}()
	}
	return c.run()
}

// CloseIdleConnections makes http.Client.CloseIdleConnections work through the Transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) source() source {
	s := source{limiter: t.Limiter, name: "default", key: t.Key, cost: t.Cost, limits: t.Limits, settles: t.Settle != nil}
	switch {
	case t.Limiter == nil && t.Limits == nil:
		s.limits = func(*http.Request) ([]Limit, error) { return nil, nil }
	case t.Key == nil:
		s.key = func(r *http.Request) (string, error) { return hostOf(r.URL), nil }
	}
	return s
}

// A call is a request on its way, with all its attempts.
type call struct {
	t         *Transport
	req       *http.Request
	ctx       context.Context // of the waits; it ends with the context of req and with its Cancel
	host      string
	attempt   int // from 0
	pauseKey  pauseKey
	notBefore time.Time      // the end of the backoff after the last attempt
	sent      time.Time      // when the last attempt was sent
	body      io.ReadCloser  // of the next attempt
	last      *http.Response // of the last attempt that is to be retried, held in memory
	until     time.Time      // when the last retry must have been sent; zero before the first
}

func (c *call) run() (*http.Response, error) {
	for {
		cs, err := c.admit()
		if err != nil {
			return c.giveUp(err)
		}
		resp, err := c.send(cs)
		if err != nil {
			return nil, err
		}
		if !c.again(resp) {
			return resp, nil
		}
		c.last = keep(resp)
		c.attempt++
	}
}

// giveUp ends a call whose next attempt is not sent. If that is because it would be too late, the last response is
// returned.
func (c *call) giveUp(err error) (*http.Response, error) {
	if c.body != nil {
		c.body.Close()
	}
	if c.last != nil && c.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return c.last, nil
	}
	return nil, err
}

// admit waits until an attempt may be sent, and returns what was taken for it.
func (c *call) admit() ([]claim, error) {
	ctx := c.ctx
	if c.attempt > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.until)
		defer cancel()
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	source := c.t.source()
	cs, err := source.claims(c.req, nil)
	if err != nil {
		return nil, err
	}
	if c.pauseKey, err = c.t.pauseKeyOf(c, cs); err != nil {
		return nil, err
	}
	if err := c.backOff(ctx); err != nil {
		return nil, &waitError{"the next attempt at " + c.host, err}
	}
	for {
		// The pause comes first: tokens taken before it would all be spent at its end, in one moment.
		if err := c.pause(ctx); err != nil {
			return nil, &waitError{"the pause of " + c.host, err}
		}
		i, err := asker{}.wait(ctx, ctx, cs, func(cl *claim) bool {
			c.tell(Event{Reason: ReasonLimit, Limit: cl.Name, Key: cl.Key, Wait: cl.result.RetryAfter})
			return true
		})
		if err == nil {
			err = ended(ctx) // nothing is sent for a request that is over
		}
		if err != nil {
			asker{}.release(ctx, cs)
			if i < 0 {
				return nil, err
			}
			// Not the key, which may be a secret.
			return nil, &waitError{fmt.Sprintf("limit %q, for %s", cs[i].Name, c.host), err}
		}
		if now := time.Now(); c.t.pauses.enter(c.pauseKey, now) {
			c.sent = now
			return cs, nil
		}
		asker{}.release(ctx, cs)
	}
}

// pauseKeyOf returns what the pauses of a call apply to: what PauseKey says, or else the host and the key of the first
// limit.
func (t *Transport) pauseKeyOf(c *call, cs []claim) (pauseKey, error) {
	if t.PauseKey != nil {
		key, err := t.PauseKey(c.req)
		if err != nil || key == "" {
			return pauseKey{}, noKey(err)
		}
		return pauseKey{key: bounded(key)}, nil
	}
	k := pauseKey{host: bounded(c.host)}
	if len(cs) > 0 {
		k.key = cs[0].Key
	}
	return k, nil
}

// backOff waits until the call may be tried again.
func (c *call) backOff(ctx context.Context) error {
	d := time.Until(c.notBefore)
	if c.notBefore.IsZero() || d <= 0 {
		return nil
	}
	c.tell(Event{Reason: ReasonBackoff, Key: c.host, Wait: d})
	return sleep(ctx, d+c.t.jitter(ctx, d))
}

// pause waits until no pause is in force.
func (c *call) pause(ctx context.Context) error {
	for {
		d, jitter := c.t.pauses.left(c.pauseKey, time.Now())
		if d <= 0 {
			return nil
		}
		c.tell(Event{Reason: ReasonPause, Key: c.pauseKey.String(), Wait: d})
		if jitter {
			d += c.t.jitter(ctx, d)
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// send makes an attempt. The tokens of a request that never got a connection are refunded.
func (c *call) send(cs []claim) (*http.Response, error) {
	var sought, wrote atomic.Bool
	ctx := httptrace.WithClientTrace(c.req.Context(), &httptrace.ClientTrace{
		GetConn:      func(string) { sought.Store(true) },
		WroteHeaders: func() { wrote.Store(true) },
	})
	req := c.req.WithContext(ctx)
	req.Body = c.body
	resp, err := c.t.base().RoundTrip(req)
	c.body = nil
	if err != nil {
		_, tells := c.t.base().(*http.Transport)
		if (tells || sought.Load()) && !wrote.Load() {
			asker{}.release(ctx, cs)
		}
		return nil, err
	}
	if resp == nil {
		return nil, fmt.Errorf("httplimit: %T returned neither a response nor an error", c.t.base())
	}
	if resp.Body == nil { // net/http's own transport never does that, but those of tests do
		resp.Body = http.NoBody
	}
	resp.Request = c.req
	c.t.settleLater(resp, cs)
	return resp, nil
}

// A waitError tells what a request waited for in vain.
type waitError struct {
	what string
	err  error
}

func (e *waitError) Error() string { return "httplimit: waiting for " + e.what + ": " + plain(e.err) }
func (e *waitError) Unwrap() error { return e.err }

// Timeout makes that of the *url.Error true with which an http.Client wraps it.
func (e *waitError) Timeout() bool { return errors.Is(e.err, context.DeadlineExceeded) }

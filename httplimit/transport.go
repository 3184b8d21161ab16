package httplimit

import (
	"context"
	"net/http"
	"time"
)

// A Transport is an http.RoundTripper that sends requests no faster than its limits and the server
// allow.
//
// A request waits, for as long as its context lasts, until no pause is in force for it and all
// limits have granted their tokens. It fails at once when that cannot be before the context's
// deadline, with an error that wraps tokenbucket.ErrDeadline and so context.DeadlineExceeded. A
// request that was not sent, because its context ended or there was no connection, has its tokens
// refunded. An error of a Limiter is the request's error.
//
// A pause is what a server asks for: by Retry-After in an error, or by RateLimit,
// X-RateLimit-Remaining or a similar field that says that nothing is left. It applies to all
// requests to the host with the same key; see PauseKey. Each request adds a random delay of up to a
// quarter of the pause, so that they do not come back all at once. A response that was not refused,
// with a RateLimit-Policy, does not pause requests but spaces them by that policy's rate. A server
// can do no more than that: nothing it says adds to a limit's tokens.
//
// The zero Transport has no limit of its own, obeys the server and does not retry. The fields must
// not be changed once it is in use, nor may it be copied then. It is safe for concurrent use, and
// its funcs must be too.
type Transport struct {
	// Base sends the requests; nil is http.DefaultTransport. Tokens of requests that were not sent
	// are refunded if it supports net/http/httptrace, as http.Transport does.
	Base http.RoundTripper

	// Limiter, if not nil, is asked for Cost tokens of Key before each attempt to send. The default
	// Key is the host: in lower case and in Punycode, without the scheme's own port and without a
	// final dot. The default Cost is 1.
	Limiter Limiter
	Key     KeyFunc
	Cost    func(*http.Request) int

	// Limits, if not nil, takes the place of Limiter, Key and Cost, for requests that are subject
	// to several limits; see the package documentation.
	Limits func(*http.Request) ([]Limit, error)

	// Settle, if not nil, corrects an estimated cost. It is called for each limit of each response,
	// those that are retried included, when the body has ended: read to the end, failed or closed.
	// It returns what the cost of l should have been, or l.Cost to leave it; the difference is
	// refunded or charged. A negative cost counts as 0. body is the end of what has been read of
	// the body, at most SettleBytes; it must not be changed or kept. Settle must be quick. All
	// limits must have a [Settler].
	Settle func(resp *http.Response, body []byte, l Limit) (cost int)

	// SettleBytes is how much of each body is kept for Settle; 0 is 64 KiB.
	SettleBytes int

	// MaxRetries is how often a request is sent again after a 429 or a 503. Before that it waits as
	// long as the server asks for, or else 1s, doubled each time up to 30s. Every attempt takes
	// tokens. When the request gives up, the last response is returned. If it gives up because the
	// next attempt could not be sent in time, that response has the first 64 KiB of its body, and
	// then io.ErrUnexpectedEOF if there was more.
	MaxRetries int

	// MaxRetryWait bounds the time from the first such response of a request to the last attempt; 0
	// is a minute. If the next attempt could only be later, the request gives up at once.
	MaxRetryWait time.Duration

	// Retryable reports whether a request may be sent more than once. nil allows methods that HTTP
	// defines as idempotent, and requests with an Idempotency-Key. A request whose body cannot be
	// replayed (http.Request.GetBody) is never retried.
	Retryable func(*http.Request) bool

	// PauseKey, if not nil, is what a server's pauses apply to: all requests with the same key
	// pause together. The default is the host together with the key of the first limit, so that
	// the pause of one account holds up no other.
	PauseKey KeyFunc

	// MaxPause bounds how long a server can pause requests; 0 is an hour.
	MaxPause time.Duration

	// Jitter returns random numbers in [0, 1), for the delays after a pause; nil is
	// math/rand/v2.Float64.
	Jitter func() float64

	// OnWait, if not nil, is called before each wait.
	OnWait func(Event)

	pauses   pauses
	counters transportCounters
}

const (
	defaultSettleBytes  = 64 << 10
	defaultMaxRetryWait = time.Minute
	defaultMaxPause     = time.Hour
)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := &call{t: t, req: req, ctx: req.Context(), host: hostOf(req.URL), body: req.Body}
	//nolint:staticcheck // Cancel is deprecated, but http.Client.Timeout still sets it
	if cancelled := req.Cancel; cancelled != nil {
		ctx, cancel := context.WithCancelCause(c.ctx)
		defer cancel(nil)
		c.ctx = ctx
		go func() {
			select {
			case <-cancelled:
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

func (t *Transport) maxPause() time.Duration { return orDefault(t.MaxPause, defaultMaxPause) }

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func (t *Transport) source() source {
	s := source{
		name:    "default",
		limiter: t.Limiter,
		key:     t.Key,
		cost:    t.Cost,
		limits:  t.Limits,
		settles: t.Settle != nil,
	}
	if t.Key == nil {
		s.key = func(r *http.Request) (string, error) { return hostOf(r.URL), nil }
	}
	return s
}

package httplimit

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/go-tokenbucket/tokenbucket"
)

// Handler returns a handler that lets next serve the requests that the Policy allows. It is a middleware as routers expect
// it, func(http.Handler) http.Handler, and starts no goroutine; next is given w itself.
//
// Responses, refused or not, tell about the limit in RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers). To a request that is too many the answer is 429 with Retry-After, unless waiting
// would never help.
func (p *Policy) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("httplimit: Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := p.decide(r)
		p.describe(w.Header(), d)
		if d.serve {
			next.ServeHTTP(w, r)
			return
		}
		p.refuse(w, r, d.refusal())
	})
}

// A Refusal tells why a request is not served.
type Refusal struct {
	// Status is the status code to answer with: 429 for a request that is too many, 400 for one that has no key or a
	// negative cost, 499 for one that its client gave up before it was decided, 503 for one whose deadline passed
	// before that and where a limiter failed and [WithOnError] chose not to serve.
	Status int

	// Policy is the name of the limit that refused.
	Policy string

	// Result is what that limit said.
	Result tokenbucket.Result

	// Err is the reason, if it is not the limit. It is not for the client's eyes: it may name hosts.
	Err error
}

func (d *decision) refusal() Refusal {
	switch {
	case d.refused >= 0:
		c := &d.claims[d.refused]
		return Refusal{Status: http.StatusTooManyRequests, Policy: c.Name, Result: c.result}
	case requestsFault(d.err):
		return Refusal{Status: http.StatusBadRequest, Err: d.err}
	case errors.As(d.err, new(*endedError)) && errors.Is(d.err, context.Canceled):
		return Refusal{Status: statusClientClosed, Err: d.err}
	}
	return Refusal{Status: http.StatusServiceUnavailable, Err: d.err}
}

// statusClientClosed is nginx's status for its log; HTTP has none. Nobody but a client that has closed only its own half
// of the connection ever reads it.
const statusClientClosed = 499

// title returns the text of the status.
func (f Refusal) title() string {
	if f.Status == statusClientClosed {
		return "Client Closed Request"
	}
	return http.StatusText(f.Status)
}

// detail says in a sentence what the client can do.
func (f Refusal) detail() string {
	switch {
	case errors.Is(f.Err, ErrNoKey):
		return "The request does not tell who it comes from."
	case errors.Is(f.Err, ErrCost):
		return "The request does not tell how large it is."
	case errors.As(f.Err, new(*endedError)):
		return "The request ended before it was decided."
	case f.Status != http.StatusTooManyRequests:
		return "The service cannot tell at the moment whether the request is within its limit."
	}
	switch s := retrySeconds(f.Result); s {
	case 0:
		return "The request is larger than its limit can ever allow."
	case 1:
		return "Try again in 1 second."
	default:
		return "Try again in " + strconv.FormatInt(s, 10) + " seconds."
	}
}

package httplimit

import "net/http"

// Handler returns a handler that lets next serve the requests that the Policy allows. It is a
// middleware of the common form, func(http.Handler) http.Handler. It starts no goroutine, and next
// gets w itself. It panics if next is nil.
//
// Responses, refused or not, tell about the limit in RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers). A request that is too many is answered with 429, and with
// Retry-After unless waiting would never help.
func (p *Policy) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("httplimit: Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var room [1]demand // on the stack, and enough for a Policy of one limit
		d, ds := p.decide(r, room[:0])
		p.setFields(w.Header(), &d, ds)
		if d.Allowed {
			next.ServeHTTP(w, r)
			return
		}
		p.refuse(w, r, d.Refusal())
	})
}

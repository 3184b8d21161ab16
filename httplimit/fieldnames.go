package httplimit

import (
	"fmt"
	"net/http"
)

// FieldNames are the names of the header fields with which responses tell about limits. A field
// whose name is empty is left out. Retry-After is not among them: it is part of every refusal that
// waiting can help against.
type FieldNames struct {
	// RateLimitPolicy and RateLimit are lists of all limits that allowed the request, or of the
	// limit that refused it, as structured fields (draft-ietf-httpapi-ratelimit-headers). They are
	// added to the fields of the same name of a Policy further out.
	RateLimitPolicy string // "name";q=quota;w=window in seconds
	RateLimit       string // "name";r=whole tokens left;t=seconds to the next token

	// Limit, Remaining and Reset are about the limit that refused, or has the fewest tokens left.
	Limit     string // the burst
	Remaining string // the whole tokens left
	Reset     string // when the bucket will be full, in seconds since 1970, rounded up

	// Shadow is set with [WithShadow] for a request that would have been refused: the name of the
	// limit, or the status if it was not a limit.
	Shadow string
}

// draftNames returns the names that a Policy uses without an option.
func draftNames() FieldNames {
	return FieldNames{RateLimitPolicy: fieldPolicy, RateLimit: fieldState}
}

// The names of fields as they are in an http.Header.
const (
	fieldState  = "Ratelimit"
	fieldPolicy = "Ratelimit-Policy"
	fieldRetry  = "Retry-After"
)

// WithFieldNames chooses the header fields that tell about limits, and their names. Options that
// change them apply in order. It panics if a name cannot be that of a header field.
func WithFieldNames(names FieldNames) Option {
	for _, name := range []*string{&names.RateLimitPolicy, &names.RateLimit,
		&names.Limit, &names.Remaining, &names.Reset, &names.Shadow} {
		if *name != "" && !isToken(*name) {
			panic(fmt.Sprintf("httplimit: WithFieldNames: %q cannot be the name of a header field", *name))
		}
		*name = http.CanonicalHeaderKey(*name)
	}
	return func(p *Policy) { p.names, p.named = names, true }
}

// WithoutRateLimit leaves the fields RateLimit and RateLimit-Policy out of the responses.
func WithoutRateLimit() Option {
	return func(p *Policy) { p.names.RateLimitPolicy, p.names.RateLimit, p.named = "", "", true }
}

// WithXRateLimit adds the older fields X-RateLimit-Limit, X-RateLimit-Remaining and
// X-RateLimit-Reset to the responses; see [FieldNames].
func WithXRateLimit() Option {
	return func(p *Policy) {
		p.names.Limit = "X-Ratelimit-Limit"
		p.names.Remaining = "X-Ratelimit-Remaining"
		p.names.Reset = "X-Ratelimit-Reset"
		p.named = true
	}
}

package tokenbucket

import (
	"math"
	"time"
)

// Never is the duration reported for tokens that will never arrive: more than the burst, or at a
// rate of zero.
const Never time.Duration = math.MaxInt64

// Result is a decision with its figures. All of them are of one state of the bucket, so that they
// do not contradict each other.
type Result struct {
	// Allowed reports whether the tokens were taken.
	Allowed bool

	// Remaining is the number of whole tokens left after the decision. It is never negative, and 0
	// while others queue.
	Remaining int

	// RetryAfter is how long to wait until the same request can be granted, if nobody else takes
	// tokens until then. It is 0 if the request was allowed and [Never] if it can never be. Waiting
	// exactly this long is enough. While others queue, it is the time until the turn behind all of
	// them.
	RetryAfter time.Duration

	// ResetAfter is how long it takes until the bucket is full, if nobody takes tokens. It is 0 if
	// the bucket is full, and Never at a rate of zero.
	ResetAfter time.Duration

	// Limit is the limit that the decision was made under.
	Limit Limit
}

// result returns the figures of the decision about n tokens.
func (d *decision) result(n int, allowed bool) Result {
	if d.moment.IsZero() { // the zero Bucket
		res := Result{Allowed: allowed, ResetAfter: Never}
		if !allowed {
			res.RetryAfter = Never
		}
		return res
	}
	res := Result{
		Allowed:    allowed,
		Remaining:  d.moment.Remaining(),
		ResetAfter: until(d.moment.At(), d.shown, d.moment.FullAt()),
		Limit:      limitOf(d.moment.Limit()),
	}
	if !allowed {
		res.RetryAfter = until(d.moment.At(), d.shown, d.moment.Turn(uint64(n)))
	}
	return res
}

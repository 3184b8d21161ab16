package tokenbucket

import (
	"math"
	"time"
)

// Never is the RetryAfter, ResetAfter or Delay of what cannot come: more tokens than the burst, or tokens of a rate of
// zero.
const Never time.Duration = math.MaxInt64

// Result is a decision with its figures, all of one state of the bucket, so that they do not contradict each other.
type Result struct {
	// Allowed tells that the tokens were taken.
	Allowed bool

	// Remaining is the number of whole tokens left after the decision, never negative. Nothing is left for a caller
	// while others queue.
	Remaining int

	// RetryAfter is how long to wait until the same request can be granted, if nobody else takes tokens until then:
	// 0 if it was allowed, [Never] if it can't ever be. Waiting exactly this long is enough. While others queue it is
	// the time until the turn behind all of them.
	RetryAfter time.Duration

	// ResetAfter is how long it takes until the bucket is full, if nobody takes tokens: 0 if it is, Never at a rate of
	// zero.
	ResetAfter time.Duration

	// Limit is the limit that the decision was made under.
	Limit Limit
}

// A moment is the state of a bucket at one instant, after a decision.
type moment struct {
	p     *timeline
	t     int64
	v     uint64 // the level, with what all who queue are owed
	queue bool   // somebody queues: nothing is left for anybody else
	floor int64  // if somebody does, the last appointment's instant: nobody comes before it
}

// free returns the quanta that are there.
func (m moment) free() int64 { return int64(m.p.burst) + min(int64(m.p.refillAt(m.t)-m.v), 0) }

// retry returns the time until n tokens are there.
func (m moment) retry(n uint64) time.Duration {
	if n > m.p.burst>>m.p.frac {
		return Never
	}
	return between(m.t, m.turn(n))
}

// turn returns the first instant at which n <= burst tokens are there for one more, behind all who queue.
func (m moment) turn(n uint64) int64 {
	need := m.v + n<<m.p.frac
	at := m.p.when(need - min(need, m.p.burst))
	if m.queue {
		at = max(at, m.floor)
	}
	return at
}

func (m moment) result(n int, allowed bool) Result {
	if m.p == nil { // the zero Bucket
		return Result{Allowed: allowed, RetryAfter: retryNever(allowed), ResetAfter: Never}
	}
	res := Result{Allowed: allowed, Limit: m.p.limit}
	if m.p.span == 0 {
		res.Remaining = m.p.limit.Burst
		return res
	}
	if !m.queue {
		res.Remaining = int(max(m.free(), 0) >> m.p.frac)
	}
	if !allowed {
		res.RetryAfter = m.retry(uint64(n))
	}
	res.ResetAfter = m.p.until(m.t, m.v)
	return res
}

func retryNever(allowed bool) time.Duration {
	if allowed {
		return 0
	}
	return Never
}

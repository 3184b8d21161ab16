package engine

import "math"

// A Moment is the state of a bucket at one instant, after a decision. The zero Moment is that of a
// bucket that was never given a limit.
type Moment struct {
	p     *Timeline
	t     int64
	r     uint64 // the refill until t
	v     uint64 // the level, with what everybody in the queue is owed
	queue bool   // somebody is in the queue: nothing is left for anybody else
	floor int64  // with a queue: the last reservation's instant; a newcomer is not served before it
}

// NewMoment returns the state of a new bucket on p at the instant t.
func (p *Timeline) NewMoment(t int64) Moment { return Moment{p: p, t: t, r: p.refillAt(t), v: p.birth} }

// IsZero reports whether m is the zero Moment.
func (m Moment) IsZero() bool { return m.p == nil }

// At returns the instant of the moment.
func (m Moment) At() int64 { return m.t }

// Limit returns the limit in force.
func (m Moment) Limit() Limit { return m.p.limit }

// Remaining returns how many whole tokens are left for a newcomer.
func (m Moment) Remaining() int {
	switch {
	case m.p.Unlimited():
		return m.p.limit.Burst
	case m.queue:
		return 0
	}
	return int(m.p.tokens(m.r, max(m.r, m.v)))
}

// Tokens returns the balance in tokens. It is negative in debt, or if the queue is owed more than
// is there.
func (m Moment) Tokens() float64 {
	if m.p.Unlimited() {
		return float64(m.p.limit.Burst)
	}
	return math.Ldexp(float64(int64(m.p.burst)-int64(max(m.v, m.r)-m.r)), -int(m.p.frac))
}

// Turn returns the earliest instant at which a newcomer, queued last, could take n tokens. It
// returns Past if that instant is over, and Forever if n is more than the burst or the instant
// never comes.
func (m Moment) Turn(n uint64) int64 {
	switch {
	case m.p.Exceeds(n):
		return Forever
	case m.p.Unlimited():
		return Past
	}
	need := m.v + n<<m.p.frac
	at := m.p.when(need - min(need, m.p.burst))
	if m.queue {
		at = max(at, m.floor)
	}
	return at
}

// FullAt returns the instant at which the bucket is full, if nobody takes tokens until then.
func (m Moment) FullAt() int64 {
	if m.p.Unlimited() {
		return Past
	}
	return m.p.when(m.v)
}

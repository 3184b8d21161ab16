package httplimit

import (
	"math/rand/v2"
	"sync/atomic"
)

// Stats are the numbers of requests that a [Policy] has decided about since it was made. Each
// request counts once.
type Stats struct {
	Allowed      uint64 // served within the limits, or subject to none
	Refused      uint64 // too many: refused with 429
	Shadowed     uint64 // served because of WithShadow, and refused without it
	FailedOpen   uint64 // served without a decision, because a limiter failed or there was no key
	FailedClosed uint64 // refused for one of these reasons
	Ended        uint64 // not served: the request's own context had ended
}

// TransportStats are the numbers of a [Transport] since it was first used.
type TransportStats struct {
	Sent    uint64 // attempts that were sent, retries included
	Retried uint64 // attempts that were retries
	Refused uint64 // responses with status 429 or 503
	Paused  uint64 // waits for a pause that the server asked for
	Waited  uint64 // waits for a limit of the Transport
}

// An outcome is one of the counts in Stats.
type outcome int

const (
	allowed outcome = iota
	refused
	shadowed
	failedOpen
	failedClosed
	endedEarly
	outcomes
)

const counterShards = 8

// counters count outcomes. Several shards, chosen at random, keep processors from waiting for each
// other's cache lines.
type counters [counterShards]struct {
	n [outcomes]atomic.Uint64
	_ [128 - 8*outcomes]byte // two lines: processors prefetch lines in pairs
}

func (c *counters) add(o outcome) { c[rand.Uint32()%counterShards].n[o].Add(1) }

func (c *counters) sum(o outcome) (n uint64) {
	for i := range c {
		n += c[i].n[o].Load()
	}
	return n
}

// Stats returns the counts. They are not of one instant while requests are being decided.
func (p *Policy) Stats() Stats {
	c := &p.counters
	return Stats{
		Allowed:      c.sum(allowed),
		Refused:      c.sum(refused),
		Shadowed:     c.sum(shadowed),
		FailedOpen:   c.sum(failedOpen),
		FailedClosed: c.sum(failedClosed),
		Ended:        c.sum(endedEarly),
	}
}

// transportCounters are the counts of a Transport. A request to a server costs so much more than a
// contended addition that they need no shards.
type transportCounters struct {
	sent, retried, refused, paused, waited atomic.Uint64
}

// Stats returns the counts. They are not of one instant while requests are being sent.
func (t *Transport) Stats() TransportStats {
	c := &t.counters
	return TransportStats{
		Sent:    c.sent.Load(),
		Retried: c.retried.Load(),
		Refused: c.refused.Load(),
		Paused:  c.paused.Load(),
		Waited:  c.waited.Load(),
	}
}

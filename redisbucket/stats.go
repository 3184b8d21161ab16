package redisbucket

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// Stats are figures of a [Limiter] since it was made.
type Stats struct {
	RoundTrips uint64 // calls to a server
	Failures   uint64 // of them, those without a decision
	Shared     uint64 // decisions that went along in a call for others
	Fallbacks  uint64 // answers of the Fallback, errors included

	LeaseCalls   uint64 // calls for leases that were granted tokens
	LeasedTokens uint64 // tokens that they were granted
	LapsedTokens uint64 // of them, those that were not served in time

	Nodes []NodeStats // the servers that were asked, sorted by name
}

// NodeStats is what a [Limiter] knows of one server.
type NodeStats struct {
	Node     string        // host:port, or "" where the client has one server or does not say
	Failures int           // calls in a row without a decision
	Open     bool          // the breaker is open: the server is not asked
	Retry    time.Duration // in how long it is asked again, if the breaker is open
}

// counters are the figures that are counted as they happen.
type counters struct {
	roundTrips, failures, shared, fallbacks atomic.Uint64
	leaseCalls, leasedTokens, lapsedTokens  atomic.Uint64
}

// Stats returns the limiter's figures. They are read one after the other while calls go on, so they
// may differ by the calls of that moment.
func (l *Limiter) Stats() Stats {
	c := &l.count
	return Stats{
		RoundTrips: c.roundTrips.Load(), Failures: c.failures.Load(), Shared: c.shared.Load(),
		Fallbacks: c.fallbacks.Load(), LeaseCalls: c.leaseCalls.Load(),
		LeasedTokens: c.leasedTokens.Load(), LapsedTokens: c.lapsedTokens.Load(),
		Nodes: l.nodes.stats(),
	}
}

func (n *nodes) stats() (all []NodeStats) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for name, b := range n.all {
		s := b.stats()
		s.Node = name
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b NodeStats) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

func (b *breaker) stats() NodeStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.row >= b.failures
	s := NodeStats{Failures: b.row, Open: open}
	if open {
		s.Retry = max(time.Until(b.until), 0)
	}
	return s
}

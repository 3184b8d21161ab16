package tokenbucket

import (
	"sync"
	"sync/atomic"
)

const (
	overflowBuckets = 64
	overflowTiers   = 16
)

// An overflow holds the buckets that keys share which found no room.
type overflow struct {
	limit *atomic.Pointer[timeline] // the limit of all keys; then there is but one tier. nil if each has its own
	mu    sync.Mutex                // guards changes of tiers
	tiers atomic.Pointer[[]*tier]
}

// A tier is the overflow buckets of the keys of one limit.
type tier struct {
	limit   Limit
	rate    float64 // tokens a second: what Rate.TokensPerSecond takes half a microsecond to tell
	buckets *[overflowBuckets]Bucket
}

// find returns the tier for keys of limit l, or nil if it does not exist yet. Where there is no room for another, keys
// share the one of the strictest rate.
func (o *overflow) find(l Limit) *tier {
	tiers := o.tiers.Load()
	switch {
	case tiers == nil:
		return nil
	case o.limit != nil:
		return (*tiers)[0]
	}
	var strictest *tier
	for _, x := range *tiers {
		if x.limit == l {
			return x
		}
		if strictest == nil || x.rate < strictest.rate {
			strictest = x
		}
	}
	if len(*tiers) < overflowTiers {
		return nil
	}
	return strictest
}

// bucket returns the bucket that a key of the hash h and the limit l shares.
func (o *overflow) bucket(h uint64, l Limit, src source, q queue) *Bucket {
	x := o.find(l)
	if x == nil {
		x = o.add(l, src, q)
	}
	return &x.buckets[h%overflowBuckets]
}

func (o *overflow) add(l Limit, src source, q queue) *tier {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.find(l); x != nil {
		return x
	}
	p := newTimeline(l, 0)
	if o.limit != nil {
		p = o.limit.Load() // by now it may be another; SetLimit changes it before it takes the lock
	}
	x := &tier{limit: p.limit, rate: p.limit.Rate.TokensPerSecond(), buckets: new([overflowBuckets]Bucket)}
	for i := range x.buckets {
		x.buckets[i].init(p, src, q)
	}
	var tiers []*tier
	if old := o.tiers.Load(); old != nil {
		tiers = append(tiers, *old...)
	}
	tiers = append(tiers, x)
	o.tiers.Store(&tiers)
	return x
}

// setLimit gives all overflow buckets the limit l, where there is a single tier.
func (o *overflow) setLimit(l Limit) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.tiers.Load()
	if old == nil {
		return
	}
	x := &tier{limit: l, rate: l.Rate.TokensPerSecond(), buckets: (*old)[0].buckets}
	for i := range x.buckets {
		x.buckets[i].SetLimit(l)
	}
	o.tiers.Store(&[]*tier{x})
}

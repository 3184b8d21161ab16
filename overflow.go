package tokenbucket

import (
	"sync"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

const (
	overflowBuckets = 64 // of each limit
	overflowTiers   = 16 // different limits, unless more have waiters
)

// An overflow holds the buckets that keys share which found no room.
//
// The keys of one limit share the buckets of one tier. If there are more limits than tiers, a new
// limit takes over the tier that was not asked for the longest. Its buckets keep the tokens that
// they have, so changing the limit of a bucket to and fro mints nothing.
type overflow struct {
	limit *atomic.Pointer[engine.Timeline] // the limit of all keys, which share one tier; nil if each has its own
	mu    sync.Mutex                       // guards changes of tiers
	tiers atomic.Pointer[[]*tier]
	age   atomic.Uint64 // grows with every new tier
}

// A tier is the overflow buckets of the keys of one limit.
type tier struct {
	limit   engine.Limit
	used    atomic.Uint64 // the overflow's age when the tier was last asked for
	buckets *[overflowBuckets]Bucket
}

// find returns the bucket that a key of the hash h and the limit l shares, or nil if there is none
// yet.
func (o *overflow) find(h uint64, l engine.Limit) *Bucket {
	tiers := o.tiers.Load()
	if tiers == nil {
		return nil
	}
	if o.limit != nil {
		return &(*tiers)[0].buckets[h%overflowBuckets]
	}
	for _, x := range *tiers {
		if x.limit == l {
			if age := o.age.Load(); x.used.Load() != age {
				x.used.Store(age)
			}
			return x.bucket(h)
		}
	}
	return nil
}

// bucket returns a bucket of the tier. One that was taken over from another limit gets the tier's
// limit now.
func (x *tier) bucket(h uint64) *Bucket {
	b := &x.buckets[h%overflowBuckets]
	if b.cell.Load().Timeline.Limit() != x.limit {
		b.SetLimit(limitOf(x.limit))
	}
	return b
}

// bucket returns the bucket that a key of the hash h and the timeline p shares.
func (o *overflow) bucket(h uint64, p *engine.Timeline, src source, maxWaiters int) *Bucket {
	for {
		if b := o.find(h, p.Limit()); b != nil {
			return b
		}
		o.add(p, src, maxWaiters)
	}
}

// add makes a tier for the limit of p, unless there is one.
func (o *overflow) add(p *engine.Timeline, src source, maxWaiters int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.limit != nil {
		p = o.limit.Load() // SetLimit changes it before it takes the lock
	}
	var tiers []*tier
	if old := o.tiers.Load(); old != nil {
		tiers = append(tiers, *old...)
	}
	for _, x := range tiers {
		if x.limit == p.Limit() || o.limit != nil {
			return
		}
	}
	x := &tier{limit: p.Limit()}
	x.used.Store(o.age.Add(1))
	if i := o.idlest(tiers); len(tiers) >= overflowTiers && i >= 0 {
		x.buckets = tiers[i].buckets
		tiers[i] = x
	} else {
		x.buckets = newOverflowBuckets(p, src, maxWaiters)
		tiers = append(tiers, x)
	}
	o.tiers.Store(&tiers)
}

func newOverflowBuckets(p *engine.Timeline, src source, maxWaiters int) *[overflowBuckets]Bucket {
	buckets := new([overflowBuckets]Bucket)
	for i := range buckets {
		buckets[i].init(p, src, maxWaiters)
	}
	return buckets
}

// idlest returns the index of the tier that was not asked for the longest, of those without
// waiters, or -1.
func (o *overflow) idlest(tiers []*tier) int {
	least := -1
	for i, x := range tiers {
		if (least < 0 || x.used.Load() < tiers[least].used.Load()) && !x.hasQueue() {
			least = i
		}
	}
	return least
}

// hasQueue reports whether somebody queues at a bucket of the tier.
func (x *tier) hasQueue() bool {
	for i := range x.buckets {
		if x.buckets[i].cell.Load().Word.Load() >= engine.Queued && x.buckets[i].Waiting() > 0 {
			return true
		}
	}
	return false
}

// setLimit gives all overflow buckets the limit l, where all keys share one tier.
func (o *overflow) setLimit(l Limit) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.tiers.Load()
	if old == nil {
		return
	}
	buckets := (*old)[0].buckets
	for i := range buckets {
		buckets[i].SetLimit(l)
	}
	o.tiers.Store(&[]*tier{{limit: l.plain(), buckets: buckets}})
}

// startLevel returns the level with which a key of the hash h begins that leaves the overflow for a
// bucket of its own on the timeline p: that of the bucket which it shared, so that moving brings no
// second burst.
func (o *overflow) startLevel(h uint64, p *engine.Timeline, src *source) uint64 {
	if o.tiers.Load() == nil {
		return p.Birth()
	}
	b := o.find(h, p.Limit())
	if b == nil {
		return p.Birth()
	}
	c := b.cell.Load()
	w, t := c.Word.Load(), src.now()
	if w == engine.Sealed { // its limit is being changed; the cell that replaces it has the same balance
		return o.startLevel(h, p, src)
	}
	return max(p.Birth(), p.Adopt(c.Timeline, w&^engine.Queued, t))
}

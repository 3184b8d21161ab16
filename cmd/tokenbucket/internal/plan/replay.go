package plan

import (
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// virtualClock is a clock that stands at the instant of the replay. Buckets may read it from
// goroutines of their own.
type virtualClock struct{ ns atomic.Int64 }

func (v *virtualClock) Now() time.Time { return time.Unix(0, v.ns.Load()) }

// After returns a channel on which nothing comes: nobody waits in a replay.
func (v *virtualClock) After(time.Duration) <-chan time.Time { return nil }

// replay sends requests through buckets of the library and collects what is reported. Make it with
// newReplay.
//
// Its memory is bounded: the events that are being sorted, a record for each of at most maxKeys
// keys, and the buckets of others.
type replay struct {
	limit   tokenbucket.Limit
	scale   scale
	clock   virtualClock
	buckets *tokenbucket.Keyed[keyHash] // of the followed keys
	chart   *chart                      // nil if none is drawn

	hash     hasher
	maxKeys  int
	keys     map[keyHash]*followed
	others   others
	rest     followed // the keys of others, together
	assumed  int64    // requests of rest that are counted as allowed because others had no room
	steepest steepest

	sorted      reorder
	spread      *spreader // nil if times are taken as they are
	seq         int64     // events added
	newest      int64     // the latest time of those
	outOfOrder  int64     // how many were earlier than the one before
	late        int64     // how many came too late to be sorted
	placed      int64     // ns, of the latest event placed
	fraction    bool      // some time is not a whole second
	first, last int64     // ns, of those replayed
	zone        *time.Location
}

func newReplay(l tokenbucket.Limit, s scale, maxKeys int) *replay {
	r := &replay{limit: l, scale: s, hash: newHasher(), maxKeys: maxKeys, keys: map[keyHash]*followed{}, steepest: newSteepest()}
	r.others = others{limit: l, clock: &r.clock, max: maxOthers, buckets: map[keyHash]*tokenbucket.Bucket{}}
	return r
}

// add takes a request.
func (r *replay) add(req request) {
	if r.zone == nil {
		r.zone = req.zone
	}
	if req.ns < r.newest {
		r.outOfOrder++
	}
	r.newest = max(r.newest, req.ns)
	r.fraction = r.fraction || req.ns%int64(time.Second) != 0
	r.seq++
	h := r.hash.of(req.key)
	e := event{t: req.ns, seq: r.seq, hash: h, key: r.keys[h]}
	if e.key == nil && len(r.keys) < r.maxKeys {
		e.key = newFollowed(req.key)
		r.keys[h] = e.key
	}
	if e, full := r.sorted.push(e); full {
		r.place(e)
	}
}

// finish replays the events that are still being sorted.
func (r *replay) finish() {
	for e, ok := r.sorted.pop(); ok; e, ok = r.sorted.pop() {
		r.place(e)
	}
	if r.spread != nil {
		r.spread.flush(r.decide)
	}
}

// place gives the next event in order its final time, and replays it.
func (r *replay) place(e event) {
	if e.t < r.placed { // too late to be sorted
		r.late++
		e.t = r.placed
	}
	r.placed = e.t
	if r.spread != nil {
		r.spread.add(e, r.decide)
	} else {
		r.decide(e)
	}
}

// decide replays an event, not before the one before.
func (r *replay) decide(e event) {
	if r.buckets == nil {
		r.first = e.t
		r.clock.ns.Store(e.t)
		r.buckets = tokenbucket.NewKeyed[keyHash](r.limit.Rate, r.limit.Burst, tokenbucket.WithClock(&r.clock))
	}
	r.last = e.t
	r.clock.ns.Store(e.t)
	if e.key == nil {
		r.decideOther(e)
		return
	}
	e.key.demand.add(r.scale, e.t)
	e.key.hull.add(&r.steepest, r.scale.burst, e.t)
	allowed := r.buckets.Allow(e.hash)
	e.key.count(allowed)
	if r.chart != nil {
		r.chart.add(e.t, allowed, r.buckets.Tokens(e.hash))
	}
}

// decideOther replays an event of a key that is not followed.
func (r *replay) decideOther(e event) {
	allowed, level := true, float64(r.limit.Burst-1)
	if b := r.others.bucket(e.hash); b != nil {
		allowed = b.Allow()
		level = b.Tokens()
	} else {
		r.assumed++ // a key without a bucket is new, or its bucket was full
	}
	r.rest.count(allowed)
	if r.chart != nil {
		r.chart.add(e.t, allowed, level)
	}
}

func (k *followed) count(allowed bool) {
	if allowed {
		k.allowed++
	} else {
		k.denied++
	}
}

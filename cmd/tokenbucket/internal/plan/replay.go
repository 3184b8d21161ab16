package plan

import (
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// virtual is a clock that stands where the replay is. The buckets may look at it from a goroutine of their own.
type virtual struct{ ns atomic.Int64 }

func (v *virtual) Now() time.Time { return time.Unix(0, v.ns.Load()) }

// After is for those who wait, and in a replay nobody does.
func (v *virtual) After(time.Duration) <-chan time.Time { return nil }

// keyed is what is known of one key.
type keyed struct {
	name            string
	allowed, denied int64
	demand          demand
	hull            hull
}

func (k *keyed) requests() int64 { return k.allowed + k.denied }

// replay sends requests through buckets of the library, and keeps what is to be reported. Make it with newReplay.
//
// Its memory is the events that are being sorted, and a record for each key, up to maxKeys of them. Keys beyond that get
// their decisions, from buckets that are dropped when they are full; but they are only counted together, in others.
type replay struct {
	limit   tokenbucket.Limit
	scale   scale
	clock   virtual
	buckets *tokenbucket.Keyed[string]
	chart   *chart // nil if none is drawn

	maxKeys  int
	keys     map[string]*keyed
	others   keyed
	steepest steepest

	sorted      reorder
	seq         int64 // events added
	newest      int64 // the latest time of those
	outOfOrder  int64 // how many were before the one in front of them
	late        int64 // how many could not be sorted any more
	first, last int64 // ns, of those replayed
	zone        *time.Location
}

func newReplay(l tokenbucket.Limit, s scale, maxKeys int, draw bool) *replay {
	r := &replay{limit: l, scale: s, maxKeys: maxKeys, keys: map[string]*keyed{}, steepest: newSteepest()}
	if draw {
		r.chart = newChart(l)
	}
	return r
}

// add takes a request at ns of key, which is copied if it is kept.
func (r *replay) add(ns int64, key []byte) {
	if ns < r.newest {
		r.outOfOrder++
	}
	r.newest = max(r.newest, ns)
	r.seq++
	e := event{t: ns, seq: r.seq, key: r.keys[string(key)]}
	switch {
	case e.key != nil:
	case len(r.keys) < r.maxKeys:
		e.key = &keyed{name: string(key)}
		r.keys[e.key.name] = e.key
	default:
		e.name = string(key)
	}
	if e, full := r.sorted.push(e); full {
		r.decide(e)
	}
}

// finish replays what is still being sorted.
func (r *replay) finish() {
	for e, ok := r.sorted.pop(); ok; e, ok = r.sorted.pop() {
		r.decide(e)
	}
}

// decide replays the next request. One that is too late to be sorted is taken to come at the time where the replay is.
func (r *replay) decide(e event) {
	if r.buckets == nil {
		r.first, r.last = e.t, e.t
		r.clock.ns.Store(e.t)
		r.buckets = tokenbucket.NewKeyed[string](r.limit.Rate, r.limit.Burst, tokenbucket.WithClock(&r.clock))
	}
	if e.t < r.last {
		r.late++
		e.t = r.last
	}
	r.last = e.t
	r.clock.ns.Store(e.t)

	k, name := e.key, e.name
	if k != nil {
		name = k.name
		k.demand.add(r.scale, e.t)
		k.hull.add(&r.steepest, r.scale.burst, e.t)
	} else {
		k = &r.others
	}
	allowed := r.buckets.Allow(name)
	if allowed {
		k.allowed++
	} else {
		k.denied++
	}
	if r.chart != nil {
		r.chart.add(e.t, allowed, r.buckets.Tokens(name))
	}
}

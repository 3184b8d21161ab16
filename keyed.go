package tokenbucket

import (
	"context"
	"fmt"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// Keyed is a bucket for each key: a client, a host, a user. A key that has not been seen has a full bucket, and takes no
// memory.
//
// A bucket that is full cannot be told from a new one, so it is dropped: by other keys' arrival, when there is no room left
// in its part of the table; by [Keyed.Evict]; and by itself, once it has been full for a while. The memory of a key that
// is no longer used comes back within half a minute of its bucket being full, without any further call; with tens of
// millions of keys it can take some minutes, for this work is kept below a hundredth of one processor. There is no goroutine
// to stop: an abandoned Keyed is collected.
//
// With [WithMaxKeys], keys that come when that many are there share 64 overflow buckets (for each of up to 16 different
// limits), chosen by a hash with a random seed, until there is room. Keys that were there before keep their buckets, unless
// they are full and so make room. The memory is bounded, and a flood of invented keys gets no more, in all, than the
// overflow buckets grant and the keys that were free.
//
// Keys may be of any comparable type. A string is copied, so that a key cut out of a request does not keep the request in
// memory. A key that is not equal to itself (a floating-point NaN, or a struct or interface
// that holds one) could never be found again: all such keys share one overflow bucket. A key with a dynamic type that is
// not comparable panics.
//
// Create one with [NewKeyed] or [NewKeyedFunc]; the zero Keyed must not be used, nor may a Keyed be copied. All methods may
// be called by any number of goroutines at once. They do what those of [Bucket] do, to the bucket of key.
type Keyed[K comparable] struct {
	source     source
	table      table[K]
	maxKeys    int64
	dynamic    bool        // a key may hold a value that has no hash
	refusing   atomic.Bool // set for good by the first denial; see Bucket.refusing
	maxWaiters int         // that may queue for each key; -1: any number

	// Of a NewKeyed map the limit is limit; of a NewKeyedFunc map limitOf tells it, and gen counts the calls of Refresh.
	limit     atomic.Pointer[engine.Timeline]
	limitOf   func(K) Limit
	gen       atomic.Uint64
	timelines timelines
	changing  sync.Mutex // held while a change of limit visits the keys, so that the last one wins for all of them

	overflow overflow
	lines    [lineStripes]lines[K]
	sweeper  sweeper
}

// NewKeyed returns a Keyed whose buckets have all the same limit. It panics if burst is less than 1.
func NewKeyed[K comparable](rate Rate, burst int, opts ...KeyedOption) *Keyed[K] {
	l := Limit{Rate: rate, Burst: burst}
	mustBeValid("NewKeyed", l)
	k := newKeyed[K](opts)
	k.limit.Store(newTimeline(l))
	k.overflow.limit = &k.limit
	return k
}

// NewKeyedFunc returns a Keyed whose buckets have each the limit that limit returns for the key. It is called when a key
// is new, by any goroutine; what it returns is in force until the key is dropped for being idle, or [Keyed.Refresh]. It must
// be quick and must not use the Keyed. A burst of less than 1 panics where the limit is used.
func NewKeyedFunc[K comparable](limit func(key K) Limit, opts ...KeyedOption) *Keyed[K] {
	if limit == nil {
		panic("tokenbucket: NewKeyedFunc: the func is nil")
	}
	k := newKeyed[K](opts)
	k.limitOf = limit
	return k
}

func newKeyed[K comparable](opts []KeyedOption) *Keyed[K] {
	s := defaults()
	for _, o := range opts {
		o.apply(&s)
	}
	k := &Keyed[K]{source: newSource(s.clock), maxKeys: int64(s.maxKeys), dynamic: isDynamic[K]()}
	if s.maxKeys < 0 {
		k.maxKeys = math.MaxInt64
	}
	k.maxWaiters = s.maxWaiters
	k.table.init()
	return k
}

// Allow takes one token of key if there is one. See [Bucket.Allow].
func (k *Keyed[K]) Allow(key K) bool { return k.AllowN(key, 1) }

// AllowN takes n tokens of key or nothing. See [Bucket.AllowN].
func (k *Keyed[K]) AllowN(key K, n int) bool {
	// A short cut for keys that are found at a glance, and that nobody queues for: it saves a sixth of what decide takes.
	if !k.dynamic {
		if e := k.table.glance(k.table.hash(key), key); e != nil {
			if how := k.try(e, n); how <= engine.Granted {
				return how == engine.Granted
			}
		}
	}
	return k.allowSlow(key, n)
}

// try is the clock and the common case of source.take on the word of e, as in [Bucket.AllowN].
func (k *Keyed[K]) try(e *entry[K], n int) engine.Outcome {
	first := engine.Sealed
	if k.refusing.Load() {
		first = e.Word.Load()
	}
	var t int64
	if k.source.injected == nil {
		t = int64(time.Since(k.source.epoch))
	} else {
		t = k.source.injected.now()
	}
	refill, need := e.Timeline.Ask(t, n)
	return e.Timeline.Grant(&e.Word, first, refill, need)
}

// allowSlow is AllowN for every case.
func (k *Keyed[K]) allowSlow(key K, n int) bool {
	mustCount("AllowN", n)
	if n == 0 {
		return true
	}
	var d decision
	k.take(key, engine.Want{Least: uint64(n), Most: uint64(n)}, &d)
	if d.outcome != engine.Granted && !k.refusing.Load() {
		k.refusing.Store(true)
	}
	return d.outcome == engine.Granted
}

// Take takes n tokens of key or nothing, and tells all it knows. See [Bucket.Take].
func (k *Keyed[K]) Take(key K, n int) Result {
	mustCount("Take", n)
	var d decision
	k.take(key, engine.Want{Least: uint64(n), Most: uint64(n), Exact: true}, &d)
	return d.result(n, d.outcome == engine.Granted || n == 0)
}

// TakeAvailable takes n tokens of key, or as many as there are. See [Bucket.TakeAvailable].
func (k *Keyed[K]) TakeAvailable(key K, n int) int {
	mustCount("TakeAvailable", n)
	var d decision
	k.take(key, engine.Want{Most: uint64(n)}, &d)
	return int(d.took)
}

// take is cell.take on the cell of key. It looks the key up before it reads the clock, and again, with a new reading,
// whenever the cell has been evicted meanwhile: a bucket that begins full at a stale instant would be richer than the one
// that was dropped.
func (k *Keyed[K]) take(key K, want engine.Want, d *decision) {
	h := k.hash(key)
	if e := k.table.get(h, key); e != nil {
		if k.source.take(&e.Cell, want, d); d.final(want) {
			return
		}
	}
	k.takeSlow(h, key, want, d)
}

// takeSlow is take for a key that is new, that is waited for or that has to share.
func (k *Keyed[K]) takeSlow(h uint64, key K, want engine.Want, d *decision) {
	for {
		e, b := k.entry(h, key)
		if b != nil {
			b.take(want, d)
			return
		}
		k.source.take(&e.Cell, want, d)
		switch {
		case d.final(want):
			return
		case d.outcome != engine.Dead:
			b := k.open(h, key, e)
			defer b.exit()
			b.take(want, d)
			return
		}
	}
}

// Wait takes one token of key, as soon as it is its turn. See [Bucket.WaitN].
func (k *Keyed[K]) Wait(ctx context.Context, key K) error { return k.WaitN(ctx, key, 1) }

// WaitN takes n tokens of key, as soon as it is its turn. Each key has a queue of its own. See [Bucket.WaitN].
func (k *Keyed[K]) WaitN(ctx context.Context, key K, n int) error {
	mustCount("WaitN", n)
	if ctx.Err() != nil {
		return ended(ctx, n, 0)
	}
	if n == 0 {
		return nil
	}
	h := k.hash(key)
	if k.takeNow(h, key, uint64(n)) {
		return nil
	}
	b, exit := k.bucket(h, key)
	defer exit()
	return b.WaitN(ctx, n)
}

// Reserve makes an appointment for one token of key. See [Bucket.ReserveN].
func (k *Keyed[K]) Reserve(key K) (*Reservation, error) { return k.ReserveN(key, 1) }

// ReserveN makes an appointment for n tokens of key. See [Bucket.ReserveN].
func (k *Keyed[K]) ReserveN(key K, n int) (*Reservation, error) {
	mustCount("ReserveN", n)
	h := k.hash(key)
	if k.takeNow(h, key, uint64(n)) {
		return &Reservation{}, nil
	}
	b, exit := k.bucket(h, key)
	defer exit()
	return b.ReserveN(n)
}

// takeNow takes n tokens of a key that is there if they are, and nobody queues.
func (k *Keyed[K]) takeNow(h uint64, key K, n uint64) bool {
	e := k.table.get(h, key)
	if e == nil {
		return false
	}
	return k.source.grant(&e.Cell, n)
}

// Refund puts back n tokens of key. See [Bucket.Refund].
func (k *Keyed[K]) Refund(key K, n int) {
	mustCount("Refund", n)
	h := k.hash(key)
	if e := k.table.get(h, key); e != nil && k.source.move(&e.Cell, refund, uint64(n)) == engine.Granted {
		return
	}
	if k.bornFull(k.source.now()) {
		k.peek(h, key, func(b *Bucket) { b.Refund(n) })
		return
	}
	b, exit := k.bucket(h, key)
	defer exit()
	b.Refund(n)
}

// Charge takes n tokens of key, into debt if need be. See [Bucket.Charge].
func (k *Keyed[K]) Charge(key K, n int) {
	mustCount("Charge", n)
	h := k.hash(key)
	if e := k.table.get(h, key); e != nil && k.source.move(&e.Cell, charge, uint64(n)) == engine.Granted {
		return
	}
	b, exit := k.bucket(h, key)
	defer exit()
	b.Charge(n)
}

// Tokens returns how many tokens key has, less what those who queue for it are owed. See [Bucket.Tokens].
func (k *Keyed[K]) Tokens(key K) float64 {
	h := k.hash(key)
	if e := k.table.get(h, key); e != nil {
		if m, how := k.source.look(&e.Cell); how == engine.Granted {
			return m.Tokens()
		}
	}
	tokens := math.NaN()
	k.peek(h, key, func(b *Bucket) { tokens = b.Tokens() })
	if math.IsNaN(tokens) {
		p, _ := k.timeline(key)
		return p.NewMoment(k.source.now()).Tokens()
	}
	return tokens
}

// Waiting returns how many goroutines wait for tokens of key.
func (k *Keyed[K]) Waiting(key K) (n int) {
	k.peek(k.hash(key), key, func(b *Bucket) { n = b.Waiting() })
	return n
}

// Limit returns the limit of key: the one in force, or the one that it would get if it came now.
func (k *Keyed[K]) Limit(key K) Limit {
	if e := k.table.get(k.hash(key), key); e != nil {
		return limitOf(e.Timeline.Limit())
	}
	p, _ := k.timeline(key)
	return limitOf(p.Limit())
}

// Len returns how many keys have a bucket of their own now. Those that are full and not yet dropped count.
func (k *Keyed[K]) Len() int { return int(k.table.count.Load()) }

// Delete forgets key: it has a full bucket from now on, whatever it had taken. Those who wait for it keep their places and
// are served from that.
func (k *Keyed[K]) Delete(key K) {
	h := k.hash(key)
	for {
		s := k.table.lock(h)
		e, g, slot := s.find(h, key)
		if e == nil {
			s.mu.Unlock()
			return
		}
		if w := e.Word.Load(); w >= engine.Queued {
			s.mu.Unlock()
			b := k.open(h, key, e)
			defer b.exit()
			b.reset()
			return
		} else if t := k.source.now(); !k.bornFull(t) { // a new bucket might be poorer than this one
			if e.Word.CompareAndSwap(w, e.Timeline.FullLevel(t)) {
				s.mu.Unlock()
				return
			}
		} else if e.Word.CompareAndSwap(w, engine.Sealed) {
			s.remove(h, g, slot)
			k.table.count.Add(-1)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// All returns an iterator over the keys that have a bucket of their own, in no order, with the tokens that each has. Other
// goroutines may go on using the Keyed: a key that is there all the time is seen once, one that comes or goes meanwhile
// perhaps.
func (k *Keyed[K]) All() iter.Seq2[K, float64] {
	return func(yield func(K, float64) bool) {
		var keys []K
		k.table.walk(func(s *segment[K], from uint64) bool {
			keys = keys[:0]
			s.entries(func(e *entry[K], _ *group[K], _ int) {
				if k.table.hash(e.key) >= from {
					keys = append(keys, e.key)
				}
			})
			s.mu.Unlock()
			for _, key := range keys {
				if !yield(key, k.Tokens(key)) {
					return false
				}
			}
			return true
		})
	}
}

// SetLimit changes the limit of all keys, as [Bucket.SetLimit] does for each: tokens stay and waiters are given a new time.
// It visits every key, so the new limit is in force for all when it returns. A key that is not there counts as one that was
// full, and so begins with the burst of before, if that was less. SetLimit panics for a map of [NewKeyedFunc].
func (k *Keyed[K]) SetLimit(l Limit) {
	mustBeValid("SetLimit", l)
	if k.limitOf != nil {
		panic("tokenbucket: SetLimit: the limits come from the func given to NewKeyedFunc; call Refresh")
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	p := k.limit.Load().After(l.plain(), k.source.now())
	k.limit.Store(p)
	k.overflow.setLimit(l)
	k.each(func(h uint64, key K) { k.setLimit(h, key, p) })
}

// Refresh asks the func given to NewKeyedFunc for the limit of every key again, and puts it in force as
// [Bucket.SetLimit] does. Those who wait in an overflow bucket go on waiting by the limit that they came with. Of a map of
// [NewKeyed] it changes nothing.
func (k *Keyed[K]) Refresh() {
	if k.limitOf == nil {
		return
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	k.gen.Add(1)
	k.each(func(h uint64, key K) {
		p, _ := k.timeline(key)
		k.setLimit(h, key, p)
	})
}

// each calls f for all keys, with no lock held.
func (k *Keyed[K]) each(f func(h uint64, key K)) {
	var keys []K
	k.table.walk(func(s *segment[K], _ uint64) bool {
		keys = keys[:0]
		s.entries(func(e *entry[K], _ *group[K], _ int) { keys = append(keys, e.key) })
		s.mu.Unlock()
		for _, key := range keys {
			f(k.table.hash(key), key)
		}
		return true
	})
}

// timeline returns the timeline of a new key, and the generation that it belongs to.
func (k *Keyed[K]) timeline(key K) (*engine.Timeline, uint64) {
	if k.limitOf == nil {
		return k.limit.Load(), 0
	}
	gen := k.gen.Load()
	l := k.limitOf(key)
	if l.Validate() != nil {
		panic(fmt.Sprintf("tokenbucket: NewKeyedFunc: the burst for key %v is %d, want 1 to math.MaxInt", key, l.Burst))
	}
	return k.timelines.of(l), gen
}

package tokenbucket

import (
	"context"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
	"github.com/go-tokenbucket/tokenbucket/internal/hashtable"
)

// A Keyed has a bucket for each key: a client, a host, a user. A key that has not been seen has a full
// bucket, and takes no memory.
//
// A bucket that is full cannot be told from a new one, so it is evicted: by the arrival of other keys,
// when there is no room left in its part of the table; by [Keyed.Evict]; and by itself, once it has
// been full for a while. The memory of a key that is no longer used comes back within half a minute of
// its bucket being full, without any further call. With tens of millions of keys it can take some
// minutes, because this work is kept below a hundredth of one processor. A Keyed has no goroutine and
// nothing to close: one that is no longer used is collected.
//
// With [WithMaxKeys], keys that come when that many are there share 64 overflow buckets (for each of up
// to 16 different limits), chosen by a hash with a random seed, until there is room. Keys that were
// there before keep their buckets, unless they are full and so make room. A key that gets a bucket of
// its own later begins with what the bucket that it shared has. The memory is bounded, and a flood of
// invented keys gets no more, in all, than the overflow buckets grant and the keys that were free.
//
// Keys may be of any comparable type. They are held by value, so the garbage collector has no pointer
// a key to follow unless the type has one. A string is copied, so that a key cut out of a request does
// not keep the request in memory. A key that is not equal to itself (a floating-point NaN, or a struct
// or interface that holds one) could never be found again: all such keys share one overflow bucket. A
// key with a dynamic type that is not comparable panics.
//
// Create one with [NewKeyed] or [NewKeyedFunc]. The zero Keyed must not be used: its methods panic. A
// Keyed must not be copied. All methods are safe for concurrent use. They do what those of [Bucket] do,
// to the bucket of key.
type Keyed[K comparable] struct {
	source     source
	table      hashtable.Table[K, engine.Timeline]
	maxKeys    int64
	dynamic    bool        // a key may hold a value that has no hash
	refusing   atomic.Bool // set by the first denial; see Bucket.refusing
	maxWaiters int         // that may queue for each key; -1: any number

	// Of a NewKeyed map the limit is limit; of a NewKeyedFunc map limitOf tells it, and gen counts
	// the calls of Refresh.
	limit     atomic.Pointer[engine.Timeline]
	limitOf   func(K) Limit
	gen       atomic.Uint64
	timelines timelines
	changing  sync.Mutex // held while a change of limit visits the keys: the last one wins for all

	overflow overflow
	stripes  [lineStripes]stripe[K]
	sweeper  sweeper
}

// NewKeyed returns a Keyed whose buckets all have the same limit. It panics if burst is less than
// 1.
func NewKeyed[K comparable](rate Rate, burst int, opts ...KeyedOption) *Keyed[K] {
	l := Limit{Rate: rate, Burst: burst}
	mustBeValid("NewKeyed", l)
	k := newKeyed[K](opts)
	k.limit.Store(newTimeline(l))
	k.overflow.limit = &k.limit
	return k
}

// NewKeyedFunc returns a Keyed whose buckets have each the limit that limit returns for the key. It
// is called when a key is new, by any goroutine; what it returns is in force until the key is
// dropped for being idle, or [Keyed.Refresh]. It must be quick and must not use the Keyed. A burst
// of less than 1 panics where the limit is used.
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
	k.table.Init()
	return k
}

// Allow takes one token of key if there is one. See [Bucket.Allow].
func (k *Keyed[K]) Allow(key K) bool { return k.AllowN(key, 1) }

// AllowN takes n tokens of key or nothing. See [Bucket.AllowN].
func (k *Keyed[K]) AllowN(key K, n int) bool {
	if k.dynamic {
		return k.allowSlow(key, n)
	}
	word, p := k.table.Find(k.table.Hash(key), key)
	if word == nil {
		return k.allowSlow(key, n)
	}
	// This is the clock and the common case of source.take, inlined as in Bucket.AllowN.
	first := engine.Sealed
	if k.refusing.Load() {
		first = word.Load()
	}
	var t int64
	if k.source.injected == nil {
		t = int64(time.Since(k.source.epoch))
	} else {
		t = k.source.injected.now()
	}
	refill, need := p.Ask(t, n)
	if how := p.Grant(word, first, refill, need); how <= engine.Granted {
		return how == engine.Granted
	}
	return k.allowSlow(key, n)
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

// Take takes n tokens of key or nothing, and returns the figures of the decision. See [Bucket.Take].
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

// take is source.take on the word of key. It looks the key up before it reads the clock, and again,
// with a new reading, whenever the word has been sealed meanwhile: a bucket that begins full at a
// stale instant would be richer than the one that was evicted.
func (k *Keyed[K]) take(key K, want engine.Want, d *decision) {
	h := k.hash(key)
	if word, p := k.table.Find(h, key); word != nil {
		if k.source.take(p, word, want, d); d.final(want) {
			return
		}
	}
	k.takeSlow(h, key, want, d)
}

// takeSlow is take for a key that is new, that is waited for or that has to share.
func (k *Keyed[K]) takeSlow(h uint64, key K, want engine.Want, d *decision) {
	for {
		word, p, b := k.entry(h, key)
		if b != nil {
			if b.take(want, d); k.mayShare(h, key, b, d) {
				return
			}
			continue
		}
		if k.source.take(p, word, want, d); d.final(want) || d.outcome != engine.Dead && k.takeInLine(h, key, want, d) {
			return
		}
	}
}

// mayShare reports whether the decision d, by the overflow bucket b, can stand. If key has got a bucket
// of its own meanwhile, it cannot: that bucket began with the same tokens. Then they are put back.
func (k *Keyed[K]) mayShare(h uint64, key K, b *Bucket, d *decision) bool {
	if d.took == 0 || key != key {
		return true
	}
	if word, _ := k.find(h, key); word == nil {
		return true
	}
	b.Refund(int(d.took))
	return false
}

// takeInLine is take by the line of key. It reports whether key has a bucket of its own.
func (k *Keyed[K]) takeInLine(h uint64, key K, want engine.Want, d *decision) bool {
	b := k.open(h, key)
	if b == nil {
		return false
	}
	defer k.leave(h, b)
	b.take(want, d)
	return true
}

// Wait takes one token of key as soon as it is its turn. See [Bucket.WaitN].
func (k *Keyed[K]) Wait(ctx context.Context, key K) error { return k.WaitN(ctx, key, 1) }

// WaitN takes n tokens of key as soon as it is its turn. Each key has a queue of its own. See
// [Bucket.WaitN].
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
	b, leave := k.bucket(h, key)
	defer leave()
	return b.WaitN(ctx, n)
}

// Reserve reserves one token of key. See [Bucket.ReserveN].
func (k *Keyed[K]) Reserve(key K) (*Reservation, error) { return k.ReserveN(key, 1) }

// ReserveN reserves n tokens of key. See [Bucket.ReserveN].
func (k *Keyed[K]) ReserveN(key K, n int) (*Reservation, error) {
	mustCount("ReserveN", n)
	h := k.hash(key)
	if k.takeNow(h, key, uint64(n)) {
		return &Reservation{}, nil
	}
	b, leave := k.bucket(h, key)
	defer leave()
	return b.ReserveN(n)
}

// takeNow takes n tokens of a key that is there if they are, and nobody queues.
func (k *Keyed[K]) takeNow(h uint64, key K, n uint64) bool {
	word, p := k.table.Find(h, key)
	return word != nil && k.source.grant(p, word, n)
}

// moveNow puts n tokens back or charges them, if key is there and nobody queues.
func (k *Keyed[K]) moveNow(h uint64, key K, m move, n int) bool {
	word, p := k.table.Find(h, key)
	return word != nil && k.source.move(p, word, m, uint64(n)) == engine.Granted
}

// Refund puts back n tokens of key. See [Bucket.Refund].
func (k *Keyed[K]) Refund(key K, n int) {
	mustCount("Refund", n)
	h := k.hash(key)
	if k.moveNow(h, key, refund, n) {
		return
	}
	if k.bornFull(k.source.now()) {
		k.peek(h, key, func(b *Bucket) { b.Refund(n) })
		return
	}
	b, leave := k.bucket(h, key)
	defer leave()
	b.Refund(n)
}

// Charge takes n tokens of key, into debt if need be. See [Bucket.Charge].
func (k *Keyed[K]) Charge(key K, n int) {
	mustCount("Charge", n)
	h := k.hash(key)
	if k.moveNow(h, key, charge, n) {
		return
	}
	b, leave := k.bucket(h, key)
	defer leave()
	b.Charge(n)
}

// Tokens returns how many tokens key has, less what those who queue for it are owed. See
// [Bucket.Tokens].
func (k *Keyed[K]) Tokens(key K) float64 {
	h := k.hash(key)
	if word, p := k.table.Find(h, key); word != nil {
		if m, how := k.source.look(p, word); how == engine.Granted {
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
	_, p := k.table.Find(k.hash(key), key)
	if p == nil {
		p, _ = k.timeline(key)
	}
	return limitOf(p.Limit())
}

// Len returns how many keys have a bucket of their own now. Those that are full and not yet dropped
// count.
func (k *Keyed[K]) Len() int { return k.table.Len() }

// Delete forgets key: it has a full bucket from now on, whatever it had taken. Those who wait for
// it keep their places and are served from that.
func (k *Keyed[K]) Delete(key K) {
	h := k.hash(key)
	if k.remove(h, key) {
		return
	}
	if b := k.open(h, key); b != nil {
		defer k.leave(h, b)
		b.reset()
	}
}

// remove removes key from the table, or makes its bucket full, and reports whether it did so or key
// was not there. It does not if somebody queues for key.
func (k *Keyed[K]) remove(h uint64, key K) bool {
	g := k.table.Lock(h)
	defer g.Unlock()
	at, ok := g.Find(h, key)
	for ok {
		w, t := at.Word().Load(), k.source.now()
		if w >= engine.Queued {
			return false
		}
		if k.bornFull(t) {
			ok = !g.Remove(at, w)
		} else { // a new bucket might be poorer than this one
			ok = !at.Word().CompareAndSwap(w, g.Kind(at).FullLevel(t))
		}
	}
	return true
}

// All returns an iterator over the keys that have a bucket of their own, in no order, with the
// tokens that each has. Other goroutines may go on using the Keyed: a key that is there all the
// time is seen once, one that comes or goes meanwhile perhaps.
func (k *Keyed[K]) All() iter.Seq2[K, float64] {
	k.mustBeMade()
	return func(yield func(K, float64) bool) {
		var keys []K
		k.table.Walk(func(g *guard[K]) bool {
			keys = keysOf(g, keys[:0])
			for _, key := range keys {
				if !yield(key, k.Tokens(key)) {
					return false
				}
			}
			return true
		})
	}
}

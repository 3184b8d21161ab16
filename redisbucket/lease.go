package redisbucket

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A lease is what this process holds of a key: prepaid tokens, what it knows about the bucket at the server, and the one
// request that may be on its way there.
//
// Tokens are in batches, each of which lapses on its own. The first is in cur, where anybody takes from it by compare-and-swap.
// Whoever changes cur holds the lock.
type lease struct {
	cur atomic.Pointer[batch] // never nil

	mu     sync.Mutex
	next   *batch        // came while there were still tokens in cur; nil if there is none
	flight chan struct{} // closed when the request is done; nil if there is none
	queued int64         // tokens that callers wait for while it is on its way
	known  snapshot
	demand float64       // tokens taken lately: each counts less and less, e^-1 after a quarter of the lease
	asked  time.Duration // when the server was last asked, and demand was up to date
	held   int64         // tokens that were held when it had answered
	lapsed *atomic.Uint64
}

// A batch is prepaid tokens, all debited at the server before until less the length of a lease.
type batch struct {
	until time.Duration // they lapse then
	low   int64         // when so few are left, more are fetched
	more  atomic.Bool   // somebody has seen to that
	left  atomic.Int64
}

// take takes n tokens or none. It is the whole cost of most decisions.
func (b *batch) take(n int64, now time.Duration) bool {
	for now < b.until {
		left := b.left.Load()
		if left < n {
			return false
		}
		if b.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
	return false
}

// some takes n tokens, or as many as there are.
func (b *batch) some(n int64, now time.Duration) int64 {
	for now < b.until {
		left := b.left.Load()
		n := min(n, left)
		if b.left.CompareAndSwap(left, left-n) {
			return n
		}
	}
	return 0
}

// usable returns how many tokens there are.
func (b *batch) usable(now time.Duration) int64 {
	if b == nil || now >= b.until {
		return 0
	}
	return b.left.Load()
}

// A snapshot is what the server said of a bucket. It decided at some instant between sent and got.
type snapshot struct {
	scale     *scale // what it was counted by; it tells nothing about another limit
	sent, got time.Duration
	missing   int64 // units
}

// since returns how many units are missing after the refill since the instant t.
func (k *snapshot) since(s *scale, t, now time.Duration) int64 {
	passed := (now - t).Microseconds()
	if s.a > 0 && passed >= k.missing/s.a {
		return 0
	}
	return k.missing - s.a*passed
}

// denies reports whether the server can't have n tokens yet, unless somebody put some back. Where they never come, that is
// asked again once in a lease.
func (k *snapshot) denies(s *scale, n int64, now, ttl time.Duration) bool {
	if k.scale != s || s.a == 0 && now-k.sent > ttl {
		return false
	}
	return k.since(s, k.sent, now+time.Microsecond)+n*s.b > s.cap
}

// turn returns how long it takes at least until the server has n tokens; 0 if that is not known.
func (e *lease) turn(s *scale, n int64, now time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known.scale != s {
		return 0
	}
	return s.until(e.known.since(s, e.known.sent, now) + n*s.b - s.cap)
}

// A portion is tokens that were taken out of batches and may be put back: of cur, of next, and of
// one that has just come.
type portion struct {
	from  [3]*batch
	count [3]int64
}

func (p *portion) total() int64 { return p.count[0] + p.count[1] + p.count[2] }

// lapse drops what has lapsed, and returns how many tokens that was.
func (p *portion) lapse(now time.Duration) (n int64) {
	for i, b := range p.from {
		if b != nil && now >= b.until {
			n += p.count[i]
			p.count[i] = 0
		}
	}
	return n
}

// withdraw takes up to n tokens of what is held. The caller must hold mu.
func (e *lease) withdraw(n int64, now time.Duration) (p portion) {
	p.from = [3]*batch{e.cur.Load(), e.next}
	for i, b := range p.from {
		if b != nil {
			p.count[i] = b.some(n-p.total(), now)
		}
	}
	if cur := e.cur.Load(); cur.usable(now) == 0 && e.next != nil {
		e.retire(cur)
		e.cur.Store(e.next)
		e.next = nil
	}
	return p
}

// putBack puts back what has not lapsed. The caller must hold mu.
func (e *lease) putBack(p portion, now time.Duration) {
	for i, b := range p.from {
		switch {
		case p.count[i] == 0:
		case b == e.cur.Load() || b == e.next:
			b.left.Add(p.count[i])
		default:
			e.add(newBatch(p.count[i], b.until), now)
		}
	}
}

// retire counts what lapses with a batch that is dropped because nothing of it can be used.
func (e *lease) retire(b *batch) {
	if b != nil {
		e.lapsed.Add(uint64(b.left.Swap(0)))
	}
}

func newBatch(n int64, until time.Duration) *batch {
	b := &batch{until: until, low: n / 2}
	b.left.Store(n)
	return b
}

// add makes b part of what is held. The caller must hold mu.
func (e *lease) add(b *batch, now time.Duration) {
	cur := e.cur.Load()
	switch {
	case b.usable(now) == 0:
		e.retire(b)
	case cur.usable(now) == 0:
		e.cur.Store(b)
		e.retire(cur)
	case e.next.usable(now) == 0:
		e.retire(e.next)
		e.next = b
	default: // all tokens of a batch lapse together, so with those that lapse first
		e.next = newBatch(b.left.Load()+e.next.left.Load(), min(b.until, e.next.until))
	}
}

// usable returns how many tokens are held. The caller must hold mu.
func (e *lease) usable(now time.Duration) int64 {
	return e.cur.Load().usable(now) + e.next.usable(now)
}

// want returns how many tokens to ask for, when need are needed now. The caller must hold mu.
func (e *lease) want(s *scale, need int64, now, ttl time.Duration) int64 {
	fade := math.Exp(-4 * float64(now-e.asked) / float64(ttl))
	e.demand = e.demand*fade + float64(max(e.held-e.usable(now), 0)+need)
	e.asked = now
	return max(need, min(int64(e.demand)+e.queued, s.batch)) // rounded down: a key seldom asked for gets nothing to lapse
}

// forget drops what is known of the bucket, after it was changed otherwise than by taking.
func (e *lease) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known = snapshot{}
}

// drop drops the tokens, too.
func (e *lease) drop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known = snapshot{}
	e.cur.Store(new(batch))
	e.next = nil
}

// idle reports whether nothing is lost if the lease is forgotten.
func (e *lease) idle(now, ttl time.Duration) bool {
	if !e.mu.TryLock() {
		return false
	}
	defer e.mu.Unlock()
	if now-e.asked <= ttl || e.flight != nil || e.usable(now) > 0 {
		return false
	}
	e.retire(e.cur.Load())
	e.retire(e.next)
	return true
}

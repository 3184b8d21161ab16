package tokenbucket

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Bucket holds up to burst tokens and is refilled at a steady rate. Whoever wants to do something takes a token first.
//
// In every window of time of length T a Bucket grants at most burst + rate*(T + 1ns) tokens by its decisions, and at most
// burst + rate*(T + 10ms) counting those who waited; see the package documentation for all it promises.
//
// Create one with [New]. The zero Bucket has no tokens and denies everything until [Bucket.SetLimit] gives it a limit. A
// Bucket must not be copied after first use. All its methods may be called by any number of goroutines at once. It has no
// goroutine of its own and needs no Close.
//
// Counts of tokens n are in [0, math.MaxInt]; a negative n panics. With n == 0 every method succeeds at once and takes
// nothing.
type Bucket struct {
	// The first cache line is what every decision reads and hardly anybody writes. No other bucket's word shares a line with
	// this one's, because a Bucket fills four of them: else two goroutines with a bucket each cost each other 15 to 70 ns a
	// decision.
	cell   atomic.Pointer[cell] // nil in the zero Bucket; replaced, its predecessor sealed, under mu
	source source               // fixed once cell is not nil

	// refusing is set for good by the first denial. Until then a decision that takes a token skips the load with which
	// a denial is proved, which costs 4 ns right after a compare-and-swap on the same word.
	refusing atomic.Bool

	first cell // what cell points to until the limit is changed
	home  home // of a Keyed's bucket; otherwise nil
	mu    sync.Mutex
	queue queue // guarded by mu
	_     [48]byte
}

// New returns a full Bucket. It panics if burst is less than 1.
func New(rate Rate, burst int, opts ...Option) *Bucket {
	l := Limit{Rate: rate, Burst: burst}
	mustBeValid("New", l)
	s := defaults()
	for _, o := range opts {
		o.apply(&s)
	}
	b := new(Bucket)
	b.init(newTimeline(l, 0), newSource(s.clock), s.queue())
	return b
}

// init makes b a new bucket on the timeline p, with an empty queue like q.
func (b *Bucket) init(p *timeline, s source, q queue) {
	b.source, b.queue = s, q
	b.first.p = p
	b.first.word.Store(p.birth)
	b.cell.Store(&b.first)
}

func mustBeValid(where string, l Limit) {
	if err := l.Validate(); err != nil {
		panic(fmt.Sprintf("tokenbucket: %s: burst is %d, want 1 to math.MaxInt", where, l.Burst))
	}
}

func mustCount(where string, n int) {
	if n < 0 {
		panic(fmt.Sprintf("tokenbucket: %s: n is %d, want 0 or more", where, n))
	}
}

// Allow takes one token if there is one, and tells whether it did.
func (b *Bucket) Allow() bool { return b.AllowN(1) }

// AllowN takes n tokens if there are as many, and tells whether it did. It takes all or nothing.
func (b *Bucket) AllowN(n int) bool {
	c := b.cell.Load()
	if c == nil {
		return b.decide(n)
	}
	// This is cell.try and source.now, written out: the calls would cost 1 ns of 32.
	first := sealed
	if b.refusing.Load() {
		first = c.word.Load()
	}
	var t int64
	if b.source.clock == nil {
		t = int64(time.Since(b.source.epoch))
	} else {
		t = b.source.injected()
	}
	p := c.p
	if d := uint64(t - p.base); d < p.span && uint64(n)-1 < p.burst>>(p.frac&63) {
		r := p.refill(d)
		for w := c.word.Load(); w < queued; w = c.word.Load() {
			v := max(w, r) + uint64(n)<<(p.frac&63)
			if v > r+p.burst {
				if w == first {
					return false
				}
				break
			}
			if c.word.CompareAndSwap(w, v) {
				return true
			}
		}
	}
	return b.decide(n)
}

// decide is AllowN without its short cut.
func (b *Bucket) decide(n int) bool {
	mustCount("AllowN", n)
	if n == 0 {
		return true
	}
	_, _, how := b.take(uint64(n), uint64(n), false)
	if how != granted && !b.refusing.Load() {
		b.refusing.Store(true)
	}
	return how == granted
}

// Take is AllowN that tells all it knows: the decision, what is left, and how long to wait.
func (b *Bucket) Take(n int) Result {
	mustCount("Take", n)
	_, m, how := b.take(uint64(n), uint64(n), true)
	return m.result(n, how == granted || n == 0)
}

// TakeAvailable takes n tokens, or as many as there are if they are fewer, and returns how many it took.
func (b *Bucket) TakeAvailable(n int) int {
	mustCount("TakeAvailable", n)
	took, _, _ := b.take(0, uint64(n), false)
	return int(took)
}

// take is [cell.take] on the bucket's cell, whatever state it is in. With figures, the moment is always that of the
// decision; without, it may be missing from a denial.
func (b *Bucket) take(least, most uint64, figures bool) (uint64, moment, outcome) {
	for {
		c := b.cell.Load()
		if c == nil {
			return 0, moment{}, denied
		}
		n, m, how := c.take(&b.source, least, most, figures)
		switch {
		case how == granted, how == denied, how == dry && !figures:
			return n, m, how
		case how != dead:
			h := b.hold()
			n, m, how := h.take(least, most)
			h.release()
			return n, m, how
		}
		b.mend()
	}
}

// mend waits until whoever replaces the cell has done so, and serves those in the queue who are due.
func (b *Bucket) mend() {
	h := b.hold()
	h.release()
}

// Refund puts back n tokens that were taken and not used, at most as many as the bucket has room for. Those who wait move
// forward at once.
func (b *Bucket) Refund(n int) {
	mustCount("Refund", n)
	b.add(uint64(n), false)
}

// Charge takes n tokens whether they are there or not. The bucket may go into debt, which is to be refilled before anybody
// is granted a token; those who wait are delayed by it. What can be remembered of a debt is bounded: by 50 years of refill at
// the least, at rates of up to 10^9 a second, and always by more than the burst.
func (b *Bucket) Charge(n int) {
	mustCount("Charge", n)
	b.add(uint64(n), true)
}

func (b *Bucket) add(n uint64, charge bool) {
	for n > 0 {
		c := b.cell.Load()
		if c == nil {
			return
		}
		switch c.add(&b.source, n, charge) {
		case granted:
			return
		case dead:
			b.mend()
		default:
			h := b.hold()
			h.add(n, charge)
			h.release()
			return
		}
	}
}

// Tokens returns how many tokens there are, less what those who queue are owed: it is negative if they are owed more, or
// if the bucket is in debt.
func (b *Bucket) Tokens() float64 {
	for {
		c := b.cell.Load()
		if c == nil {
			return 0
		}
		m, how := c.look(&b.source)
		switch how {
		case granted:
			return m.tokens()
		case dead:
			b.mend()
		default:
			h := b.hold()
			m, owed := moment{p: h.p, t: h.t, v: max(h.v, h.r)}, h.queue.owed
			h.release()
			return m.tokens() - float64(owed)
		}
	}
}

func (m moment) tokens() float64 {
	if m.p.span == 0 {
		return float64(m.p.limit.Burst)
	}
	return math.Ldexp(float64(m.free()), -int(m.p.frac))
}

// Limit returns the limit in force; the zero Limit for the zero Bucket.
func (b *Bucket) Limit() Limit {
	if c := b.cell.Load(); c != nil {
		return c.p.limit
	}
	return Limit{}
}

// SetLimit changes the limit. The tokens that are there stay, as far as the new burst has room for them, and so does a
// debt; everybody who waits is given a new time, at once. It panics if the burst is less than 1.
//
// A bucket without limit ([Inf]) counts as full. One that waits for more tokens than the new burst fails with
// [ErrExceedsBurst].
func (b *Bucket) SetLimit(l Limit) {
	mustBeValid("SetLimit", l)
	h := b.hold()
	h.setLimit(l)
	h.release()
}

// Waiting returns how many goroutines are in a Wait of this bucket. Reservations do not count.
func (b *Bucket) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.waiters
}

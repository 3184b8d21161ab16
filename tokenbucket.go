package tokenbucket

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A Bucket holds up to burst tokens and is refilled at a steady rate. A caller takes a token
// before it does what is limited.
//
// In every window of time of length T, the decisions of a Bucket grant at most burst + rate*(T +
// 1ns) tokens. Counting those who waited, it is at most burst + rate*(T + 10ms). The package
// documentation lists all that a Bucket promises.
//
// Create one with [New]. The zero Bucket has no tokens and denies everything until
// [Bucket.SetLimit] gives it a limit. A Bucket must not be copied after first use. All methods are
// safe for concurrent use. A Bucket has no goroutine and nothing to close: one that is no longer
// used is collected.
//
// Counts of tokens n are in [0, math.MaxInt]; a negative n panics. With n == 0 every method
// succeeds at once and takes nothing.
type Bucket struct {
	// The first cache line is what every decision reads and hardly anybody writes. A Bucket fills
	// four lines, so no other bucket's word shares a line with this one's. Otherwise two
	// goroutines with a bucket each would cost each other 15 to 70 ns a decision.
	cell   atomic.Pointer[engine.Cell] // nil in the zero Bucket; replaced, its predecessor sealed, under mu
	source source                      // fixed once cell is not nil

	// refusing is set by the first denial and never cleared. Until then a decision that takes a
	// token skips the load that proves a denial, which costs 4 ns right after a compare-and-swap
	// on the same word.
	refusing atomic.Bool

	first engine.Cell // what cell points to until the limit is changed
	room  waitingRoom
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
	b.init(newTimeline(l), newSource(s.clock), s.maxWaiters)
	return b
}

// init makes b a new bucket on the timeline p. At most maxWaiters may queue; -1 stands for any
// number.
func (b *Bucket) init(p *engine.Timeline, s source, maxWaiters int) {
	b.source, b.room.maxWaiters = s, maxWaiters
	b.first.Timeline = p
	b.first.Word.Store(p.Birth())
	b.cell.Store(&b.first)
}

func mustBeValid(where string, l Limit) {
	if err := l.Validate(); err != nil {
		panic(fmt.Sprintf("tokenbucket: %s: burst is %d, want 1 to math.MaxInt", where, l.Burst))
	}
}

// mustCount panics if n is negative.
func mustCount(where string, n int) {
	if n < 0 {
		panicCount(where, n)
	}
}

func panicCount(where string, n int) {
	panic(fmt.Sprintf("tokenbucket: %s: n is %d, want 0 or more", where, n))
}

// Allow takes one token if there is one, and reports whether it did.
func (b *Bucket) Allow() bool { return b.AllowN(1) }

// AllowN takes n tokens if there are that many, and reports whether it did. It takes all or
// nothing.
func (b *Bucket) AllowN(n int) bool {
	c := b.cell.Load()
	if c == nil {
		return b.allowSlow(n)
	}
	// This is the clock and the common case of source.take, inlined. The calls would cost 1 ns of
	// 32.
	first := engine.Sealed
	if b.refusing.Load() {
		first = c.Word.Load()
	}
	var t int64
	if b.source.injected == nil {
		t = int64(time.Since(b.source.epoch))
	} else {
		t = b.source.injected.now()
	}
	refill, need := c.Timeline.Ask(t, n)
	if how := c.Timeline.Grant(&c.Word, first, refill, need); how <= engine.Granted {
		return how == engine.Granted
	}
	return b.allowSlow(n)
}

// allowSlow is AllowN for every case.
func (b *Bucket) allowSlow(n int) bool {
	mustCount("AllowN", n)
	if n == 0 {
		return true
	}
	var d decision
	b.take(engine.Want{Least: uint64(n), Most: uint64(n)}, &d)
	if d.outcome != engine.Granted && !b.refusing.Load() {
		b.refusing.Store(true)
	}
	return d.outcome == engine.Granted
}

// Take is AllowN that returns the figures of the decision: what is left, and how long to wait.
func (b *Bucket) Take(n int) Result {
	mustCount("Take", n)
	var d decision
	b.take(engine.Want{Least: uint64(n), Most: uint64(n), Exact: true}, &d)
	return d.result(n, d.outcome == engine.Granted || n == 0)
}

// TakeAvailable takes n tokens, or as many as there are if they are fewer, and returns how many it
// took.
func (b *Bucket) TakeAvailable(n int) int {
	mustCount("TakeAvailable", n)
	var d decision
	b.take(engine.Want{Most: uint64(n)}, &d)
	return int(d.took)
}

// take takes tokens within want, whatever state the bucket is in. A zero Bucket leaves the zero d,
// which is a denial.
func (b *Bucket) take(want engine.Want, d *decision) {
	for {
		c := b.cell.Load()
		if c == nil {
			return
		}
		b.source.take(c.Timeline, &c.Word, want, d)
		switch {
		case d.final(want):
			return
		case d.outcome == engine.Dead:
			b.awaitCell()
		default:
			b.takeLocked(want, d)
			return
		}
	}
}

// takeLocked is take with the lock, when the word alone can't decide.
func (b *Bucket) takeLocked(want engine.Want, d *decision) {
	h := b.hold()
	defer h.release()
	d.shown = h.shown
	d.took, d.moment, d.outcome = h.Take(want)
}

// awaitCell waits until the goroutine that replaces the cell has done so, and serves whoever is
// due.
func (b *Bucket) awaitCell() {
	h := b.hold()
	h.release()
}

// Refund puts back n tokens that were taken and not used, at most as many as the bucket has room
// for. Those who wait move forward at once.
func (b *Bucket) Refund(n int) {
	mustCount("Refund", n)
	b.move(refund, uint64(n))
}

// Charge takes n tokens whether they are there or not. The bucket may go into debt, which has to be
// refilled before anybody is granted a token. Those who wait are delayed by it.
//
// A debt is bounded: by 50 years of refill or more at rates of up to 10^9 a second, and always by
// more than the burst. What exceeds the bound is forgotten.
func (b *Bucket) Charge(n int) {
	mustCount("Charge", n)
	b.move(charge, uint64(n))
}

func (b *Bucket) move(m move, n uint64) {
	for n > 0 {
		c := b.cell.Load()
		if c == nil {
			return
		}
		switch b.source.move(c.Timeline, &c.Word, m, n) {
		case engine.Granted:
			return
		case engine.Dead:
			b.awaitCell()
		default:
			h := b.hold()
			defer h.release()
			if m == charge {
				h.Charge(n)
			} else {
				h.Refund(n)
			}
			return
		}
	}
}

// Tokens returns how many tokens there are, less what those who queue are owed. It is negative if
// they are owed more than there is, or if the bucket is in debt.
func (b *Bucket) Tokens() float64 {
	for {
		c := b.cell.Load()
		if c == nil {
			return 0
		}
		m, how := b.source.look(c.Timeline, &c.Word)
		switch how {
		case engine.Granted:
			return m.Tokens()
		case engine.Dead:
			b.awaitCell()
		default:
			h := b.hold()
			defer h.release()
			return h.Balance().Tokens() - float64(b.room.queue.Owed())
		}
	}
}

// Limit returns the limit in force. It is the zero Limit for the zero Bucket.
func (b *Bucket) Limit() Limit {
	if c := b.cell.Load(); c != nil {
		return limitOf(c.Timeline.Limit())
	}
	return Limit{}
}

// SetLimit changes the limit. The tokens that are there stay, as far as the new burst has room for
// them, and so does a debt. Everybody who waits is given a new time, at once. SetLimit panics if
// the burst is less than 1.
//
// A bucket without a limit ([Inf]) counts as full. A wait for more tokens than the new burst fails
// with [ErrExceedsBurst].
func (b *Bucket) SetLimit(l Limit) {
	mustBeValid("SetLimit", l)
	h := b.hold()
	defer h.release()
	h.SetLimit(l.plain())
}

// Waiting returns how many goroutines are in a Wait of this bucket. Reservations do not count.
func (b *Bucket) Waiting() int {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	return b.room.queue.Waiters()
}

// String returns the limit, like "10/s burst 20".
func (b *Bucket) String() string { return b.Limit().String() }

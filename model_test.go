package tokenbucket_test

import (
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// This file is the bucket in exact rational numbers, written from the design alone and without a look at the code it
// judges. Tokens are big.Rats, instants are whole nanoseconds since the bucket was made.
//
// The implementation counts in quanta of 2^-f tokens, so near a boundary both answers can be right. What it may have
// handed out is therefore an interval: an answer that every value in it agrees on is demanded, any other is adopted,
// and then narrows the interval. Rounding is one-sided while the limit stays: the integers are floors, and
// floor(x+k) = floor(x)+k for whole tokens k, so a token is never late; it may be early by less than a quantum.

// spec is a limit whose rate the model knows as a fraction: num tokens every per nanoseconds.
type spec struct {
	limit    tokenbucket.Limit
	num, per int64
	inf      bool
}

type verdict int

const (
	no verdict = iota
	yes
	maybe
)

// credit says whether what was lost because the queue was served late may still be used by a Wait, now that nobody queues.
type credit int

const (
	noCredit    credit = iota
	maybeCredit        // the documents leave it open
	sureCredit
)

// slack is how late a waiter may be served without a loss.
const slack = 10 * time.Millisecond

// century is what the timeline is laid out for.
const century = 36525 * 24 * time.Hour

type interval struct{ lo, hi *big.Rat }

func rat(n int64) *big.Rat         { return new(big.Rat).SetInt64(n) }
func add(a, b *big.Rat) *big.Rat   { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat   { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat   { return new(big.Rat).Mul(a, b) }
func less(a, b *big.Rat) bool      { return a.Cmp(b) < 0 }
func later(a, b *big.Rat) *big.Rat { return pick(less(a, b), b, a) }
func lower(a, b *big.Rat) *big.Rat { return pick(less(a, b), a, b) }

func pick(first bool, a, b *big.Rat) *big.Rat {
	if first {
		return a
	}
	return b
}

func (i interval) plus(n int) interval {
	return interval{add(i.lo, rat(int64(n))), add(i.hi, rat(int64(n)))}
}

// above is the interval raised to at least x.
func (i interval) above(x *big.Rat) interval { return interval{later(i.lo, x), later(i.hi, x)} }

func floor(x *big.Rat) *big.Int { return new(big.Int).Div(x.Num(), x.Denom()) }

func ceil(x *big.Rat) *big.Int {
	n := new(big.Int).Neg(x.Num())
	return n.Neg(n.Div(n, x.Denom()))
}

// whole is x within [0, MaxInt64].
func whole(x *big.Int) int64 {
	if x.Sign() < 0 {
		return 0
	}
	if !x.IsInt64() {
		return math.MaxInt64
	}
	return x.Int64()
}

// node is a place in the queue: a waiter, or an appointment not to be kept before at. What is told is whole nanoseconds;
// the bucket may know it more finely, so the time meant is after at-1 and not after at.
type node struct {
	n     int
	appt  bool
	at    int64
	since int64    // not before this was it granted,
	taken int64    // nor after this; an appointment is granted at its own time, however late it is settled
	fails bool     // it was dropped, asking for more than the new burst
	wait  *pending // of a waiter
	book  *booking // of an appointment
}

type model struct {
	spec
	r, b    *big.Rat // tokens a nanosecond, burst
	q       *big.Rat // the quantum, in tokens
	aligned bool     // a nanosecond's refill is a dyadic number, so the multiplier is exact
	base    int64    // when this limit came into force
	now     int64
	shown   int64 // what the clock shows; now is the latest instant that it has reached
	v       interval
	credit  credit
	queue   []*node
	max     int // most nodes in the queue
}

func newModel(s spec, maxNodes int) *model {
	m := &model{max: maxNodes}
	m.adopt(s)
	m.v = interval{new(big.Rat), new(big.Rat)}
	return m
}

// adopt lays out a new timeline from now.
func (m *model) adopt(s spec) {
	m.spec = s
	m.b = rat(int64(s.limit.Burst))
	m.r = big.NewRat(s.num, s.per)
	m.q = quantum(s)
	m.base = m.now
	d := mul(m.r, new(big.Rat).Inv(m.q)).Denom()
	m.aligned = new(big.Int).And(d, new(big.Int).Sub(d, big.NewInt(1))).Sign() == 0
}

// quantum is 2^-f tokens, for the largest f with rate*2^f*100 years <= 2^62 and burst*2^f <= 2^61, and f >= 0.
func quantum(s spec) *big.Rat {
	q := rat(1)
	if s.inf {
		return q
	}
	issue := mul(big.NewRat(s.num, s.per), rat(int64(century)))
	half := big.NewRat(1, 2)
	for range 61 {
		next := mul(q, half)
		if less(mul(next, rat(1<<62)), issue) || less(mul(next, rat(1<<61)), rat(int64(s.limit.Burst))) {
			break
		}
		q = next
	}
	return q
}

func (m *model) step(to int64) { m.shown, m.now = to, max(to, m.now) }

func (m *model) refill(t int64) *big.Rat {
	if m.inf || t <= m.base {
		return new(big.Rat)
	}
	return mul(m.r, sub(rat(t), rat(m.base)))
}

func (m *model) slack() *big.Rat { return mul(m.r, rat(int64(slack))) }

// eps is how far the rounded-up multiplier has run ahead of the true rate: 2^-62 of what was issued.
func (m *model) eps() *big.Rat {
	if m.aligned {
		return new(big.Rat)
	}
	return mul(m.refill(m.now), big.NewRat(1, 1<<62))
}

// early is the deficit that rounding can hide.
func (m *model) early() *big.Rat { return add(m.q, m.eps()) }

// instant is the least t with refill(t) >= x; minus infinity if there is no need to wait.
func (m *model) instant(x *big.Rat) int64 {
	if m.inf || x.Sign() <= 0 {
		return math.MinInt64
	}
	if m.r.Sign() == 0 {
		return never
	}
	d := ceil(mul(x, new(big.Rat).Inv(m.r)))
	if !d.IsInt64() || d.Int64() > never-max(m.base, 0) {
		return never
	}
	return m.base + d.Int64()
}

// instants is when n more than v will be there, with room for most.
func (m *model) instants(v interval, n int, most *big.Rat) (lo, hi int64) {
	v = v.plus(n)
	least := sub(v.lo, most)
	if !m.aligned { // the multiplier runs ahead until then
		least = sub(least, mul(later(least, m.refill(m.now)), big.NewRat(1, 1<<62)))
	}
	return m.instant(sub(least, m.q)), m.instant(sub(v.hi, most))
}

// compare tells whether v <= refill(t)+most.
func (m *model) compare(v interval, t int64, most *big.Rat) verdict {
	room := add(m.refill(t), most)
	switch {
	case m.inf || !less(room, v.hi):
		return yes
	case !less(v.lo, add(room, m.early())):
		return no
	}
	return maybe
}

// fits is compare for n more than v, now.
func (m *model) fits(v interval, n int) verdict { return m.compare(v.plus(n), m.now, m.b) }

// narrow drops from m.v what the answer to fits(m.v, n) has ruled out.
func (m *model) narrow(n int, got bool) {
	edge := sub(add(m.refill(m.now), m.b), rat(int64(n)))
	if got {
		m.v.hi = lower(m.v.hi, add(edge, m.early()))
		m.v.lo = lower(m.v.lo, m.v.hi)
	} else {
		m.v.lo = later(m.v.lo, sub(edge, m.eps()))
		m.v.hi = later(m.v.lo, m.v.hi)
	}
}

// read is v as every operation but a Wait reads it.
func (m *model) read() interval { return m.v.above(m.refill(m.now)) }

// write takes leave of the credit.
func (m *model) write() {
	m.v = m.read()
	m.credit = noCredit
}

// grace is v as it is read while a waiter queues: what a late timer cost is made good.
func (m *model) grace() interval {
	x := sub(m.refill(m.now), m.slack())
	return interval{later(m.v.lo, sub(x, m.early())), later(m.v.hi, add(x, m.early()))}
}

// decide tells whether n tokens are granted now to somebody who does not queue.
func (m *model) decide(n int) verdict {
	switch {
	case n == 0 || m.inf:
		return yes
	case n > m.limit.Burst || len(m.queue) > 0:
		return no
	}
	return m.fits(m.read(), n)
}

// decided adopts the answer.
func (m *model) decided(n int, got bool) {
	if n == 0 || m.inf || len(m.queue) > 0 {
		return
	}
	if m.credit = min(m.credit, maybeCredit); n > m.limit.Burst {
		return
	}
	v := m.fits(m.read(), n)
	if got || v == maybe {
		m.write()
	}
	if v == maybe {
		m.narrow(n, got)
	}
	if got {
		m.v = m.v.plus(n)
	}
}

// decideWait is decide for a Wait, which still has the credit.
func (m *model) decideWait(n int) verdict {
	if n == 0 || m.inf || n > m.limit.Burst || len(m.queue) > 0 {
		return m.decide(n)
	}
	return m.fits(m.readWait(), n)
}

// readWait is v as a Wait reads it that finds nobody queueing.
func (m *model) readWait() interval {
	if m.credit == noCredit {
		return m.read()
	}
	v, r, blur := m.v, m.refill(m.now), add(m.early(), m.early())
	if m.credit == maybeCredit || less(v.lo, sub(r, sub(m.slack(), blur))) {
		v.hi = later(v.hi, r)
	}
	if less(v.lo, sub(r, add(m.slack(), blur))) {
		v.lo = r
	}
	return v
}

// waited adopts the answer to decideWait: true for granted at once.
func (m *model) waited(n int, got bool) {
	if n == 0 || m.inf || len(m.queue) > 0 || n > m.limit.Burst {
		return
	}
	v := m.readWait()
	if doubt := m.fits(v, n) == maybe; got || doubt {
		if m.v = v; doubt {
			m.narrow(n, got)
		}
	}
	if got {
		m.credit = min(m.credit, maybeCredit)
		m.v = m.v.plus(n)
	}
}

// left is how many whole tokens there may be.
func (m *model) left() (lo, hi int) {
	if m.inf {
		return m.limit.Burst, m.limit.Burst
	}
	v, room := m.read(), add(m.refill(m.now), m.b)
	most := ceil(add(sub(room, v.lo), m.early())) // the deficit is less than this, so one less than its ceiling
	most.Sub(most, big.NewInt(1))
	burst := int64(m.limit.Burst)
	least := min(whole(floor(sub(room, v.hi))), burst)
	return int(least), int(max(least, min(whole(most), burst)))
}

// take is what TakeAvailable does when it has found k.
func (m *model) take(n, k int) {
	if m.inf || k == 0 {
		return
	}
	m.write()
	m.narrow(k, true)
	if k < n && k < m.limit.Burst {
		m.narrow(k+1, false)
	}
	m.v = m.v.plus(k)
}

// tokens is what Tokens shows.
func (m *model) tokens() (lo, hi *big.Rat) {
	if m.inf {
		return m.b, m.b
	}
	room := sub(add(m.refill(m.now), m.b), m.owed())
	v := m.read()
	return sub(sub(room, v.hi), m.early()), add(sub(room, v.lo), m.early())
}

// owed is what those who queue have been promised.
func (m *model) owed() *big.Rat {
	sum := new(big.Rat)
	for _, x := range m.queue {
		sum = add(sum, rat(int64(x.n)))
	}
	return sum
}

// unbearable tells that the queue with n more may be owed more than a word can count.
func (m *model) unbearable(n int) bool {
	return less(mul(m.q, rat(1<<60)), add(m.owed(), rat(int64(n))))
}

func (m *model) refund(n int) {
	if m.inf || n == 0 {
		return
	}
	m.write()
	m.v = m.v.plus(-n).above(m.refill(m.now))
}

func (m *model) charge(n int) {
	if m.inf || n == 0 {
		return
	}
	m.write()
	m.v = m.v.plus(n)
	m.saturate()
}

// saturate forgets what is beyond the greatest level a word can hold.
func (m *model) saturate() {
	most := mul(m.q, new(big.Rat).SetUint64(1<<63-2))
	m.v = interval{lower(m.v.lo, most), lower(m.v.hi, most)}
}

// balance is what a change of limit carries over, as the integers may have it.
func (m *model) balance() interval {
	if m.inf {
		return interval{m.b, m.b}
	}
	v, room := m.read(), add(m.refill(m.now), m.b)
	if m.firstWaiter() != nil {
		v.lo = m.grace().lo
	}
	if !less(m.refill(m.now), m.v.hi) {
		return interval{m.b, sub(room, v.lo)} // full, and the clamp is exact
	}
	return interval{sub(sub(room, v.hi), m.q), add(sub(room, v.lo), m.early())}
}

// setLimit returns the waiters that it makes fail: those who ask for more than the new burst.
func (m *model) setLimit(s spec) (out []*node) {
	if s.limit == m.limit {
		return nil
	}
	bal, full := m.balance(), rat(int64(s.limit.Burst))
	bal = interval{lower(bal.lo, full), lower(bal.hi, full)}
	m.adopt(s)
	m.credit = noCredit
	m.v = interval{sub(m.b, bal.hi), sub(m.b, bal.lo)}
	if s.inf {
		m.v = interval{new(big.Rat), new(big.Rat)}
	} else if m.v.hi.Sign() > 0 {
		m.v.hi = add(m.v.hi, m.q)
	}
	m.saturate()
	for _, x := range slices.Clone(m.queue) {
		if x.fails = !x.appt && x.n > s.limit.Burst && !s.inf; x.fails {
			m.leave(x)
			out = append(out, x)
		}
	}
	return out
}

func (m *model) clone() *model {
	c := *m
	c.queue = slices.Clone(m.queue)
	return &c
}

func (m *model) waiters() (n int) {
	for _, x := range m.queue {
		if !x.appt {
			n++
		}
	}
	return n
}

func (m *model) firstWaiter() *node {
	for _, x := range m.queue {
		if !x.appt {
			return x
		}
	}
	return nil
}

// most is what may be there at once when x is served: a limit lowered since does not lock it out.
func (m *model) most(x *node) *big.Rat {
	if x.appt {
		return later(m.b, rat(int64(x.n)))
	}
	return m.b
}

func (m *model) leave(x *node) {
	m.queue = slices.DeleteFunc(m.queue, func(y *node) bool { return x == y })
	if len(m.queue) == 0 {
		m.credit = maybeCredit
	}
}

// settle serves all that is due and returns it. served is asked in case of doubt: whether the original has
// served this one.
func (m *model) settle(served func(*node) bool) (out []*node) {
	for len(m.queue) > 0 {
		x := m.serveHead(served)
		if x == nil {
			x = m.serveWaiter(served)
		}
		if x == nil {
			break
		}
		m.leave(x)
		out = append(out, x)
		if len(m.queue) == 0 && !x.appt && less(add(m.v.hi, m.early()), m.refill(m.now)) {
			m.credit = sureCredit
		}
	}
	return out
}

// serveHead keeps the appointment at the head of the queue at its own time, which may be long past. Without a limit
// nobody queues.
func (m *model) serveHead(served func(*node) bool) *node {
	x := m.queue[0]
	if m.inf {
		x.since, x.taken = m.now, m.now
		return x
	}
	if !x.appt || x.at > m.now {
		return nil
	}
	v := m.compare(m.v.plus(x.n), m.now, m.most(x))
	if v == no || v == maybe && !served(x) {
		return nil
	}
	lo, hi := m.instants(m.v, x.n, m.most(x))
	lo, hi = max(lo, x.at), min(max(hi, x.at), m.now)
	m.v = interval{later(m.v.lo, m.refill(lo-1)), later(m.v.hi, m.refill(hi))}.plus(x.n)
	m.saturate()
	x.since, x.taken = lo, hi
	return x
}

// serveWaiter grants the first waiter if that makes no appointment in front of it late.
func (m *model) serveWaiter(served func(*node) bool) *node {
	x := m.firstWaiter()
	if x == nil {
		return nil
	}
	v := m.grace()
	can := m.spares(x, v.plus(x.n), m.fits(v, x.n))
	if can == no || can == maybe && !served(x) {
		return nil
	}
	if m.v = v; can == maybe {
		m.narrow(x.n, true)
	}
	m.v = m.v.plus(x.n)
	x.since, x.taken = m.now, m.now
	return x
}

// spares tells whether the appointments in front of x can all be kept once v is handed out, and can holds too.
func (m *model) spares(x *node, v interval, can verdict) verdict {
	for _, y := range m.queue {
		if y == x || can == no {
			break
		}
		v = v.plus(y.n)
		switch {
		case m.tooFar(y):
			can = maybe
		case m.compare(v, y.at, m.most(y)) == no:
			can = no
		case m.compare(v, y.at-1, m.most(y)) != yes:
			can = maybe
		}
	}
	return can
}

// behind is what will have been handed out when all those in front of x are served, and the last of their times.
func (m *model) behind(x *node) (p interval, last int64) {
	if p, last = m.read(), m.now; m.firstWaiter() != nil {
		p = m.grace()
	}
	for _, y := range m.queue {
		if y == x {
			break
		}
		if y.appt {
			p.lo, p.hi = later(p.lo, m.refill(y.at-1)), later(p.hi, m.refill(y.at))
			last = max(last, y.at)
		}
		p = p.plus(y.n)
	}
	return p, last
}

// foresee is the instant at which n will be there for one who queues behind all others, for most: the burst, or 0 for
// when the bucket will be full.
func (m *model) foresee(n int, most *big.Rat) (lo, hi int64) {
	p, last := m.behind(nil)
	lo, hi = m.instants(p, n, most)
	return max(lo, last), max(hi, last)
}

// turn is when the appointment x can be kept.
func (m *model) turn(x *node) (lo, hi int64) {
	p, _ := m.behind(x)
	lo, hi = m.instants(p, x.n, m.most(x))
	return max(lo, x.at), max(hi, x.at)
}

// beyond tells that the timeline may not reach as far as the queue does.
func (m *model) beyond() bool {
	most := mul(m.q, rat(1<<61))
	return less(most, m.v.hi) || less(most, m.owed()) || slices.ContainsFunc(m.queue, m.tooFar)
}

// tooFar tells that the appointment x is for more than a word can count, or at a time that it cannot.
func (m *model) tooFar(x *node) bool {
	most := mul(m.q, rat(1<<61))
	return x.appt && (less(most, m.refill(x.at)) || less(most, rat(int64(x.n))))
}

// due is the instant by which the waiter x is served if nothing else happens.
func (m *model) due(x *node) int64 {
	c := m.clone()
	for {
		w, head := c.firstWaiter(), c.queue[0]
		_, own := c.instants(c.v, w.n, c.b)
		own, at := max(own, c.now), int64(never)
		if head != w {
			_, at = c.instants(c.v, head.n, c.most(head))
			at = max(at, head.at, c.now)
		}
		c.now = min(own, at)
		if own <= at && c.now < never && c.spares(w, c.grace().plus(w.n), yes) == yes {
			if w == x {
				return own
			}
			c.v = c.v.plus(w.n)
			c.leave(w)
			continue
		}
		if c.now = at; at == never || c.serveHead(nil) == nil {
			return never
		}
		c.leave(head)
	}
}

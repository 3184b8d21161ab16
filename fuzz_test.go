package tokenbucket_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

const year = 365 * 24 * time.Hour

// specs are the limits the schedules move between: one token a year to a thousand a nanosecond, with bursts up to the
// largest, periods that are whole nanoseconds and periods that are not.
var specs = func() (all []spec) {
	for _, r := range []struct {
		n   int
		per time.Duration
	}{
		{1, year}, {1, 24 * time.Hour}, {1000, time.Hour}, {100, time.Minute}, {1, time.Second}, {3, time.Second},
		{7, time.Second}, {10, time.Second}, {100_000, time.Second}, {999_983, time.Second}, {3_000_000, time.Second},
		{600_000_000, time.Second}, {1_000_000_000, time.Second}, {3, time.Nanosecond}, {1, 7 * time.Nanosecond},
		{1_000, time.Nanosecond}, {0, time.Second},
	} {
		for _, burst := range []int{1, 2, 10, 1000, math.MaxInt32, int(min(1<<61, int64(math.MaxInt)))} {
			s := spec{num: int64(r.n), per: int64(r.per)}
			if s.limit.Burst = burst; r.n > 0 {
				s.limit.Rate = tokenbucket.Per(r.n, r.per)
			}
			all = append(all, s)
		}
	}
	for _, burst := range []int{1, 10, math.MaxInt32} {
		all = append(all, spec{limit: tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: burst}, per: 1, inf: true})
	}
	return all
}()

// driver does the same to a bucket and to its model, and compares.
type driver struct {
	t      testing.TB
	b      subject
	m      *model
	waits  []*pending
	booked []*booking
	out    []*node // waiters that were served and have yet to return
	told   int64   // the instant the last RetryAfter pointed to
	bound  bound
	log    []string
}

type booking struct {
	r    reserved
	node *node // nil if it was granted when it was made
	gone bool  // cancelled in time
}

// run reads a schedule from data: the limit, the size of the queue, the phase, then three bytes an operation.
func run(t testing.TB, data []byte, newSubject func(l tokenbucket.Limit, maxWaiters int) subject) {
	if len(data) < 3 {
		return
	}
	s := specs[int(data[0])%len(specs)]
	most := []int{math.MaxInt, math.MaxInt, 4, 2, 1, 0}[int(data[1])%6]
	d := &driver{t: t, b: newSubject(s.limit, most), m: newModel(s, most)}
	d.logf("New(%v, %d) with at most %d waiters", s.limit.Rate, s.limit.Burst, most)
	d.setClock(int64(data[2]) * 77_777_777_777)
	d.poke() // the bucket goes by the latest instant that it has read
	for data = data[3:]; len(data) >= 3; data = data[3:] {
		d.do(data[0], data[1], data[2])
	}
	d.finish()
}

func (d *driver) logf(format string, args ...any) {
	d.log = append(d.log, fmt.Sprintf(format, args...))
}

func (d *driver) fail(format string, args ...any) {
	d.t.Helper()
	for _, w := range d.waits {
		w.cancel()
	}
	d.t.Fatalf("%s\nmodel: %v\n%s", fmt.Sprintf(format, args...), d.m, strings.Join(d.log, "\n"))
}

// actions are chosen by the first byte of an operation; the likeliest are listed more than once.
var actions = []func(d *driver, arg byte){
	(*driver).allow, (*driver).allow, (*driver).take, (*driver).take, (*driver).takeAvailable,
	(*driver).wait, (*driver).wait, (*driver).wait, (*driver).waitDeadline, (*driver).waitCancelled,
	(*driver).abandon, (*driver).abandon, (*driver).reserve, (*driver).reserve, (*driver).cancel, (*driver).cancel,
	(*driver).delays, (*driver).charge, (*driver).refund, (*driver).setLimit, (*driver).setLimit,
	(*driver).sameLimit, (*driver).wake, (*driver).wake, (*driver).obey, (*driver).chargeAll, (*driver).negative,
}

// do moves the clock, acts, and lets everything come to rest.
func (d *driver) do(action, arg, step byte) {
	d.setClock(d.target(step))
	first, mark := d.m.firstWaiter(), d.b.mark()
	actions[int(action)%len(actions)](d, arg)
	d.settle()
	d.collect()
	if d.m.firstWaiter() != first {
		d.b.forget(mark)
	}
	if len(d.m.queue) > 0 || step&0x80 == 0 {
		d.check()
	}
	d.b.fire()
	d.rest()
}

// target is the instant a step leads to.
func (d *driver) target(step byte) int64 {
	now, ms := d.m.shown, int64(time.Millisecond)
	due := now
	if d.m.firstWaiter() != nil {
		due = d.m.due(d.m.firstWaiter())
	} else if len(d.m.queue) > 0 {
		due = d.m.queue[0].at
	}
	period := time.Duration(time.Second)
	if d.m.num > 0 {
		period = time.Duration(d.m.per / d.m.num)
	}
	steps := []int64{
		0, 0, 0, 0, 0, 0, 1, 2, 3, 1000, ms, 5 * ms, 9*ms + 1, 15 * ms, 40*ms + 17, int64(time.Second), int64(time.Hour),
		int64(year), int64(20 * year), int64(period), int64(period), int64(period) - 1, int64(period) / 2,
		due - now, due - now, due - now - 1, due - now + 1, due - now + 7*ms, due - now + 12*ms,
		d.told - now, d.told - now - 1, int64(time.Minute), -1, -ms, -int64(time.Second), -int64(time.Hour), -int64(year),
		d.m.base - now, d.m.base - now - 5,
	}
	by := steps[int(step&0x7f)%len(steps)]
	return min(max(now+min(by, int64(50*year)), -int64(50*year)), d.horizon())
}

// horizon is how far the timeline reaches: a century, or as many tokens as the word can count.
func (d *driver) horizon() int64 { return min(d.m.base+int64(d.span()), int64(49*year)) }

func (d *driver) span() time.Duration {
	tokens := new(big.Rat).Quo(rat(1<<61), later(d.m.r, big.NewRat(1, 1<<40)))
	return time.Duration(min(whole(floor(tokens)), int64(90*year)))
}

func (d *driver) setClock(to int64) {
	d.collect()
	if to != d.m.shown {
		d.logf("clock %+v to %v", time.Duration(to-d.m.shown), time.Duration(to))
	}
	d.b.set(to)
	d.m.step(to)
}

// poke has the bucket settle, and changes nothing else.
func (d *driver) poke() { d.b.Tokens() }

// served tells whether the bucket has served x.
func (d *driver) served(x *node) bool {
	if d.poke(); x.appt {
		return x.book.r.Delay() == 0
	}
	return d.b.Waiting() < d.m.waiters()
}

// settle has the model settle, as any operation has the bucket do. In doubt the bucket is asked what it did.
func (d *driver) settle() {
	for _, x := range d.m.settle(d.served) {
		if x.appt {
			d.logf("  appointment %d kept at %v", x.n, time.Duration(x.taken))
			d.granted(x.since, x.taken, x.n, false)
			continue
		}
		if d.logf("  waiter for %d served", x.n); !x.fails {
			d.granted(x.since, x.taken, x.n, true)
		}
		d.out = append(d.out, x)
	}
}

// collect has the waiters return that were served by what was done.
func (d *driver) collect() {
	for _, x := range d.out {
		d.returns(x)
	}
	d.out = nil
}

func (d *driver) returns(x *node) {
	d.await(x.wait)
	switch {
	case x.fails && !errors.Is(x.wait.err, tokenbucket.ErrExceedsBurst):
		d.fail("a waiter for %d returned %v, want ErrExceedsBurst", x.n, x.wait.err)
	case !x.fails && x.wait.err != nil:
		d.fail("a waiter for %d returned %v, want its tokens", x.n, x.wait.err)
	}
}

func (d *driver) await(w *pending) {
	if !poll(w.returned) {
		d.fail("a waiter did not return")
	}
}

// rest waits until whoever is first has armed a timer that is not too late.
func (d *driver) rest() {
	if d.m.firstWaiter() == nil || d.m.beyond() {
		return
	}
	due := d.m.due(d.m.firstWaiter())
	if due > d.m.now+int64(60*year) {
		return
	}
	if !poll(func() bool { return d.b.armed() <= due }) {
		d.fail("nobody sleeps until %v, when the first waiter is due; armed: %v", time.Duration(due), time.Duration(d.b.armed()))
	}
}

// check compares all that can be seen.
func (d *driver) check() {
	got := d.b.Tokens()
	lo, hi := d.m.tokens()
	scale := new(big.Rat).Abs(lo)
	blur := mul(add(scale, d.m.b), big.NewRat(1, 1<<50))
	seen, _ := new(big.Rat).SetString(fmt.Sprintf("%g", got))
	if seen == nil || less(seen, sub(lo, blur)) || less(add(hi, blur), seen) {
		d.fail("Tokens = %v, want %s to %s", got, lo.FloatString(20), hi.FloatString(20))
	}
	if got := d.b.Waiting(); got != d.m.waiters() {
		d.fail("Waiting = %d, want %d", got, d.m.waiters())
	}
	for _, x := range d.m.queue {
		if !x.appt && x.wait.returned() {
			d.fail("a waiter for %d returned %v before its turn", x.n, x.wait.err)
		}
	}
	if got := d.b.Limit(); got != d.m.limit {
		d.fail("Limit = %v, want %v", got, d.m.limit)
	}
}

// finish has everybody leave.
func (d *driver) finish() {
	for _, w := range d.waits {
		first, mark := d.m.firstWaiter(), d.b.mark()
		d.leave(w)
		d.settle()
		if d.collect(); d.m.firstWaiter() != first {
			d.b.forget(mark)
		}
	}
	d.check()
}

// bound is the promise itself, checked on the grants alone and without the model: over every window of grants, less
// refunds, tokens <= burst + rate*(T+1ns), or rate*(T+10ms) if a waiter is among them.
type bound struct {
	sum       *big.Rat // granted under this limit
	all, only *big.Rat // greatest of refill-sum at a window's start; only: with no waiter since
	most      *big.Rat // the burst, or the largest appointment from before it was lowered
}

func (d *driver) granted(since, at int64, n int, waiter bool) {
	if d.m.inf || n == 0 {
		return
	}
	w, issued := &d.bound, d.m.refill(at)
	if w.sum == nil {
		*w = bound{new(big.Rat), nil, nil, d.m.b}
	}
	w.most = later(w.most, rat(int64(n)))
	if waiter {
		w.only = nil
	}
	start := sub(d.m.refill(since), w.sum)
	w.all = pick(w.all == nil || less(w.all, start), start, w.all)
	w.sum = add(w.sum, rat(int64(n)))
	d.within(add(w.sum, sub(w.all, issued)), 10*time.Millisecond)
	if !waiter {
		w.only = pick(w.only == nil || less(w.only, start), start, w.only)
		d.within(add(w.sum, sub(w.only, issued)), time.Nanosecond)
	}
}

// within checks what a window granted beyond its refill. The bound holds but for the quantum.
func (d *driver) within(tokens *big.Rat, grace time.Duration) {
	most := add(d.bound.most, mul(d.m.r, rat(int64(grace))))
	if less(add(most, d.m.early()), tokens) {
		d.fail("granted %s tokens beyond the refill, bound %s", tokens.FloatString(9), most.FloatString(9))
	}
}

func (d *driver) returned(n int) {
	if d.bound.sum != nil {
		d.bound.sum = sub(d.bound.sum, rat(int64(n)))
	}
}

// count picks how many tokens to ask for.
func (d *driver) count(arg byte) int {
	burst := d.m.limit.Burst
	left, _ := d.m.left()
	over := min(burst, math.MaxInt-1) + 1
	counts := []int{1, 1, 1, 1, 1, 2, 3, 10, 0, burst / 2, burst - 1, burst, burst, over, math.MaxInt, left, min(left, math.MaxInt-1) + 1, left / 2}
	return counts[int(arg)%len(counts)]
}

// agree compares an answer with what the model thinks of it.
func (d *driver) agree(what string, n int, got bool, want verdict) {
	if d.logf("%s(%d) = %v", what, n, got); want != maybe && got != (want == yes) {
		d.fail("%s(%d) = %v", what, n, got)
	}
}

func (d *driver) allow(arg byte) {
	n := d.count(arg)
	if d.begin(n); n == 1 && arg&1 == 0 {
		d.decided("Allow", n, d.b.Allow())
		return
	}
	d.decided("AllowN", n, d.b.AllowN(n))
}

// begin settles ahead of an operation on n tokens. For none the bucket may have no need to, so it is asked to.
func (d *driver) begin(n int) {
	if n == 0 {
		d.poke()
	}
	d.settle()
}

func (d *driver) decided(what string, n int, got bool) {
	d.agree(what, n, got, d.m.decide(n))
	if d.m.decided(n, got); got {
		d.granted(d.m.now, d.m.now, n, false)
	}
}

func (d *driver) take(arg byte) { d.takeN(d.count(arg)) }

func (d *driver) takeN(n int) tokenbucket.Result {
	d.begin(n)
	res := d.b.Take(n)
	d.logf("%+v", res)
	alone := len(d.m.queue) == 0
	d.decided("Take", n, res.Allowed)
	if res.Limit != d.m.limit || (res.RetryAfter > 0) == res.Allowed || res.Remaining < 0 || res.ResetAfter < 0 {
		d.fail("Take(%d) contradicts itself: %+v", n, res)
	}
	lo, hi := d.m.left()
	if alone && (res.Remaining < lo || res.Remaining > hi) {
		d.fail("Remaining = %d, want %d to %d", res.Remaining, lo, hi)
	}
	if alone && !d.m.inf && n <= d.m.limit.Burst && !res.Allowed && res.Remaining >= n {
		d.fail("Take(%d) was denied with %d remaining", n, res.Remaining)
	}
	d.figures(n, res)
	return res
}

// figures checks the instants a Result foretells.
func (d *driver) figures(n int, res tokenbucket.Result) {
	if !res.Allowed {
		lo, hi := d.m.foresee(n, d.m.b)
		if n > d.m.limit.Burst {
			lo, hi = never, never
		}
		d.foretold("RetryAfter", res.RetryAfter, max(lo, d.m.now+1), max(hi, d.m.now+1))
		d.told = d.m.shown
		if res.RetryAfter < 50*year {
			d.told += int64(res.RetryAfter)
		}
	}
	lo, hi := d.m.foresee(0, new(big.Rat))
	d.foretold("ResetAfter", res.ResetAfter, lo, hi)
}

// foretold compares a span with the instants it should lead to. Past the timeline's end it need only be long.
func (d *driver) foretold(what string, got time.Duration, lo, hi int64) {
	far := min(80*year, d.span())
	from, to := d.until(lo), d.until(hi)
	if since(lo, max(d.m.now, d.m.base)) > far {
		if got < far-far/10 {
			d.fail("%s = %v, want far away", what, got)
		}
		return
	}
	if since(hi, max(d.m.now, d.m.base)) > far {
		to = never
	} else if since(hi, d.m.base) > far {
		to++ // the refill may be off by a quantum there
	}
	if got < from || got > to {
		d.fail("%s = %v, want %v to %v", what, got, from, to)
	}
}

// until is the span until at that the caller is told: none if the instant has been reached.
func (d *driver) until(at int64) time.Duration {
	if at <= d.m.now {
		return 0
	}
	return since(at, d.m.shown)
}

// since is the span from now to at, or never.
func since(at, now int64) time.Duration {
	if at == never || at > 0 && now < at-never {
		return never
	}
	return time.Duration(at - now)
}

func (d *driver) takeAvailable(arg byte) {
	n := d.count(arg)
	d.begin(n)
	got := d.b.TakeAvailable(n)
	d.logf("TakeAvailable(%d) = %d", n, got)
	lo, hi := d.m.left()
	if d.m.inf {
		lo, hi = n, n
	} else if len(d.m.queue) > 0 {
		lo, hi = 0, 0
	}
	if got < min(n, lo) || got > min(n, hi) {
		d.fail("TakeAvailable(%d) = %d, want %d to %d", n, got, min(n, lo), min(n, hi))
	}
	d.m.take(n, got)
	d.granted(d.m.now, d.m.now, got, false)
}

func (d *driver) wait(arg byte) { d.waitN(d.count(arg), never, false) }

func (d *driver) waitCancelled(arg byte) { d.waitN(d.count(arg), never, true) }

func (d *driver) waitDeadline(arg byte) {
	n := d.count(arg >> 3)
	d.begin(n)
	_, hi := d.m.foresee(min(n, d.m.limit.Burst), d.m.b)
	spans := []int64{0, -1, 1, -int64(time.Second), int64(time.Millisecond), int64(time.Hour), int64(time.Minute), int64(year)}
	at := min(hi, d.m.now+int64(50*year)) + spans[arg&7]
	d.waitN(n, at, false)
}

// waitN starts a Wait and stays until it has returned or joined the queue.
func (d *driver) waitN(n int, deadline int64, cancelled bool) {
	ctx, cancel := context.WithCancel(context.Background())
	if deadline != never {
		ctx = fakeDeadline{ctx, clockStart.Add(time.Duration(deadline))}
	}
	if deadline != never {
		d.logf("a deadline at %v", time.Duration(deadline))
	}
	if d.begin(n); cancelled {
		d.poke()
		cancel()
	}
	want, credit := d.m.decideWait(n), d.m.credit
	errs := d.refusals(n, deadline, want)
	if cancelled {
		want, errs = no, []error{context.Canceled}
	}
	certain, queued := want == yes || len(errs) > 0 && errs[0] != nil, d.m.waiters()
	if !certain {
		d.poke() // let nobody who is served by now be taken for the one that joins
	}
	w := d.b.startWait(ctx, cancel, n)
	d.waits = append(d.waits, w)
	if !poll(func() bool { return w.returned() || !certain && d.b.Waiting() > queued }) {
		d.fail("WaitN(%d) neither returned nor joined the queue", n)
	}
	d.waitedN(n, w, want, credit, errs)
}

// refusals lists the errors that WaitN may return at once; a nil among them says that it may as well queue.
func (d *driver) refusals(n int, deadline int64, want verdict) (errs []error) {
	if want == yes {
		return nil
	}
	if n > d.m.limit.Burst {
		return []error{tokenbucket.ErrExceedsBurst}
	}
	soonest, latest := d.turn(n)
	if latest > deadline {
		errs = append(errs, tokenbucket.ErrDeadline)
	}
	if len(d.m.queue) >= d.m.max {
		errs = append(errs, tokenbucket.ErrQueueFull)
	} else if soonest <= deadline {
		errs = append([]error{nil}, errs...)
	}
	if d.m.unbearable(n) {
		errs = append(errs, tokenbucket.ErrQueueFull)
	}
	return errs
}

// turn is when a new waiter for n may be served: at the soonest in front of all appointments that queue, at the latest
// when it is served if nothing else happens. Near the end of the timeline it may be told a nanosecond late.
func (d *driver) turn(n int) (soonest, latest int64) {
	soonest, latest = d.m.foresee(n, d.m.b)
	if d.m.waiters() < len(d.m.queue) {
		c, x := d.m.clone(), &node{n: n}
		if c.queue = append(c.queue, x); !d.m.beyond() {
			latest = c.due(x)
		}
		c.queue = slices.DeleteFunc(c.queue, func(y *node) bool { return y.appt || y == x })
		soonest, _ = c.foresee(n, c.b)
	}
	if d.m.beyond() && latest < never {
		latest++
	}
	return soonest, latest
}

// waitedN compares what came of a WaitN: it returned at once, or it queues.
func (d *driver) waitedN(n int, w *pending, want verdict, credit credit, errs []error) {
	if !w.returned() || w.err == nil && len(d.m.queue) > 0 && want == no && len(errs) > 0 && errs[0] == nil {
		d.logf("WaitN(%d) queues", n)
		d.m.waited(n, false)
		d.m.queue = append(d.m.queue, &node{n: n, wait: w})
		return
	}
	if w.err == nil {
		d.agree("WaitN", n, true, want)
		d.m.waited(n, true)
		d.granted(d.m.now, d.m.now, n, credit != noCredit)
		return
	}
	d.logf("WaitN(%d) = %v", n, w.err)
	var e *tokenbucket.WaitError
	if !errors.As(w.err, &e) || e.N != n {
		d.fail("WaitN(%d) = %v, not a WaitError for %d", n, w.err, n)
	}
	for _, err := range errs {
		if err != nil && errors.Is(w.err, err) {
			if err != context.Canceled {
				d.m.waited(n, false)
			}
			return
		}
	}
	d.fail("WaitN(%d) = %v, want one of %v", n, w.err, errs)
}

// abandon cancels a Wait, as likely as not one that has long returned.
func (d *driver) abandon(arg byte) {
	if len(d.waits) == 0 {
		d.poke()
		return
	}
	d.leave(d.waits[int(arg)%len(d.waits)])
}

func (d *driver) leave(w *pending) {
	d.poke()
	d.settle()
	w.cancel()
	for _, x := range d.m.queue {
		if x.wait == w {
			d.logf("cancel the waiter for %d", x.n)
			d.await(w)
			if !errors.Is(w.err, context.Canceled) {
				d.fail("a cancelled waiter returned %v", w.err)
			}
			d.m.leave(x)
			return
		}
	}
}

func (d *driver) reserve(arg byte) {
	n := d.count(arg)
	d.begin(n)
	want := d.m.decide(n)
	lo, hi := d.m.foresee(n, d.m.b)
	r, err := d.b.reserve(n)
	if err != nil {
		d.logf("ReserveN(%d) = %v", n, err)
		d.refused(n, want, hi, err)
		return
	}
	at := int64(never)
	if delay := r.Delay(); delay == 0 {
		at = d.m.now
	} else if delay < never-time.Duration(max(0, d.m.now)) {
		at = d.m.shown + int64(delay)
	}
	d.logf("ReserveN(%d), delay %v", n, d.until(at))
	if now := at == d.m.now && len(d.m.queue) == 0 || n == 0; now || want == yes {
		d.agree("ReserveN", n, now || d.m.inf && at == d.m.now, want)
		d.m.decided(n, true)
		d.granted(d.m.now, d.m.now, n, false)
		d.booked = append(d.booked, &booking{r: r})
		return
	}
	if n > d.m.limit.Burst || lo == never || len(d.m.queue) >= d.m.max {
		d.fail("ReserveN(%d) gave an appointment", n)
	}
	d.foretold("ReserveN's delay", d.until(at), lo, hi)
	d.m.decided(n, false)
	x := &node{n: n, appt: true, at: at, book: &booking{r: r}}
	x.book.node = x
	d.m.queue = append(d.m.queue, x)
	d.booked = append(d.booked, x.book)
}

func (d *driver) refused(n int, want verdict, hi int64, err error) {
	ok := false
	switch {
	case errors.Is(err, tokenbucket.ErrExceedsBurst):
		ok = n > d.m.limit.Burst
	case errors.Is(err, tokenbucket.ErrQueueFull):
		ok = len(d.m.queue) >= d.m.max || d.m.unbearable(n)
	case errors.Is(err, tokenbucket.ErrNever):
		ok = since(hi, d.m.base) > 80*year
	}
	if !ok || want == yes {
		d.fail("ReserveN(%d) = %v", n, err)
	}
	d.m.decided(n, false)
}

func (d *driver) cancel(arg byte) {
	d.poke()
	d.settle()
	if len(d.booked) == 0 {
		return
	}
	k := d.booked[int(arg)%len(d.booked)]
	k.r.Cancel()
	d.logf("cancel booking %d", int(arg)%len(d.booked))
	for _, x := range d.m.queue {
		if x == k.node {
			d.m.leave(x)
			k.gone = true
			break
		}
	}
	if got := k.r.Delay(); k.gone && got != tokenbucket.Never {
		d.fail("a cancelled reservation's delay is %v", got)
	}
}

func (d *driver) queued(x *node) bool {
	for _, y := range d.m.queue {
		if x == y {
			return true
		}
	}
	return false
}

// delays compares what every reservation tells.
func (d *driver) delays(byte) {
	d.poke()
	d.settle()
	for _, k := range d.booked {
		got := k.r.Delay()
		switch {
		case k.gone && got != tokenbucket.Never:
			d.fail("a cancelled reservation's delay is %v", got)
		case k.gone:
		case !d.queued(k.node) && got != 0:
			d.fail("a granted reservation's delay is %v", got)
		case d.queued(k.node):
			_, hi := d.m.turn(k.node)
			d.foretold("Delay", got, max(k.node.at, d.m.now), max(hi, d.m.now))
		}
	}
}

func (d *driver) charge(arg byte) {
	n := d.count(arg)
	d.poke()
	d.settle()
	d.b.Charge(n)
	d.logf("Charge(%d)", n)
	d.m.charge(n)
}

// chargeAll charges more than the timeline can hold, and strikes it out again by a spell without a limit.
func (d *driver) chargeAll(byte) {
	d.poke()
	d.settle()
	for range 2 {
		d.b.Charge(math.MaxInt)
		d.logf("Charge(%d)", math.MaxInt)
		d.m.charge(math.MaxInt)
	}
	d.takeN(1)
	d.check()
	back := d.m.spec
	d.limit(specs[len(specs)-1])
	d.limit(back)
}

func (d *driver) refund(arg byte) {
	n := d.count(arg)
	d.begin(n)
	d.b.Refund(n)
	d.logf("Refund(%d)", n)
	d.m.refund(n)
	d.returned(n)
}

func (d *driver) setLimit(arg byte) {
	d.poke()
	d.settle()
	s := specs[int(arg)%len(specs)]
	d.limit(s)
}

func (d *driver) limit(s spec) {
	d.settle()
	d.b.SetLimit(s.limit)
	d.logf("SetLimit(%v)", s.limit)
	if s.limit != d.m.limit {
		d.bound = bound{}
	}
	d.out = append(d.out, d.m.setLimit(s)...)
	d.settle()
}

func (d *driver) sameLimit(byte) {
	d.poke()
	d.settle()
	d.limit(d.m.spec)
}

// wake leaves it to the timer to serve those who are due.
func (d *driver) wake(byte) {
	x, c := d.m.firstWaiter(), d.m.clone()
	doubt := false
	c.settle(func(*node) bool { doubt = true; return false })
	if x == nil || doubt || d.b.armed() > d.m.now || c.firstWaiter() == x {
		d.poke()
	}
	d.logf("fire %d timers", d.b.fire())
	d.settle()
}

// obey does what RetryAfter says: shortly before, it is too early; at that instant it is not.
func (d *driver) obey(arg byte) {
	n := d.count(arg)
	res := d.takeN(n)
	at := d.m.shown + int64(min(res.RetryAfter, 50*year))
	if res.Allowed || res.RetryAfter >= 50*year || len(d.m.queue) > 0 || at > d.horizon() {
		return
	}
	blur := new(big.Rat).Quo(mul(d.m.early(), rat(2)), d.m.r)
	if before := at - 3 - whole(ceil(blur)); before > d.m.now {
		d.setClock(before)
		if d.b.AllowN(n) {
			d.fail("AllowN(%d) = true before RetryAfter was over", n)
		}
		d.decided("AllowN", n, false)
	}
	d.setClock(at)
	if !d.b.AllowN(n) {
		d.fail("AllowN(%d) = false after RetryAfter", n)
	}
	d.decided("AllowN", n, true)
}

// negative asks for fewer than none, which is a mistake in the program.
func (d *driver) negative(arg byte) {
	n := []int{-1, math.MinInt}[arg&1]
	for name, op := range map[string]func(){
		"AllowN": func() { d.b.AllowN(n) }, "Take": func() { d.b.Take(n) }, "Charge": func() { d.b.Charge(n) },
		"TakeAvailable": func() { d.b.TakeAvailable(n) }, "Refund": func() { d.b.Refund(n) },
		"ReserveN": func() { _, _ = d.b.reserve(n) }, "WaitN": func() { _ = d.b.WaitN(context.Background(), n) },
	} {
		if msg := panicOf(op); !strings.HasPrefix(msg, "tokenbucket: ") {
			d.fail("%s(%d) panicked with %q", name, n, msg)
		}
	}
	d.poke()
}

func panicOf(op func()) (msg string) {
	defer func() {
		if p := recover(); p != nil {
			msg = fmt.Sprint(p)
		}
	}()
	op()
	return ""
}

// regressions are schedules that once told the bucket and the model apart, reduced to what it takes.
var regressions = []string{
	// New(1/year, 1); the clock is 1ns before New; Take(10): ResetAfter of a full bucket was 1ns.
	"\x00\x00\x00\x02+ ",
	// New(1/year, 1); an hour before New: Allow, SetLimit(1000/h, 1000), Take(1): RetryAfter led to New, and no further.
	"\x00\x00\x00\x00\x00qI\x0f\x00\x02\x00\x00",
	// New(1/year, 1), Allow, WaitN(1); a year before New: Refund(1) did not serve the waiter.
	"\x00\x00\x00\x00\x00\x00V\x00$-\x00\x00",
	// New(1/year, 2); Reserve twice, cancel the later one, Take(1): RetryAfter was behind the cancelled one.
	"\x01\x00\x00\x00\x00\n\x93\x00%\xff\x9c\x00\x95\x01\x00\x02\x00\x00",
	// SetLimit(1/s, 1000), ReserveN(1000), SetLimit(100000/s, 1000), WaitN(1) is served in front; Take(1): RetryAfter
	// was a token late.
	"\x00\x00\x00J\x1b\x00\xafe\x00\x80\x9c\x00\x05\x00\x00\x02\x00\x00",
	// SetLimit(1/year, 2), Charge(MaxInt), SetLimit(1/year, 1): half of the debt that was kept was lost.
	"\x00\x00\x00\x9a\x01\x00G \x00\xd0\x00\x00",
	// SetLimit(1/s, MaxInt32); 2.5 MaxInt32 queue: Tokens owed no more than 2 MaxInt32.
	"\x00\x00\x00\x7f\x1c\x00r\x1d\x00\x93\x1c\x00\xf9-\x00",
}

func FuzzBucket(f *testing.F) {
	for _, s := range regressions {
		f.Add([]byte(s))
	}
	for i := range uint64(64) {
		f.Add(schedule(i, 40))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 600)]
		run(t, data, newShell)
		run(t, data, newStill)
	})
}

// schedule is some bytes for run, the same every time.
func schedule(seed uint64, ops int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, 3+3*ops)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

func TestRandomSchedules(t *testing.T) {
	schedules := uint64(3000)
	if testing.Short() {
		schedules = 300
	}
	for i := range schedules {
		data := schedule(1000+i, 20+int(i%80))
		t.Run(fmt.Sprint(i), func(t *testing.T) { run(t, data, newShell) })
		t.Run(fmt.Sprint(i, "/engine"), func(t *testing.T) { run(t, data, newStill) })
	}
}

// TestExactFromAnyPhase holds a bucket whose period is a whole number of nanoseconds to that period: the token is there
// at that very instant, wherever the count begins, and not two nanoseconds earlier. One it can be: a quantum may be
// worth a little more than a nanosecond.
func TestExactFromAnyPhase(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range specs {
		if s.num == 0 || s.per%s.num != 0 || s.limit.Burst > 10 {
			continue
		}
		period := s.per / s.num
		for range 500 {
			clk := newFakeClock()
			b := tokenbucket.New(s.limit.Rate, s.limit.Burst, tokenbucket.WithClock(clk))
			phase := rng.Int64N(int64(20 * year))
			clk.set(phase)
			b.AllowN(s.limit.Burst)
			if clk.set(phase + max(0, period-2)); b.Allow() {
				t.Fatalf("%v emptied at %d: a token 2ns before its time", s.limit, phase)
			}
			if clk.set(phase + period); !b.Allow() {
				t.Fatalf("%v emptied at %d: no token at its time", s.limit, phase)
			}
		}
	}
}

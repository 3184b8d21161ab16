package tokenbucket

import "time"

// Somebody has to look at the queue when its lead is due. By an injected clock, that is the lead itself: whoever takes the
// lead is woken, to sleep on a channel of the clock. By the default clock, whoever finds the queue without an alarm sets
// one, without waking anybody for it:
//
//   - where tokens come slowly, or nobody else waits, each waiter sleeps on a timer of its own, which stands still until it leads. So a grant
//     wakes one goroutine, the one that is served.
//   - where several are served each time, the queue has one timer, which serves them in a goroutine. So only those who are
//     served are woken, and a hundred thousand waiters need one timer.
//
// With one of both for all rates, either a grant costs up to twice the processor time at 1000 a second, or up to half more
// at 100 000 a second.

// slowly is what divides [catchUp] to give the time between two grants from which on waiters have timers of their own:
// 250 us, since timers were measured to be late by a multiple of that. For a waiter that finds the queue empty it is a tenth:
// nobody else may be served together with it.
const slowly = 40

// ownsTimer tells whether a waiter for n tokens that is about to queue is to have a timer of its own.
func (h *hold) ownsTimer(n uint64) bool {
	border := h.p.slack / slowly
	if h.queue.waiters == 0 {
		border /= 10
	}
	return h.source.clock == nil && n<<h.p.frac > border
}

// arm sees that somebody looks at the queue at the instant due.
func (h *hold) arm(due int64) {
	q := &h.queue
	q.armed = due
	switch d := between(h.t, due); {
	case h.source.clock != nil:
		q.lead.notify()
	case q.lead.timer != nil:
		q.lead.timer.Reset(d)
	case q.timer == nil:
		q.timer = time.AfterFunc(d, h.ring)
	default:
		q.timer.Reset(d)
	}
}

// disarm stops the queue's timer. It does not outlast the queue: one made inside a synctest bubble must not leave it.
func (q *queue) disarm() {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
}

// ring serves those who are due when the queue's timer has fired.
func (b *Bucket) ring() {
	if b.home != nil {
		if !b.home.enter() {
			return // everybody has left
		}
		defer b.home.exit()
	}
	h := b.hold()
	h.queue.armed = forever
	h.release()
}

// attend is for a waiter that joins the queue or that was woken but not served, to ask until which instant to sleep. If it
// leads, its alarm is over, or was for somebody else.
func (h *hold) attend(x *node) int64 {
	q := &h.queue
	if x != q.lead {
		return forever
	}
	q.armed = forever // release sets the timer
	if h.source.clock != nil {
		q.armed = h.due()
	}
	return q.armed
}

// alarm returns the channel that x is to sleep on, until the instant t if it is one of an injected clock.
func (b *Bucket) alarm(x *node, t int64) <-chan time.Time {
	if x.timer != nil {
		return x.timer.C
	}
	if t == forever {
		return nil
	}
	c := b.source.clock.After(between(b.source.now(), t))
	if b.source.now() >= t { // a clock that is set by hand may have been, just before After
		return past
	}
	return c
}

// past is the channel of an alarm whose time is over.
var past = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

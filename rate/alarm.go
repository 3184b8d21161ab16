package rate

import (
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// An alarm is the promise that somebody will look at the queue when its front, the first waiter, is
// due. It is guarded by the Limiter's lock. There is one at a time, set by whoever finds the queue
// without one. Where tokens come slowly each waiter has a timer of its own, stopped until it is the
// front, so that a grant wakes one goroutine. Otherwise the queue has one timer, which serves all who
// are due. docs/decisions.md compares the two.
type alarm struct {
	set   bool
	at    int64       // if set: the instant at which somebody will look
	owner *waiter     // if set: who will look, or nil if it is the queue's timer
	timer *time.Timer // of the queue, or nil
}

// slowDivisor divides 10 ms to give the time between two grants from which on waiters have timers of
// their own: 250 us, or a tenth of that for a waiter that finds the queue empty.
const slowDivisor = 40

// wantsTimer reports whether a waiter for n tokens that is about to queue is to have a timer of its
// own.
func (lim *Limiter) wantsTimer(h *hold, n uint64) bool {
	divisor := uint64(slowDivisor)
	if lim.queue.Waiters() == 0 {
		divisor *= 10
	}
	return h.Timeline().SlowerThan(n, divisor)
}

// front returns the first waiter, or nil.
func (lim *Limiter) front() *waiter {
	if x := lim.queue.Front(); x != nil {
		return x.Owner.(*waiter)
	}
	return nil
}

// wakeServed wakes the waiters that have left the queue. The lock is held.
func (lim *Limiter) wakeServed() {
	for x := lim.queue.Pop(); x != nil; x = lim.queue.Pop() {
		if x.Owner != nil {
			x.Owner.(*waiter).notify()
		}
	}
}

// notify wakes the goroutine of x, now or as soon as it sleeps.
func (x *waiter) notify() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// setAlarm sees to it that somebody looks at the queue when its front is due.
func (lim *Limiter) setAlarm(h *hold) {
	front, a := lim.front(), &lim.alarm
	if front == nil {
		a.clear()
		return
	}
	if a.owner != nil && a.owner != front {
		a.set = false // the waiter that was to look has left the queue
	}
	if due := h.Due(); !a.set || due < a.at {
		a.arm(lim, front, due, h.epoch)
	}
}

// arm sets the alarm to the instant due, by the clock: the time of the hold may be one that was told.
func (a *alarm) arm(lim *Limiter, front *waiter, due int64, epoch time.Time) {
	a.set, a.at, a.owner = true, due, nil
	d := InfDuration
	if due != engine.Forever {
		d = max(time.Until(epoch.Add(time.Duration(due))), 0)
	}
	switch {
	case front.timer != nil:
		a.owner = front
		front.timer.Reset(d)
	case a.timer == nil:
		a.timer = time.AfterFunc(d, lim.ring)
	default:
		a.timer.Reset(d)
	}
}

// clear unsets the alarm. The timer does not outlast the queue: one that was made inside a synctest
// bubble must not leave it.
func (a *alarm) clear() {
	if a.timer != nil {
		a.timer.Stop()
	}
	*a = alarm{}
}

// ring serves those who are due when the queue's timer has fired.
func (lim *Limiter) ring() {
	h := lim.hold(nil)
	defer h.release()
	lim.alarm.set = false
}

package tokenbucket

import (
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// An alarm is the promise that somebody will look at a queue when its front, the first waiter, is
// due. It is guarded by the bucket's lock. There is one at a time:
//
//   - By an injected clock, it is the front itself. A new front is woken, to sleep on a channel of
//     the clock.
//   - By the default clock, whoever finds the queue without an alarm sets one, without waking
//     anybody. Where tokens come slowly, or nobody else waits, each waiter sleeps on a timer of
//     its own, which is stopped until the waiter is the front. So a grant wakes one goroutine, the
//     one that is served.
//   - Where several waiters are served each time, the queue has one timer, which serves them in a
//     goroutine. So only those who are served are woken, and a hundred thousand waiters need one
//     timer.
//
// With only one of the last two at all rates, a grant costs up to twice the processor time at 1000
// a second, or up to half more at 100 000 a second.
type alarm struct {
	set   bool
	at    int64       // if set: the instant at which somebody will look
	owner *waiter     // if set: who will look, or nil if it is the timer
	timer *time.Timer // of the queue, or nil
}

// slowDivisor divides 10 ms to give the time between two grants from which on waiters have timers
// of their own: 250 us, since timers were measured to be late by a multiple of that. For a waiter
// that finds the queue empty it is a tenth: nobody else may be served together with it.
const slowDivisor = 40

// wantsTimer reports whether a waiter for n tokens that is about to queue is to have a timer of its
// own.
func (b *Bucket) wantsTimer(h *hold, n uint64) bool {
	divisor := uint64(slowDivisor)
	if b.room.queue.Waiters() == 0 {
		divisor *= 10
	}
	return b.source.injected == nil && h.Timeline().SlowerThan(n, divisor)
}

// front returns the first waiter, or nil.
func (r *waitingRoom) front() *waiter {
	if x := r.queue.Front(); x != nil {
		return x.Owner.(*waiter)
	}
	return nil
}

// wakeServed wakes the waiters that have left the queue since the last call. The lock is held.
func (r *waitingRoom) wakeServed() {
	for x := r.queue.Pop(); x != nil; x = r.queue.Pop() {
		if x.Owner != nil {
			x.Owner.(*waiter).notify()
		}
	}
}

// notify wakes the goroutine of x, now or as soon as it looks.
func (x *waiter) notify() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// setAlarm sees to it that somebody looks at the queue when its front is due.
func (b *Bucket) setAlarm(h *hold) {
	front, a := b.room.front(), &b.room.alarm
	if front == nil {
		a.clear()
		return
	}
	if a.owner != nil && a.owner != front {
		a.set = false // the waiter who was to look has left the queue
	}
	if due := h.Due(); !a.set || due < a.at {
		b.arm(h, front, due)
	}
}

// arm sets the alarm to the instant due.
func (b *Bucket) arm(h *hold, front *waiter, due int64) {
	a := &b.room.alarm
	a.set, a.at, a.owner = true, due, nil
	switch d := between(h.Now(), due); {
	case b.source.injected != nil:
		a.owner = front
		front.notify()
	case front.timer != nil:
		a.owner = front
		front.timer.Reset(d)
	case a.timer == nil:
		a.timer = time.AfterFunc(d, b.ring)
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

// ring serves those who are due when the queue's timer has fired. It calls no user code, since a
// panic on this goroutine would end the process: the queue has a timer only by the default clock.
func (b *Bucket) ring() {
	h := b.hold()
	b.room.alarm.set = false
	h.release()
}

// attend returns the instant at which waiter x, which joined the queue or was woken but not served,
// should next wake by an injected clock. If x is the front, its alarm is over, or was for another.
func (b *Bucket) attend(h *hold, x *waiter) int64 {
	if x != b.room.front() {
		return engine.Forever
	}
	a := &b.room.alarm
	if b.source.injected == nil {
		a.set = false // release sets the timer
		return engine.Forever
	}
	a.set, a.at, a.owner = true, h.Due(), x
	return a.at
}

// alarmOf returns the channel that x sleeps on besides its own, until the instant t by an injected
// clock.
func (b *Bucket) alarmOf(x *waiter, t int64) <-chan time.Time {
	if x.timer != nil {
		return x.timer.C
	}
	if t == engine.Forever {
		return nil
	}
	for {
		before := b.source.shown()
		c := b.source.injected.clock.After(between(before, t))
		now, after := b.source.read()
		switch {
		case now >= t:
			return past
		case after-before <= clockDrift:
			return c
		}
		// A clock that is set by hand was, just before After, whose channel is late by as much.
	}
}

// clockDrift is how far a clock that runs by itself may have moved between two readings, in ns. A
// waiter may wake so much late.
const clockDrift = int64(100 * time.Microsecond)

// past is the channel of an alarm whose time is over.
var past = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

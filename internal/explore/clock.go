package explore

import (
	"math"
	"slices"
	"time"
)

// A clock is the virtual time of a run, and its timers.
type clock struct {
	object Object
	now    int64 // ns since the beginning of the run
	timers []*Timer
}

// Epoch is the time at the beginning of each run. It has no monotonic part.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Now returns the virtual time.
func Now() time.Time {
	Before("Now", nil)
	if active == nil {
		return Epoch
	}
	After(&active.clock.object, false)
	return Epoch.Add(time.Duration(active.clock.now))
}

// Step moves the virtual time by d.
func Step(d time.Duration) {
	Before("Step", nil)
	r, t := now()
	if r == nil {
		active.clock.now += int64(d)
		return
	}
	After(&r.clock.object, true)
	r.advance(t, r.clock.now+int64(d))
}

// A Timer fires at an instant of the virtual time, in a goroutine of its own or by a channel. A goroutine can be late.
type Timer struct {
	C      chan time.Time // nil if it calls f
	f      func()
	due    int64
	active bool
}

// NewTimer returns a timer that is not set. It sends the time to C or, if f is not nil, calls f.
func NewTimer(f func()) *Timer {
	x := &Timer{f: f}
	if f == nil {
		x.C = make(chan time.Time, 1)
	}
	return x
}

// Set makes the timer fire after d, instead of when it was set to, and reports whether it was set.
func (x *Timer) Set(d time.Duration) bool {
	Before("set a timer", nil)
	r, t := now()
	if r == nil {
		r = active // of a scenario's setup
		t = &r.outside
	}
	r.touch(t, &r.clock.object, false)
	was := r.stop(t, x)
	x.due, x.active = math.MaxInt64, true
	if int64(d) < math.MaxInt64-r.clock.now {
		x.due = r.clock.now + int64(max(d, 0))
	}
	r.clock.timers = append(r.clock.timers, x)
	if d <= 0 {
		r.advance(t, r.clock.now)
	}
	return was
}

// Stop stops the timer, and reports whether it was set.
func (x *Timer) Stop() bool {
	Before("stop a timer", nil)
	r, t := now()
	if r == nil {
		return false
	}
	After(&r.clock.object, false)
	return r.stop(t, x)
}

// stop also takes a time away that has been sent and not yet received, as time.Timer does.
func (r *run) stop(t *thread, x *Timer) bool {
	was := x.active || len(x.C) > 0
	if x.active {
		r.clock.timers = slices.DeleteFunc(r.clock.timers, func(y *Timer) bool { return x == y })
	}
	if x.C != nil {
		r.touch(t, r.channel(chanOf(x.C)), true)
		select {
		case <-x.C:
		default:
		}
	}
	x.active = false
	return was
}

// due returns the instant of the next alarm.
func (c *clock) due() int64 {
	due := int64(math.MaxInt64)
	for _, x := range c.timers {
		due = min(due, x.due)
	}
	return due
}

// advance moves the time and fires the timers that are due, in order. t moves it.
func (r *run) advance(t *thread, to int64) {
	c := &r.clock
	c.now = to
	if t == &r.outside {
		t.pointed = true
		r.touch(t, &c.object, true)
	}
	for {
		i := -1
		for j, x := range c.timers {
			if x.due <= to && (i < 0 || x.due < c.timers[i].due) {
				i = j
			}
		}
		if i < 0 {
			return
		}
		x := c.timers[i]
		c.timers = slices.Delete(c.timers, i, i+1)
		x.active = false
		if x.f != nil {
			r.spawn("a timer", t, x.f)
			continue
		}
		r.touch(t, r.channel(chanOf(x.C)), true)
		select {
		case x.C <- Epoch.Add(time.Duration(to)):
		default:
		}
	}
}

// Sleep blocks for d.
func Sleep(d time.Duration) {
	x := NewTimer(nil)
	x.Set(d)
	Receive(x.C)
}

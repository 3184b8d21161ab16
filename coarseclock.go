package tokenbucket

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A CoarseClock is a [Clock] that reads its time from memory. That costs a tenth of reading the real
// clock, which is most of what a decision costs. While the clock is used, a timer renews the time.
// When nobody has used it for one resolution, the timer stops, and the next call of Now reads the
// real clock. A CoarseClock has no goroutine and needs no Close.
//
// It shows the monotonic clock with a lag: it is never ahead of it and never goes back. It lags by up
// to the resolution, plus the lateness of the runtime's timers: 10 to 40 ms while goroutines that
// never pause keep every processor busy. So the tokens that a bucket has issued since the clock was
// last exact are never more than by the real clock; they come later. A single window of real time may
// see the tokens of one lag in addition: the bound is burst + rate*(T + lag).
//
// Use it for limits that are asked millions of times a second, and share one among all buckets of a
// program. Do not use it
//   - if the burst has room for less than a few resolutions of refill. A full bucket loses what is
//     refilled until the time is renewed: at a burst of 1 and a resolution of 1 ms, at most 1000
//     tokens a second are ever granted.
//   - where the instant matters. A Wait returns up to one lag late, and a Result's RetryAfter counts
//     from a time that has passed.
//   - where calls are fewer than one a resolution. Each of them then reads the real clock and sets a
//     timer, which costs more than the default clock does.
//
// Create one with [NewCoarseClock]; the zero CoarseClock must not be used. A CoarseClock must not be
// copied. It is safe for concurrent use. Inside a testing/synctest bubble use one that was made there.
type CoarseClock struct {
	// reading is what Now returns. It is nil while no timer is set, so that nobody finds a reading
	// from before a pause.
	reading    atomic.Pointer[reading]
	resolution time.Duration
	base       time.Time // when the clock was made
	bubbled    bool      // made inside a synctest bubble

	// mu is held from reading the real clock until the reading is published, so that no older reading
	// replaces a newer one.
	mu sync.Mutex
}

// A reading is an instant of the real clock. Only used ever changes, and only once.
type reading struct {
	at    time.Time
	since int64       // ns from the clock's base to at
	used  atomic.Bool // Now has returned it, so the next tick renews it
}

func (c *CoarseClock) read(now time.Time) *reading {
	return &reading{at: now, since: int64(now.Sub(c.base))}
}

// NewCoarseClock returns a clock that renews its time every resolution while it is used. 1 ms is a
// good choice. It panics if the resolution is not positive.
func NewCoarseClock(resolution time.Duration) *CoarseClock {
	if resolution <= 0 {
		panic(fmt.Sprintf("tokenbucket: NewCoarseClock: resolution is %v, want more than 0", resolution))
	}
	now := time.Now()
	return &CoarseClock{resolution: resolution, base: now, bubbled: isBubbled(now)}
}

// isBubbled reports whether now was read inside a synctest bubble. Times there have no monotonic part
// that Round could take away.
func isBubbled(now time.Time) bool {
	return now == now.Round(0) //nolint:staticcheck // QF1009 wants Equal, which does not look at the monotonic part
}

// Now returns the time as it was at most one resolution ago, or a little more if the timer is late.
func (c *CoarseClock) Now() time.Time {
	if r := c.reading.Load(); r != nil && r.used.Load() {
		return r.at
	}
	return c.use()
}

// use is Now where there is no reading, or one that nobody has used.
func (c *CoarseClock) use() time.Time {
	if r := c.reading.Load(); r != nil {
		r.used.Store(true)
		return r.at
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.reading.Load(); r != nil {
		return r.at
	}
	now := time.Now()
	if isBubbled(now) != c.bubbled {
		// Published, it would send everybody else decades away, and a timer set here may never fire.
		return now
	}
	r := c.read(now)
	r.used.Store(true)
	c.reading.Store(r)
	c.schedule()
	return now
}

// tick renews the reading, or removes it if nobody has used it.
func (c *CoarseClock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reading.Load().used.Load() {
		c.reading.Store(nil)
		return
	}
	c.reading.Store(c.read(time.Now()))
	c.schedule()
}

// schedule sets the timer of the next tick. At most one is set at a time: it is called only where
// there was no reading, and by the tick itself.
func (c *CoarseClock) schedule() { time.AfterFunc(c.resolution, c.tick) }

// After returns a channel that receives the time once Now has moved on by d since the call. It
// receives a time d after the call, as by the real clock, since it renews the reading if a late tick
// has not. A timer that nobody waits for any longer is released only when d is over.
func (c *CoarseClock) After(d time.Duration) <-chan time.Time {
	until := c.Now().Add(d)
	done := make(chan time.Time, 1)
	time.AfterFunc(d, func() { done <- c.reach(until) })
	return done
}

// reach returns the time, and sees that Now is not before the instant until from here on. It leaves
// the tick as it is.
func (c *CoarseClock) reach(until time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if r := c.reading.Load(); r != nil && r.at.Before(until) && isBubbled(now) == c.bubbled {
		c.reading.Store(c.read(now))
	}
	return now
}

package tokenbucket

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A CoarseClock is a [Clock] that reads its time from memory, which takes a tenth of what reading the real one takes; and
// that is most of what a decision costs. While it is used, a timer renews the time; when nobody has used it for one
// resolution, the timer stops, and the next one to ask reads the real clock. There is no goroutine and nothing to close.
//
// It is the monotonic clock, late: never ahead of it and never going back. It lags by up to the resolution, plus what the
// runtime is late with its timers: 10 to 40 ms while goroutines that never pause keep every processor busy. So the tokens
// that a bucket has issued since the clock was last exact are never more than by the real clock; they come later. In a
// single window of real time there can be those of one lag more: the bound is burst + rate*(T + lag).
//
// Use it for limits that are asked millions of times a second, and share one among all buckets of a program. Do not use it
//   - if less than a few resolutions' refill fits in the burst: what a full bucket can't hold until the time is renewed is
//     lost. At a burst of 1 and a resolution of 1 ms, no more than 1000 tokens a second are ever granted.
//   - where the instant matters. A Wait comes up to two lags late, and a Result's RetryAfter is counted from a time
//     that has passed.
//   - where calls are fewer than one a resolution: each of them then reads the real clock and sets a timer, which costs
//     more than the default clock does.
//
// Create one with [NewCoarseClock]; the zero CoarseClock must not be used, nor may one be copied. Its methods may be called
// by any number of goroutines at once. Inside a testing/synctest bubble use one that was made there.
type CoarseClock struct {
	// reading is what Now returns, or nil while no timer is set, so that nobody finds a reading from before a pause.
	reading    atomic.Pointer[reading]
	resolution time.Duration
	base       time.Time // when the clock was made
	bubbled    bool      // made inside a synctest bubble

	// mu is held from reading the real clock until the reading is published, so that no older one follows a newer.
	mu sync.Mutex
}

// A reading is an instant of the real clock. Only used ever changes, and only once.
type reading struct {
	at    time.Time
	since int64       // ns from the clock's base to at
	used  atomic.Bool // somebody has asked for it, so the clock goes on
}

func (c *CoarseClock) read(now time.Time) *reading {
	return &reading{at: now, since: int64(now.Sub(c.base))}
}

// NewCoarseClock returns a clock that renews its time every resolution while it is used; 1 ms is a good choice. It panics
// if the resolution is not positive.
func NewCoarseClock(resolution time.Duration) *CoarseClock {
	if resolution <= 0 {
		panic(fmt.Sprintf("tokenbucket: NewCoarseClock: resolution is %v, want more than 0", resolution))
	}
	now := time.Now()
	return &CoarseClock{resolution: resolution, base: now, bubbled: isBubbled(now)}
}

// isBubbled tells that now was read inside a synctest bubble: there the time has no monotonic part, for Round to take away.
func isBubbled(now time.Time) bool {
	return now == now.Round(0) //nolint:staticcheck // QF1009 wants Equal, which does not look at the monotonic part
}

// Now returns the time, as it was at most one resolution ago, or a little more if the timer is late.
func (c *CoarseClock) Now() time.Time {
	if r := c.reading.Load(); r != nil && r.used.Load() {
		return r.at
	}
	return c.use()
}

// use is Now for the first one who asks for a reading, or finds none.
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
		return now // published, it would send everybody else decades away; and a timer set here may never fire
	}
	r := c.read(now)
	r.used.Store(true)
	c.publish(r)
	return now
}

// tick renews the reading, or takes it away if nobody has asked for it.
func (c *CoarseClock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reading.Load().used.Load() {
		c.reading.Store(nil)
		return
	}
	c.publish(c.read(time.Now()))
}

// publish makes r the time for one resolution. mu is held.
func (c *CoarseClock) publish(r *reading) {
	c.reading.Store(r)
	time.AfterFunc(c.resolution, c.tick)
}

// After returns a channel that gets the time once Now has moved on by d: one resolution later than by the real clock,
// so that who waits for it does not wake up too early, only to wait again.
func (c *CoarseClock) After(d time.Duration) <-chan time.Time {
	return time.After(min(d, math.MaxInt64-c.resolution) + c.resolution)
}

package tokenbucket_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long the driver waits for another goroutine before it calls it lost.
const patience = 20 * time.Second

// never is an instant no clock reaches.
const never = math.MaxInt64

// fakeClock is a clock that stands still until the driver moves it, forward or back. Moving it wakes nobody: a
// sleeper is woken by fire alone, so the driver decides whether a timer or some other operation settles the queue.
// Instants are nanoseconds since the clock's start. It is safe for concurrent use.
type fakeClock struct {
	mu       sync.Mutex
	start    time.Time
	now      int64
	seq      int // number of calls of After so far
	sleepers []sleeper
}

type sleeper struct {
	due int64
	seq int
	ch  chan time.Time
}

// clockStart is what a new fakeClock shows.
var clockStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newFakeClock() *fakeClock {
	return &fakeClock{start: clockStart}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(time.Duration(c.now))
}

func (c *fakeClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.now + int64(d)
	if d > 0 && due < c.now {
		due = never
	}
	s := sleeper{due, c.seq, make(chan time.Time, 1)}
	c.seq++
	c.sleepers = append(c.sleepers, s)
	return s.ch
}

func (c *fakeClock) set(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// fire wakes every sleeper whose time has come and tells how many there were.
func (c *fakeClock) fire() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.sleepers)
	c.sleepers = slices.DeleteFunc(c.sleepers, func(s sleeper) bool {
		if s.due > c.now {
			return false
		}
		s.ch <- c.start.Add(time.Duration(c.now))
		return true
	})
	return before - len(c.sleepers)
}

// armed is the earliest instant somebody sleeps until, or never.
func (c *fakeClock) armed() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := int64(never)
	for _, s := range c.sleepers {
		due = min(due, s.due)
	}
	return due
}

// pending is the number of sleepers.
func (c *fakeClock) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sleepers)
}

// mark is the sequence number the next sleeper will have.
func (c *fakeClock) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

// forget drops the sleepers from before the mark. After cannot be stopped, so a channel whose owner has gone stays
// behind; without this it would pass for the timer that the next in line owes us.
func (c *fakeClock) forget(mark int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sleepers = slices.DeleteFunc(c.sleepers, func(s sleeper) bool { return s.seq < mark })
}

// fakeDeadline is a context with a deadline on the fake clock, which nobody watches: it is only ever told in advance.
type fakeDeadline struct {
	context.Context
	at time.Time
}

func (c fakeDeadline) Deadline() (time.Time, bool) { return c.at, true }

// poll waits until done reports true; false means that patience ran out.
func poll(done func() bool) bool {
	stop := time.Now().Add(patience)
	for i := 0; !done(); i++ {
		if i < 200 {
			runtime.Gosched()
			continue
		}
		if time.Now().After(stop) {
			return false
		}
		time.Sleep(20 * time.Microsecond)
	}
	return true
}

func TestFakeClock(t *testing.T) {
	c := newFakeClock()
	start := c.Now()
	soon, late := c.After(time.Second), c.After(time.Hour)
	c.set(int64(time.Second))
	if got := c.Now().Sub(start); got != time.Second {
		t.Errorf("Now = start+%v, want start+1s", got)
	}
	if n := c.fire(); n != 1 || len(soon) != 1 || len(late) != 0 {
		t.Errorf("fire woke %d, want the one that is due", n)
	}
	c.set(-int64(time.Hour))
	if n := c.fire(); n != 0 || c.pending() != 1 || c.armed() != int64(time.Hour) {
		t.Errorf("after a step back: fire woke %d, pending %d, armed %d", n, c.pending(), c.armed())
	}
	mark := c.mark()
	c.After(2 * time.Hour)
	if c.forget(mark); c.pending() != 1 {
		t.Errorf("forget left %d, want the youngest alone", c.pending())
	}
}

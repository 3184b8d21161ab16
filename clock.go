package tokenbucket

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A Clock tells a bucket the time, for tests and simulations. The clocks of
// github.com/benbjohnson/clock, github.com/jonboulle/clockwork and k8s.io/utils/clock satisfy it as
// they are. Its methods must be safe for concurrent use.
//
// Now is called once or twice a decision; After is called only while somebody waits. A clock that
// steps back stands still until it has caught up with itself, so it never mints a token. Durations
// that the caller is told, such as RetryAfter and Delay, are counted by the clock as it reads then,
// so waiting that long is enough.
//
// A bucket counts 292 years from the instant at which it was made. Then its time stands still.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// A source reads a clock as nanoseconds since an epoch, which never go back. The zero source must
// not be used. Copies of a source share the injected clock and its progress.
//
// The epoch belongs to the bucket, never to the package: inside a testing/synctest bubble a
// package-level epoch would lie decades in the future.
type source struct {
	injected *injectedClock // nil: the runtime's monotonic clock
	epoch    time.Time
}

func newSource(c Clock) source {
	if c == nil {
		return source{epoch: time.Now()}
	}
	i := &injectedClock{clock: c, epoch: c.Now()}
	if c, ok := c.(*CoarseClock); ok {
		i.coarse, i.ahead = c, int64(i.epoch.Sub(c.base))
	}
	return source{injected: i, epoch: i.epoch}
}

// now reads the clock. time.Since costs about half of time.Now, and is most of what a decision
// costs.
func (s *source) now() int64 {
	if s.injected == nil {
		return int64(time.Since(s.epoch))
	}
	return s.injected.now()
}

// reached returns the latest instant that a decision can have used which is over by now. It never
// calls a method of a user's clock.
func (s *source) reached() int64 {
	if s.injected == nil || s.injected.coarse != nil {
		return s.now()
	}
	return s.injected.latest.Load()
}

// read is now with the time that the clock itself shows, which is earlier while an injected clock
// is behind the latest instant that it has reached.
func (s *source) read() (t, shown int64) {
	if s.injected == nil {
		t = int64(time.Since(s.epoch))
		return t, t
	}
	return s.injected.read()
}

// shown returns the time that the clock itself shows.
func (s *source) shown() int64 {
	_, shown := s.read()
	return shown
}

// instant returns the instant at which the clock will show t. The default clock is monotonic, so
// a wall-clock t is as far away as it is for the context package.
func (s *source) instant(t time.Time) int64 {
	if s.injected != nil {
		return int64(t.Sub(s.epoch))
	}
	now, left := s.now(), int64(time.Until(t))
	if left > engine.Forever-now {
		return engine.Forever
	}
	return now + left
}

// An injectedClock is a [Clock] with the latest instant that it has reached. All buckets of one map
// share it.
type injectedClock struct {
	clock  Clock
	epoch  time.Time
	coarse *CoarseClock // clock, if it is one
	ahead  int64        // ns from the base of coarse to the epoch
	latest atomic.Int64
}

// now returns the latest instant that the clock has reached.
func (i *injectedClock) now() int64 {
	if i.coarse != nil {
		// The result of read below, in half the time. A coarse clock never steps back.
		if r := i.coarse.reading.Load(); r != nil && r.used.Load() {
			return r.since - i.ahead
		}
	}
	t, _ := i.read()
	return t
}

// read returns the latest instant that the clock has reached, and the one that it shows. They
// differ only if the clock has stepped back: latest is loaded before the clock is read, so that a
// reading which another goroutine has overtaken is merely a little old, like one of the default
// clock.
func (i *injectedClock) read() (t, shown int64) {
	before := i.latest.Load()
	shown = min(int64(i.clock.Now().Sub(i.epoch)), engine.Forever-1)
	if shown <= before {
		return before, shown
	}
	for latest := before; shown > latest; latest = i.latest.Load() {
		if i.latest.CompareAndSwap(latest, shown) {
			break
		}
	}
	return shown, shown
}

// until returns the time until the instant at, for a caller whose clock shows shown: 0 if now, the
// latest instant that the clock has reached, is not before it, or [Never].
func until(now, shown, at int64) time.Duration {
	if at <= now {
		return 0
	}
	return between(shown, at)
}

// between returns the time from one instant to another: 0 if it is past, or [Never].
func between(from, to int64) time.Duration {
	switch {
	case to == engine.Forever:
		return Never
	case to <= from:
		return 0
	case from < 0 && to > math.MaxInt64+from:
		return Never
	}
	return time.Duration(to - from)
}

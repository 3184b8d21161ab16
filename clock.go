package tokenbucket

import "time"

// Clock is where a bucket takes the time from, for tests and simulations. The clocks of github.com/benbjohnson/clock,
// github.com/jonboulle/clockwork and k8s.io/utils/clock satisfy it as they are.
//
// Now is called once or twice a decision, from any goroutine; After only while somebody waits. A clock that steps back
// earns nothing until it has caught up with itself; it never mints a token. A bucket counts 292 years from the instant
// at which it was made, then its time stands still.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// A source is a Clock read as nanoseconds since epoch. With a nil clock it is the runtime's monotonic clock.
//
// The epoch belongs to the bucket, never to the package: inside a testing/synctest bubble a package-level epoch would
// lie decades in the future.
type source struct {
	clock Clock
	epoch time.Time
	lead  int64 // of a CoarseClock: ns from its base to the epoch
}

func newSource(c Clock) source {
	if c == nil {
		return source{epoch: time.Now()}
	}
	s := source{clock: c, epoch: c.Now()}
	if c, ok := c.(*CoarseClock); ok {
		s.lead = int64(s.epoch.Sub(c.base))
	}
	return s
}

// now reads the clock. time.Since costs about half of time.Now, and is most of what a decision costs.
func (s *source) now() int64 {
	if s.clock == nil {
		return int64(time.Since(s.epoch))
	}
	return s.injected()
}

// injected reads a clock that was given. What is more than 146 years before the epoch counts as that, so that the
// difference of two instants fits in 64 bits where it matters; and no instant is forever.
func (s *source) injected() int64 {
	if c, ok := s.clock.(*CoarseClock); ok {
		if r := c.reading.Load(); r != nil && r.used.Load() {
			return r.since - s.lead // what follows does to the same readings, in half of the time
		}
	}
	return min(max(int64(s.clock.Now().Sub(s.epoch)), -1<<62), forever-1)
}

// until returns how far deadline is away, by the clock that the bucket goes by.
func (s *source) until(deadline time.Time) time.Duration {
	if s.clock == nil {
		return time.Until(deadline)
	}
	return deadline.Sub(s.clock.Now())
}

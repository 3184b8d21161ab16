package tokenbucket

import "fmt"

// An Option configures a [Bucket] or a [Keyed] when it is made.
type Option interface {
	KeyedOption
	bucketOption()
}

// A KeyedOption configures a [Keyed]. Every [Option] is one. [WithMaxKeys] is not an Option, so
// that it does not compile where it would mean nothing.
type KeyedOption interface {
	apply(*settings)
}

type settings struct {
	clock      Clock
	maxWaiters int // -1: any number
	maxKeys    int // -1: any number
}

func defaults() settings { return settings{maxWaiters: -1, maxKeys: -1} }

type (
	option      func(*settings)
	keyedOption func(*settings)
)

func (o option) apply(s *settings)      { o(s) }
func (option) bucketOption()            {}
func (o keyedOption) apply(s *settings) { o(s) }

// WithClock makes the bucket go by c instead of the runtime's monotonic clock. It panics if c is
// nil.
func WithClock(c Clock) Option {
	if c == nil {
		panic("tokenbucket: WithClock: the clock is nil")
	}
	return option(func(s *settings) { s.clock = c })
}

// WithMaxWaiters bounds how many may queue at one bucket, waiters and reservations together. A
// Wait or a Reserve that would have to queue beyond that fails at once with [ErrQueueFull]. For a
// [Keyed], the bound is that of each key. 0 lets nobody queue; without this option any number may.
// WithMaxWaiters panics if n is negative.
func WithMaxWaiters(n int) Option {
	if n < 0 {
		panic(fmt.Sprintf("tokenbucket: WithMaxWaiters: n is %d, want 0 or more", n))
	}
	return option(func(s *settings) { s.maxWaiters = n })
}

// WithMaxKeys bounds how many keys a [Keyed] holds. Keys beyond it are not refused: they share a
// fixed number of overflow buckets, see [Keyed]. It panics if n is not positive.
func WithMaxKeys(n int) KeyedOption {
	if n < 1 {
		panic(fmt.Sprintf("tokenbucket: WithMaxKeys: n is %d, want 1 or more", n))
	}
	return keyedOption(func(s *settings) { s.maxKeys = n })
}

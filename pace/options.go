package pace

import (
	"runtime"

	"github.com/go-tokenbucket/tokenbucket"
)

// Option configures [ForEach] or [Map].
type Option interface {
	MapOption
	forEachOption()
}

// MapOption configures [Map]. Every [Option] is one; [AsCompleted] and [WithBuffer] are not Options, so that they do not
// compile where they would mean nothing.
type MapOption interface {
	apply(*settings)
}

type settings struct {
	bucket      *tokenbucket.Bucket // nil: unpaced
	concurrency int
	buffer      int // -1: as large as the concurrency
	asCompleted bool
}

func settingsOf[O MapOption](opts []O) settings {
	s := settings{concurrency: runtime.GOMAXPROCS(0), buffer: -1}
	for _, o := range opts {
		o.apply(&s)
	}
	if s.buffer < 0 {
		s.buffer = s.concurrency
	}
	return s
}

type (
	option    func(*settings)
	mapOption func(*settings)
)

func (o option) apply(s *settings)    { o(s) }
func (option) forEachOption()         {}
func (o mapOption) apply(s *settings) { o(s) }

// WithBucket makes every job take a token of b before it is started. Without this option jobs are started as soon as there
// is a slot for them. It panics if b is nil.
func WithBucket(b *tokenbucket.Bucket) Option {
	if b == nil {
		panic("pace: WithBucket: the bucket is nil")
	}
	return option(func(s *settings) { s.bucket = b })
}

// WithConcurrency bounds how many jobs run at once. Without this option it is [runtime.GOMAXPROCS], which suits jobs that
// compute; those that wait for others want more. It panics if n is less than 1.
func WithConcurrency(n int) Option {
	mustAtLeast("WithConcurrency", "n", n, 1)
	return option(func(s *settings) { s.concurrency = n })
}

// AsCompleted makes [Map] yield results as soon as they are there, instead of in the order of the input.
func AsCompleted() MapOption { return mapOption(func(s *settings) { s.asCompleted = true }) }

// WithBuffer bounds how far [Map] works ahead of the loop over its results: n more items than may run at once. They are
// results that wait for the loop or, in the order of the input, for an earlier one. Without this option it is as many as
// may run at once. Together they are at most 65536. It panics if n is negative.
func WithBuffer(n int) MapOption {
	mustAtLeast("WithBuffer", "n", n, 0)
	return mapOption(func(s *settings) { s.buffer = n })
}

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

// MapOption configures [Map]. Every [Option] is one. [WithCompletionOrder] and [WithBuffer] are not
// Options, so that they do not compile where they would mean nothing.
type MapOption interface {
	apply(*settings)
}

type settings struct {
	cost            tokens // of one job
	concurrency     int
	buffer          int // -1 means as large as the concurrency
	completionOrder bool
}

func newSettings[O MapOption](opts []O) settings {
	s := settings{cost: noTokens{}, concurrency: runtime.GOMAXPROCS(0), buffer: -1}
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

// WithBucket makes every job take a token of b before it starts. By default a job starts as soon as
// a slot is free. WithBucket panics if b is nil.
func WithBucket(b *tokenbucket.Bucket) Option {
	mustBucket("WithBucket", b)
	return option(func(s *settings) { s.cost = bucketTokens{b, 1} })
}

// WithConcurrency bounds how many jobs run at once. The default is [runtime.GOMAXPROCS], which
// suits jobs that compute; jobs that wait for a network or a disk need more. WithConcurrency panics
// if n is less than 1.
func WithConcurrency(n int) Option {
	mustAtLeast("WithConcurrency", "n", n, 1)
	return option(func(s *settings) { s.concurrency = n })
}

// WithCompletionOrder makes [Map] yield results in the order in which they are completed, each as
// soon as it is there, instead of in the order of the input.
func WithCompletionOrder() MapOption {
	return mapOption(func(s *settings) { s.completionOrder = true })
}

// WithBuffer bounds how far [Map] works ahead of the loop over its results: by n more items than
// may run at once. These are results that wait for the loop or, in the order of the input, for an
// earlier result. The default is as many as may run at once. Together they are at most 65536.
// WithBuffer panics if n is negative.
func WithBuffer(n int) MapOption {
	mustAtLeast("WithBuffer", "n", n, 0)
	return mapOption(func(s *settings) { s.buffer = n })
}

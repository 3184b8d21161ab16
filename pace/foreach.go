package pace

import (
	"context"
	"iter"
)

// ForEach calls f for each item of seq, in the order of seq, each in a goroutine of its own, at most as many at once as
// [WithConcurrency] says and no more often than [WithBucket] allows.
//
// The first error cancels the context that the others are given, and nothing more is started. ForEach returns once all
// have returned: with the first error of f, or if ctx ended or the bucket refused before all of seq was done, with an error
// that wraps that; see [Group.GoN]. If it returns nil, f has succeeded for every item.
//
// seq is run by the calling goroutine, and pulled no further than one item beyond those that have been started: it may be
// infinite. While seq itself blocks, ForEach can't notice that f failed or ctx ended. A panic in seq cancels the jobs, and
// goes on when they have returned; one in f arrives as a [*PanicError].
func ForEach[T any](ctx context.Context, seq iter.Seq[T], f func(context.Context, T) error, opts ...Option) error {
	s := settingsOf(opts)
	c := newCrew(ctx, s.concurrency)
	defer c.stop() // if seq panics: otherwise all have been waited for
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	for x := range seq {
		if c.hand(s.bucket, 1, func(ctx context.Context) error { return f(ctx, x) }) != nil {
			break
		}
	}
	return c.wait()
}

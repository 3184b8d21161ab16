package pace

import (
	"context"
	"iter"
)

// ForEach calls f for each item of seq, in the order of seq, each in its own goroutine. At most as
// many calls run at once as [WithConcurrency] allows, and they start no more often than
// [WithBucket] allows.
//
// The first error ends the context that the other calls are given, and no more are started. ForEach
// returns when all calls have returned: with the first error of f or, if ctx ended or the bucket
// refused before all of seq was done, with an error that wraps that; see [Group.GoN]. If it returns
// nil, f has succeeded for every item.
//
// The calling goroutine runs seq, at most one item ahead of what was started, so seq may be
// infinite. While seq itself blocks, ForEach cannot notice that f failed or that ctx ended. After a
// panic in seq, ForEach ends the calls, waits for them, and lets the panic pass; one in f arrives
// as a [*PanicError]. ForEach panics if f is nil.
func ForEach[T any](ctx context.Context, seq iter.Seq[T], f func(context.Context, T) error, opts ...Option) error {
	if f == nil {
		panic("pace: ForEach: the func is nil")
	}
	s := newSettings(opts)
	r := newRunner(ctx, s.concurrency)
	defer r.stop() // for a panic in seq: otherwise wait has done it
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	for x := range seq {
		if r.start(s.cost, func(ctx context.Context) error { return f(ctx, x) }) != nil {
			break
		}
	}
	return r.wait()
}

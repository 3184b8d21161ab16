package pace

import (
	"context"
	"fmt"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Group is a collection of jobs that work on the same task, like
// golang.org/x/sync/errgroup.Group. At most a fixed number of jobs run at once, and each takes
// tokens from a bucket before it starts.
//
// Create one with [NewGroup]; the zero Group must not be used, nor may a Group be copied. All
// methods may be called by any number of goroutines at once. A Group serves one task: once Wait has
// returned, it refuses every job. Wait must be called, to release the Group's context.
type Group struct {
	runner *runner
	bucket *tokenbucket.Bucket
}

// NewGroup returns a Group that runs at most concurrency jobs at once and starts each with tokens
// of b. It also returns the context that the jobs are given, which ends when a job fails or panics,
// or Wait returns. Several groups may share a bucket. NewGroup panics if b is nil or concurrency is
// less than 1.
func NewGroup(ctx context.Context, b *tokenbucket.Bucket, concurrency int) (*Group, context.Context) {
	mustBucket("NewGroup", b)
	mustAtLeast("NewGroup", "concurrency", concurrency, 1)
	g := &Group{runner: newRunner(ctx, concurrency), bucket: b}
	return g, g.runner.ctx
}

func mustBucket(where string, b *tokenbucket.Bucket) {
	if b == nil {
		panic("pace: " + where + ": the bucket is nil")
	}
}

func mustJob(where string, f func(context.Context) error) {
	if f == nil {
		panic("pace: " + where + ": the job is nil")
	}
}

func mustAtLeast(where, what string, n, least int) {
	if n < least {
		panic(fmt.Sprintf("pace: %s: %s is %d, want %d or more", where, what, n, least))
	}
}

// Go starts f with one token. See [Group.GoN].
func (g *Group) Go(f func(context.Context) error) error { return g.GoN(1, f) }

// GoN waits until fewer jobs run than the Group's concurrency, then until n tokens are there, then
// starts f in a new goroutine and returns nil. It is the caller that waits. So the jobs of one
// caller are started in the order of its calls, each at the instant at which the bucket grants its
// tokens.
//
// An error means that f was not started and will not be, and that nothing was taken. It is
//   - the end of the Group's context, at once: errors.Is matches both the context's error, such as
//     [context.Canceled], and its cause, such as the error of the job that failed;
//   - any other error of [tokenbucket.Bucket.WaitN]: more tokens than the burst, too many waiters,
//     or a turn that would come after the deadline. The Group goes on.
//
// Wait returns the first such error, if no job fails. A job may call GoN, but it keeps its own slot
// while it waits for another: if all jobs do so, none goes on. GoN panics if n is negative or f is
// nil.
func (g *Group) GoN(n int, f func(context.Context) error) error {
	mustAtLeast("GoN", "n", n, 0)
	mustJob("GoN", f)
	return g.runner.start(bucketTokens{g.bucket, n}, f)
}

// TryGo starts f if that can be done at once, with one token, and reports whether it did. It never
// blocks, and takes nothing if it returns false. TryGo panics if f is nil.
func (g *Group) TryGo(f func(context.Context) error) bool {
	mustJob("TryGo", f)
	cost := bucketTokens{g.bucket, 1}
	return g.runner.handOver(func() error { return g.runner.tryStart(cost, f) }) == nil
}

// Wait waits until all jobs have returned, then ends the Group's context. It returns the first
// error of a job, or else the first error of Go or GoN. A nil error means that every job that was
// handed over has run and succeeded. Jobs refused by TryGo do not count. If a job panicked, Wait
// panics with a [*PanicError].
//
// Wait also waits for calls of Go that block, and for the jobs they start. At the instant at which
// no job is left it closes the Group: a later Go returns an error and starts nothing, and does not
// change what Wait returns. A job must not call Wait of its own Group, since it would wait for
// itself.
func (g *Group) Wait() error { return g.runner.wait() }

// Stats returns the Group's figures at one instant.
func (g *Group) Stats() Stats { return g.runner.jobs.stats() }

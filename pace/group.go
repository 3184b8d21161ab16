package pace

import (
	"context"
	"fmt"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Group is a collection of jobs that work on the same task, like golang.org/x/sync/errgroup.Group: at most so many run
// at once, and each takes a token of a bucket before it is started.
//
// Create one with [NewGroup]; the zero Group must not be used, nor may a Group be copied. All methods may be called by any
// number of goroutines at once. A Group is for one task: once Wait has returned, nothing can be started any more. Wait has
// to be called, lest the context that comes with the Group stay with its parent.
type Group struct {
	crew   *crew
	bucket *tokenbucket.Bucket
}

// NewGroup returns a Group that runs at most concurrency jobs at once and starts each with a token of b, and the context
// that its jobs are given. It is cancelled when a job fails or panics, or Wait returns. Several groups may share a bucket.
// NewGroup panics if b is nil or concurrency is less than 1.
func NewGroup(ctx context.Context, b *tokenbucket.Bucket, concurrency int) (*Group, context.Context) {
	if b == nil {
		panic("pace: NewGroup: the bucket is nil")
	}
	mustAtLeast("NewGroup", "concurrency", concurrency, 1)
	g := &Group{crew: newCrew(ctx, concurrency), bucket: b}
	return g, g.crew.ctx
}

func mustBucket(where string, b *tokenbucket.Bucket) {
	if b == nil {
		panic("pace: " + where + ": the bucket is nil")
	}
}

func mustAtLeast(where, what string, n, least int) {
	if n < least {
		panic(fmt.Sprintf("pace: %s: %s is %d, want %d or more", where, what, n, least))
	}
}

// Go starts f with one token. See [Group.GoN].
func (g *Group) Go(f func(context.Context) error) error { return g.GoN(1, f) }

// GoN waits until less than the Group's concurrency of jobs run, then until n tokens are there, then starts f in a goroutine
// of its own and returns nil. All the waiting is done by the caller. So one caller's jobs are started in the order of its
// calls, each at the instant at which the bucket grants its tokens.
//
// An error means that f was not started and will not be, and that nothing was taken. It is
//   - the end of the Group's context, at once, whichever of the two GoN waits for: errors.Is tells of it both the context's
//     error, such as [context.Canceled], and its cause, such as the error of the job that failed;
//   - any other error of [tokenbucket.Bucket.WaitN]: more tokens than the burst, too many waiters, a turn that would come
//     after the deadline. The Group goes on.
//
// Wait returns the first such error, if no job fails. GoN panics if n is negative.
func (g *Group) GoN(n int, f func(context.Context) error) error {
	mustAtLeast("GoN", "n", n, 0)
	return g.crew.hand(g.bucket, n, f)
}

// TryGo starts f if it can be started at once, with one token, and tells whether it did. It never blocks, and nothing is
// taken if it returns false.
func (g *Group) TryGo(f func(context.Context) error) bool {
	return g.crew.tryHand(g.bucket.Allow, f)
}

// Wait waits until all jobs that were started have returned, then cancels the Group's context. It returns the first error
// of a job or else the first error of Go or GoN. So nil tells that all jobs were run and succeeded, those aside that TryGo
// did not take. If a job panicked, Wait panics with a [*PanicError].
func (g *Group) Wait() error { return g.crew.wait() }

package pace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket"
	"golang.org/x/sync/semaphore"
)

// A crew is what all groups of jobs in this package are made of: an errgroup whose limit is a semaphore, for errgroup's own
// does not watch a context, and that is closed once it has been waited for, which errgroup can't be.
type crew struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	slots  *semaphore.Weighted
	jobs   jobs

	failing sync.Once
	failure error // guarded by failing: the first error of a job, or its panic

	refused atomic.Pointer[error] // the first reason for which a job was not started
	crashed atomic.Pointer[crash] // the first job that did not return
}

func newCrew(ctx context.Context, concurrency int) *crew {
	c := &crew{slots: semaphore.NewWeighted(int64(concurrency))}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// enter takes a slot as soon as there is one. What it returns wraps the end of the context.
func (c *crew) enter() error {
	if c.slots.Acquire(c.ctx, 1) != nil {
		return contextError(c.ctx)
	}
	return nil
}

// tryEnter takes a slot if there is one and nobody waits for it.
func (c *crew) tryEnter() bool { return c.ctx.Err() == nil && c.slots.TryAcquire(1) }

func (c *crew) exit() { c.slots.Release(1) }

// begin takes a slot, then n tokens of b, unless b is nil.
func (c *crew) begin(b *tokenbucket.Bucket, n int) error {
	if err := c.enter(); err != nil {
		return c.refuse(err)
	}
	if b == nil {
		return nil
	}
	granted := false
	defer func() {
		if !granted { // refused, or a panic of the bucket's clock
			c.exit()
		}
	}()
	if err := b.WaitN(c.ctx, n); err != nil {
		return c.refuse(err)
	}
	granted = true
	return nil
}

// hand takes a slot and n tokens of b, unless b is nil, then starts f. Whatever comes, also a panic of the bucket's clock, the
// job has been admitted for as long as the caller is in here: Wait waits for it.
func (c *crew) hand(b *tokenbucket.Bucket, n int, f func(context.Context) error) error {
	if !c.jobs.admit() {
		return c.late()
	}
	started := false
	defer func() {
		if !started {
			c.jobs.refuse()
		}
	}()
	if err := c.begin(b, n); err != nil {
		return err
	}
	c.start(f)
	started = true
	return nil
}

// tryHand starts f if there is a slot and allow reports true.
func (c *crew) tryHand(allow func() bool, f func(context.Context) error) (started bool) {
	if !c.jobs.admit() {
		return false
	}
	defer func() {
		if !started {
			c.jobs.refuse()
		}
	}()
	return c.tryStart(allow, f)
}

// tryStart is tryHand for a job that has been admitted.
func (c *crew) tryStart(allow func() bool, f func(context.Context) error) (started bool) {
	if !c.tryEnter() {
		return false
	}
	defer func() {
		if !started { // not allowed, or a panic of the bucket's clock or of a func for limits
			c.exit()
		}
	}()
	if !allow() {
		return false
	}
	c.start(f)
	return true
}

// errWaited is the cause of a group's context once Wait has returned.
var errWaited = errors.New("pace: Wait has returned")

// late returns the error of a Go that came when the crew had been waited for.
func (c *crew) late() error {
	c.cancel(errWaited) // Wait is about to
	return contextError(c.ctx)
}

// start runs f, an admitted job, in a goroutine with the slot that the caller has taken. If f fails, the context is
// cancelled before the slot is free; otherwise somebody who waits for the slot could start one more job in between.
func (c *crew) start(f func(context.Context) error) {
	c.jobs.start()
	go func() {
		defer c.jobs.finish()
		defer c.exit()
		_ = c.guard(func() error { return f(c.ctx) })
	}()
}

// guard calls f, makes the first error the end of the crew, and catches a panic.
func (c *crew) guard(f func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = c.fail(c.caught(recover()))
		}
	}()
	err = f()
	returned = true
	if err != nil {
		err = c.fail(err)
	}
	return err
}

// fail cancels the crew for err, and returns the error that it was first cancelled for.
func (c *crew) fail(err error) error {
	c.failing.Do(func() {
		c.failure = err
		c.cancel(err)
	})
	return c.failure
}

// refuse notes that a job was not started, and why.
func (c *crew) refuse(err error) error {
	c.refused.CompareAndSwap(nil, &err)
	return err
}

// refusal returns what was noted first by refuse, or nil.
func (c *crew) refusal() error {
	if err := c.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// wait waits for all jobs and tells how it went, by a panic if need be.
func (c *crew) wait() error {
	c.jobs.wait()
	c.cancel(errWaited)
	c.rethrow()
	if c.failure != nil {
		return c.failure
	}
	return c.refusal()
}

// stop cancels all jobs and waits for them.
func (c *crew) stop() {
	c.cancel(nil)
	c.jobs.wait()
}

// contextError returns why ctx has ended: an error that is both ctx.Err and context.Cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

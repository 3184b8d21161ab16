package pace

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// A runner starts jobs, each with a slot and its tokens, and ends at the first error. Group,
// KeyedGroup, ForEach and Map each have one. It resembles golang.org/x/sync/errgroup, which does
// not fit: its limit does not watch a context, and it cannot refuse jobs once it has been waited
// for.
//
// A runner is safe for concurrent use.
type runner struct {
	ctx    context.Context // given to the jobs; ends at the first error, and after wait
	cancel context.CancelCauseFunc
	slots  *semaphore.Weighted // one for each job that runs
	jobs   jobs

	failing sync.Once
	failure error // set by failing: the first error of a job, or its panic

	refused atomic.Pointer[error] // the first reason why a job was not started
	crashed atomic.Pointer[crash] // the first job that did not return
}

func newRunner(ctx context.Context, concurrency int) *runner {
	r := &runner{slots: semaphore.NewWeighted(int64(concurrency))}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return r
}

// handOver admits a job, and calls start to start or queue it. If start returns an error or panics,
// for instance in a func for limits, the job is refused.
func (r *runner) handOver(start func() error) (err error) {
	if !r.jobs.admit() {
		return r.refuseLate()
	}
	handedOver := false
	defer func() {
		if !handedOver {
			r.jobs.refuse()
		}
	}()
	err = start()
	handedOver = err == nil
	return err
}

// start waits for a slot, then for the tokens, then runs f in a goroutine. An error means that f
// does not run and that nothing was taken; wait returns the first such error.
func (r *runner) start(cost tokens, f func(context.Context) error) error {
	return r.handOver(func() error {
		if err := r.acquire(cost); err != nil {
			return r.refuse(err)
		}
		r.run(f)
		return nil
	})
}

// errNotNow is why tryStart did not start a job. It never reaches the user.
var errNotNow = errors.New("pace: no slot or no tokens now")

// tryStart runs f, an admitted job, in a goroutine if there are a slot and tokens now. Otherwise it
// takes nothing and returns errNotNow.
func (r *runner) tryStart(cost tokens, f func(context.Context) error) error {
	if !r.tryAcquireSlot() {
		return errNotNow
	}
	taken := false
	defer func() {
		if !taken { // also after a panic of the bucket's clock or of a func for limits
			r.releaseSlot()
		}
	}()
	if taken = cost.take(); !taken {
		return errNotNow
	}
	r.run(f)
	return nil
}

// acquire waits for a slot, then for the tokens. In this order the tokens are taken at the instant
// at which the job starts.
func (r *runner) acquire(cost tokens) error {
	if err := r.acquireSlot(); err != nil {
		return err
	}
	granted := false
	defer func() {
		if !granted { // also after a panic of the bucket's clock
			r.releaseSlot()
		}
	}()
	if err := cost.wait(r.ctx); err != nil {
		return err
	}
	granted = true
	return nil
}

// acquireSlot waits for a slot. Its error is the end of the context.
func (r *runner) acquireSlot() error {
	if r.slots.Acquire(r.ctx, 1) != nil {
		return contextError(r.ctx)
	}
	return nil
}

// tryAcquireSlot takes a slot if one is free and nobody waits for it, and reports whether it did.
func (r *runner) tryAcquireSlot() bool { return r.ctx.Err() == nil && r.slots.TryAcquire(1) }

func (r *runner) releaseSlot() { r.slots.Release(1) }

// run runs f, an admitted job that has a slot, in a goroutine. If f fails, the context ends before
// the slot is free: otherwise a caller that waits for the slot could start one more job in between.
func (r *runner) run(f func(context.Context) error) {
	r.jobs.start()
	go func() {
		defer r.jobs.helperDone()
		defer r.releaseSlot()
		err := errGoexit // unless guard returns
		defer func() { r.jobs.finish(err) }()
		err = r.guard(func() error { return f(r.ctx) })
	}()
}

// guard calls f. An error or a panic of f ends the runner. A panic is caught, and returned as an
// error.
func (r *runner) guard(f func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = r.fail(r.caught(recover()))
		}
	}()
	err = f()
	returned = true
	if err != nil {
		err = r.fail(err)
	}
	return err
}

// fail ends the runner for err, and returns the error for which it was first ended.
func (r *runner) fail(err error) error {
	r.failing.Do(func() {
		r.failure = err
		r.cancel(err)
	})
	return r.failure
}

// refuse records why a job was not started.
func (r *runner) refuse(err error) error {
	r.refused.CompareAndSwap(nil, &err)
	return err
}

// errWaited is the cause of a runner's context once wait has returned.
var errWaited = errors.New("pace: Wait has returned")

// refuseLate returns the error for a job that was handed over after wait had ended. It is not
// recorded: the result of wait is final.
func (r *runner) refuseLate() error {
	r.cancel(errWaited) // wait is about to do it
	return contextError(r.ctx)
}

// wait waits for all admitted jobs. It returns the first error of a job, or else the first reason
// why one was not started. If a job did not return, wait does not either.
func (r *runner) wait() error {
	r.jobs.wait()
	r.cancel(errWaited)
	r.rethrow()
	if r.failure != nil {
		return r.failure
	}
	return r.refusal()
}

// refusal returns the first error that refuse recorded, or nil.
func (r *runner) refusal() error {
	if err := r.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// stop ends the context and waits for all admitted jobs.
func (r *runner) stop() {
	r.cancel(nil)
	r.jobs.wait()
}

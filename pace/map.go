package pace

import (
	"context"
	"iter"

	"golang.org/x/sync/semaphore"
)

// Map returns a sequence of the results of f for the items of seq: what f returned, and its error.
// They come in the order of seq or, with [WithCompletionOrder], as they are completed. Map calls f
// in the order of seq, each time in its own goroutine. At most as many calls run at once as
// [WithConcurrency] allows, and they start no more often than [WithBucket] allows.
//
// An error of f is yielded in the place of its item, with the result that f returned beside it, and
// Map goes on. The loop decides whether an error ends it, by break. If ctx ends or the bucket
// refuses before all of seq was started, Map yields the results of what was started and then one
// pair more: a zero Out, and an error that wraps the reason; see [Group.GoN]. So a loop that has
// seen no error has seen the result of every item.
//
// Map takes nothing from seq before the loop begins. During the loop it is ahead by at most as many
// items as WithConcurrency and [WithBuffer] allow, plus one, so seq may be infinite. Leaving the
// loop, in any way, ends the context that f is given and waits until all calls have returned. seq
// runs in its own goroutine, and leaving the loop also waits until seq is at its next item.
//
// A panic in f or in seq ends everything and then leaves the loop as a [*PanicError]. The sequence
// may be looped over again if seq may, and by several goroutines at once; every loop starts anew.
// Map panics if f is nil.
func Map[In, Out any](ctx context.Context, seq iter.Seq[In], f func(context.Context, In) (Out, error), opts ...MapOption) iter.Seq2[Out, error] {
	if f == nil {
		panic("pace: Map: the func is nil")
	}
	s := newSettings(opts)
	return func(yield func(Out, error) bool) {
		m := newMapLoop(ctx, f, s)
		go m.feed(seq)
		m.deliver(yield)
		m.runner.rethrow()
	}
}

// A mapLoop is one loop over a Map. Its feeder, a goroutine, starts the jobs; the goroutine of the
// loop takes the results.
//
// The feeder takes one unit of ahead for each job, and the loop returns it when it is done with the
// result. So there is always room in results and in each pending, and sending to them never blocks.
type mapLoop[In, Out any] struct {
	settings
	runner *runner
	f      func(context.Context, In) (Out, error)
	ahead  *semaphore.Weighted

	// results holds a pending result for each item, in the order in which they are to be yielded.
	// In the order of the input it is sent when the job is started, otherwise when the job has
	// ended. The feeder closes results when all jobs have ended.
	results chan pending[Out]
}

// A pending receives the result of one item.
type pending[Out any] chan result[Out]

type result[Out any] struct {
	out     Out
	err     error
	crashed bool // f did not return
}

// maxAhead bounds how far a mapLoop works ahead, since results is allocated at once, with 8 bytes
// an item, and a caller may ask for math.MaxInt.
const maxAhead = 1 << 16

func newMapLoop[In, Out any](ctx context.Context, f func(context.Context, In) (Out, error), s settings) *mapLoop[In, Out] {
	most := min(uint64(s.concurrency)+uint64(s.buffer), maxAhead)
	return &mapLoop[In, Out]{
		settings: s,
		runner:   newRunner(ctx, s.concurrency),
		f:        f,
		ahead:    semaphore.NewWeighted(int64(most)),
		results:  make(chan pending[Out], int(most)),
	}
}

// feed starts a job for each item of seq, and returns when all jobs have ended.
func (m *mapLoop[In, Out]) feed(seq iter.Seq[In]) {
	defer close(m.results)
	defer m.runner.jobs.wait()
	_ = m.runner.guard(func() error { // rethrow reports a panic of seq
		if m.runner.ctx.Err() != nil {
			_ = m.runner.refuse(contextError(m.runner.ctx)) // for deliver
			return nil
		}
		for x := range seq {
			if !m.start(x) {
				break
			}
		}
		return nil
	})
}

// start starts the job for x, which sends its result even if it panics. It reports false if the job
// was refused.
func (m *mapLoop[In, Out]) start(x In) bool {
	if m.ahead.Acquire(m.runner.ctx, 1) != nil {
		_ = m.runner.refuse(contextError(m.runner.ctx)) // for deliver
		return false
	}
	p := make(pending[Out], 1)
	err := m.runner.start(m.cost, func(ctx context.Context) error {
		r := result[Out]{crashed: true}
		defer func() {
			p <- r
			if m.completionOrder {
				m.results <- p
			}
		}()
		r.out, r.err = m.f(ctx, x)
		r.crashed = false
		return nil
	})
	if err != nil {
		return false
	}
	if !m.completionOrder {
		m.results <- p
	}
	return true
}

// deliver yields the results, and returns when all jobs have ended.
func (m *mapLoop[In, Out]) deliver(yield func(Out, error) bool) {
	defer m.end()
	for p := range m.results {
		r := <-p
		if r.crashed || !yield(r.out, r.err) {
			return
		}
		m.ahead.Release(1)
	}
	if err := m.runner.refusal(); err != nil {
		var none Out
		yield(none, err)
	}
}

// end ends the context of all jobs and waits for the feeder, which closes results last.
func (m *mapLoop[In, Out]) end() {
	m.runner.cancel(nil)
	for range m.results {
	}
}

package pace

import (
	"context"
	"iter"

	"golang.org/x/sync/semaphore"
)

// Map returns a sequence of what f makes of each item of seq: result and error, in the order of seq or with [AsCompleted]
// in the order in which they are there. f is called in the order of seq, each time in a goroutine of its own, at most as
// often at once as [WithConcurrency] says and no more often than [WithBucket] allows.
//
// An error of f is yielded in the place of its item, with whatever f returned beside it, and Map goes on: whether one
// failure spoils the rest is for the loop to say, by break. If ctx ends or the bucket refuses before all of seq was started,
// the results of what was started are yielded and then, as one pair more, a zero Out with an error that wraps the reason;
// see [Group.GoN]. So a loop that has seen no error has seen the result of every item.
//
// Nothing is pulled from seq before the loop begins, and during it no more items ahead of the loop than WithConcurrency and
// [WithBuffer] allow, plus one: seq may be infinite. Leaving the loop, in whatever way, cancels the context that f is given
// and waits until all that was started has returned. seq runs in a goroutine of its own, and is waited for until it is at
// its next item. If that can take long, it has to be ended from outside before the loop is left.
//
// A panic in f or in seq stops everything and then leaves the loop as a [*PanicError]. The sequence may be looped over
// again, if seq may, and by several goroutines at once: every loop starts anew.
func Map[In, Out any](ctx context.Context, seq iter.Seq[In], f func(context.Context, In) (Out, error), opts ...MapOption) iter.Seq2[Out, error] {
	s := settingsOf(opts)
	return func(yield func(Out, error) bool) {
		m := newMapping(ctx, f, s)
		go m.feed(seq)
		m.deliver(yield)
		m.crew.rethrow()
	}
}

// A mapping is one loop over a Map. One goroutine feeds it with items, the loop's takes the results.
//
// Whoever starts a job has taken a part of ahead for it, which is given back when the loop is done with the result. So
// neither line nor any turn is ever full, and sending to them never blocks.
type mapping[In, Out any] struct {
	settings
	crew  *crew
	f     func(context.Context, In) (Out, error)
	ahead *semaphore.Weighted

	// line holds a turn for each item, in the order in which they are to be yielded. In the order of the input it is put
	// there when the job is started, otherwise when its result is in it. line is closed by the feeder when all is done.
	line chan turn[Out]
}

// A turn is where the loop finds the result of one item.
type turn[Out any] chan result[Out]

type result[Out any] struct {
	out     Out
	err     error
	crashed bool // f did not return
}

// maxAhead bounds how far a mapping works ahead, since its line is allocated at once, with 8 bytes an item, and somebody may
// ask for math.MaxInt.
const maxAhead = 1 << 16

func newMapping[In, Out any](ctx context.Context, f func(context.Context, In) (Out, error), s settings) *mapping[In, Out] {
	most := min(uint64(s.concurrency)+uint64(s.buffer), maxAhead)
	return &mapping[In, Out]{
		settings: s,
		crew:     newCrew(ctx, s.concurrency),
		f:        f,
		ahead:    semaphore.NewWeighted(int64(most)),
		line:     make(chan turn[Out], int(most)),
	}
}

// feed starts a job for each item of seq, and returns when all have returned.
func (m *mapping[In, Out]) feed(seq iter.Seq[In]) {
	defer close(m.line)
	defer m.crew.jobs.wait()
	_ = m.crew.guard(func() error {
		if m.crew.ctx.Err() != nil {
			_ = m.crew.refuse(contextError(m.crew.ctx)) // which deliver will find
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

// start starts the job for x, which puts its result where the loop will look for it, whatever comes. It tells whether it did.
func (m *mapping[In, Out]) start(x In) bool {
	if m.ahead.Acquire(m.crew.ctx, 1) != nil {
		_ = m.crew.refuse(contextError(m.crew.ctx)) // which deliver will find
		return false
	}
	t := make(turn[Out], 1)
	err := m.crew.hand(m.bucket, 1, func(ctx context.Context) error {
		r := result[Out]{crashed: true}
		defer func() {
			t <- r
			if m.asCompleted {
				m.line <- t
			}
		}()
		r.out, r.err = m.f(ctx, x)
		r.crashed = false
		return nil
	})
	if err != nil {
		return false
	}
	if !m.asCompleted {
		m.line <- t // there is room for it: ahead has seen to that
	}
	return true
}

// deliver yields the results, and returns when all jobs have returned.
func (m *mapping[In, Out]) deliver(yield func(Out, error) bool) {
	defer m.end()
	for t := range m.line {
		r := <-t
		if r.crashed || !yield(r.out, r.err) {
			return
		}
		m.ahead.Release(1)
	}
	if err := m.crew.refusal(); err != nil {
		var none Out
		yield(none, err)
	}
}

// end stops all jobs and the feeder, which closes the line as the last thing that it does.
func (m *mapping[In, Out]) end() {
	m.crew.cancel(nil)
	for range m.line {
	}
}

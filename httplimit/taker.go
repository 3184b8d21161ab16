package httplimit

import (
	"context"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A taker takes tokens from limiters.
type taker struct {
	timeout time.Duration // of each call of a limiter; 0 is none
}

func (t taker) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, t.timeout)
}

// ask takes the tokens of d if they are there.
func (t taker) ask(ctx context.Context, d *demand) error {
	if t.timeout > 0 && !isLocal(d.Limiter) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	var err error
	d.result, err = d.Limiter.Take(ctx, d.Key, d.total)
	d.held = err == nil && d.result.Allowed
	return err
}

// take takes the tokens of all demands, or of none if one is refused, and returns the index of the
// refused demand, or -1. With an error it returns the index of the demand whose limiter failed;
// the demands before it still hold their tokens.
//
// The limiters are asked one after the other. Another request can be refused between the taking
// and a refund.
func (t taker) take(ctx context.Context, ds []demand) (int, error) {
	for i := range ds {
		d := &ds[i]
		if d.idle() {
			continue
		}
		if err := t.ask(ctx, d); err != nil {
			return i, err
		}
		if !d.held {
			t.release(ctx, ds)
			return i, nil
		}
	}
	return -1, nil
}

// wait is take that queues, holding nothing, at the slowest limiter. Before it queues it calls
// patient, and refuses if that returns false. An error of a wait has the index of its demand.
//
// Calls of limiters last as long as ctx, and waits as long as queue. A limiter that does not answer
// has failed, while a limiter that has no tokens in time has refused.
func (t taker) wait(ctx, queue context.Context, ds []demand, patient func(*demand) bool) (int, error) {
	for early := 0; ; {
		i, err := t.take(ctx, ds)
		if err != nil || i < 0 {
			return i, err
		}
		if i, err = t.slowest(ctx, ds, i); err != nil {
			return i, err
		}
		d := &ds[i]
		if !patient(d) {
			return i, nil
		}
		if early >= maxEarly {
			delay := min(time.Millisecond<<min(early-maxEarly, 10), time.Second)
			if err := sleep(queue, delay); err != nil {
				return i, &tokenbucket.WaitError{N: d.total, Delay: d.result.RetryAfter, Err: err}
			}
		}
		asked := time.Now()
		if err := t.queue(ctx, queue, d); err != nil {
			return i, err
		}
		d.held = true
		if early++; time.Since(asked) > d.result.RetryAfter/2 {
			early = 0
		}
	}
}

// maxEarly is how many waits in a row may end much earlier than predicted before the next one is
// delayed. Two limiters that share a bucket without being equal answer so without end: each waits
// for the tokens that the other holds.
const maxEarly = 3

// slowest returns the demand with the longest RetryAfter, given the first one that was refused.
// Afterwards no demand holds tokens.
func (t taker) slowest(ctx context.Context, ds []demand, first int) (int, error) {
	worst := first
	for i := first + 1; i < len(ds); i++ {
		d := &ds[i]
		if d.idle() {
			continue
		}
		if err := t.ask(ctx, d); err != nil {
			return i, err
		}
		switch {
		case d.held:
			t.release(ctx, ds[i:i+1])
		case d.result.RetryAfter > ds[worst].result.RetryAfter:
			worst = i
		}
	}
	return worst, nil
}

// queue takes the tokens of d as soon as it is its turn.
func (t taker) queue(ctx, queue context.Context, d *demand) error {
	if w, ok := d.Limiter.(Waiter); ok {
		return w.WaitN(queue, d.Key, d.total)
	}
	for {
		if after := d.result.RetryAfter; after == tokenbucket.Never {
			err := tokenbucket.ErrDeadline
			if d.total > d.result.Limit.Burst {
				err = tokenbucket.ErrExceedsBurst
			}
			return &tokenbucket.WaitError{N: d.total, Delay: after, Err: err}
		} else if err := sleep(queue, max(after, time.Millisecond)); err != nil {
			return &tokenbucket.WaitError{N: d.total, Delay: after, Err: err}
		}
		if err := t.ask(ctx, d); err != nil || d.held {
			return err
		}
	}
}

// sleep waits for d. It fails at once if ctx's deadline is earlier, and when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return tokenbucket.ErrDeadline
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// release refunds what the demands hold.
func (t taker) release(ctx context.Context, ds []demand) {
	for i := range ds {
		if d := &ds[i]; d.held {
			d.held = false
			t.correct(ctx, d.Limiter, d.Key, d.total)
		}
	}
}

// lateTimeout bounds the correction of a remote limiter for a request whose context has ended.
const lateTimeout = time.Second

// correct refunds n tokens of key, or charges -n. A failed correction is not tried again, because
// it may have arrived, and must not be refunded twice: the limit stays on the strict side. A
// request whose context has ended does not wait for the correction of a remote limiter.
func (t taker) correct(ctx context.Context, l Limiter, key string, n int) {
	s, ok := l.(Settler)
	if !ok || n == 0 {
		return
	}
	f := s.Refund
	if n < 0 {
		f, n = s.Charge, -n
	}
	if !isLocal(l) && ctx.Err() != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateTimeout)
		go func() {
			defer cancel()
			_ = f(ctx, key, n)
		}()
		return
	}
	ctx, cancel := t.within(ctx)
	defer cancel()
	_ = f(ctx, key, n)
}

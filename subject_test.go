package tokenbucket_test

import (
	"context"
	"math"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A subject is a bucket by a clock that its caller sets, to be compared with the model.
type subject interface {
	Allow() bool
	AllowN(n int) bool
	Take(n int) tokenbucket.Result
	TakeAvailable(n int) int
	WaitN(ctx context.Context, n int) error
	Refund(n int)
	Charge(n int)
	Tokens() float64
	Limit() tokenbucket.Limit
	SetLimit(l tokenbucket.Limit)
	Waiting() int

	startWait(ctx context.Context, cancel context.CancelFunc, n int) *pending
	reserve(n int) (reserved, error)

	set(now int64)   // sets the clock
	fire() int       // serves whoever has slept until now
	armed() int64    // when somebody will look at the queue next, or never
	mark() int       // see fakeClock
	forget(mark int) // see fakeClock
}

type reserved interface {
	Delay() time.Duration
	Cancel()
}

// pending is a Wait that has begun. err is set once it has returned.
type pending struct {
	cancel func()
	done   func() (bool, error)
	err    error
}

func (w *pending) returned() (done bool) {
	done, w.err = w.done()
	return done
}

// A shell is the whole bucket, with a goroutine for each Wait.
type shell struct {
	*tokenbucket.Bucket
	*fakeClock
}

func newShell(l tokenbucket.Limit, maxWaiters int) subject {
	s := shell{fakeClock: newFakeClock()}
	opts := []tokenbucket.Option{tokenbucket.WithClock(s.fakeClock)}
	if maxWaiters < math.MaxInt {
		opts = append(opts, tokenbucket.WithMaxWaiters(maxWaiters))
	}
	s.Bucket = tokenbucket.New(l.Rate, l.Burst, opts...)
	return s
}

func (s shell) reserve(n int) (reserved, error) {
	r, err := s.ReserveN(n)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s shell) startWait(ctx context.Context, cancel context.CancelFunc, n int) *pending {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.WaitN(ctx, n)
	}()
	return &pending{cancel: cancel, done: func() (bool, error) {
		select {
		case <-done:
			return true, err
		default:
			return false, nil
		}
	}}
}

// A still is the engine alone, without clocks, locks or goroutines: the least that makes a bucket of
// it.
type still struct {
	cell          *engine.Cell
	queue         engine.Waitlist
	max           int
	shown, latest int64
	due           int64
}

func newStill(l tokenbucket.Limit, maxWaiters int) subject {
	p := engine.NewTimeline(tokenbucket.PlainLimit(l), 0)
	s := &still{cell: &engine.Cell{Timeline: p}, max: maxWaiters, due: never}
	s.cell.Word.Store(p.Birth())
	return s
}

// hold calls f with the state at the present instant.
func (s *still) hold(f func(h *engine.Held)) {
	s.latest = max(s.latest, s.shown)
	h := s.queue.Hold(s.cell.Timeline, engine.Seize(&s.cell.Word), s.latest)
	f(&h)
	if s.due = never; s.queue.Front() != nil {
		s.due = h.Due()
	}
	if h.Timeline() != s.cell.Timeline {
		s.cell.Word.Store(engine.Sealed)
		s.cell = &engine.Cell{Timeline: h.Timeline()}
	}
	s.cell.Word.Store(h.Word())
	for s.queue.Pop() != nil {
	}
}

// take takes by the word alone where that will do.
func (s *still) take(want engine.Want) (took uint64, m engine.Moment, how engine.Outcome) {
	s.latest = max(s.latest, s.shown)
	took, m, how = s.cell.Timeline.Take(&s.cell.Word, s.cell.Word.Load(), s.latest, want)
	if how > engine.Granted {
		s.hold(func(h *engine.Held) { took, m, how = h.Take(want) })
	}
	return took, m, how
}

func (s *still) until(at int64) time.Duration {
	switch {
	case at <= s.latest:
		return 0
	case at == engine.Forever || s.shown < 0 && at > math.MaxInt64+s.shown:
		return tokenbucket.Never
	}
	return time.Duration(at - s.shown)
}

func mustCount(n int) {
	if n < 0 {
		panic("tokenbucket: n is negative")
	}
}

func (s *still) Allow() bool { return s.AllowN(1) }

func (s *still) AllowN(n int) bool {
	mustCount(n)
	s.latest = max(s.latest, s.shown)
	first := s.cell.Word.Load()
	refill, need := s.cell.Timeline.Ask(s.latest, n)
	if how := s.cell.Timeline.Grant(&s.cell.Word, first, refill, need); how != engine.Busy {
		return how == engine.Granted
	}
	_, _, how := s.take(engine.Want{Least: uint64(n), Most: uint64(n)})
	return how == engine.Granted || n == 0
}

func (s *still) Take(n int) tokenbucket.Result {
	mustCount(n)
	_, m, how := s.take(engine.Want{Least: uint64(n), Most: uint64(n), Exact: true})
	r := tokenbucket.Result{
		Allowed: how == engine.Granted || n == 0, Remaining: m.Remaining(),
		ResetAfter: s.until(m.FullAt()), Limit: tokenbucket.LimitOf(m.Limit()),
	}
	if !r.Allowed {
		r.RetryAfter = s.until(m.Turn(uint64(n)))
	}
	return r
}

func (s *still) TakeAvailable(n int) int {
	mustCount(n)
	took, _, _ := s.take(engine.Want{Most: uint64(n)})
	return int(took)
}

func (s *still) Refund(n int) {
	mustCount(n)
	s.hold(func(h *engine.Held) {
		if n > 0 {
			h.Refund(uint64(n))
		}
	})
}

func (s *still) Charge(n int) {
	mustCount(n)
	s.hold(func(h *engine.Held) {
		if n > 0 {
			h.Charge(uint64(n))
		}
	})
}

func (s *still) Tokens() (tokens float64) {
	s.hold(func(h *engine.Held) { tokens = h.Balance().Tokens() - float64(s.queue.Owed()) })
	return tokens
}

func (s *still) Limit() tokenbucket.Limit { return tokenbucket.LimitOf(s.cell.Timeline.Limit()) }

func (s *still) SetLimit(l tokenbucket.Limit) {
	s.hold(func(h *engine.Held) { h.SetLimit(tokenbucket.PlainLimit(l)) })
}

func (s *still) Waiting() int { return s.queue.Waiters() }

func (s *still) full(n uint64) bool { return s.queue.Len() >= s.max || !s.queue.HasRoom(n) }

// WaitN is for calls that return at once.
func (s *still) WaitN(ctx context.Context, n int) error {
	_, err := s.join(ctx, n)
	return err
}

// join returns a node that waits, or the result of a Wait that returns at once.
func (s *still) join(ctx context.Context, n int) (x *engine.Node, err error) {
	mustCount(n)
	if ctx.Err() != nil {
		return nil, s.refusal(n, ctx.Err())
	}
	deadline := int64(never)
	if at, ok := ctx.Deadline(); ok {
		deadline = int64(at.Sub(clockStart))
	}
	need := uint64(n)
	s.hold(func(h *engine.Held) {
		switch {
		case n == 0 || h.TakeWaiting(need):
		case h.Timeline().Exceeds(need):
			err = s.refusal(n, tokenbucket.ErrExceedsBurst)
		case h.Turn(need) > deadline:
			err = s.refusal(n, tokenbucket.ErrDeadline)
		case s.full(need):
			err = s.refusal(n, tokenbucket.ErrQueueFull)
		default:
			x = &engine.Node{N: need, Owner: s}
			h.Join(x)
		}
	})
	return x, err
}

func (s *still) refusal(n int, err error) error { return &tokenbucket.WaitError{N: n, Err: err} }

func (s *still) startWait(ctx context.Context, cancel context.CancelFunc, n int) *pending {
	x, err := s.join(ctx, n)
	if x == nil {
		return &pending{cancel: cancel, done: func() (bool, error) { return true, err }}
	}
	return &pending{
		cancel: func() {
			cancel()
			s.hold(func(h *engine.Held) { h.Leave(x) })
		},
		done: func() (bool, error) {
			switch x.State() {
			case engine.Waiting:
				return false, nil
			case engine.Oversized:
				return true, s.refusal(n, tokenbucket.ErrExceedsBurst)
			case engine.Abandoned:
				return true, s.refusal(n, context.Canceled)
			}
			return true, nil
		},
	}
}

func (s *still) reserve(n int) (reserved, error) {
	mustCount(n)
	var x *engine.Node
	var err error
	need := uint64(n)
	s.hold(func(h *engine.Held) {
		if _, _, how := h.Take(engine.Want{Least: need, Most: need}); how == engine.Granted || n == 0 {
			return
		}
		at := h.ReserveAt(need)
		switch {
		case h.Timeline().Exceeds(need):
			err = s.refusal(n, tokenbucket.ErrExceedsBurst)
		case at == engine.Forever:
			err = s.refusal(n, tokenbucket.ErrNever)
		case s.full(need):
			err = s.refusal(n, tokenbucket.ErrQueueFull)
		default:
			x = &engine.Node{N: need, At: at}
			h.Join(x)
		}
	})
	return stillReserved{s, x}, err
}

type stillReserved struct {
	s *still
	x *engine.Node // nil: granted at once
}

func (r stillReserved) Delay() (d time.Duration) {
	if r.x == nil {
		return 0
	}
	r.s.hold(func(h *engine.Held) {
		switch h.StateOf(r.x) {
		case engine.Abandoned:
			d = tokenbucket.Never
		case engine.Waiting:
			d = r.s.until(h.GrantAt(r.x))
		}
	})
	return d
}

func (r stillReserved) Cancel() {
	if r.x != nil {
		r.s.hold(func(h *engine.Held) { h.Leave(r.x) })
	}
}

func (s *still) set(now int64) { s.shown = now }
func (s *still) armed() int64  { return s.due }
func (s *still) mark() int     { return 0 }
func (s *still) forget(int)    {}

func (s *still) fire() int {
	if s.due > s.shown {
		return 0
	}
	s.hold(func(*engine.Held) {})
	return 1
}

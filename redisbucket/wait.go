package redisbucket

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// Wait takes one token of key when it is its turn. See [Limiter.WaitN].
func (l *Limiter) Wait(ctx context.Context, key string) error { return l.WaitN(ctx, key, 1) }

// WaitN takes n tokens of key when it is its turn. If they are not there, it enters the key's
// waiting list at the server, which all processes share, sleeps until its turn, and takes its
// tokens then. Waiters are served first come, first served. Nothing is taken before the turn, so a
// waiter that leaves has no effect on the bucket, and a server that has lost its data grants
// nothing twice.
//
// WaitN asks the server once when it comes and once at its turn. A wait of more than 150 ms asks
// also after 100 ms, and again each time the wait has doubled, because waiters in front may have
// left.
//
// A *tokenbucket.WaitError means that WaitN took nothing. It wraps
//   - tokenbucket.ErrExceedsBurst if n is more than the burst;
//   - tokenbucket.ErrDeadline if the turn comes after ctx's deadline, as soon as that is known; with
//     a Delay of Never if the turn never comes, at a rate of zero;
//   - the cause of ctx if it ends before the turn.
//
// A waiter whose ctx ends leaves the list in the background, within the budget. The place of a
// process that dies lapses when it should have asked again. If the ctx ends while the server
// grants the tokens, WaitN gives them back in the background.
func (l *Limiter) WaitN(ctx context.Context, key string, n int) error {
	mustCount("WaitN", n)
	s := l.limit(key)
	switch {
	case ctx.Err() != nil:
		return refused(n, 0, endOf(ctx))
	case n == 0 || s.inf:
		return nil
	case int64(n) > s.burst:
		return refused(n, tokenbucket.Never, tokenbucket.ErrExceedsBurst)
	}
	budget := l.budget
	if e := l.leaseOf(key, s, n); e != nil {
		start := l.now()
		got, err := l.serve(ctx, "WaitN", key, e, s, int64(n), false)
		if err != nil || got > 0 {
			return l.unserved(ctx, key, n, err)
		}
		if turn := e.turn(s, int64(n), l.now()); after(ctx, turn) {
			return refused(n, turn, tokenbucket.ErrDeadline)
		}
		budget = max(budget-(l.now()-start), 0)
	}
	w := waiter{l: l, s: s, key: key, n: n, id: newID(), came: time.Now(), budget: budget}
	return w.wait(ctx)
}

// unserved is what WaitN answers to an error of the server's, or of ctx; nil if there is none.
func (l *Limiter) unserved(ctx context.Context, key string, n int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*ended)):
		return refused(n, 0, err)
	}
	return l.fallback.wait(ctx, l, key, n, err)
}

func refused(n int, delay time.Duration, err error) error {
	return &tokenbucket.WaitError{N: n, Delay: delay, Err: err}
}

// after reports whether d from now is after ctx's deadline.
func after(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && d > 0 && d > time.Until(deadline)
}

// A waiter is one call of WaitN. The server knows it by its place and its id.
type waiter struct {
	l      *Limiter
	s      *scale // the limit by which it asked last
	key    string
	n      int
	id     string
	place  int64 // 0 until the server has told it
	came   time.Time
	turn   time.Time     // as the server told it last
	budget time.Duration // for the next call
}

// What wait.lua answers first.
const (
	granted  = 0
	tooLate  = 1
	never    = 2
	waitMore = 3
)

// told is a reply of wait.lua.
type told struct {
	answer      int64
	turn, again time.Duration
	place       int64
}

func (w *waiter) wait(ctx context.Context) error {
	for {
		s := w.l.limit(w.key)
		if s.inf {
			w.leave(ctx)
			return nil
		}
		w.s = s
		t, err := w.ask(ctx)
		if err != nil {
			t.again = w.patience()
			if errors.As(err, new(*ended)) || t.again == 0 {
				return w.l.unserved(ctx, w.key, w.n, err)
			}
		}
		switch {
		case err != nil: // the server is only needed when the turn has come
		case t.answer == granted:
			return nil
		case t.answer == never && int64(w.n) > s.burst:
			return refused(w.n, tokenbucket.Never, tokenbucket.ErrExceedsBurst)
		case t.answer == never:
			return refused(w.n, tokenbucket.Never, tokenbucket.ErrDeadline)
		case t.answer == tooLate:
			return refused(w.n, t.turn, tokenbucket.ErrDeadline)
		default:
			w.place, w.turn = t.place, time.Now().Add(t.turn)
		}
		if after(ctx, time.Until(w.turn)) {
			w.leave(ctx)
			return refused(w.n, t.turn, tokenbucket.ErrDeadline)
		}
		if !sleep(ctx, t.again) {
			w.leave(ctx)
			return refused(w.n, max(time.Until(w.turn), 0), endOf(ctx))
		}
	}
}

// patience returns for how long a waiter can do without the server: until its turn at most.
func (w *waiter) patience() time.Duration {
	if w.place == 0 {
		return 0
	}
	const least = 100 * time.Millisecond // as in wait.lua
	return max(min(time.Until(w.turn), max(time.Since(w.came), least)), 0)
}

// sleep reports whether d has passed; if not, ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask asks the server for the tokens. If ctx ends meanwhile, ask returns, and what the server grants
// afterwards is given back.
func (w *waiter) ask(ctx context.Context) (told, error) {
	most := int64(-1)
	if deadline, ok := ctx.Deadline(); ok {
		most = max(time.Until(deadline).Microseconds(), 0)
	}
	asking := *w // a copy: what ctx has abandoned goes on
	w.budget = w.l.budget
	if ctx.Done() == nil {
		return asking.request(ctx, most)
	}
	type answer struct {
		told
		err error
	}
	done := make(chan answer, 1)
	go func() {
		t, err := asking.request(context.WithoutCancel(ctx), most)
		done <- answer{t, err}
	}()
	select {
	case a := <-done:
		return a.told, a.err
	case <-ctx.Done():
	}
	go func() {
		a := <-done
		back := int64(0)
		if a.err == nil {
			asking.place = a.place
			if a.answer == granted {
				back = asking.s.need(asking.n)
			}
		}
		asking.remove(ctx, back)
	}()
	return told{}, endOf(ctx)
}

// request is one call of wait.lua.
func (w *waiter) request(ctx context.Context, most int64) (told, error) {
	args := w.s.args(w.n, w.place, w.id, most)
	reply, err := w.l.askWithin(ctx, w.budget, "WaitN", &w.l.scripts.wait, 4, w.keys(), args)
	if err != nil {
		return told{}, err
	}
	micros := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return told{answer: reply[0], turn: micros(reply[1]), again: micros(reply[2]), place: reply[3]}, nil
}

func (w *waiter) keys() []string {
	return []string{w.l.name(w.key), w.l.listName(w.key)}
}

// leave takes the waiter off the list in the background.
func (w *waiter) leave(ctx context.Context) {
	left := *w
	go left.remove(ctx, 0)
}

// remove takes the waiter off the list and gives back units that it was granted. If the server does
// not answer, the place lapses by itself.
func (w *waiter) remove(ctx context.Context, back int64) {
	args := w.s.args(w.place, w.id, back)
	_, _ = w.l.ask(context.WithoutCancel(ctx), "WaitN", &w.l.scripts.leave, 1, w.keys(), args)
}

// newID returns a name that no other waiter of any process has.
func newID() string { return processID + strconv.FormatInt(lastID.Add(1), 36) }

var (
	processID = rand.Text()[:14] + "."
	lastID    atomic.Int64
)

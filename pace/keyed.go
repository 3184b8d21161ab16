package pace

import (
	"context"

	"github.com/go-tokenbucket/tokenbucket"
	"golang.org/x/sync/semaphore"
)

// A KeyedGroup is a [Group] whose jobs belong each to a key, and take their tokens of the key's bucket. Jobs of a key that
// have to wait for tokens queue in the group: they hold up no job of another key, and hold no slot meanwhile. The jobs of
// one key are started in the order in which they were handed over; the keys share the slots in turn.
//
// Create one with [NewKeyedGroup]; the zero KeyedGroup must not be used, nor may a KeyedGroup be copied. All methods may be
// called by any number of goroutines at once. A KeyedGroup is for one task: once Wait has returned, nothing can be started
// any more. Wait has to be called, lest the context that comes with the group stay with its parent.
type KeyedGroup[K comparable] struct {
	crew  *crew
	keyed *tokenbucket.Keyed[K]
	room  *semaphore.Weighted // for jobs that queue while no Go waits for them
	lines lines[K]
}

// defaultQueue is the bound of the jobs that queue, without an option. A job that queues takes 64 bytes besides what its
// func holds, and a key that has any, with its goroutine and its place at the bucket, 6 KiB (measured on amd64): at worst,
// with as many keys as jobs, that is 6 MiB in all.
const defaultQueue = 1000

// KeyedOption configures a [KeyedGroup].
type KeyedOption interface {
	applyKeyed(*keyedSettings)
}

type keyedSettings struct{ queue int }

type keyedOption func(*keyedSettings)

func (o keyedOption) applyKeyed(s *keyedSettings) { o(s) }

// WithQueue bounds how many jobs a [KeyedGroup] holds that have not been started, of all keys together, and so the memory
// that they take. Beyond it Go blocks. Without this option it is 1000. It panics if n is less than 1.
func WithQueue(n int) KeyedOption {
	mustAtLeast("WithQueue", "n", n, 1)
	return keyedOption(func(s *keyedSettings) { s.queue = n })
}

// NewKeyedGroup returns a KeyedGroup that runs at most concurrency jobs at once, of all keys together, and starts each with
// a token of its key's bucket in k, and the context that its jobs are given. It is cancelled when a job fails or panics, or
// Wait returns. NewKeyedGroup panics if k is nil or concurrency is less than 1.
func NewKeyedGroup[K comparable](ctx context.Context, k *tokenbucket.Keyed[K], concurrency int, opts ...KeyedOption) (*KeyedGroup[K], context.Context) {
	if k == nil {
		panic("pace: NewKeyedGroup: the Keyed is nil")
	}
	mustAtLeast("NewKeyedGroup", "concurrency", concurrency, 1)
	s := keyedSettings{queue: defaultQueue}
	for _, o := range opts {
		o.applyKeyed(&s)
	}
	g := &KeyedGroup[K]{crew: newCrew(ctx, concurrency), keyed: k, room: semaphore.NewWeighted(int64(s.queue))}
	return g, g.crew.ctx
}

// Go starts f with one token of key. See [KeyedGroup.GoN].
func (g *KeyedGroup[K]) Go(key K, f func(context.Context) error) error { return g.GoN(key, 1, f) }

// GoN starts f with n tokens of key: at once if that can be done, otherwise f queues, and is started as soon as its tokens
// and a slot are there. GoN does not wait for that, unless as many jobs queue as [WithQueue] allows: then it blocks until
// one of them, or f itself, has been started.
//
// An error means that f was not started and will not be, and that nothing was taken: the group's context ended, or, only
// if GoN had to block, the bucket refused. See [Group.GoN] for both. A job that queues is left out for the same reasons when
// its turn comes. Wait returns the first of all these errors, if no job fails. GoN panics if n is negative.
func (g *KeyedGroup[K]) GoN(key K, n int, f func(context.Context) error) error {
	mustAtLeast("GoN", "n", n, 0)
	if !g.crew.jobs.admit() {
		return g.crew.late()
	}
	handed := false
	defer func() {
		if !handed {
			g.crew.jobs.refuse()
		}
	}()
	if g.tryStart(key, n, f) {
		handed = true
		return nil
	}
	if g.crew.ctx.Err() != nil {
		return g.crew.refuse(contextError(g.crew.ctx))
	}
	handed = true // to the queue
	j := &job{n: n, f: f}
	if g.room.TryAcquire(1) {
		j.roomy = true
		g.enqueue(key, j)
		return nil
	}
	return g.goBlocked(key, j)
}

// TryGo starts f if it can be started at once, with one token of key, and tells whether it did. It never blocks, and
// nothing is taken if it returns false.
func (g *KeyedGroup[K]) TryGo(key K, f func(context.Context) error) bool {
	return !g.lines.has(key) && g.crew.tryHand(func() bool { return g.keyed.Allow(key) }, f)
}

// Wait waits until all jobs, those that queue included, have been run or left out, then cancels the group's context. It
// returns the first error of a job or else the first reason for which a job was left out or refused by Go or GoN. If a job
// panicked, Wait panics with a [*PanicError].
func (g *KeyedGroup[K]) Wait() error { return g.crew.wait() }

// tryStart starts an admitted job if it can. Nobody overtakes jobs of the same key that queue.
func (g *KeyedGroup[K]) tryStart(key K, n int, f func(context.Context) error) bool {
	return !g.lines.has(key) && g.crew.tryStart(func() bool { return g.keyed.AllowN(key, n) }, f)
}

// goBlocked queues j while there is no room for it, and returns when there is, or when j has left the queue.
//
// Waiting for the room alone would let the jobs of a slow key, that fill the queue, hold up a job whose tokens are there and
// that waits just for a slot.
func (g *KeyedGroup[K]) goBlocked(key K, j *job) error {
	ctx, cancel := context.WithCancel(g.crew.ctx)
	defer cancel()
	j.release = cancel
	g.enqueue(key, j)
	got := g.room.Acquire(ctx, 1) == nil
	left, err := g.lines.settle(j, got)
	switch {
	case !left: // either j has the room now, or the group has ended and j is given up
		if got {
			return nil
		}
		defer g.crew.jobs.refuse()
		return g.crew.refuse(contextError(g.crew.ctx))
	case got:
		g.room.Release(1)
	}
	return err
}

// enqueue puts j in the line of its key. A goroutine serves the line as long as anybody is in it.
func (g *KeyedGroup[K]) enqueue(key K, j *job) {
	l, first := g.lines.push(key, j)
	if !first {
		return
	}
	g.crew.jobs.addHelper()
	go func() {
		defer g.crew.jobs.helperDone()
		if g.crew.guard(func() error {
			for ; j != nil; j = g.lines.pop(key, l) {
				g.serve(key, j)
			}
			return nil
		}) != nil {
			g.abandon(key, l, j)
		}
	}()
}

// abandon leaves out j and all jobs behind it, after a panic of what serves them: a func for limits, or a clock.
func (g *KeyedGroup[K]) abandon(key K, l *line, j *job) {
	for ; j != nil; j = g.lines.pop(key, l) {
		if g.leave(j, contextError(g.crew.ctx)) {
			g.crew.jobs.refuse()
		}
	}
}

// serve starts j as soon as it can, or leaves it out.
func (g *KeyedGroup[K]) serve(key K, j *job) {
	err := g.await(key, j.n)
	switch {
	case !g.leave(j, err):
		if err == nil {
			g.keyed.Refund(key, j.n)
			g.crew.exit()
		}
	case err != nil:
		_ = g.crew.refuse(err) // for Wait, and for the Go of j if it is blocked
		g.crew.jobs.refuse()
	default:
		g.crew.start(j.f)
	}
}

// await takes n tokens of key and a slot, both at the same instant. It holds neither while it waits for the other: a slot
// would be missing to others, and a token taken long before the start would let the next job, on a bucket that has
// filled up again, start beside this one.
func (g *KeyedGroup[K]) await(key K, n int) error {
	for {
		if err := g.keyed.WaitN(g.crew.ctx, key, n); err != nil {
			return err
		}
		if g.crew.tryEnter() {
			return nil
		}
		g.keyed.Refund(key, n)
		if err := g.crew.enter(); err != nil {
			return err
		}
		if g.keyed.AllowN(key, n) {
			return nil
		}
		g.crew.exit() // somebody else has taken the tokens
	}
}

// leave lets j leave the queue, to be started or for err, and tells false if its Go has given it up before.
func (g *KeyedGroup[K]) leave(j *job, err error) bool {
	if !g.lines.leave(j, err) {
		return false
	}
	if j.roomy {
		g.room.Release(1)
	} else {
		j.release()
	}
	return true
}

package pace

import (
	"context"

	"github.com/go-tokenbucket/tokenbucket"
	"golang.org/x/sync/semaphore"
)

// A KeyedGroup is a [Group] in which each job belongs to a key and takes its tokens from the key's
// bucket. Jobs that have to wait for tokens queue in the group: they delay no job of another key,
// and they hold no slot. The jobs of one key are started in the order in which they were handed
// over; the keys take turns at the slots.
//
// Create one with [NewKeyedGroup]; the zero KeyedGroup must not be used, nor may a KeyedGroup be
// copied. All methods may be called by any number of goroutines at once. A KeyedGroup serves one
// task: once Wait has returned, it refuses every job. Wait must be called, to release the group's
// context.
type KeyedGroup[K comparable] struct {
	runner *runner
	keyed  *tokenbucket.Keyed[K]
	places *semaphore.Weighted // for jobs that queue while no Go blocks for them
	queues queues[K]
}

// defaultQueue bounds the queued jobs without an option. A queued job takes 64 bytes besides what
// its func refers to, and a key that has any, with its goroutine and its place at the bucket, 6 KiB
// (measured on amd64). At worst, with as many keys as jobs, that is 6 MiB in all.
const defaultQueue = 1000

// KeyedOption configures a [KeyedGroup].
type KeyedOption interface {
	applyKeyed(*keyedSettings)
}

type keyedSettings struct{ queue int }

type keyedOption func(*keyedSettings)

func (o keyedOption) applyKeyed(s *keyedSettings) { o(s) }

// WithQueue bounds how many jobs a [KeyedGroup] queues, of all keys together, and so the memory
// that they take. Beyond it Go blocks. The default is 1000. WithQueue panics if n is less than 1.
func WithQueue(n int) KeyedOption {
	mustAtLeast("WithQueue", "n", n, 1)
	return keyedOption(func(s *keyedSettings) { s.queue = n })
}

// NewKeyedGroup returns a KeyedGroup that runs at most concurrency jobs at once, of all keys
// together, and starts each with tokens of its key in k. It also returns the context that the jobs
// are given, which ends when a job fails or panics, or Wait returns. NewKeyedGroup panics if k is
// nil or concurrency is less than 1.
func NewKeyedGroup[K comparable](ctx context.Context, k *tokenbucket.Keyed[K], concurrency int, opts ...KeyedOption) (*KeyedGroup[K], context.Context) {
	if k == nil {
		panic("pace: NewKeyedGroup: the Keyed is nil")
	}
	mustAtLeast("NewKeyedGroup", "concurrency", concurrency, 1)
	s := keyedSettings{queue: defaultQueue}
	for _, o := range opts {
		o.applyKeyed(&s)
	}
	g := &KeyedGroup[K]{
		runner: newRunner(ctx, concurrency),
		keyed:  k,
		places: semaphore.NewWeighted(int64(s.queue)),
	}
	return g, g.runner.ctx
}

// Go starts f with one token of key. See [KeyedGroup.GoN].
func (g *KeyedGroup[K]) Go(key K, f func(context.Context) error) error { return g.GoN(key, 1, f) }

// GoN starts f with n tokens of key: at once if that can be done, otherwise f queues, and is
// started as soon as its tokens and a slot are there. GoN does not wait for that, unless as many
// jobs queue as [WithQueue] allows: then it blocks until one of them, or f itself, has been
// started.
//
// An error means that f was not started and will not be, and that nothing was taken: the group's
// context has ended or, only if GoN had to block, the bucket refused. See [Group.GoN] for both. A
// queued job is refused for the same reasons when its turn comes. Wait returns the first of all
// these errors, if no job fails. GoN panics if n is negative or f is nil.
func (g *KeyedGroup[K]) GoN(key K, n int, f func(context.Context) error) error {
	mustAtLeast("GoN", "n", n, 0)
	mustJob("GoN", f)
	cost, queued := keyTokens[K]{g.keyed, key, n}, false
	err := g.runner.handOver(func() error {
		switch {
		case g.tryStart(cost, f) == nil:
			return nil
		case g.runner.ctx.Err() != nil:
			return g.runner.refuse(contextError(g.runner.ctx))
		}
		queued = true
		return nil
	})
	if queued {
		return g.queue(key, &queuedJob{cost: cost, f: f})
	}
	return err
}

// TryGo starts f if that can be done at once, with one token of key, and reports whether it did. It
// never blocks, and takes nothing if it returns false. Jobs of the key that queue go first. TryGo
// panics if f is nil.
func (g *KeyedGroup[K]) TryGo(key K, f func(context.Context) error) bool {
	mustJob("TryGo", f)
	cost := keyTokens[K]{g.keyed, key, 1}
	return g.runner.handOver(func() error { return g.tryStart(cost, f) }) == nil
}

// tryStart starts an admitted job if that can be done at once and no job of its key queues.
func (g *KeyedGroup[K]) tryStart(cost keyTokens[K], f func(context.Context) error) error {
	if g.queues.has(cost.key) {
		return errNotNow
	}
	return g.runner.tryStart(cost, f)
}

// Wait waits until all jobs, including those that queue, have returned or were refused, then ends
// the group's context. It returns the first error of a job, or else the first reason why Go, GoN or
// the queue refused one. If a job panicked, Wait panics with a [*PanicError]. See [Group.Wait] for
// calls of Go beside it.
func (g *KeyedGroup[K]) Wait() error { return g.runner.wait() }

// Stats returns the group's figures at one instant.
func (g *KeyedGroup[K]) Stats() Stats { return g.runner.jobs.stats() }

// queue appends j, an admitted job, to the queue of its key, and blocks while too many jobs queue.
//
// A blocked j queues too, and so it may be started before there is a place for it. Otherwise the
// jobs of a slow key that fill the queue would delay a job that only needs a slot.
func (g *KeyedGroup[K]) queue(key K, j *queuedJob) error {
	if g.places.TryAcquire(1) {
		j.hasPlace = true
		g.enqueue(key, j)
		return nil
	}
	ctx, cancel := context.WithCancel(g.runner.ctx)
	defer cancel()
	j.unblock = cancel
	g.enqueue(key, j)
	if g.places.Acquire(ctx, 1) == nil {
		if g.queues.givePlace(j) {
			return nil
		}
		g.places.Release(1)
		return g.queues.reason(j)
	}
	ended := contextError(ctx) // of the group, unless j has left
	if !g.queues.leave(j, ended) {
		return g.queues.reason(j)
	}
	defer g.runner.jobs.refuse()
	return g.runner.refuse(ended)
}

// enqueue appends j to the queue of its key. A goroutine serves the queue as long as it has jobs.
func (g *KeyedGroup[K]) enqueue(key K, j *queuedJob) {
	jobs, first := g.queues.push(key, j)
	if !first {
		return
	}
	g.runner.jobs.addHelper()
	go func() {
		defer g.runner.jobs.helperDone()
		if g.runner.guard(func() error {
			for ; j != nil; j = g.queues.pop(key, jobs) {
				g.serve(j)
			}
			return nil
		}) != nil {
			g.abandon(key, jobs, j)
		}
	}()
}

// serve starts j as soon as it can, or refuses it.
func (g *KeyedGroup[K]) serve(j *queuedJob) {
	err := g.acquire(j.cost)
	switch {
	case !g.leave(j, err):
		if err == nil {
			j.cost.refund()
			g.runner.releaseSlot()
		}
	case err != nil:
		_ = g.runner.refuse(err) // for Wait; the Go that blocks for j finds it in j
		g.runner.jobs.refuse()
	default:
		g.runner.run(j.f)
	}
}

// acquire takes the tokens of a job and a slot at the same instant. It holds neither while it waits
// for the other. A held slot would be missing to other keys. Tokens that are taken long before the
// start would let the next job start beside this one, since the bucket fills up again meanwhile.
func (g *KeyedGroup[K]) acquire(cost tokens) error {
	for {
		if err := cost.wait(g.runner.ctx); err != nil {
			return err
		}
		if g.runner.tryAcquireSlot() {
			return nil
		}
		cost.refund()
		if err := g.runner.acquireSlot(); err != nil {
			return err
		}
		if cost.take() {
			return nil
		}
		g.runner.releaseSlot() // another user of the bucket has taken the tokens
	}
}

// leave removes j from the queue, to be started or because of err. It reports false if the Go that
// blocked for j has given it up before.
func (g *KeyedGroup[K]) leave(j *queuedJob, err error) bool {
	if !g.queues.leave(j, err) {
		return false
	}
	if j.hasPlace {
		g.places.Release(1)
	} else {
		j.unblock()
	}
	return true
}

// abandon refuses j and all jobs behind it, after a panic in their service: of a func for limits,
// or of the bucket's clock.
func (g *KeyedGroup[K]) abandon(key K, jobs *queue, j *queuedJob) {
	for ; j != nil; j = g.queues.pop(key, jobs) {
		if g.leave(j, contextError(g.runner.ctx)) {
			g.runner.jobs.refuse()
		}
	}
}

package redisbucket

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
)

// Client is what is asked of a client of go-redis: *redis.Client, also one of Sentinel's failover, *redis.ClusterClient,
// *redis.Ring and the blocking auto-pipelining client are one. A redis.Pipeliner is not, although it compiles: it has no
// answer when it is asked. See [NewClient] for the settings that matter.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A Limiter is a token bucket for each key, held by a Redis or Valkey server and shared by every process that uses the
// same server, prefix and limit. A key that has not been seen has a full bucket, and takes no memory on the server; one
// that is full again expires.
//
// Create one with [New] or [NewFunc]; the zero Limiter must not be used, nor may a Limiter be copied. It has no goroutine
// of its own and needs no Close; closing the client is up to the caller. All methods may be called by any number of
// goroutines at once. They do what those of tokenbucket.Bucket do, to the bucket of key, in one round trip each; a negative
// n panics.
//
// An error other than a *tokenbucket.WaitError means that the server gave no decision; then errors.Is(err,
// [ErrUnavailable]) holds, unless ctx ended first. Tokens may have been taken nevertheless, if it was only the reply that
// did not arrive: that grants less, never more. With [WithFallback] there is an answer instead of the error.
type Limiter struct {
	client Client
	limit  func(key string) *scale
	settings
	heeds   bool // the client returns by itself when a deadline has come
	single  bool // all keys are on one server
	nodes   nodes
	checked atomic.Bool // the server has said that it may run all commands of the scripts
	gates   gates
	scripts *scripts
	leases  *leases              // nil without
	now     func() time.Duration // a monotonic clock
	count   counters
}

// New returns a Limiter whose buckets have all the same limit. It panics if client is nil or the burst is less than 1.
func New(client Client, limit tokenbucket.Limit, opts ...Option) *Limiter {
	l := newLimiter(client, opts)
	s := newScale(limit, l.leasing)
	l.limit = func(string) *scale { return s }
	l.fallback.open(l.limit)
	return l
}

// NewFunc returns a Limiter whose buckets have each the limit that limit returns for the key. It is called at every
// decision, by any goroutine, and must be quick. All processes should agree on it; when it changes, a bucket keeps the
// tokens there are, as far as the new burst has room for them, and a debt. It panics if client or limit is nil, and later
// if a burst is less than 1.
func NewFunc(client Client, limit func(key string) tokenbucket.Limit, opts ...Option) *Limiter {
	if limit == nil {
		panic("redisbucket: NewFunc: limit is nil")
	}
	l := newLimiter(client, opts)
	seen := &scales{leases: l.leasing}
	l.limit = func(key string) *scale { return seen.of(limit(key)) }
	l.fallback.open(l.limit)
	return l
}

func newLimiter(client Client, opts []Option) *Limiter {
	if client == nil {
		panic("redisbucket: New: the client is nil")
	}
	base := time.Now()
	l := &Limiter{client: client, settings: defaults(), heeds: heedsDeadlines(client), single: single(client), scripts: &theScripts}
	l.now = func() time.Duration { return time.Since(base) }
	for _, o := range opts {
		o(&l.settings)
	}
	l.nodes.new = func() *breaker { return &breaker{failures: l.breakAfter, pause: l.breakFor} }
	l.nodes.route(client)
	if l.leasing != nil {
		l.leases = newLeases(l.leasing.ttl, &l.count)
	}
	return l
}

func mustCount(where string, n int) {
	if n < 0 {
		panic(fmt.Sprintf("redisbucket: %s: n is %d, want 0 or more", where, n))
	}
}

// Refund puts back n tokens of key that were taken and not used, at most as many as the bucket has
// room for. Waiters are granted them first.
func (l *Limiter) Refund(ctx context.Context, key string, n int) error {
	mustCount("Refund", n)
	return l.adjust(ctx, "Refund", key, 0, n)
}

// Charge takes n tokens of key whether they are there or not. The bucket may go into debt, which is
// refilled before anybody is granted a token. A debt is remembered up to at least the burst.
func (l *Limiter) Charge(ctx context.Context, key string, n int) error {
	mustCount("Charge", n)
	return l.adjust(ctx, "Charge", key, n, 0)
}

func (l *Limiter) adjust(ctx context.Context, method, key string, charge, refund int) error {
	s := l.limit(key)
	if s.inf || charge+refund == 0 {
		return nil
	}
	args := s.args(s.units(charge), s.units(refund))
	_, err := l.ask(ctx, method, &l.scripts.adjust, 1, []string{l.name(key)}, args)
	l.leases.visit(key, (*lease).forget)
	if err != nil {
		return l.fallback.adjust(l, key, charge, refund, err)
	}
	return nil
}

// Tokens returns how many tokens key has, less what those who wait are owed: it is negative if they are owed more, or if
// the bucket is in debt. There is no answer to fall back on if the server gives none.
func (l *Limiter) Tokens(ctx context.Context, key string) (float64, error) {
	s := l.limit(key)
	if s.inf {
		return float64(s.limit.Burst), nil
	}
	reply, err := l.ask(ctx, "Tokens", &l.scripts.take, 2, []string{l.name(key)}, s.args(1, 0))
	if err != nil {
		return 0, err
	}
	tokens := float64(s.cap-reply[1]) / float64(s.b)
	l.leases.visit(key, func(e *lease) {
		e.mu.Lock()
		defer e.mu.Unlock()
		tokens += float64(e.usable(l.now()))
	})
	return tokens, nil
}

// Delete forgets key: it has a full bucket from now on, whatever was taken of it. Its waiters keep
// their places among each other.
func (l *Limiter) Delete(ctx context.Context, key string) error {
	_, err := l.ask(ctx, "Delete", &l.scripts.remove, 1, []string{l.name(key), l.listName(key)}, nil)
	l.leases.visit(key, (*lease).drop)
	return err
}

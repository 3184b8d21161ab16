package redisbucket

import (
	"context"
	"errors"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// errLate says that a batch had lapsed when it came.
var errLate = errors.New("the reply took longer than the lease")

// leaseOf returns the lease of key, or nil if n tokens are to be decided at the server.
func (l *Limiter) leaseOf(key string, s *scale, n int) *lease {
	if l.leases == nil || s.batch == 0 || n == 0 || int64(n) > s.burst {
		return nil
	}
	return l.leases.of(key, l.now())
}

// serve takes n tokens of a lease or, if partial, as many as there are; it asks the server for what is not held.
func (l *Limiter) serve(ctx context.Context, method, key string, e *lease, s *scale, n int64, partial bool) (int64, error) {
	if ctx.Err() != nil {
		return 0, endOf(ctx)
	}
	if b := e.cur.Load(); b.take(n, l.now()) {
		if b.left.Load() <= b.low && !b.more.Swap(true) {
			l.topUp(key, e, s)
		}
		return n, nil
	}
	return l.serveSlow(ctx, method, key, e, s, n, partial)
}

// serveSlow is serve when cur has not enough. Callers who find that the server is being asked wait for the answer; what
// one of them holds while it asks is out of reach for the others, so that many small ones do not starve a large one.
func (l *Limiter) serveSlow(ctx context.Context, method, key string, e *lease, s *scale, n int64, partial bool) (int64, error) {
	patience := l.now() + l.budget
	for {
		now := l.now()
		e.mu.Lock()
		p := e.withdraw(n, now)
		need := n - p.total()
		least := need
		if partial {
			least = 1
		}
		switch {
		case need == 0:
			e.mu.Unlock()
			return n, nil
		case e.known.denies(s, least, now, l.leasing.ttl):
			defer e.mu.Unlock()
			if partial {
				return p.total(), nil
			}
			e.putBack(p, now)
			return 0, nil
		case e.flight != nil:
			e.putBack(p, now)
			if err := l.await(ctx, method, e, need, patience-now); err != nil {
				return 0, err
			}
			continue
		}
		most := e.depart(s, need, now, l.leasing.ttl)
		own, err := l.fetch(ctx, patience-now, method, key, e, s, least, need, most)
		e.mu.Lock()
		now = l.now()
		if own != nil {
			p.from[2], p.count[2] = own, own.left.Load()
		}
		l.count.lapsedTokens.Add(uint64(p.lapse(now)))
		got := p.total()
		if err == nil && (got == n || partial) || partial && got > 0 { // held tokens need no server
			e.mu.Unlock()
			return got, nil
		}
		e.putBack(p, now)
		e.mu.Unlock()
		if err != nil || own == nil {
			return 0, err
		}
	}
}

// depart begins a request, unlocks, and returns how many tokens to ask for.
func (e *lease) depart(s *scale, need int64, now, ttl time.Duration) int64 {
	most := e.want(s, need, now, ttl)
	e.flight = make(chan struct{})
	e.mu.Unlock()
	return most
}

// fetch asks the server for at most most tokens, and for none if there are fewer than least. Up to mine of them it returns, in
// a batch of their own, and nil for none; what is left is added to the lease. It ends the request that depart began.
func (l *Limiter) fetch(ctx context.Context, budget time.Duration, method, key string, e *lease, s *scale,
	least, mine, most int64) (*batch, error) {
	sent := l.now()
	reply, err := l.askWithin(ctx, budget, method, &l.scripts.available, 2, []string{l.name(key)}, s.args(least, most))
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.flight)
	e.flight = nil
	if err != nil {
		return nil, err
	}
	now, until := l.now(), sent+l.leasing.ttl
	e.known = snapshot{scale: s, sent: sent, got: now, missing: reply[1]}
	got := reply[0]
	switch {
	case got == 0:
		return nil, nil
	case now >= until:
		l.count.lapsedTokens.Add(uint64(got))
		return nil, &unavailable{method, errLate}
	}
	l.count.leaseCalls.Add(1)
	l.count.leasedTokens.Add(uint64(got))
	mine = min(mine, got)
	e.add(newBatch(got-mine, until), now)
	e.held = e.usable(now)
	if mine == 0 {
		return nil, nil
	}
	return newBatch(mine, until), nil
}

// await waits until the request that is out is done. The caller must hold mu, which await unlocks.
func (l *Limiter) await(ctx context.Context, method string, e *lease, need int64, patience time.Duration) error {
	done := e.flight
	e.queued += need
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.queued -= need
		e.mu.Unlock()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return endOf(ctx)
	case <-timer.C:
		return &unavailable{method, errBudget}
	}
}

// topUp fetches another batch in the background, unless one is on its way, or there, or not to be had.
func (l *Limiter) topUp(key string, e *lease, s *scale) {
	now := l.now()
	e.mu.Lock()
	if e.flight != nil || e.next.usable(now) > 0 || e.known.denies(s, 1, now, l.leasing.ttl) {
		e.mu.Unlock()
		return
	}
	most := e.depart(s, 0, now, l.leasing.ttl)
	go func() {
		_, _ = l.fetch(context.Background(), l.budget, "lease", key, e, s, 0, 0, max(most, 1)) // whoever needs them finds out
	}()
}

// takeLeased is Take with a lease.
func (l *Limiter) takeLeased(ctx context.Context, method, key string, e *lease, s *scale, n int) (tokenbucket.Result, error) {
	got, err := l.serve(ctx, method, key, e, s, int64(n), false)
	if err != nil {
		return l.fallback.take(l, s, key, n, err)
	}
	return l.leasedResult(e, s, n, got > 0), nil
}

// leasedResult is the Result of a decision on n tokens, out of what is known here.
func (l *Limiter) leasedResult(e *lease, s *scale, n int, allowed bool) tokenbucket.Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := l.now()
	held, missing := e.usable(now), int64(0)
	if e.known.scale == s {
		missing = e.known.since(s, e.known.got, now)
	}
	res := s.result(n, allowed, missing)
	res.Remaining = int(min(int64(res.Remaining)+held, s.burst))
	if !allowed && int64(n) <= s.burst {
		res.RetryAfter = s.until(missing + (int64(n)-held)*s.b - s.cap)
	}
	return res
}

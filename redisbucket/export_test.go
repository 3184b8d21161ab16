package redisbucket

import (
	"context"
	"time"
)

// SetPreamble puts Lua in front of the limiter's scripts: tests shadow the server's functions with it.
func SetPreamble(l *Limiter, lua string) {
	s := newScripts(lua, fastLua)
	l.scripts = &s
}

// SetSlow is SetPreamble without the script's fast path.
func SetSlow(l *Limiter, lua string) {
	s := newScripts(lua, "")
	l.scripts = &s
}

// Name is the name of key's bucket on the server.
func Name(prefix, key string) string { return name(prefix, key) }

// A Place is one in the queue, taken without sleeping.
type Place struct {
	p    place
	Turn time.Duration
}

// Reserve is what WaitN does before it sleeps, with no deadline.
func Reserve(l *Limiter, key string, n int) (*Place, error) {
	p, err := l.reserve(context.Background(), l.limit(key), key, n)
	if err != nil || p.answer != reserved {
		return nil, err
	}
	return &Place{p: p, Turn: p.delay}, nil
}

// Cancel is what WaitN does when its context ends, but waits for the answer: the tokens that are free again.
func Cancel(l *Limiter, p *Place) (float64, error) {
	h := p.p.handle
	args := p.p.s.args(p.p.s.need(p.p.n), h[0], h[1], h[2], h[3])
	reply, err := l.ask(context.Background(), "WaitN", &l.scripts.cancel, 1, []string{p.p.name}, args)
	if err != nil {
		return 0, err
	}
	return float64(reply[0]) / float64(p.p.s.b), nil
}

// Held is the limit as the script has it: a/b tokens a microsecond, and the burst.
func Held(l *Limiter) (a, b, burst int64) {
	s := l.limit("")
	return s.a, s.b, s.burst
}

// SetNow replaces the limiter's monotonic clock.
func SetNow(l *Limiter, now func() time.Duration) { l.now = now }

// Leases returns for how many keys the limiter remembers something.
func Leases(l *Limiter) (n int) {
	for i := range l.leases.shards {
		shard := &l.leases.shards[i]
		shard.mu.RLock()
		n += len(shard.m)
		shard.mu.RUnlock()
	}
	return n
}

// MaxLeases is the most that Leases returns.
const MaxLeases = maxLeases

// Leased returns how many tokens of key the limiter holds, and whether it waits for more.
func Leased(l *Limiter, key string) (held int64, flying bool) {
	l.leases.visit(key, func(e *lease) {
		e.mu.Lock()
		defer e.mu.Unlock()
		held, flying = e.usable(l.now()), e.flight != nil
	})
	return held, flying
}

// SetDemand makes the limiter believe that so many tokens of key were taken lately.
func SetDemand(l *Limiter, key string, tokens float64) {
	l.leases.of(key, l.now())
	l.leases.visit(key, func(e *lease) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.demand, e.asked = tokens, l.now()
	})
}

package redisbucket

import (
	"context"
	"errors"
	"time"
)

// SetPreamble puts Lua in front of the limiter's scripts: tests shadow the server's functions with it.
func SetPreamble(l *Limiter, lua string) {
	s := newScripts(lua)
	l.scripts = &s
}

// Name is the name of key's bucket on the server.
func Name(prefix, key string) string { return name(prefix, key) }

// A Waiter is a call of WaitN that is made step by step.
type Waiter struct {
	w waiter
	// Turn and Again are in how long its turn comes and it has to ask again, as it was told last.
	Turn, Again time.Duration
}

// NewWaiter returns a waiter that has not asked yet.
func NewWaiter(l *Limiter, key string, n int) *Waiter {
	return &Waiter{w: waiter{l: l, s: l.limit(key), key: key, n: n, id: newID(), budget: l.budget}}
}

// Ask asks for the tokens and reports whether they were granted. An error is a refusal.
func (w *Waiter) Ask() (bool, error) {
	w.w.s = w.w.l.limit(w.w.key)
	t, err := w.w.ask(context.Background())
	if err != nil {
		return false, err
	}
	w.Turn, w.Again = t.turn, t.again
	if t.place > 0 {
		w.w.place = t.place
	}
	if t.answer == never || t.answer == tooLate {
		return false, errors.New("refused")
	}
	return t.answer == granted, nil
}

// Leave takes the waiter off the list.
func (w *Waiter) Leave() { w.w.remove(context.Background(), 0) }

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

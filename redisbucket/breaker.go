package redisbucket

import (
	"sync"
	"time"
)

// A breaker keeps calls from a server that does not answer, so that in an outage not every call
// takes its budget.
type breaker struct {
	failures int           // so many in a row open it
	pause    time.Duration // for so long

	mu    sync.Mutex
	row   int       // failures in a row, at most failures; guarded by mu
	until time.Time // it is open until then if row is failures; guarded by mu
	trial bool      // one call is out to see whether the server is back; guarded by mu
	last  error     // the last failure; guarded by mu
}

type outcome int

const (
	answered  outcome = iota // by the server, even if with an error
	failed                   // it gave no answer in time
	undecided                // the caller left before that could be known
)

// enter reports whether the server may be asked. If so, leave must follow. If not, it returns why.
func (b *breaker) enter() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.row < b.failures {
		return true, nil
	}
	if b.trial || time.Now().Before(b.until) {
		return false, b.last
	}
	b.trial = true
	return true, nil
}

func (b *breaker) leave(o outcome, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	switch o {
	case answered:
		b.row, b.last = 0, nil
	case failed:
		b.last = err
		if b.row++; b.row >= b.failures {
			b.row, b.until = b.failures, time.Now().Add(b.pause)
		}
	}
}

// wait returns how long it is until the server may be asked again; 0 if it may be.
func (b *breaker) wait() time.Duration { return b.stats().Retry }

package redisbucket_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// A load is callers who take tokens of one key, again and again, whatever becomes of the server.
type load struct {
	stop    atomic.Bool
	callers sync.WaitGroup
	mu      sync.Mutex
	grants  []grant // by the wall clock of this machine, which is the server's too
	failed  atomic.Int64
	refused atomic.Int64
}

func startLoad(t *testing.T, l *redisbucket.Limiter, callers int) *load {
	x := new(load)
	for range callers {
		x.callers.Go(func() {
			for !x.stop.Load() {
				before := time.Now().UnixMicro()
				ok, err := l.Allow(context.Background(), "k")
				after := time.Now().UnixMicro()
				switch {
				case err != nil && !errors.Is(err, redisbucket.ErrUnavailable):
					t.Error(err)
					return
				case err != nil:
					x.failed.Add(1)
					time.Sleep(100 * time.Microsecond)
				case !ok:
					x.refused.Add(1)
					time.Sleep(100 * time.Microsecond)
				default:
					x.mu.Lock()
					x.grants = append(x.grants, grant{before, after})
					x.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(func() { x.end() })
	return x
}

// granted returns how many tokens there were so far.
func (x *load) granted() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.grants)
}

// goesOn waits until more tokens have been granted: service has returned.
func (x *load) goesOn(t *testing.T) {
	t.Helper()
	before := x.granted()
	until(t, func() bool { return x.granted() > before+5 })
}

func (x *load) end() []grant {
	x.stop.Store(true)
	x.callers.Wait()
	return x.grants
}

package httplimit

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buckets makes a limiter in memory on a clock that stands still, so that no test depends on how
// fast it runs.
func buckets(rate tokenbucket.Rate, burst int) keyed {
	return Keyed(tokenbucket.NewKeyed[string](rate, burst, tokenbucket.WithClock(stopped{}))).(keyed)
}

type stopped struct{}

func (stopped) Now() time.Time                       { return time.Unix(1e9, 0) }
func (stopped) After(time.Duration) <-chan time.Time { return nil }

// live makes a limiter in memory on the default clock, for bubbles.
func live(rate tokenbucket.Rate, burst int) keyed {
	return Keyed(tokenbucket.NewKeyed[string](rate, burst)).(keyed)
}

var errDown = errors.New("connect to limiter.internal:6379: refused")

// remote is a limiter as across a network: it can do nothing but Take, and fail.
type remote struct {
	Limiter
	err  error
	hang bool

	mu    sync.Mutex
	calls int
}

func (l *remote) Take(ctx context.Context, key string, n int) (tokenbucket.Result, error) {
	l.mu.Lock()
	l.calls++
	err := l.err
	l.mu.Unlock()
	if l.hang {
		<-ctx.Done()
		return tokenbucket.Result{}, ctx.Err()
	}
	if err != nil {
		return tokenbucket.Result{}, err
	}
	return l.Limiter.Take(ctx, key, n)
}

func (l *remote) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errDown
}

// settler is a remote that can be corrected.
type settler struct {
	remote
	settled chan error // the context's state at each correction, if not nil
}

func (l *settler) Refund(ctx context.Context, key string, n int) error {
	if l.settled != nil {
		l.settled <- ctx.Err()
	}
	return l.Limiter.(Settler).Refund(ctx, key, n)
}

func (l *settler) Charge(ctx context.Context, key string, n int) error {
	return l.Limiter.(Settler).Charge(ctx, key, n)
}

func fixed(key string) KeyFunc { return func(*http.Request) (string, error) { return key, nil } }

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panic %q, want %q", got, want)
		}
	}()
	f()
}

// decided returns the figures of a decision.
func decided(p *Policy, r *http.Request) (tokenbucket.Result, error) {
	d := p.Check(r)
	d.Result.Allowed = d.Allowed
	return d.Result, d.Err
}

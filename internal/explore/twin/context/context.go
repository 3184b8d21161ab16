// Package context is the instrumented twin of context.
package context

import (
	"context"
	"slices"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/explore"
)

// The types and values of the real package.
type (
	Context         = context.Context
	CancelFunc      = context.CancelFunc
	CancelCauseFunc = context.CancelCauseFunc
)

// The errors of the real package.
var (
	Canceled         = context.Canceled
	DeadlineExceeded = context.DeadlineExceeded
)

// Background is that of the real package.
func Background() Context { return context.Background() }

// WithValue is that of the real package.
func WithValue(parent Context, key, v any) Context { return context.WithValue(parent, key, v) }

// A cancelCtx is a context that can be cancelled. Its end is that of its channel.
type cancelCtx struct {
	parent   Context
	done     chan struct{}
	object   explore.Object
	err      error
	cause    error
	children []*cancelCtx
	after    []*stopped
	deadline time.Time
}

type stopped struct{ f func() }

type self struct{}

func (c *cancelCtx) Deadline() (time.Time, bool) {
	if !c.deadline.IsZero() {
		return c.deadline, true
	}
	return c.parent.Deadline()
}

func (c *cancelCtx) Done() <-chan struct{} { return c.done }

//go:noinline
func (c *cancelCtx) Err() error {
	explore.Before("ctx.Err", nil)
	explore.After(&c.object, false)
	return c.err
}

func (c *cancelCtx) Value(key any) any {
	if key == (self{}) {
		return c
	}
	return c.parent.Value(key)
}

func newContext(parent Context) *cancelCtx {
	c := &cancelCtx{parent: parent, done: make(chan struct{})}
	if p, ok := parent.Value(self{}).(*cancelCtx); ok {
		explore.Before("new context", nil)
		explore.After(&p.object, true)
		if p.err != nil {
			c.end(p.err, p.cause)
		} else {
			p.children = append(p.children, c)
		}
	}
	return c
}

// cancel ends c and all that depend on it, in one step.
func (c *cancelCtx) cancel(err, cause error) {
	explore.Before("cancel", nil)
	if cause == nil {
		cause = err
	}
	c.end(err, cause)
}

func (c *cancelCtx) end(err, cause error) {
	if c.err != nil {
		return
	}
	c.err, c.cause = err, cause
	explore.After(&c.object, true)
	explore.CloseNow(c.done)
	for _, a := range c.after {
		explore.Go(a.f)
	}
	for _, child := range c.children {
		child.end(err, cause)
	}
}

// WithCancel is the twin of that of the real package.
func WithCancel(parent Context) (Context, CancelFunc) {
	c := newContext(parent)
	return c, func() { c.cancel(Canceled, nil) }
}

// WithCancelCause is the twin of that of the real package.
func WithCancelCause(parent Context) (Context, CancelCauseFunc) {
	c := newContext(parent)
	return c, func(cause error) { c.cancel(Canceled, cause) }
}

// WithDeadline is the twin of that of the real package. The deadline is one of the virtual time.
func WithDeadline(parent Context, d time.Time) (Context, CancelFunc) {
	c := newContext(parent)
	c.deadline = d
	timer := explore.NewTimer(func() { c.cancel(DeadlineExceeded, nil) })
	timer.Set(d.Sub(explore.Now()))
	return c, func() {
		timer.Stop()
		c.cancel(Canceled, nil)
	}
}

// WithTimeout is WithDeadline after d.
func WithTimeout(parent Context, d time.Duration) (Context, CancelFunc) {
	return WithDeadline(parent, explore.Now().Add(d))
}

// AfterFunc is the twin of that of the real package.
func AfterFunc(ctx Context, f func()) (stop func() bool) {
	c, ok := ctx.Value(self{}).(*cancelCtx)
	if !ok {
		return context.AfterFunc(ctx, f)
	}
	explore.Before("AfterFunc", nil)
	explore.After(&c.object, true)
	if c.err != nil {
		explore.Go(f)
		return func() bool { return false }
	}
	a := &stopped{f}
	c.after = append(c.after, a)
	return func() bool {
		explore.Before("stop AfterFunc", nil)
		explore.After(&c.object, true)
		n := len(c.after)
		c.after = slices.DeleteFunc(c.after, func(b *stopped) bool { return a == b })
		return c.err == nil && len(c.after) < n
	}
}

// Cause is the twin of that of the real package.
func Cause(ctx Context) error {
	c, ok := ctx.Value(self{}).(*cancelCtx)
	if !ok {
		return context.Cause(ctx)
	}
	explore.Before("Cause", nil)
	explore.After(&c.object, false)
	return c.cause
}

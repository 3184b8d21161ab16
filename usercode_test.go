package tokenbucket

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
)

// A faultyClock runs a fault in place of Now or After once each is armed.
type faultyClock struct {
	*clock.Mock
	mu         sync.Mutex
	now, after func()
}

func (c *faultyClock) fault(of *func()) {
	c.mu.Lock()
	f := *of
	*of = nil
	c.mu.Unlock()
	if f != nil {
		f()
	}
}

func (c *faultyClock) arm(of *func(), f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*of = f
}

func (c *faultyClock) Now() time.Time {
	c.fault(&c.now)
	return c.Mock.Now()
}

func (c *faultyClock) After(d time.Duration) <-chan time.Time {
	c.fault(&c.after)
	return c.Mock.After(d)
}

// faults are the ways in which user code can leave early.
var faults = map[string]func(){
	"panic":  func() { panic("fault") },
	"goexit": runtime.Goexit,
}

// survive runs f in a goroutine, where it may panic or exit.
func survive(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
	}()
	<-done
}

// A clock whose Now fails leaves nothing locked and nothing taken, in every method.
func TestClockFails(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			c := &faultyClock{Mock: clock.NewMock()}
			b := New(PerSecond(1), 5, WithClock(c))
			k := NewKeyed[string](PerSecond(1), 5, WithClock(c))
			b.AllowN(4)
			k.AllowN("k", 4)
			for _, op := range []func(){
				func() { b.Allow() }, func() { b.Take(1) }, func() { b.TakeAvailable(1) }, func() { b.Refund(1) },
				func() { b.Charge(1) }, func() { b.Tokens() }, func() { b.SetLimit(Limit{PerSecond(2), 5}) },
				func() { _, _ = b.Reserve() }, func() { _ = b.WaitN(context.Background(), 3) },
				func() { k.Allow("k") }, func() { k.Take("k", 1) }, func() { k.Refund("k", 1) },
				func() { k.Charge("k", 1) }, func() { _ = k.WaitN(context.Background(), "k", 3) },
				func() { k.Evict() }, func() { k.Delete("k") }, func() { k.SetLimit(Limit{PerSecond(2), 5}) },
			} {
				c.arm(&c.now, fault)
				survive(op)
			}
			c.arm(&c.now, nil)
			if b.Tokens() != 1 || b.Waiting() != 0 || k.Tokens("k") != 1 || !b.Allow() || !k.Allow("k") {
				t.Errorf("%v and %v tokens, %d waiting", b.Tokens(), k.Tokens("k"), b.Waiting())
			}
		})
	}
}

// A waiter whose clock fails while it is in the queue leaves it, and those behind are served.
func TestClockFailsWhileWaiting(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &faultyClock{Mock: clock.NewMock()}
				b := New(PerSecond(1), 1, WithClock(c))
				b.Allow()
				c.arm(&c.after, fault)
				survive(func() { _ = b.Wait(t.Context()) })
				if b.Waiting() != 0 || b.Tokens() != 0 {
					t.Fatalf("%d waiting, %v tokens", b.Waiting(), b.Tokens())
				}
				done := make(chan error, 2)
				for range 2 {
					go func() { done <- b.Wait(t.Context()) }()
				}
				synctest.Wait()
				c.Add(2 * time.Second)
				synctest.Wait()
				c.Add(time.Second)
				synctest.Wait()
				if len(done) != 2 {
					t.Errorf("%d of 2 were served", len(done))
				}
			})
		})
	}
}

// A faultyContext fails in one of its methods.
type faultyContext struct {
	context.Context
	deadline, done func()
}

func (c faultyContext) Deadline() (time.Time, bool) {
	if c.deadline != nil {
		c.deadline()
	}
	return c.Context.Deadline()
}

func (c faultyContext) Done() <-chan struct{} {
	if c.done != nil {
		c.done()
	}
	return c.Context.Done()
}

// A context that fails leaves nothing locked and no place in the queue.
func TestContextFails(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			b := New(PerHour(1), 1)
			b.Allow()
			for _, ctx := range []context.Context{
				faultyContext{Context: t.Context(), deadline: fault}, faultyContext{Context: t.Context(), done: fault},
			} {
				survive(func() { _ = b.Wait(ctx) })
				if b.Waiting() != 0 || b.Allow() {
					t.Errorf("%d waiting", b.Waiting())
				}
			}
		})
	}
}

// A limit func that panics leaves nothing locked, and never runs on a timer's goroutine.
func TestLimitFuncFails(t *testing.T) {
	var fail bool
	k := NewKeyedFunc(func(string) Limit {
		if fail {
			panic("fault")
		}
		return Limit{PerSecond(1), 1}
	})
	k.Allow("k")
	fail = true
	for _, op := range []func(){
		func() { k.Allow("new") }, func() { k.Take("new", 1) }, func() { _ = k.Wait(context.Background(), "new") },
		func() { _, _ = k.Reserve("new") }, func() { k.Charge("new", 1) }, func() { k.Refund("new", 1) },
		func() { k.Tokens("new") }, func() { k.Limit("new") }, func() { k.Refresh() },
	} {
		survive(op)
	}
	if fail = false; k.Allow("k") || !k.Allow("new") {
		t.Error("the map is not as it was")
	}
}

// Package time has the instrumented twins of what package time has to do with the present. The code under test uses the real
// package for all else.
package time

import (
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/explore"
)

// Now returns the virtual time.
//
//go:noinline
func Now() time.Time { return explore.Now() }

// Since returns the time that has passed since t.
//
//go:noinline
func Since(t time.Time) time.Duration { return explore.Now().Sub(t) }

// Until returns the time until t.
//
//go:noinline
func Until(t time.Time) time.Duration { return t.Sub(explore.Now()) }

// Sleep waits for d.
func Sleep(d time.Duration) { explore.Sleep(d) }

// After returns a channel that gets the time after d.
func After(d time.Duration) <-chan time.Time { return NewTimer(d).C }

// A Timer is a twin of time.Timer.
type Timer struct {
	C     <-chan time.Time
	timer *explore.Timer
}

// NewTimer returns a timer that sends the time after d.
func NewTimer(d time.Duration) *Timer {
	x := explore.NewTimer(nil)
	x.Set(d)
	return &Timer{C: x.C, timer: x}
}

// AfterFunc calls f in a goroutine of its own after d.
func AfterFunc(d time.Duration, f func()) *Timer {
	x := explore.NewTimer(f)
	x.Set(d)
	return &Timer{timer: x}
}

// Stop stops the timer, and reports whether it was running.
func (t *Timer) Stop() bool { return t.timer.Stop() }

// Reset makes the timer fire after d from now on, and reports whether it was running.
func (t *Timer) Reset(d time.Duration) bool { return t.timer.Set(d) }

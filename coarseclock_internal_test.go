package tokenbucket

import (
	"testing"
	"testing/synctest"
	"time"
)

// Now has moved on by d when After(d) fires, even if the tick that should have renewed the reading
// is late: here it never comes.
func TestCoarseClockAfterLateTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []time.Duration{0, time.Nanosecond, time.Millisecond, time.Hour} {
			clock := NewCoarseClock(time.Millisecond)
			late := clock.read(time.Now())
			late.used.Store(true)
			clock.reading.Store(late)
			then := clock.Now()
			time.Sleep(10 * time.Millisecond) // lost to the reading, but not to After
			<-clock.After(d)
			if got := clock.Now().Sub(then); got < d {
				t.Errorf("After(%v) fired when Now had moved on by %v", d, got)
			}
		}
	})
}

// A reading that After renewed does not keep an unused clock ticking, nor a second timer.
func TestCoarseClockAfterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewCoarseClock(time.Millisecond)
		for range 5 {
			<-clock.After(time.Millisecond / 2)
		}
		time.Sleep(time.Second)
		if r := clock.reading.Load(); r != nil {
			t.Errorf("after a second's pause there is still a reading, %v old", time.Since(r.at))
		}
	})
}

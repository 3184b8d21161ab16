package tokenbucket_test

import (
	"fmt"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// One clock for all limits of a server that is asked very often.
func ExampleNewCoarseClock() {
	clock := tokenbucket.WithClock(tokenbucket.NewCoarseClock(time.Millisecond))
	all := tokenbucket.New(tokenbucket.PerSecond(1_000_000), 50_000, clock)
	clients := tokenbucket.NewKeyed[string](tokenbucket.PerMinute(100), 20, clock)
	fmt.Println(clients.Allow("alice") && all.Allow())
	// Output: true
}

// A CoarseClock is a time.Time in memory, never ahead of the real one.
func ExampleCoarseClock() {
	clock := tokenbucket.NewCoarseClock(time.Millisecond)
	then := clock.Now()
	<-clock.After(5 * time.Millisecond)
	fmt.Println(clock.Now().Sub(then) >= 5*time.Millisecond, clock.Now().After(time.Now()))
	// Output: true false
}

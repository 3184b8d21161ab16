package rate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/go-tokenbucket/tokenbucket/rate"
)

// Drop what exceeds the rate.
func ExampleLimiter_Allow() {
	lim := rate.NewLimiter(rate.Every(time.Hour), 2)
	for range 3 {
		fmt.Println(lim.Allow())
	}
	// Output:
	// true
	// true
	// false
}

// Tell the time, here of a simulation.
func ExampleLimiter_AllowN() {
	lim := rate.NewLimiter(10, 5)
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(lim.AllowN(start, 5))
	fmt.Println(lim.AllowN(start.Add(299*time.Millisecond), 3))
	fmt.Println(lim.AllowN(start.Add(300*time.Millisecond), 3))
	fmt.Println(lim.AllowN(start, 1)) // the time goes back, and nothing is refilled twice
	// Output:
	// true
	// false
	// true
	// false
}

// A negative n gives back what was taken and not used.
func ExampleLimiter_AllowN_refund() {
	lim := rate.NewLimiter(0, 10)
	now := time.Now()
	lim.AllowN(now, 8)
	lim.AllowN(now, -3)
	fmt.Println(lim.TokensAt(now))
	// Output: 5
}

// Block until an event is permitted.
func ExampleLimiter_Wait() {
	lim := rate.NewLimiter(1000, 1)
	for i := range 3 {
		if err := lim.Wait(context.Background()); err != nil {
			return
		}
		fmt.Println("request", i)
	}
	// Output:
	// request 0
	// request 1
	// request 2
}

// A wait that would be too long fails at once, and takes nothing.
func ExampleLimiter_WaitN() {
	lim := rate.NewLimiter(rate.Every(time.Hour), 3)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(lim.WaitN(ctx, 3))
	err := lim.WaitN(ctx, 2)
	fmt.Println(err, errors.Is(err, context.DeadlineExceeded))
	fmt.Println(lim.WaitN(ctx, 4))
	// Output:
	// <nil>
	// rate: Wait(n=2) would exceed context deadline true
	// rate: Wait(n=4) exceeds limiter's burst 3
}

// Be told how long to wait, and decide.
func ExampleLimiter_ReserveN() {
	lim := rate.NewLimiter(10, 1)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 3 {
		r := lim.ReserveN(now, 1)
		switch d := r.DelayFrom(now); {
		case !r.OK():
			fmt.Println("never")
		case d > 150*time.Millisecond:
			r.CancelAt(now)
			fmt.Println("too late:", d)
		default:
			fmt.Println("in", d)
		}
	}
	fmt.Println(lim.TokensAt(now))
	// Output:
	// in 0s
	// in 100ms
	// too late: 200ms
	// -1
}

// Reserve, sleep, act.
func ExampleLimiter_Reserve() {
	lim := rate.NewLimiter(1000, 1)
	for range 2 {
		r := lim.Reserve()
		time.Sleep(r.Delay())
		fmt.Println("act")
	}
	// Output:
	// act
	// act
}

// A reservation for more than the burst is not OK.
func ExampleReservation() {
	r := rate.NewLimiter(10, 1).Reserve()
	fmt.Println(r.OK(), r.Delay())
	r.Cancel()
	never := rate.NewLimiter(10, 1).ReserveN(time.Now(), 2)
	fmt.Println(never.OK(), never.Delay() == rate.InfDuration)
	// Output:
	// true 0s
	// false true
}

// Change the rate and the burst of a Limiter that is in use.
func ExampleLimiter_SetLimitAt() {
	lim := rate.NewLimiter(1, 1)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	lim.AllowN(now, 1)
	r := lim.ReserveN(now, 1)
	fmt.Println(r.DelayFrom(now))
	lim.SetLimitAt(now, 10)
	lim.SetBurstAt(now, 5)
	fmt.Println(r.DelayFrom(now), lim.Limit(), lim.Burst())
	// Output:
	// 1s
	// 100ms 10 5
}

func ExampleLimiter_SetLimit() {
	lim := rate.NewLimiter(1, 1)
	lim.SetLimit(rate.Inf)
	lim.SetBurst(0)
	fmt.Println(lim.Allow(), lim.Allow(), lim.Limit() == rate.Inf, lim.Burst())
	// Output: true true true 0
}

func ExampleLimiter_Tokens() {
	lim := rate.NewLimiter(0, 3)
	lim.Allow()
	fmt.Println(lim.Tokens())
	// Output: 2
}

func ExampleLimit() {
	fmt.Println(rate.Every(100*time.Millisecond), rate.Every(0) == rate.Inf)
	fmt.Println(rate.NewLimiter(rate.Limit(math.NaN()), 1).Limit())
	// Output:
	// 10 true
	// 0
}

// The zero Limiter permits nothing.
func ExampleLimiter() {
	var lim rate.Limiter
	fmt.Println(lim.Allow(), lim.Limit(), lim.Burst())
	// Output: false 0 0
}

// Log the first two events, and then one in a thousand.
func ExampleSometimes() {
	s := rate.Sometimes{First: 2, Every: 1000, Interval: 0}
	for i := range 2500 {
		s.Do(func() { fmt.Println("event", i) })
	}
	// Output:
	// event 0
	// event 1
	// event 1000
	// event 2000
}

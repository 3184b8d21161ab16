package tokenbucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/go-tokenbucket/tokenbucket"
	"golang.org/x/sync/errgroup"
)

func Example() {
	limit := tokenbucket.New(tokenbucket.PerSecond(10), 2) // ten a second, up to two at once
	for range 3 {
		fmt.Println(limit.Allow())
	}
	// Output:
	// true
	// true
	// false
}

// Workers that share a bucket start no more work than it allows, however many they are.
func Example_throttleWorkers() {
	limit := tokenbucket.New(tokenbucket.PerSecond(1000), 1)
	jobs := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var done []int
	for range 4 {
		workers.Go(func() {
			for job := range jobs {
				if err := limit.Wait(context.Background()); err != nil {
					return
				}
				mu.Lock()
				done = append(done, job)
				mu.Unlock()
			}
		})
	}
	for job := range 5 {
		jobs <- job
	}
	close(jobs)
	workers.Wait()
	slices.Sort(done)
	fmt.Println(done)
	// Output: [0 1 2 3 4]
}

// An API that allows 100 calls a minute, with at most 5 at once, is never asked more often. A call that could not be
// made before its deadline fails at once instead of waiting in vain.
func Example_paceClient() {
	quota := tokenbucket.New(tokenbucket.PerMinute(100), 5)
	call := func(ctx context.Context, path string) (string, error) {
		if err := quota.Wait(ctx); err != nil {
			return "", err
		}
		return "called " + path, nil // http.NewRequestWithContext, client.Do, …
	}
	for i := range 6 {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		answer, err := call(ctx, fmt.Sprint("/items/", i))
		if errors.Is(err, tokenbucket.ErrDeadline) {
			fmt.Println("too late")
		} else {
			fmt.Println(answer)
		}
		cancel()
	}
	// Output:
	// called /items/0
	// called /items/1
	// called /items/2
	// called /items/3
	// called /items/4
	// too late
}

// Jobs that are bounded in both ways: how many start a second, by a bucket; how many run at once, by errgroup.
func Example_boundedJobs() {
	limit := tokenbucket.New(tokenbucket.PerSecond(500), 10)
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(3)
	var mu sync.Mutex
	sum := 0
	for i := range 20 {
		g.Go(func() error {
			if err := limit.Wait(ctx); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			sum += i
			return nil
		})
	}
	fmt.Println(g.Wait(), sum)
	// Output: <nil> 190
}

// A test sets the clock by hand. Any clock with Now and After will do; this one is github.com/benbjohnson/clock.
func ExampleWithClock() {
	mock := clock.NewMock()
	b := tokenbucket.New(tokenbucket.PerSecond(10), 1, tokenbucket.WithClock(mock))
	fmt.Println(b.Allow(), b.Allow())
	mock.Add(100*time.Millisecond - 1)
	fmt.Println(b.Allow())
	mock.Add(1)
	fmt.Println(b.Allow())
	// Output:
	// true false
	// false
	// true
}

func ExampleBucket() {
	mock := clock.NewMock()
	b := tokenbucket.New(tokenbucket.PerSecond(10), 20, tokenbucket.WithClock(mock))

	fmt.Println("an order of 15:", b.AllowN(15))
	fmt.Println("another:", b.AllowN(15))
	fmt.Println("what there is:", b.TakeAvailable(15))
	b.Refund(2)
	fmt.Println("two were not needed:", b.Tokens())
	b.Charge(5)
	fmt.Println("it took five more than thought:", b.Tokens())
	b.SetLimit(tokenbucket.Limit{Rate: tokenbucket.PerSecond(100), Burst: 50})
	mock.Add(time.Second)
	fmt.Println("later:", b.Tokens(), "of", b.Limit())
	// Output:
	// an order of 15: true
	// another: false
	// what there is: 5
	// two were not needed: 2
	// it took five more than thought: -3
	// later: 50 of 100/s burst 50
}

func ExampleBucket_Take() {
	b := tokenbucket.New(tokenbucket.PerMinute(60), 2, tokenbucket.WithClock(clock.NewMock()))
	for range 3 {
		res := b.Take(1)
		fmt.Println(res.Allowed, "left:", res.Remaining, "retry:", res.RetryAfter, "full:", res.ResetAfter)
	}
	fmt.Println(b.Take(3).RetryAfter == tokenbucket.Never)
	// Output:
	// true left: 1 retry: 0s full: 1s
	// true left: 0 retry: 0s full: 2s
	// false left: 0 retry: 1s full: 2s
	// true
}

func ExampleBucket_WaitN() {
	b := tokenbucket.New(tokenbucket.PerSecond(1000), 5, tokenbucket.WithMaxWaiters(100))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(b.WaitN(ctx, 5), b.WaitN(ctx, 5), b.Waiting())

	err := b.WaitN(ctx, 6)
	fmt.Println(errors.Is(err, tokenbucket.ErrExceedsBurst), errors.Is(err, tokenbucket.ErrQueueFull))
	var wait *tokenbucket.WaitError
	fmt.Println(errors.As(err, &wait), wait.N)
	// Output:
	// <nil> <nil> 0
	// true false
	// true 6
}

func ExampleReservation() {
	mock := clock.NewMock()
	b := tokenbucket.New(tokenbucket.PerSecond(10), 2, tokenbucket.WithClock(mock))
	b.AllowN(2)

	first, _ := b.Reserve()
	second, _ := b.ReserveN(2)
	fmt.Println(first.Delay(), second.Delay())

	first.Cancel() // gives its place up; the second keeps the time that it was told
	fmt.Println(second.Delay())
	mock.Add(300 * time.Millisecond)
	fmt.Println(second.Delay())
	// Output:
	// 100ms 300ms
	// 300ms
	// 0s
}

func ExampleRate() {
	for _, r := range []tokenbucket.Rate{
		tokenbucket.Per(5, 250*time.Millisecond),
		tokenbucket.PerMinute(100),
		tokenbucket.PerHour(1000),
		tokenbucket.Every(24 * time.Hour),
		tokenbucket.Inf(),
		{},
	} {
		fmt.Println(r, r.TokensPerSecond())
	}
	r, err := tokenbucket.RateOf(0.1)
	fmt.Println(r == tokenbucket.Every(10*time.Second), err)
	// Output:
	// 20/s 20
	// 100/m 1.6666666666666667
	// 1000/h 0.2777777777777778
	// 1/24h 1.1574074074074073e-05
	// inf +Inf
	// 0 0
	// true <nil>
}

func ExampleParseRate() {
	for _, s := range []string{"10/s", "1e6/s", "0.3/s", "10/fortnight"} {
		fmt.Println(tokenbucket.ParseRate(s))
	}
	// Output:
	// 10/s <nil>
	// 1000000/s <nil>
	// 18/m <nil>
	// 0 tokenbucket: rate "10/fortnight": period is "fortnight", want a duration such as "s", "250ms" or "1h30m"
}

// A Rate is a flag, and a string in JSON.
func ExampleRate_UnmarshalText() {
	var rate tokenbucket.Rate
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.TextVar(&rate, "rate", tokenbucket.PerSecond(10), "requests a client")
	fmt.Println(flags.Parse([]string{"-rate", "100/m"}), rate)

	var limit tokenbucket.Limit
	err := json.Unmarshal([]byte(`{"Rate": "5/s", "Burst": 10}`), &limit)
	fmt.Println(limit, err, limit.Validate())
	// Output:
	// <nil> 100/m
	// 5/s burst 10 <nil> <nil>
}

func ExampleKeyed() {
	mock := clock.NewMock()
	clients := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(1), 2,
		tokenbucket.WithClock(mock), tokenbucket.WithMaxKeys(100_000))
	for range 3 {
		fmt.Println(clients.Allow("alice"))
	}
	fmt.Println(clients.Allow("bob"), clients.Len())

	mock.Add(time.Minute) // all are full again, and so can't be told from new ones
	fmt.Println(clients.Evict(), clients.Len(), clients.Tokens("alice"))
	// Output:
	// true
	// true
	// false
	// true 2
	// 2 0 2
}

// Customers have limits by their plan; Refresh asks again when plans change.
func ExampleNewKeyedFunc() {
	plans := map[string]int{"gold": 100}
	requests := tokenbucket.NewKeyedFunc(func(customer string) tokenbucket.Limit {
		n := max(plans[customer], 1)
		return tokenbucket.Limit{Rate: tokenbucket.PerSecond(n), Burst: n}
	}, tokenbucket.WithClock(clock.NewMock()))

	fmt.Println(requests.AllowN("gold", 60), requests.AllowN("other", 60))
	for customer, tokens := range requests.All() {
		fmt.Println(customer, tokens, requests.Limit(customer))
	}
	requests.Delete("gold")
	fmt.Println(requests.Tokens("gold"))
	plans["gold"] = 50
	requests.Refresh()
	fmt.Println(requests.Take("gold", 51).RetryAfter == tokenbucket.Never)
	// Unordered output:
	// true false
	// gold 40 100/s burst 100
	// other 1 1/s burst 1
	// 100
	// true
}

// Rates in the source, exact as numbers.
func ExampleMustParseRate() {
	r := tokenbucket.MustParseRate("90/min")
	fmt.Println(r, r.Rat())
	// Output: 90/m 3/2
}

// A Limit in a configuration file.
func ExampleLimit() {
	var config struct{ API tokenbucket.Limit }
	if err := json.Unmarshal([]byte(`{"API": {"rate": "100/min", "burst": 20}}`), &config); err != nil {
		fmt.Println(err)
	}
	fmt.Println(config.API)
	b := tokenbucket.New(config.API.Rate, config.API.Burst)
	fmt.Println(b)
	// Output:
	// 100/m burst 20
	// 100/m burst 20
}

// At a rate of zero the burst is all there ever is.
func ExampleErrNever() {
	b := tokenbucket.New(tokenbucket.Rate{}, 1)
	b.Allow()
	_, err := b.Reserve()
	fmt.Println(errors.Is(err, tokenbucket.ErrNever), err)
	// Output: true tokenbucket: waiting for 1: the tokens will never be there
}

package pace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/pace"
)

// A list of jobs is worked through by up to four at once, and no more than 1000 of them are started
// in a second.
func Example() {
	bucket := tokenbucket.New(tokenbucket.PerSecond(1000), 1)
	group, _ := pace.NewGroup(context.Background(), bucket, 4)
	var sum atomic.Int64
	for i := range 10 {
		err := group.Go(func(context.Context) error {
			sum.Add(int64(i))
			return nil
		})
		if err != nil {
			break // the group has ended; Wait returns the reason
		}
	}
	fmt.Println(group.Wait(), sum.Load())
	// Output: <nil> 45
}

func ExampleNewGroup() {
	bucket := tokenbucket.New(tokenbucket.PerSecond(1000), 10)
	group, ctx := pace.NewGroup(context.Background(), bucket, 4)
	_ = group.Go(func(context.Context) error { return errors.New("disk full") })
	<-ctx.Done() // the first error cancels the rest
	fmt.Println(context.Cause(ctx))
	fmt.Println(group.Wait())
	// Output:
	// disk full
	// disk full
}

// Go says why a job was not started, and so does Wait.
func ExampleGroup_Go() {
	ctx, cancel := context.WithCancel(context.Background())
	group, _ := pace.NewGroup(ctx, tokenbucket.New(tokenbucket.PerHour(1), 1), 4)
	fmt.Println(group.Go(func(context.Context) error { return nil }))
	time.AfterFunc(time.Millisecond, cancel)
	err := group.Go(func(context.Context) error { return nil }) // would have to wait for an hour
	fmt.Println(errors.Is(err, context.Canceled))
	fmt.Println(errors.Is(group.Wait(), context.Canceled))
	// Output:
	// <nil>
	// true
	// true
}

// A job may cost more than one token: a bulk request, or a number of bytes.
func ExampleGroup_GoN() {
	bucket := tokenbucket.New(tokenbucket.PerMinute(60), 100)
	group, _ := pace.NewGroup(context.Background(), bucket, 4)
	batch := []string{"a", "b", "c"}
	_ = group.GoN(len(batch), func(context.Context) error {
		fmt.Println("sent", batch)
		return nil
	})
	fmt.Println(group.Wait(), int(bucket.Tokens()))
	// Output:
	// sent [a b c]
	// <nil> 97
}

func ExampleGroup_TryGo() {
	group, _ := pace.NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerHour(1), 2), 4)
	for i := range 3 {
		started := group.TryGo(func(context.Context) error { return nil })
		fmt.Println(i, started)
	}
	fmt.Println(group.Wait())
	// Output:
	// 0 true
	// 1 true
	// 2 false
	// <nil>
}

func ExampleGroup_Wait() {
	group, _ := pace.NewGroup(context.Background(), tokenbucket.New(tokenbucket.Inf(), 1), 2)
	_ = group.Go(func(context.Context) error { return errors.New("no such host") })
	_ = group.Go(func(ctx context.Context) error {
		<-ctx.Done() // cancelled by the error of the other
		return ctx.Err()
	})
	fmt.Println(group.Wait())
	// Output: no such host
}

// A panic in a job arrives where the jobs are waited for.
func ExamplePanicError() {
	defer func() {
		if err, ok := recover().(*pace.PanicError); ok {
			fmt.Println("a job panicked:", err.Value, len(err.Stack) > 0)
		}
	}()
	group, _ := pace.NewGroup(context.Background(), tokenbucket.New(tokenbucket.Inf(), 1), 2)
	_ = group.Go(func(context.Context) error { panic("index out of range") })
	_ = group.Wait()
	// Output: a job panicked: index out of range true
}

func ExampleGroup_Stats() {
	group, _ := pace.NewGroup(context.Background(), tokenbucket.New(tokenbucket.PerHour(1), 2), 4)
	for range 3 {
		group.TryGo(func(context.Context) error { return nil })
	}
	fmt.Printf("%v %+v\n", group.Wait(), group.Stats())
	// Output: <nil> {Waiting:0 Running:0 Started:2 Failed:0 Refused:1}
}

func ExampleForEach() {
	pages := slices.Values([]string{"/", "/about", "/news"})
	var fetched atomic.Int64
	err := pace.ForEach(context.Background(), pages, func(_ context.Context, page string) error {
		fetched.Add(1)
		return nil
	}, pace.WithConcurrency(2), pace.WithBucket(tokenbucket.New(tokenbucket.PerSecond(1000), 1)))
	fmt.Println(err, fetched.Load())
	// Output: <nil> 3
}

// The results come in the order of the input. An error is the matter of its item; the loop decides
// whether to go on.
func ExampleMap() {
	numbers := slices.Values([]int{6, 3, 0, 2})
	results := pace.Map(context.Background(), numbers, func(_ context.Context, n int) (int, error) {
		if n == 0 {
			return 0, errors.New("division by zero")
		}
		return 12 / n, nil
	}, pace.WithConcurrency(4))
	for quotient, err := range results {
		fmt.Println(quotient, err)
	}
	// Output:
	// 2 <nil>
	// 4 <nil>
	// 0 division by zero
	// 6 <nil>
}

// Breaking out of the loop over an infinite sequence stops everything.
func ExampleMap_infinite() {
	naturals := func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
		}
	}
	square := func(_ context.Context, i int) (int, error) { return i * i, nil }
	for n, err := range pace.Map(context.Background(), naturals, square) {
		fmt.Println(n, err)
		if n > 10 {
			break
		}
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// 16 <nil>
}

func ExampleWithCompletionOrder() {
	quick := make(chan struct{})
	wait := func(_ context.Context, name string) (string, error) {
		if name == "slow" {
			<-quick
		}
		return name, nil
	}
	names := slices.Values([]string{"slow", "quick"})
	for name, err := range pace.Map(context.Background(), names, wait, pace.WithConcurrency(2), pace.WithCompletionOrder()) {
		fmt.Println(name, err)
		if name == "quick" {
			close(quick)
		}
	}
	// Output:
	// quick <nil>
	// slow <nil>
}

// Options for several calls can be gathered in a slice.
func ExampleOption() {
	polite := []pace.Option{pace.WithBucket(tokenbucket.New(tokenbucket.PerSecond(1000), 1)), pace.WithConcurrency(1)}
	show := func(_ context.Context, s string) error { fmt.Println(s); return nil }
	fmt.Println(pace.ForEach(context.Background(), slices.Values([]string{"a", "b"}), show, polite...))
	// Output:
	// a
	// b
	// <nil>
}

func ExampleMapOption() {
	opts := []pace.MapOption{pace.WithConcurrency(8), pace.WithCompletionOrder()}
	length := func(_ context.Context, s string) (int, error) { return len(s), nil }
	for n, err := range pace.Map(context.Background(), slices.Values([]string{"four"}), length, opts...) {
		fmt.Println(n, err)
	}
	// Output: 4 <nil>
}

// With large results, a smaller buffer saves memory: here there are never more than two of them.
func ExampleWithBuffer() {
	load := func(_ context.Context, i int) ([]byte, error) { return make([]byte, i<<10), nil }
	sizes := slices.Values([]int{1, 2, 3})
	for data, err := range pace.Map(context.Background(), sizes, load, pace.WithConcurrency(2), pace.WithBuffer(0)) {
		fmt.Println(len(data), err)
	}
	// Output:
	// 1024 <nil>
	// 2048 <nil>
	// 3072 <nil>
}

// Each host is asked at most once an hour. One that has to wait does not hold up the others.
func ExampleKeyedGroup() {
	ctx, cancel := context.WithCancel(context.Background())
	perHost := tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1)
	var opts []pace.KeyedOption
	opts = append(opts, pace.WithQueue(100))
	group, _ := pace.NewKeyedGroup(ctx, perHost, 8, opts...)
	asked := make(chan string)
	for _, host := range []string{"a.example", "a.example", "a.example", "b.example"} {
		if err := group.Go(host, func(context.Context) error { asked <- host; return nil }); err != nil {
			break
		}
	}
	hosts := []string{<-asked, <-asked}
	slices.Sort(hosts)
	fmt.Println(hosts)

	cancel() // two jobs are queued, and will not be started any more
	fmt.Println(errors.Is(group.Wait(), context.Canceled))
	// Output:
	// [a.example b.example]
	// true
}

func ExampleKeyedGroup_GoN() {
	perUser := tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 100)
	group, _ := pace.NewKeyedGroup(context.Background(), perUser, 8)
	_ = group.GoN("ann", 60, func(context.Context) error { return nil })
	fmt.Println(group.Wait(), int(perUser.Tokens("ann")), int(perUser.Tokens("bob")))
	// Output: <nil> 40 100
}

func ExampleKeyedGroup_TryGo() {
	group, _ := pace.NewKeyedGroup(context.Background(), tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1), 8)
	for _, user := range []string{"ann", "ann", "bob"} {
		fmt.Println(user, group.TryGo(user, func(context.Context) error { return nil }))
	}
	fmt.Println(group.Wait())
	// Output:
	// ann true
	// ann false
	// bob true
	// <nil>
}

func ExampleRetry() {
	bucket := tokenbucket.New(tokenbucket.PerSecond(1000), 1)
	policy := pace.Policy{Attempts: 5, Base: time.Millisecond, Max: 10 * time.Millisecond}
	attempt := 0
	err := pace.Retry(context.Background(), bucket, policy, func(context.Context) error {
		attempt++
		fmt.Println("attempt", attempt)
		if attempt < 3 {
			return errors.New("busy")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// <nil>
}

func ExamplePolicy() {
	bucket := tokenbucket.New(tokenbucket.Inf(), 1)
	once := pace.Policy{Attempts: 1}
	fmt.Println(pace.Retry(context.Background(), bucket, once, func(context.Context) error { return errors.New("busy") }))
	// Output: pace: gave up after attempt 1: busy
}

func ExamplePermanent() {
	bucket := tokenbucket.New(tokenbucket.Inf(), 1)
	err := pace.Retry(context.Background(), bucket, pace.Policy{}, func(context.Context) error {
		fmt.Println("asking")
		return pace.Permanent(errors.New("404 Not Found"))
	})
	fmt.Println(err)
	// Output:
	// asking
	// 404 Not Found
}

// The server says how long to wait. If that is longer than there is time, Retry gives up at once.
func ExampleRetryAfter() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	bucket := tokenbucket.New(tokenbucket.Inf(), 1)
	hints := []time.Duration{time.Millisecond, 2 * time.Hour}
	err := pace.Retry(ctx, bucket, pace.Policy{}, func(context.Context) error {
		hint := hints[0]
		hints = hints[1:]
		return pace.RetryAfter(errors.New("503 Service Unavailable"), hint)
	})
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
	// Output:
	// true
	// pace: gave up after attempt 2: the next attempt in 2h0m0s would be after the deadline; the last error was: 503 Service Unavailable
}

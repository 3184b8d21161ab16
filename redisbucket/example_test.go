package redisbucket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// connect returns a client of a server that lives in this process. In earnest it is
// redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"redis:6379"}}).
func connect() (client redis.UniversalClient, closeBoth func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	client = redisbucket.NewClient(redis.UniversalOptions{
		Addrs: []string{server.Addr()}, ReadTimeout: time.Minute, PoolTimeout: time.Minute})
	return client, func() { _ = client.Close(); server.Close() }
}

// One limit for all processes that use the server.
func ExampleNew() {
	client, done := connect()
	defer done()
	limit := tokenbucket.Limit{Rate: tokenbucket.PerMinute(100), Burst: 2}
	here := redisbucket.New(client, limit)
	there := redisbucket.New(client, limit) // in another process

	ctx := context.Background()
	for _, l := range []*redisbucket.Limiter{here, there, here} {
		ok, err := l.Allow(ctx, "client 7")
		fmt.Println(ok, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
}

// Most decisions take no round trip.
func ExampleWithLease() {
	client, done := connect()
	defer done()
	limit := tokenbucket.Limit{Rate: tokenbucket.PerMinute(1000), Burst: 1000}
	l := redisbucket.New(client, limit,
		redisbucket.WithLease(time.Second, redisbucket.WithLeaseShare(0.1), redisbucket.WithLeaseStrict()))
	granted := 0
	for range 2000 {
		if ok, err := l.Allow(context.Background(), "client 7"); err == nil && ok {
			granted++
		}
	}
	fmt.Println(granted <= 1000)
	// Output:
	// true
}

// A limit for each kind of client.
func ExampleNewFunc() {
	client, done := connect()
	defer done()
	l := redisbucket.NewFunc(client, func(key string) tokenbucket.Limit {
		if key == "partner" {
			return tokenbucket.Limit{Rate: tokenbucket.PerSecond(100), Burst: 1000}
		}
		return tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 5}
	}, redisbucket.WithPrefix("api"))
	res, _ := l.Take(context.Background(), "partner", 10)
	fmt.Println(res.Remaining, res.Limit)
	res, _ = l.Take(context.Background(), "alice", 10)
	fmt.Println(res.Allowed, res.RetryAfter == tokenbucket.Never)
	// Output:
	// 990 100/s burst 1000
	// false true
}

// A call's tokens are estimated before and settled after.
func ExampleLimiter() {
	client, done := connect()
	defer done()
	l := redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerMinute(1), Burst: 30})
	ctx := context.Background()
	if ok, err := l.AllowN(ctx, "team", 20); err != nil || !ok {
		return
	}
	fmt.Println(l.Refund(ctx, "team", 5)) // it took 15
	fmt.Println(l.Charge(ctx, "team", 1)) // and then one more
	n, _ := l.Tokens(ctx, "team")
	fmt.Printf("%.0f left\n", n)
	some, _, _ := l.TakeAvailable(ctx, "team", 99)
	fmt.Println(some, "taken")
	fmt.Println(l.Delete(ctx, "team")) // a full bucket again
	// Output:
	// <nil>
	// <nil>
	// 14 left
	// 14 taken
	// <nil>
}

// Workers in many processes queue for one limit: first come, first served, one round trip each.
func ExampleLimiter_WaitN() {
	client, done := connect()
	defer done()
	l := redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerSecond(50), Burst: 1})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(l.Wait(ctx, "jobs"))
	fmt.Println(l.Wait(ctx, "jobs")) // 20 ms later
	fmt.Println(l.WaitN(ctx, "jobs", 2))
	// Output:
	// <nil>
	// <nil>
	// tokenbucket: waiting for 2: more tokens asked for than the burst
}

// Requests and tokens a minute, taken together or not at all.
func ExampleTakeAll() {
	client, done := connect()
	defer done()
	requests := redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerMinute(60), Burst: 60}, redisbucket.WithPrefix("requests"))
	tokens := redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerMinute(1000), Burst: 1000}, redisbucket.WithPrefix("tokens"))
	for _, n := range []int{800, 300} {
		res, err := redisbucket.TakeAll(context.Background(), requests.Claim("team", 1), tokens.Claim("team", n))
		fmt.Println(res[0].Allowed, res[0].Remaining, err)
	}
	// Output:
	// true 59 <nil>
	// false 59 <nil>
}

// Many keys are decided in one round trip, each on its own.
func ExampleTakeMany() {
	client, done := connect()
	defer done()
	l := redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerMinute(60), Burst: 1})
	claims := []redisbucket.Claim{l.Claim("alice", 1), l.Claim("bob", 1), l.Claim("alice", 1)}
	res, err := redisbucket.TakeMany(context.Background(), claims...)
	for _, r := range res {
		fmt.Println(r.Allowed, err)
	}
	fmt.Println(l.Stats().RoundTrips)
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
	// 1
}

// What has happened so far, for metrics.
func ExampleLimiter_Stats() {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}) // nobody is there
	defer client.Close()
	l := redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerHour(100), Burst: 8},
		redisbucket.WithBreaker(2, time.Hour), redisbucket.WithFallback(redisbucket.AllowAll()))
	for range 5 {
		_, _ = l.Allow(context.Background(), "client 7")
	}
	report := func(s redisbucket.Stats, node redisbucket.NodeStats) {
		fmt.Println(s.RoundTrips, s.Failures, s.Fallbacks)
		fmt.Println(node.Open, node.Failures)
	}
	report(l.Stats(), l.Stats().Nodes[0])
	// Output:
	// 2 2 5
	// true 2
}

// nearest is a client of two servers that says which of them has a key.
type nearest struct{ even, odd redis.UniversalClient }

func (n nearest) Process(ctx context.Context, cmd redis.Cmder) error {
	if name, _ := cmd.Args()[3].(string); len(name)%2 == 1 {
		return n.odd.Process(ctx, cmd)
	}
	return n.even.Process(ctx, cmd)
}

func (n nearest) Node(key string) string {
	if len(key)%2 == 1 {
		return "odd"
	}
	return "even"
}

// A client of several servers names the one that has a key, so that each has a breaker of its own.
func ExampleRouter() {
	client, done := connect()
	defer done()
	var router redisbucket.Router = nearest{client, client}
	l := redisbucket.New(router.(redisbucket.Client), tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 1})
	for _, key := range []string{"alice", "bob", "carla1"} {
		_, _ = l.Allow(context.Background(), key)
	}
	for _, node := range l.Stats().Nodes {
		fmt.Println(node.Node)
	}
	// Output:
	// even
	// odd
}

// While the server is gone, each of four processes keeps a quarter of the limit.
func ExampleWithFallback() {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}) // nobody is there
	defer client.Close()
	limit := tokenbucket.Limit{Rate: tokenbucket.PerHour(100), Burst: 8}
	l := redisbucket.New(client, limit,
		redisbucket.WithBudget(50*time.Millisecond),
		redisbucket.WithBreaker(3, 5*time.Second),
		redisbucket.WithFallback(redisbucket.LocalShare(0.25)))
	for range 3 {
		ok, err := l.Allow(context.Background(), "client 7")
		fmt.Println(ok, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
}

// The other answers to a server that is gone.
func ExampleFallback() {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}) // nobody is there
	defer client.Close()
	limit := tokenbucket.Limit{Rate: tokenbucket.PerHour(100), Burst: 8}
	for _, f := range []redisbucket.Fallback{redisbucket.ReturnError(), redisbucket.AllowAll(), redisbucket.DenyAll()} {
		l := redisbucket.New(client, limit, redisbucket.WithFallback(f), redisbucket.WithBudget(redisbucket.DefaultBudget))
		ok, err := l.Allow(context.Background(), "client 7")
		fmt.Println(ok, errors.Is(err, redisbucket.ErrUnavailable))
	}
	// Output:
	// false true
	// true false
	// false false
}

// A Limiter is what httplimit asks for, with waiting and settling.
func ExampleLimiter_httplimit() {
	client, done := connect()
	defer done()
	var limiter httplimit.Limiter = redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerMinute(1), Burst: 1})
	_, waits := limiter.(httplimit.Waiter)
	_, settles := limiter.(httplimit.Settler)
	fmt.Println(waits, settles)

	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	server := httplimit.New(limiter).Handler(hello)
	for range 2 {
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Println(rec.Code)
	}
	// Output:
	// true true
	// 200
	// 429
}

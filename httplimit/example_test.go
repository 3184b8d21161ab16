package httplimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })

// send shows what a handler answers to a request.
func send(h http.Handler, r *http.Request) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	for _, name := range []string{"Retry-After", "RateLimit-Policy", "RateLimit",
		"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-Trial"} {
		if v := w.Header().Get(name); v != "" {
			fmt.Printf("    %s: %s\n", name, v)
		}
	}
}

func get(path string, fields ...string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

// Ten requests a second for each client, in bursts of up to twenty.
func Example_server() {
	buckets := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(10), 20, tokenbucket.WithMaxKeys(1_000_000))
	policy := httplimit.New(httplimit.Keyed(buckets))

	mux := http.NewServeMux()
	mux.Handle("/", hello)
	server := &http.Server{Addr: ":8080", Handler: policy.Handler(mux)}

	send(server.Handler, get("/"))
	// Output:
	// 200 hello
	//     RateLimit-Policy: "default";q=20;w=2
	//     RateLimit: "default";r=19;t=1
}

// A client that paces itself, obeys the servers, and retries where that is safe.
func Example_client() {
	server := httptest.NewServer(hello)
	defer server.Close()

	client := &http.Client{Transport: &httplimit.Transport{
		Limiter:    httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerSecond(5), 10)), // of each host
		MaxRetries: 3,
		OnWait:     func(e httplimit.Event) { slog.Info("waiting", "event", e) },
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), err)
	// Output: 200 hello <nil>
}

func ExampleNew() {
	// One token an hour, so that what is printed does not depend on how fast this runs.
	buckets := tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1)
	policy := httplimit.New(httplimit.Keyed(buckets), httplimit.WithName("hourly"))
	h := policy.Handler(hello)
	send(h, get("/"))
	send(h, get("/"))
	// Output:
	// 200 hello
	//     RateLimit-Policy: "hourly";q=1;w=3600
	//     RateLimit: "hourly";r=0;t=3600
	// 429 Too Many Requests. Try again in 3600 seconds.
	//     Retry-After: 3600
	//     RateLimit-Policy: "hourly";q=1;w=3600
	//     RateLimit: "hourly";r=0;t=3600
}

// Buckets in memory can do all that a Limiter may do.
func ExampleKeyed() {
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 10))
	_, queues := limiter.(httplimit.Waiter)
	settler, settles := limiter.(httplimit.Settler)
	fmt.Println(queues, settles)

	ctx := context.Background()
	_, _ = limiter.Take(ctx, "k", 5)
	_ = settler.Refund(ctx, "k", 2)
	_ = settler.Charge(ctx, "k", 4)
	res, err := limiter.Take(ctx, "k", 1)
	fmt.Println(res.Allowed, res.Remaining, err)
	// Output:
	// true true
	// true 2 <nil>
}

// A key of one's own: the tenant in the path. Without one there is no key, which is no limit that others share.
func ExampleKeyFunc() {
	var tenant httplimit.KeyFunc = func(r *http.Request) (string, error) {
		name, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/tenants/"), "/")
		if !ok || name == "" {
			return "", httplimit.ErrNoKey
		}
		return name, nil
	}
	fmt.Println(tenant(get("/tenants/acme/orders")))
	fmt.Println(tenant(get("/tenants/")))
	// Output:
	// acme <nil>
	//  httplimit: the request has no key
}

// The decision without a server, as for a test of one's own policy.
func ExamplePolicy_Check() {
	policy := httplimit.New(httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1)),
		httplimit.WithKey(httplimit.ByHeader("X-Api-Key")))
	for _, r := range []*http.Request{get("/", "X-Api-Key", "k"), get("/", "X-Api-Key", "k"), get("/")} {
		d := policy.Check(r)
		fmt.Println(d.Allowed, d.Result.Remaining, errors.Is(d.Err, httplimit.ErrNoKey))
	}
	// Output:
	// true 0 false
	// false 0 false
	// false 0 true
}

// The proxies of one's own network pass the client's address on; whoever else sends the field is not believed.
func ExampleByIP() {
	key := httplimit.ByIP(httplimit.ClientIP{
		Header:  "X-Forwarded-For",
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	for _, remote := range []string{"10.0.0.1:4000", "198.51.100.7:4000"} {
		r := get("/", "X-Forwarded-For", "1.1.1.1, 2001:db8:1:2:3:4:5:6, 10.0.0.2")
		r.RemoteAddr = remote
		fmt.Println(key(r))
	}
	// Output:
	// 2001:db8:1:2::/64 <nil>
	// 198.51.100.7 <nil>
}

// Users by their key, others by their address, each with a bucket for every route.
func ExampleJoin() {
	key := httplimit.Join(
		httplimit.FirstOf(httplimit.ByHeader("X-Api-Key"), httplimit.ByCookie("session"), httplimit.ByIP(httplimit.ClientIP{})),
		httplimit.ByPattern,
	)
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1))
	policy := httplimit.New(limiter, httplimit.WithKey(key), httplimit.WithoutRateLimit())
	mux := http.NewServeMux()
	mux.Handle("GET /search", policy.Handler(hello)) // inside of the mux, where the pattern is known
	mux.Handle("GET /user/{id}", policy.Handler(hello))
	send(mux, get("/user/1", "X-Api-Key", "k"))
	send(mux, get("/user/2", "X-Api-Key", "k"))
	send(mux, get("/search", "X-Api-Key", "k"))
	send(mux, get("/search"))
	// Output:
	// 200 hello
	// 429 Too Many Requests. Try again in 3600 seconds.
	//     Retry-After: 3600
	// 200 hello
	// 200 hello
}

// Each client's limit, and one for all of them. The client's own comes first.
func ExampleWithLimits() {
	clients := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(2), 2))
	global := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(100), 100))
	ip := httplimit.ByIP(httplimit.ClientIP{})
	policy := httplimit.New(clients, httplimit.WithLimits(func(r *http.Request) ([]httplimit.Limit, error) {
		key, err := ip(r)
		return []httplimit.Limit{
			{Name: "client", Key: key},
			{Name: "global", Limiter: global, Key: "all"},
		}, err
	}))
	h := policy.Handler(hello)
	for range 3 {
		send(h, get("/"))
	}
	// Output:
	// 200 hello
	//     RateLimit-Policy: "client";q=2;w=3600, "global";q=100;w=3600
	//     RateLimit: "client";r=1;t=1800, "global";r=99;t=36
	// 200 hello
	//     RateLimit-Policy: "client";q=2;w=3600, "global";q=100;w=3600
	//     RateLimit: "client";r=0;t=1800, "global";r=98;t=36
	// 429 Too Many Requests. Try again in 1800 seconds.
	//     Retry-After: 1800
	//     RateLimit-Policy: "client";q=2;w=3600
	//     RateLimit: "client";r=0;t=1800
}

func ExampleWithCost() {
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(100), 100))
	policy := httplimit.New(limiter, httplimit.WithXRateLimit(), httplimit.WithoutRateLimit(),
		httplimit.WithCost(func(r *http.Request) int {
			if r.ContentLength < 0 {
				return 100 // chunked: nobody knows
			}
			return 1 + int(min(r.ContentLength, 1<<20)/1000)
		}))
	send(policy.Handler(hello), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 41_500))))
	// Output:
	// 200 hello
	//     X-RateLimit-Limit: 100
	//     X-RateLimit-Remaining: 58
}

// flaky stands for a limiter across a network that is down: one method makes a Limiter.
type flaky struct{}

func (flaky) Take(context.Context, string, int) (tokenbucket.Result, error) {
	return tokenbucket.Result{}, errors.New("no route to limiter")
}

// A limiter across a network can fail. The default is to serve then; here it is to refuse, except where the request is
// harmless, and to log it. It may take 50 ms.
func ExampleWithOnError() {
	var limiter httplimit.Limiter = flaky{}
	policy := httplimit.New(limiter,
		httplimit.WithTimeout(50*time.Millisecond),
		httplimit.WithOnError(func(r *http.Request, err error) bool {
			fmt.Println("log:", err)
			return r.Method == "GET" && !errors.Is(err, httplimit.ErrNoKey) && !errors.Is(err, httplimit.ErrCost)
		}))
	h := policy.Handler(hello)
	send(h, get("/"))
	send(h, httptest.NewRequest("POST", "/", nil))
	// Output:
	// log: no route to limiter
	// 200 hello
	// log: no route to limiter
	// 503 Service Unavailable. The service cannot tell at the moment whether the request is within its limit.
}

// A page of one's own for people, and what there is for programs.
func ExampleWithRefusal() {
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1))
	policy := httplimit.New(limiter, httplimit.WithoutRateLimit(),
		httplimit.WithRefusal(func(w http.ResponseWriter, r *http.Request, why httplimit.Refusal) {
			if !strings.Contains(r.Header.Get("Accept"), "text/html") {
				httplimit.Refuse(w, r, why)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(why.Status)
			fmt.Fprintf(w, "<h1>Have a break</h1> until %.0f minutes from now", why.Result.RetryAfter.Minutes())
		}))
	h := policy.Handler(hello)
	send(h, get("/"))
	send(h, get("/", "Accept", "text/html"))
	send(h, get("/", "Accept", "application/problem+json"))
	// Output:
	// 200 hello
	// 429 <h1>Have a break</h1> until 60 minutes from now
	//     Retry-After: 3600
	// 429 {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"Try again in 3600 seconds.","violated-policies":["default"]}
	//     Retry-After: 3600
}

// Requests wait up to a second for their turn, 100 of each client at most.
func ExampleWithMaxWait() {
	buckets := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(20), 1, tokenbucket.WithMaxWaiters(100))
	policy := httplimit.New(httplimit.Keyed(buckets), httplimit.WithMaxWait(time.Second), httplimit.WithoutRateLimit())
	h := policy.Handler(hello)
	for range 3 {
		send(h, get("/"))
	}
	// Output:
	// 200 hello
	// 200 hello
	// 200 hello
}

// What a request waits for, in a log.
func ExampleEvent() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
	onWait := func(e httplimit.Event) {
		switch e.Reason {
		case httplimit.ReasonLimit:
			log.Info("our limit", "wait", e)
		case httplimit.ReasonPause:
			log.Warn("the server asks for a pause", "wait", e)
		case httplimit.ReasonBackoff:
			log.Warn("the server is down", "wait", e)
		}
	}
	onWait(httplimit.Event{Request: get("http://api.example/v1"), Attempt: 2, Reason: httplimit.ReasonPause, Wait: 20 * time.Second})
	// Output: msg="the server asks for a pause" wait.reason=pause wait.wait=20s wait.attempt=2 wait.method=GET wait.host=api.example
}

// A limit for all requests together needs no key. With one for each client it is the second of two.
func ExampleBucket() {
	global := httplimit.Bucket(tokenbucket.New(tokenbucket.PerHour(3600), 100))
	clients := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(60), 5))
	ip := httplimit.ByIP(httplimit.ClientIP{})

	policy := httplimit.New(nil, httplimit.WithLimits(func(r *http.Request) ([]httplimit.Limit, error) {
		key, err := ip(r)
		return []httplimit.Limit{
			{Name: "client", Limiter: clients, Key: key},
			{Name: "global", Limiter: global},
		}, err
	}))
	send(policy.Handler(hello), get("/"))
	// Output:
	// 200 hello
	//     RateLimit-Policy: "client";q=5;w=300, "global";q=100;w=100
	//     RateLimit: "client";r=4;t=60, "global";r=99;t=1
}

// A limit for each route, and none for one of them.
func ExampleWithLimiter() {
	perHour := func(n int) httplimit.Limiter {
		return httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(n), n))
	}
	login, others := perHour(1), perHour(1000)
	policy := httplimit.New(nil, httplimit.WithLimiter(func(r *http.Request) httplimit.Limiter {
		switch r.URL.Path {
		case "/login":
			return login
		case "/healthz":
			return nil
		}
		return others
	}))
	h := policy.Handler(hello)
	for _, path := range []string{"/login", "/login", "/", "/healthz"} {
		send(h, get(path))
	}
	// Output:
	// 200 hello
	//     RateLimit-Policy: "default";q=1;w=3600
	//     RateLimit: "default";r=0;t=3600
	// 429 Too Many Requests. Try again in 3600 seconds.
	//     Retry-After: 3600
	//     RateLimit-Policy: "default";q=1;w=3600
	//     RateLimit: "default";r=0;t=3600
	// 200 hello
	//     RateLimit-Policy: "default";q=1000;w=3600
	//     RateLimit: "default";r=999;t=4
	// 200 hello
}

// A limit on trial: it refuses nobody, but reports and counts what it would have refused.
func ExampleWithShadow() {
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1))
	policy := httplimit.New(limiter,
		httplimit.WithShadow(func(r *http.Request, why httplimit.Refusal) {
			fmt.Println("log: would refuse", r.URL.Path, "with", why.Status)
		}),
		httplimit.WithFieldNames(httplimit.FieldNames{Shadow: "X-Trial"}))
	h := policy.Handler(hello)
	send(h, get("/a"))
	send(h, get("/b"))
	fmt.Printf("%+v\n", policy.Stats())
	// Output:
	// 200 hello
	// log: would refuse /b with 429
	// 200 hello
	//     X-Trial: default
	// {Allowed:1 Refused:0 Shadowed:1 FailedOpen:0 FailedClosed:0 Ended:0}
}

// The decision in a server that does not use http.Handler.
func ExampleDecision() {
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 1))
	policy := httplimit.New(limiter)
	serve := func(w http.ResponseWriter, r *http.Request) {
		d := policy.Check(r)
		if !d.Allowed {
			fmt.Println("log:", d.Refusal().Status, d.Result.RetryAfter.Round(time.Minute), d.Err)
			d.Refuse(w, r)
			return
		}
		d.SetHeader(w.Header())
		fmt.Fprint(w, "hello")
	}
	send(http.HandlerFunc(serve), get("/"))
	send(http.HandlerFunc(serve), get("/"))
	// Output:
	// 200 hello
	//     RateLimit-Policy: "default";q=1;w=3600
	//     RateLimit: "default";r=0;t=3600
	// log: 429 1h0m0s <nil>
	// 429 Too Many Requests. Try again in 3600 seconds.
	//     Retry-After: 3600
	//     RateLimit-Policy: "default";q=1;w=3600
	//     RateLimit: "default";r=0;t=3600
}

// Fields with the names that the clients of an older service know.
func ExampleWithFieldNames() {
	limiter := httplimit.Keyed(tokenbucket.NewKeyed[string](tokenbucket.PerHour(1), 20))
	policy := httplimit.New(limiter, httplimit.WithFieldNames(httplimit.FieldNames{
		Limit:     "X-Rate-Limit-Limit",
		Remaining: "X-Rate-Limit-Remaining",
	}))
	w := httptest.NewRecorder()
	policy.Handler(hello).ServeHTTP(w, get("/"))
	fmt.Println(w.Header().Get("X-Rate-Limit-Limit"), w.Header().Get("X-Rate-Limit-Remaining"))
	// Output: 20 19
}

// A server that allows 100 requests a second, but says so nowhere: the rate is found by halving it
// whenever a request is refused.
func ExampleAdaptive() {
	limiter := httplimit.Adaptive(tokenbucket.Limit{Rate: tokenbucket.PerSecond(1000), Burst: 10})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	transport := &httplimit.Transport{Limiter: limiter}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	fmt.Println(limiter.Limit(host), transport.Stats().Refused)
	// Output: 500/s burst 10 1
}

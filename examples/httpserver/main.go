// Httpserver is a web server with two limits: one for each client, and one of ten times as much
// for all of them together. Run it, and send it more requests than that:
//
//	go run ./examples/httpserver -rate 2/s -burst 3 &
//	for i in 1 2 3 4 5; do curl -i localhost:8080; done
//	curl -H 'Accept: application/problem+json' localhost:8080
//
// On SIGINT or SIGTERM it stops accepting connections and lets the requests in progress finish.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
)

func main() {
	rate := tokenbucket.PerSecond(2)
	addr := flag.String("addr", "localhost:8080", "the address to listen on")
	flag.TextVar(&rate, "rate", rate, "the rate of requests for a client, as in 10/s or 100/m")
	burst := flag.Int("burst", 3, "the number of requests that a client can send at once")
	wait := flag.Duration("wait", 0, "the longest time that a request waits for its turn before it is refused")
	proxies := flag.String("proxies", "", "prefixes of proxies whose X-Forwarded-For is believed, separated by commas")
	flag.Parse()
	ip, err := clientIP(*proxies)
	if err == nil && *burst < 1 {
		err = fmt.Errorf("-burst is %d, want 1 or more", *burst)
	}
	if err == nil && *wait < 0 {
		err = fmt.Errorf("-wait is %v, want 0 or more", *wait)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "httpserver:", err)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *addr)
	if err == nil {
		slog.Info("listening", "addr", l.Addr(), "rate", rate, "burst", *burst)
		err = serve(ctx, l, newHandler(tokenbucket.Limit{Rate: rate, Burst: *burst}, ip, *wait))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "httpserver:", err)
		os.Exit(1)
	}
}

// grace is how long the requests in progress have to finish.
const grace = 10 * time.Second

// serve serves h on l until ctx ends and the requests in progress have finished.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		stopped <- server.Shutdown(late)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func clientIP(proxies string) (c httplimit.ClientIP, err error) {
	if proxies == "" {
		return c, nil
	}
	c.Header = "X-Forwarded-For"
	for s := range strings.SplitSeq(proxies, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			return c, fmt.Errorf("-proxies has %q, want a prefix such as 10.0.0.0/8", s)
		}
		c.Proxies = append(c.Proxies, p)
	}
	return c, nil
}

// everybody is how many clients' worth of requests there is for all clients together.
const everybody = 10

func newHandler(client tokenbucket.Limit, ip httplimit.ClientIP, wait time.Duration) http.Handler {
	// One map holds both kinds of buckets. No address is "all".
	limits := func(key string) tokenbucket.Limit {
		if key != "all" {
			return client
		}
		rate, _ := tokenbucket.RateOf(client.Rate.TokensPerSecond() * everybody)
		return tokenbucket.Limit{Rate: rate, Burst: client.Burst * everybody}
	}
	buckets := tokenbucket.NewKeyedFunc(limits, tokenbucket.WithMaxKeys(1_000_000), tokenbucket.WithMaxWaiters(100))
	key := httplimit.ByIP(ip)
	policy := httplimit.New(httplimit.Keyed(buckets),
		httplimit.WithMaxWait(wait),
		httplimit.WithLimits(func(r *http.Request) ([]httplimit.Limit, error) {
			k, err := key(r)
			return []httplimit.Limit{{Name: "client", Key: k}, {Name: "everybody", Key: "all"}}, err
		}))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "served") })
	return policy.Handler(mux)
}

// Httpserver is a web server that allows each client so many requests, and all of them together ten times as many. Run it,
// and ask it more often than that:
//
//	go run ./examples/httpserver -rate 2/s -burst 3 &
//	for i in 1 2 3 4 5; do curl -i localhost:8080; done
//	curl -H 'Accept: application/problem+json' localhost:8080
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
)

func main() {
	rate := tokenbucket.PerSecond(2)
	addr := flag.String("addr", "localhost:8080", "where to listen")
	flag.TextVar(&rate, "rate", rate, "requests that a client may send, as in 10/s or 100/m")
	burst := flag.Int("burst", 3, "how many of them at once")
	wait := flag.Duration("wait", 0, "let requests wait so long for their turn instead of refusing them")
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

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := &http.Server{
		Addr:              *addr,
		Handler:           newHandler(tokenbucket.Limit{Rate: rate, Burst: *burst}, ip, *wait),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	slog.Info("listening", "addr", *addr, "rate", rate, "burst", *burst)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "httpserver:", err)
		os.Exit(1)
	}
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

const everybody = 10 // times what one client may do is for all together

func newHandler(client tokenbucket.Limit, ip httplimit.ClientIP, wait time.Duration) http.Handler {
	// One map holds both kinds of buckets. An address never is "all".
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

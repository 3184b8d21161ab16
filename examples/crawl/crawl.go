package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"golang.org/x/sync/errgroup"
)

// limitedServer returns a handler that answers for every host, for each no faster than rate.
//
// It allows what the crawler allows itself, and one second's worth of tokens more. The crawler's
// bucket decides when a request leaves, the server's when it arrives: a request that is delayed on
// the way arrives together with those behind it. Over loopback the delay is far below a second, and
// a client without a limit of its own is still refused before long.
func limitedServer(rate tokenbucket.Rate, burst int) http.Handler {
	slack := int(min(math.Ceil(rate.TokensPerSecond()), 1e6)) // the rate may be Inf
	limit := tokenbucket.NewKeyed[string](rate, burst+slack)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if res := limit.Take(r.Host, 1); !res.Allowed {
			seconds := math.Ceil(res.RetryAfter.Seconds()) // up: earlier is refused
			w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
			http.Error(w, "too fast", http.StatusTooManyRequests)
			return
		}
		fmt.Fprintf(w, "this is %s of %s\n", r.URL.Path, r.Host)
	})
}

// serve answers with h on a free port of the loopback interface, until stop is called.
func serve(h http.Handler) (addr string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }() // it returns when stop calls Close
	return ln.Addr().String(), func() { srv.Close() }, nil
}

// A crawler is the client side. Create one with newCrawler, and call run once.
type crawler struct {
	config
	client *http.Client
	pace   *tokenbucket.Keyed[string] // by host

	mu           sync.Mutex // guards the rest
	hosts        map[string]*visits
	waits        int // pages that had to wait for a token
	sum, longest time.Duration
	bad          []error // one for every page that failed
}

// visits counts the pages that one host has answered.
type visits struct {
	pages       int
	first, last time.Time // when the first and the last page got their token
}

var errRefused = errors.New("refused")

// newCrawler returns a crawler that sends every request to addr, whatever its host.
func newCrawler(j config, addr string) *crawler {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return &crawler{
		config: j,
		client: &http.Client{
			Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: j.workers},
			Timeout:   time.Minute, // a server that hangs counts as a failure
		},
		pace:  tokenbucket.NewKeyed[string](j.rate, j.burst),
		hosts: map[string]*visits{},
	}
}

// run fetches all pages, prints the report, and returns the exit status.
func (c *crawler) run(ctx context.Context, stdout, stderr io.Writer) int {
	defer c.client.CloseIdleConnections()
	start, done := time.Now(), make(chan error, 1)
	go func() { done <- c.crawl(ctx) }()
	err := c.watch(done, stdout)
	c.report(stdout, time.Since(start))

	for _, bad := range c.bad {
		fmt.Fprintln(stderr, "crawl:", bad)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "crawl: interrupted")
		return 130 // what shells report for a program that SIGINT ended
	case err != nil:
		fmt.Fprintln(stderr, "crawl:", err)
		return 1
	case len(c.bad) > 0:
		return 1
	}
	return 0
}

// crawl visits every page once. It returns an error if it gave up before the end, because ctx
// ended.
func (c *crawler) crawl(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.workers)
	for _, p := range c.pages {
		g.Go(func() error { return c.visit(ctx, p) })
	}
	return g.Wait()
}

// visit fetches p as soon as its host has a token. A page that fails does not end the crawl; the
// end of ctx does.
func (c *crawler) visit(ctx context.Context, p page) error {
	asked := time.Now()
	if err := c.pace.Wait(ctx, p.host); err != nil {
		return err
	}
	granted := time.Now()

	err := c.fetch(ctx, p)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // interrupted: neither done nor failed
	}
	c.record(p.host, asked, granted, err)
	return nil
}

func (c *crawler) fetch(ctx context.Context, p page) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // then it is reused
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s: %w, retry after %ss", p.url, errRefused, resp.Header.Get("Retry-After"))
	}
	return fmt.Errorf("%s: %s", p.url, resp.Status)
}

// record counts a visit that ended with err.
func (c *crawler) record(host string, asked, granted time.Time, err error) {
	// If there is a token, Wait takes microseconds; with a timer it rarely takes less than this.
	const aWait = time.Millisecond

	c.mu.Lock()
	defer c.mu.Unlock()
	if waited := granted.Sub(asked); waited >= aWait {
		c.waits++
		c.sum += waited
		c.longest = max(c.longest, waited)
	}
	if err != nil {
		c.bad = append(c.bad, err)
		return
	}
	v := c.hosts[host]
	if v == nil {
		v = &visits{first: granted, last: granted}
		c.hosts[host] = v
	}
	v.pages++
	if granted.Before(v.first) { // pages may come in another order than they were requested
		v.first = granted
	}
	if granted.After(v.last) {
		v.last = granted
	}
}

// watch prints a line each second until the crawl is done, and returns the error of the crawl.
func (c *crawler) watch(done <-chan error, stdout io.Writer) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := 0; ; {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			pages := c.done()
			fmt.Fprintf(stdout, "%4d/%d done, %d/s\n", pages, len(c.pages), pages-last)
			last = pages
		}
	}
}

func (c *crawler) done() (pages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.hosts {
		pages += v.pages
	}
	return pages
}

// report prints the summary. The crawl must be over: report reads without mu.
func (c *crawler) report(stdout io.Writer, took time.Duration) {
	refused := 0
	for _, err := range c.bad {
		if errors.Is(err, errRefused) {
			refused++
		}
	}
	fmt.Fprintf(stdout, "\n%d of %d pages in %.2fs, %d refused, %d failed otherwise\n",
		c.done(), len(c.pages), took.Seconds(), refused, len(c.bad)-refused)
	fmt.Fprintf(stdout, "%d had to wait, %.2fs in all, %.2fs at the longest\n\n",
		c.waits, c.sum.Seconds(), c.longest.Seconds())

	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	row := func(host string, pages int, asked, achieved float64) {
		got := "-" // only the burst, which has no rate
		if achieved > 0 {
			got = fmt.Sprintf("%.4g/s", achieved)
		}
		fmt.Fprintf(w, "%s\t%d\t%.4g/s\t%s\t\n", host, pages, asked, got)
	}
	fmt.Fprintf(w, "host\tpages\tasked\tachieved\t\n")
	asked, achieved := c.rate.TokensPerSecond(), 0.0
	for _, host := range slices.Sorted(maps.Keys(c.hosts)) {
		v := c.hosts[host]
		achieved += v.rate(c.burst)
		row(host, v.pages, asked, v.rate(c.burst))
	}
	row("all", c.done(), asked*float64(len(c.hosts)), achieved)
}

// rate returns how many pages there were each second beyond the burst, which passes at once. It is
// to be compared with the rate that was asked for.
func (v *visits) rate(burst int) float64 {
	took := v.last.Sub(v.first)
	if v.pages <= burst || took <= 0 {
		return 0
	}
	return float64(v.pages-burst) / took.Seconds()
}

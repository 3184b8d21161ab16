package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-chi/httprate"
	golimiter "github.com/sethvargo/go-limiter/httplimit"
	"github.com/sethvargo/go-limiter/memorystore"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
)

type middleware func(http.Handler) http.Handler

const hourly = 1_000_000_000 // requests that a benchmark never comes to

// BenchmarkMiddleware is what a limit by client address costs a request, allowed and refused, in
// the manner in which each library does it by default: all of them tell about the limit in header
// fields. httprate counts in windows, go-limiter fills its buckets by intervals.
//
//	go -C bench test -run '^$' -bench Middleware -count 6
func BenchmarkMiddleware(b *testing.B) {
	bare := func(next http.Handler) http.Handler { return next }
	for _, x := range []struct {
		name string
		wrap middleware
	}{
		{"bare", bare},
		{"allow/tokenbucket", police(tokenbucket.PerHour(hourly), hourly)},
		{"allow/tokenbucket-no-fields", police(tokenbucket.PerHour(hourly), hourly, httplimit.WithoutRateLimit())},
		{"allow/httprate", httprate.LimitBy(hourly, time.Hour, remoteHost)},
		{"allow/go-limiter", goLimiterMiddleware(b, hourly)},
		{"deny/tokenbucket", police(tokenbucket.PerHour(1), 1)},
		{"deny/httprate", httprate.LimitBy(1, time.Hour, remoteHost)},
		{"deny/go-limiter", goLimiterMiddleware(b, 1)},
	} {
		b.Run(x.name, func(b *testing.B) {
			handler := x.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), &nowhere{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				handler.ServeHTTP(w, r)
			}
		})
	}
}

func police(rate tokenbucket.Rate, burst int, opts ...httplimit.Option) middleware {
	buckets := tokenbucket.NewKeyed[string](rate, burst)
	return httplimit.New(httplimit.Keyed(buckets), opts...).Handler
}

func goLimiterMiddleware(b *testing.B, tokens uint64) middleware {
	store, err := memorystore.New(&memorystore.Config{Tokens: tokens, Interval: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close(b.Context()) })
	m, err := golimiter.NewMiddleware(store, golimiter.IPKeyFunc())
	if err != nil {
		b.Fatal(err)
	}
	return m.Handle
}

// remoteHost is the key that all of them use: the address of the connection.
func remoteHost(r *http.Request) (string, error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return host, err
}

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}

package httplimit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A peerRequest is a request of TestPeerCases, and the status that it gets.
type peerRequest struct {
	method, path, remote, fields string // fields: "Name: value", one a line
	code                         int
}

func (q peerRequest) send(h http.Handler) *httptest.ResponseRecorder {
	method, path := q.method, q.path
	if method == "" {
		method = "GET"
	}
	if path == "" {
		path = "/"
	}
	r := httptest.NewRequest(method, path, nil)
	if q.remote != "" {
		r.RemoteAddr = q.remote
	}
	for line := range strings.Lines(q.fields) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPeerCases are the situations that the test suites of httprate (R), tollbooth (T) and
// ulule/limiter (U) cover, as far as they make sense here. Where the answer differs from that of
// a peer, differs says why.
func TestPeerCases(t *testing.T) {
	perHour := func(n int) Limiter { return buckets(tokenbucket.PerHour(n), n) }
	basicUser := func(r *http.Request) (string, error) {
		user, _, ok := r.BasicAuth()
		if !ok {
			return "", ErrNoKey
		}
		return user, nil
	}
	proxied := ByIP(ClientIP{Header: "X-Forwarded-For", Proxies: prefixes("10.0.0.0/8")})
	plan := strings.NewReplacer("free", "1", "paid", "2")
	plans := map[string]Limiter{"1": perHour(1), "2": perHour(2)}
	const a, b = "192.0.2.1:1000", "192.0.2.2:1000"
	for _, c := range []struct {
		suite, name string
		differs     string
		policy      *Policy
		requests    []peerRequest
	}{
		{"R", "requests within the limit, and beyond it", "", New(perHour(2)),
			[]peerRequest{{code: 200}, {code: 200}, {code: 429}, {code: 429}}},
		{"R", "a limit of 0 blocks everybody", "a burst is at least 1: to block everybody, refuse in a handler; a rate of 0 is the nearest",
			New(buckets(tokenbucket.Rate{}, 1)), []peerRequest{{code: 200}, {code: 429}}},
		{"R", "two windows weighted by their overlap", "a token bucket has no windows: a token comes back at its own time",
			New(perHour(1)), []peerRequest{{code: 200}, {code: 429}}},
		{"R", "each request can count for several", "", New(perHour(4), WithCost(func(r *http.Request) int { return len(r.URL.Path) - 1 })),
			[]peerRequest{{path: "/abc", code: 200}, {path: "/ab", code: 429}, {path: "/a", code: 200}, {path: "/", code: 200}, {path: "/a", code: 429}}},
		{"R", "clients by address, whatever the port", "", New(perHour(1)),
			[]peerRequest{{remote: a, code: 200}, {remote: "192.0.2.1:2000", code: 429}, {remote: b, code: 200}}},
		{"R", "IPv6 clients by /64", "", New(perHour(1)),
			[]peerRequest{{remote: "[2001:db8:1:2::1]:1", code: 200}, {remote: "[2001:db8:1:2:3::]:1", code: 429}, {remote: "[2001:db8:1:3::1]:1", code: 200}}},
		{"R", "mapped IPv4", "", New(perHour(1)),
			[]peerRequest{{remote: a, code: 200}, {remote: "[::ffff:c000:201]:1", code: 429}}},
		{"R", "NAT64 is an IPv6 address", "all of IPv4 is in one /64 of it: each client counts by its IPv4 address", New(perHour(1)),
			[]peerRequest{{remote: "[64:ff9b::c000:201]:1", code: 200}, {remote: "[64:ff9b::c000:202]:1", code: 200}, {remote: a, code: 429}}},
		{"R", "an address that is none is the key as it is", "such clients would share a bucket: the request has no key", New(perHour(1)),
			[]peerRequest{{remote: "nobody", code: 400}, {remote: "", code: 200}}},
		{"R", "the real IP from any header", "clients can forge it: without trusted proxies it is ignored", New(perHour(1)),
			[]peerRequest{{fields: "X-Real-IP: 203.0.113.1", code: 200}, {fields: "X-Real-IP: 203.0.113.2", code: 429}}},
		{"R", "clients and endpoints together", "", New(perHour(1), WithKey(Join(ByIP(ClientIP{}), func(r *http.Request) (string, error) { return r.URL.Path, nil }))),
			[]peerRequest{{path: "/x", code: 200}, {path: "/x", code: 429}, {path: "/y", code: 200}}},
		{"R", "an empty part of a joined key", "it would merge clients: the request has no key", New(perHour(1), WithKey(Join(ByIP(ClientIP{}), ByHeader("X-Tenant")))),
			[]peerRequest{{code: 400}, {fields: "X-Tenant: t", code: 200}}},
		{"R", "another limit for a request", "it is chosen by WithLimiter, not by a value in the context", New(nil, WithLimiter(func(r *http.Request) Limiter { return plans[plan.Replace(r.Header.Get("Plan"))] })),
			[]peerRequest{{fields: "Plan: free", code: 200}, {fields: "Plan: free", code: 429}, {fields: "Plan: paid", code: 200}, {fields: "Plan: paid", code: 200}, {fields: "Plan: paid", code: 429}}},
		{"R", "an answer of one's own", "", New(perHour(1), WithRefusal(func(w http.ResponseWriter, _ *http.Request, _ Refusal) { w.WriteHeader(http.StatusTeapot) })),
			[]peerRequest{{code: 200}, {code: 418}}},
		{"T", "only some methods are limited", "", New(nil, WithLimiter(methodLimiter(perHour(1), "POST"))),
			[]peerRequest{{code: 200}, {code: 200}, {method: "POST", code: 200}, {method: "POST", code: 429}, {code: 200}}},
		{"T", "requests without the header are not limited", "leaving a header out must void no limit: they have no key", New(perHour(1), WithKey(ByHeader("X-Access-Token"))),
			[]peerRequest{{fields: "X-Access-Token: t", code: 200}, {fields: "X-Access-Token: t", code: 429}, {code: 400}}},
		{"T", "users of basic authentication", "", New(perHour(1), WithKey(basicUser)),
			[]peerRequest{{fields: "Authorization: Basic dTE6cA==", code: 200}, {fields: "Authorization: Basic dTE6cA==", code: 429}, {fields: "Authorization: Basic dTI6cA==", code: 200}}},
		{"T", "the path is part of the key", "it is not, unless Join says so: a client would have a limit for each path that it invents", New(perHour(1)),
			[]peerRequest{{path: "/x", code: 200}, {path: "/y", code: 429}}},
		{"T", "forwarded for, behind trusted proxies", "", New(perHour(1), WithKey(proxied)),
			[]peerRequest{{remote: "10.0.0.1:1", fields: "X-Forwarded-For: 9.9.9.9, 203.0.113.1", code: 200}, {remote: "10.0.0.2:1", fields: "X-Forwarded-For: 8.8.8.8, 203.0.113.1", code: 429},
				{remote: "10.0.0.1:1", fields: "X-Forwarded-For: 203.0.113.2", code: 200}}},
		{"T", "forwarded for, on several lines", "", New(perHour(1), WithKey(proxied)),
			[]peerRequest{{remote: "10.0.0.1:1", fields: "X-Forwarded-For: 203.0.113.7\nX-Forwarded-For: 203.0.113.1", code: 200}, {remote: "10.0.0.1:1", fields: "X-Forwarded-For: 203.0.113.1", code: 429}}},
		{"U", "clients by an IPv4 mask", "", New(perHour(1), WithKey(ByIP(ClientIP{IPv4Bits: 24}))),
			[]peerRequest{{remote: a, code: 200}, {remote: b, code: 429}, {remote: "192.0.3.1:1", code: 200}}},
		{"U", "clients by an IPv6 mask", "", New(perHour(1), WithKey(ByIP(ClientIP{IPv6Bits: 48}))),
			[]peerRequest{{remote: "[2001:db8:1:2::1]:1", code: 200}, {remote: "[2001:db8:1:3::1]:1", code: 429}}},
		{"U", "excluded keys", "WithLimiter returns nil for them", New(nil, WithLimiter(excluding(perHour(1), "198.51.100.1:1"))),
			[]peerRequest{{remote: "198.51.100.1:1", code: 200}, {remote: "198.51.100.1:1", code: 200}, {code: 200}, {code: 429}}},
		{"U", "the store fails", "it is served by default: WithOnError decides", New(&remote{err: errDown}),
			[]peerRequest{{code: 200}}},
		{"U", "the store fails, and the handler refuses", "", New(&remote{err: errDown}, WithOnError(func(*http.Request, error) bool { return false })),
			[]peerRequest{{code: 503}}},
		{"U", "a global limit", "", New(Bucket(tokenbucket.New(tokenbucket.PerHour(1), 2))),
			[]peerRequest{{remote: a, code: 200}, {remote: b, code: 200}, {remote: a, code: 429}}},
	} {
		t.Run(c.suite+"/"+c.name, func(t *testing.T) {
			h := c.policy.Handler(served)
			for i, q := range c.requests {
				if w := q.send(h); w.Code != q.code {
					t.Errorf("request %d: %d, want %d (%s)", i, w.Code, q.code, c.differs)
				}
			}
		})
	}
}

func methodLimiter(l Limiter, method string) func(*http.Request) Limiter {
	return func(r *http.Request) Limiter {
		if r.Method == method {
			return l
		}
		return nil
	}
}

func excluding(l Limiter, remote string) func(*http.Request) Limiter {
	return func(r *http.Request) Limiter {
		if r.RemoteAddr == remote {
			return nil
		}
		return l
	}
}

// TestPeerRefill: a token that was taken comes back at its own time, not at the end of a window.
func TestPeerRefill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := New(live(tokenbucket.PerMinute(6), 2)).Handler(served)
		start := time.Now()
		var got []string
		for range 50 {
			if (peerRequest{}).send(h).Code == 200 {
				got = append(got, time.Since(start).String())
			}
			time.Sleep(time.Second)
		}
		if want := "[0s 1s 10s 20s 30s 40s]"; fmt.Sprint(got) != want {
			t.Errorf("served at %v, want %v", got, want)
		}
	})
}

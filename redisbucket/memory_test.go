package redisbucket_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// What a key costs at the server, beside keys of the form that other limiters store.
func TestBytesPerKey(t *testing.T) {
	const keys = 20_000
	s := startOwn(t)
	c := patientClient(t, s.addr)
	used := func() (n int64) {
		info, err := c.Info(t.Context(), "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "used_memory:")
		_, _ = fmt.Sscan(rest, &n)
		return n
	}
	cost := func(fill func()) int64 {
		fill() // so that the server has its scripts and buffers before
		if err := c.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		before := used()
		fill()
		return (used() - before) / keys
	}
	l := redisbucket.New(c, tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 100}, patient)
	ours := cost(func() {
		claims := make([]redisbucket.Claim, keys)
		for i := range claims {
			claims[i] = l.Claim(fmt.Sprint("client-", i), 1)
		}
		if _, err := redisbucket.TakeMany(t.Context(), claims...); err != nil {
			t.Fatal(err)
		}
	})
	stored := func(prefix, value string) int64 {
		return cost(func() {
			_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				for i := range keys {
					p.Set(t.Context(), fmt.Sprint(prefix, "client-", i), value, time.Hour)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	seconds := stored("rate:", "1780000000.1234567") // redis_rate: an instant in seconds
	nanos := stored("throttled:", "1780000000123456789")
	t.Logf("%d bytes a key; a float of seconds takes %d, an integer %d", ours, seconds, nanos)
	if ours >= seconds || ours > nanos+20 {
		t.Errorf("a key takes %d bytes, want less than %d and at most 20 more than %d", ours, seconds, nanos)
	}
}

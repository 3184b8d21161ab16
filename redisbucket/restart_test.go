package redisbucket_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

var brisk = tokenbucket.Limit{Rate: tokenbucket.PerSecond(500), Burst: 50}

// A server that is killed with kill -9 and has its data when it comes back keeps the bound over
// all of it.
func TestRestartWithData(t *testing.T) {
	for name, opts := range map[string][]redisbucket.Option{
		"exact":  nil,
		"leased": {redisbucket.WithLease(100 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			s := startOwn(t, "--appendonly", "yes", "--appendfsync", "always")
			client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{s.addr}})
			defer client.Close()
			l := redisbucket.New(client, brisk, append(opts, redisbucket.WithBreaker(2, 10*time.Millisecond))...)
			x := startLoad(t, l, 4)
			for range 2 {
				x.goesOn(t)
				s.crash()
				before := x.failed.Load()
				until(t, func() bool { return x.failed.Load() > before })
				s.again(t)
			}
			x.goesOn(t)
			bound := brisk
			if opts != nil {
				bound.Burst += int(brisk.Rate.TokensPerSecond() / 10)
			}
			checkBound(t, x.end(), bound)
		})
	}
}

// What a server forgets is granted again: at most a burst each time.
func TestRestartWithoutData(t *testing.T) {
	s := startOwn(t)
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{s.addr}})
	defer client.Close()
	x := startLoad(t, redisbucket.New(client, brisk, redisbucket.WithBreaker(2, 10*time.Millisecond)), 4)
	x.goesOn(t)
	s.crash()
	before := x.failed.Load()
	until(t, func() bool { return x.failed.Load() > before })
	s.again(t)
	x.goesOn(t)
	bound := brisk
	bound.Burst *= 2
	checkBound(t, x.end(), bound)
}

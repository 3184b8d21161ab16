package redisbucket

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// NewClient returns a client with the settings that a limiter needs, for a single server, a
// Cluster or Sentinel's failover, as redis.NewUniversalClient distinguishes them. It sets
//
//   - ContextTimeoutEnabled: without it a client ignores the deadline of a context.
//
// and, where o has zero,
//
//   - MaxRetries: none, and DialerRetries: one attempt. By default a refused connection is tried
//     again for 1.7 s.
//   - DialTimeout, ReadTimeout, WriteTimeout and PoolTimeout: [DefaultBudget] instead of five
//     seconds. For a [WithBudget] of your own, set them to it.
//
// A client that was built otherwise works too: each call ends with its context and within its
// budget, and no command is sent twice. But each call then takes a goroutine, and in an outage
// some of them pile up until the client's own timeouts end them. With the client of a single
// server that NewClient returns, a decision takes no goroutine. There a context that is cancelled
// while the server does not answer ends the call only when the budget is spent; a deadline ends
// it at once.
func NewClient(o redis.UniversalOptions) redis.UniversalClient {
	o.ContextTimeoutEnabled = true
	if o.MaxRetries == 0 {
		o.MaxRetries = -1
	}
	if o.DialerRetries == 0 {
		o.DialerRetries = 1
	}
	for _, d := range []*time.Duration{&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout} {
		if *d == 0 {
			*d = DefaultBudget
		}
	}
	return redis.NewUniversalClient(&o)
}

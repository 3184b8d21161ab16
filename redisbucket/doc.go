// Package redisbucket is a token bucket that many processes share, on a Redis or Valkey server (Redis 5 or later, Valkey 7.2
// or later), or a Cluster of them.
//
//	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"redis:6379"}})
//	limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 20}
//	limiter := redisbucket.New(client, limit, redisbucket.WithFallback(redisbucket.LocalShare(0.25)))
//	res, err := limiter.Take(ctx, "client 7", 1)
//
// # What is promised
//
// In every window of length T, by the server's clock, decisions of all processes together grant at most burst +
// rate*(T + 1µs) tokens; those who waited are granted theirs when their sleep ends, as late as their timers are. Decisions
// are the script's, one at a time, by the server's clock: no process's clock matters. There is no rounding in the
// arithmetic: at whatever rate, a token is there in the very microsecond in which it is due. Results are those of the
// local bucket, with their times rounded up to microseconds.
//
// With [WithLease] a process takes tokens in batches and serves them from memory, in nanoseconds and with no round trip for most
// decisions; the bound is then burst + rate*(T + lease), or with [LeaseStrict] that of the limit itself.
//
// Two things are held less than exactly. A burst above 2^40 tokens, or above what refills in a century, is held as that. A
// rate is held as a whole number of units in a microsecond, and a full bucket as less than 2^52 units; where that doesn't
// fit, the rate is held as the nearest one below it that does, which is off by at most burst/2^51 of it. All rates of
// so many a second, a minute or an hour fit at bursts up to a million.
//
// The promise is the server's as much as this package's. What it forgets, when it is restarted without its data or fails
// over to a replica that had not yet got the last writes, is granted again, at most a burst for each key. If its clock
// steps forward, so does the refill, at most to a full bucket; if it steps back, a bucket goes on from where it was.
// Set maxmemory-policy to noeviction or a volatile one knowingly: an evicted key is a full bucket.
//
// A call whose reply is lost may have taken its tokens. No command is sent twice, so they are never taken twice for one
// call, whatever MaxRetries says.
//
// # On the server
//
// A bucket is one string key, prefix{:key}, of about a hundred bytes. A denial writes nothing, except the first one after
// the clock stepped back or the limit changed. The key expires when the bucket is full, so a flood of keys takes memory
// only until then; with a rate of zero it stays.
//
// # When the server is slow or gone
//
// Every call ends with its context, and after its budget at the latest ([WithBudget]; for what that takes of a client see
// [NewClient]); a WaitN sleeps in addition. After some failures in a row the server is not asked for a while ([WithBreaker]), then
// service returns by itself. What is answered meanwhile is the [Fallback]'s to say; what a process has leased, it serves first.
package redisbucket

// Package redisbucket is a token bucket that many processes share, on a Redis or Valkey server
// (Redis 5 or later, Valkey 7.2 or later), or a Cluster of them.
//
//	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"redis:6379"}})
//	limit := tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 20}
//	fallback := redisbucket.WithFallback(redisbucket.LocalShare(0.25))
//	limiter := redisbucket.New(client, limit, fallback)
//	res, err := limiter.Take(ctx, "client 7", 1)
//
// # The bound
//
// In every window of length T, by the server's clock, the decisions of all processes together grant
// at most burst + rate*(T + 1µs) tokens, and while somebody waits, burst + rate*(T + 10ms). Scripts
// decide, one at a time, by the server's clock; no process's clock matters. The arithmetic has no
// rounding: at any rate, a token is there in the microsecond in which it is due. Results are those
// of the local bucket, with their times rounded up to microseconds.
//
// If processes have different limits for a key, as in a rolling deploy, the bound is that of the
// greatest rate and the greatest burst among them. A change of limit keeps the tokens that are
// there, as far as the new burst has room. Only a key that nobody has used for ten seconds, and
// whose tokens have all been refilled, is a full bucket of the new burst.
//
// With [WithLease] a process takes tokens in batches and serves them from memory, in nanoseconds
// and with no round trip for most decisions. The bound is then burst + rate*(T + lease), or with
// [WithLeaseStrict] that of the limit itself.
//
// Two things are held less than exactly. A burst above 2^40 tokens, or above what refills in a
// century, is held as that. A rate is held as a whole number of units in a microsecond, and a
// full bucket as less than 2^52 units; where that does not fit, the rate is held as the nearest
// one below it that does, which is off by at most burst/2^51 of it. All rates of so many a
// second, a minute or an hour fit at bursts up to a million.
//
// What the server forgets, it grants again, at most a burst for each key: when it is restarted
// without its data, fails over to a replica that had not got the last writes, or evicts a key. A
// clock that steps forward refills at most a full bucket. One that steps back grants nothing, and
// costs at most a burst. Waiters do not add to any of this, because they take their tokens at their
// turn and not before; see [Limiter.WaitN].
//
// A call whose reply is lost may have taken its tokens. No command is sent twice, so they are never
// taken twice for one call, whatever the client's MaxRetries is.
//
// # On the server
//
// A bucket is one string key, prefix{:key}; while somebody waits for it there is also a sorted
// set, prefix{:key}w. A denial writes nothing, except the first one after the clock stepped back
// or the limit changed. The key expires when the bucket is full, but not within ten seconds of
// its last use; with a rate of zero it stays. docs/redis.md in the repository says what a key
// costs, which rights and settings the server needs, and what each fault costs.
//
// # When the server is slow or gone
//
// Every call ends with its context, and after its budget at the latest ([WithBudget]; for what
// that takes of a client see [NewClient]). A WaitN sleeps in addition. After some failures in a
// row a server is not asked for a while ([WithBreaker]), then service returns by itself. Each
// node of a Cluster or a Ring has a breaker of its own. The [Fallback] decides what is answered
// meanwhile; what a process has leased, it serves first. [Limiter.Stats] shows what has happened.
package redisbucket

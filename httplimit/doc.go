// Package httplimit limits the requests that a server serves, and paces the requests that a client
// sends, with net/http.
//
// # Server
//
// A [Policy] has a limiter, a key that tells clients apart, and an answer to requests that are too
// many. [Policy.Handler] is a middleware for any router; [Policy.Check] decides without one:
//
//	buckets := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(10), 20, tokenbucket.WithMaxKeys(1_000_000))
//	policy := httplimit.New(httplimit.Keyed(buckets))
//	http.ListenAndServe(":8080", policy.Handler(mux))
//
// Nothing in a request is trusted unless the program asks for it. The default key is the address of
// the connection, IPv6 by /64. Header fields such as X-Forwarded-For count only if [ClientIP] names
// the proxies to trust. A request without a key is refused, and never shares a bucket with others
// by accident; [WithOnError] can decide otherwise. Use tokenbucket.WithMaxKeys, so that a flood of
// invented clients takes bounded memory. Keys longer than 256 bytes are held as their SHA-256.
//
// A limit can be tried out with [WithShadow], which refuses nobody. [Policy.Stats] counts what was
// decided.
//
// # Client
//
// A [Transport] is an http.RoundTripper that waits before it sends: for its own limits, which are
// per host by default, and for what the server asks for in Retry-After, RateLimit and the fields of
// the X-RateLimit family. What a server says can slow a client down, by no more than MaxPause, but
// never speed it up. For a server that says nothing, [Adaptive] makes a limiter that finds the rate
// by itself.
//
// Where the cost of a request is known only from its response, as with the tokens of a large
// language model, the Limits take an estimate and Settle corrects it. To settle means no more than
// that here: the difference between the estimate and the real cost is refunded or charged.
//
// # Several limits
//
// A request can be subject to several limits: per client and global, or requests and tokens per
// minute. It takes tokens from all of them or from none. They are asked in order. When one refuses,
// what was taken from those before it is refunded. A refund is exact: afterwards the bucket is as
// if it had never been asked. But it is not isolated: between the taking and the refund, about a
// microsecond for limiters in memory, another request can be refused for the tokens that are about
// to come back. No order of limits can deadlock, because a request never waits while it holds
// tokens, and no limit can grant more than its bound. List the client's own limit first: what it
// refuses never touches the limits that clients share.
//
// Limits of one request that have the same bucket are taken from once, with their costs added up.
//
// A request that waits queues at the limit that is slowest for it, first come, first served, and
// takes nothing elsewhere. When it has been served there, it tries all others; if one of them has
// run dry meanwhile, it gives back what it has and queues there. Requests that wait for two
// contended limits are therefore served in no promised order.
package httplimit

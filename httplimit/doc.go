// Package httplimit polices requests to a server, and paces requests to somebody else's, with net/http alone.
//
// # Server
//
// A [Policy] is a limiter, a way to tell requests apart, and what to answer to those that are too many. [Policy.Handler] is
// a middleware for any router; [Policy.Check] is the same decision without a server:
//
//	buckets := tokenbucket.NewKeyed[string](tokenbucket.PerSecond(10), 20, tokenbucket.WithMaxKeys(1_000_000))
//	policy := httplimit.New(httplimit.Keyed(buckets))
//	http.ListenAndServe(":8080", policy.Handler(mux))
//
// Nothing in a request is trusted unless it is asked for: clients are told apart by the address of their connection, IPv6
// by /64, and header fields such as X-Forwarded-For count only once [ByIP] is told which proxies to believe. A request
// without a key is refused, never put into a bucket that it would share with others by accident; [WithOnError] decides
// otherwise. Give the buckets tokenbucket.WithMaxKeys, so that a flood of invented clients takes bounded memory; keys
// longer than 256 bytes are held as their SHA-256.
//
// # Client
//
// A [Transport] is an http.RoundTripper that waits before it sends: for its own limits, which are per host unless it is told
// otherwise, and for the server's wishes, as Retry-After, RateLimit and the X-RateLimit family tell them. What a server says
// can only ever slow a client down, and that for no longer than [Transport.MaxPause].
//
// # Several limits
//
// A request may be subject to several limits, per client and global, say, or requests and tokens per minute. It takes from
// all or from none. They are asked in order; when one refuses, what was taken from those before it is refunded. A refund
// is exact: afterwards the bucket is what it would be, had it never been asked. But it is not isolated: between the taking
// and the refund, for about a microsecond with limiters in memory, another request can be refused for the tokens that are
// on their way back. No order of limits can deadlock, since nobody ever waits with tokens in hand, and none can grant more
// than its bound. List first the limit that is the client's own: what it refuses then never touches those that are
// shared.
//
// With waiting, a request queues at the limit that is slowest for it, first come, first served, with nothing taken
// elsewhere, and tries all others once it has been served there; if one of them has run dry meanwhile, it gives back what
// it has and queues there. So where two limits are contended at once, no order among the requests that wait for both is
// promised, and in theory one could be unlucky for as long as its context lasts.
package httplimit

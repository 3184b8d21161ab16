// Package tokenbucket limits how often something is done: requests of a client, calls of somebody
// else's API, jobs of a worker. A [Bucket] holds up to burst tokens and is refilled at a steady
// [Rate]. A caller takes a token before it does what is limited. [Keyed] has a bucket for each
// client, host or other key.
//
//	limit := tokenbucket.New(tokenbucket.PerSecond(10), 20) // ten a second, up to twenty at once
//	if limit.Allow() {
//		// do it
//	}
//
// # What is promised
//
// In every window of length T, by the bucket's clock and under any concurrency, decisions grant at
// most burst + rate*(T + 1ns) tokens. Together with those that are granted to callers who waited,
// it is at most burst + rate*(T + 10ms). Nothing mints a token: no clock that steps back, no
// cancelled wait or reservation, no change of limit, no eviction, no overflow.
//
// No token is lost that somebody waits for. A saturated bucket delivers its whole rate, because a
// waiter that is served up to 10 ms late, as timers are, does not delay the next one. Waiters are
// served first come, first served. A waiter that gives up moves the others forward at once.
//
// The arithmetic is exact, in integers. At any rate from one token a year to 10^9 a second, a token
// that is due at exactly +100 ms on a test's clock is there at exactly +100 ms. After a century the
// refill is off by about a nanosecond.
//
// While nobody waits, a decision is one reading of the monotonic clock and one compare-and-swap on
// one 64-bit word. It takes no lock and allocates nothing. A denial writes nothing, except that
// the first denial of a bucket sets a flag. There is no goroutine in the background, and nothing
// to close.
//
// # Which method to choose
//
//	Allow, AllowN    now or never: refuse the request, drop the event
//	Take             the same, with the figures for a response: what is left, when to retry
//	TakeAvailable    as many as there are: bytes, batches
//	Wait, WaitN      block until it is this caller's turn, or the context ends: workers, API clients
//	Reserve          take a place in the queue and schedule by other means than by blocking
//	Charge, Refund   correct an estimate afterwards: what it really took, what was not used
//
// # Errors
//
// An error from a Wait or a Reserve is a [*WaitError], and means that nothing was taken. A mistake
// in the calling program, such as a negative number of tokens, panics with a message that begins
// with "tokenbucket: ". Bad data, such as a rate in a configuration file, returns an error that
// names the value and what was expected.
//
// # Tests
//
// In a testing/synctest bubble, a bucket that was made inside it goes by the bubble's clock.
// Elsewhere [WithClock] takes a fake clock: those of benbjohnson/clock, clockwork and k8s.io/utils
// fit as they are.
//
// # What it is not
//
// A bucket limits how often things are started, not how many run at once; for that there is a
// semaphore. It lives in one process. Package redisbucket, a module of its own, shares one between
// processes. It is not a sliding window: after a pause, a whole burst may come on top of the rate.
package tokenbucket

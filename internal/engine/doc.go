// Package engine is the arithmetic and the queue of a token bucket, without clocks, locks of its
// own, timers, channels or goroutines. Every function is told what time it is and answers what is
// to be done. The shell around it (the root package) reads clocks, holds locks and wakes
// goroutines.
//
// It has four parts, each built on those before it:
//
//   - A [Timeline] is a limit put on the clock: how many tokens the refill has issued until an
//     instant, as a pure function of the time. It is immutable.
//   - The word of a bucket is one 64-bit number that holds how much of the refill was handed out.
//     [Timeline.Try], [Timeline.Take], [Timeline.Refund] and [Timeline.Charge] are its lock-free
//     transitions; a decision is one compare-and-swap.
//   - A [Waitlist] is the queue beside the word: waiters and reservations, first come, first
//     served.
//   - A [Held] is the state of a bucket with a queue at one instant, in the hands of the goroutine
//     that holds the bucket's lock. It serves whoever is due, admits and removes nodes, and changes
//     the limit.
//
// # Instants
//
// Instants are nanoseconds since an epoch that belongs to the shell. The time that the engine is
// told may be older than a time that it was told before, because callers read the clock before
// they race for the word; such a reading never grants more. [Forever] is an instant that never
// comes and [Past] is one that is over by any clock.
//
// # Quanta and levels
//
// Tokens are counted in quanta of 2^-frac tokens. The level is the number of quanta handed out on
// the timeline. The balance at the instant t is
//
//	refill(t) + burst - level, and never more than burst
//
// so a level below refill(t) reads as refill(t), and a level of 0 is a full bucket at any time.
// This is the generic cell rate algorithm (ITU-T I.371, annex A) with the virtual time counted in
// tokens, where its steps are exact at every rate, instead of in nanoseconds.
package engine

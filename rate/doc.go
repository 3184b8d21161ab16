// Package rate is a rate limiter with the API of golang.org/x/time/rate, on the engine of package
// tokenbucket. A program switches by changing the path of one import:
//
//	import "github.com/go-tokenbucket/tokenbucket/rate"
//
// Every exported name is there, with its signature. New programs may prefer [tokenbucket.Bucket],
// whose methods report more and which takes an injected clock.
//
// # The bound
//
// In every window of length T of the times that a [Limiter] is told or reads, the events that it
// permits are at most burst + limit*(T + 1ns). Counting those who waited when they are really served,
// it is at most burst + limit*(T + 10ms). Nothing mints a token: not a time that goes back, not a
// cancel, not a change of limit. An event that is due at an instant is permitted at that very
// nanosecond, a hundred years after the first one too.
//
// # What changes for a program that switches
//
// The left column is what golang.org/x/time/rate v0.16.0 does. Its own tests hold here too, but for
// the six that are named.
//
//	x/time/rate                              this package
//	--------------------------------------   ----------------------------------------------------
//	AllowN and ReserveN with a time before   The refill goes on only beyond the latest time that
//	the last one set the clock back, so      took a token. A stale time takes what is there and
//	the time between is refilled twice.      refills nothing. (Tests LimiterJumpBackwards,
//	                                         ReserveJumpBack, ReserveJumpBackCancel,
//	                                         ReserveSetBurst)
//	A cancelled Wait or Reservation keeps    Those who wait behind it move forward at once, as if
//	the tokens that others reserved after    it had never come. Later reservations keep their
//	it.                                      times, and newcomers use the free place. (Tests
//	                                         Cancel0Tokens, CancelMulti)
//	SetLimit and SetBurst do not wake a      Waiters and reservations get new times at once. A
//	Wait: it sleeps as long as it was told.  Wait for more than the new burst fails.
//	Limit(NaN) permits everything.           It is 0, and Limit returns 0. math.Inf(1) is Inf.
//	Wait beyond the deadline returns an      The text is the same, and
//	error that only its text identifies.     errors.Is(err, context.DeadlineExceeded) holds.
//	Whoever comes first to the mutex gets    Strictly first come, first served.
//	its place.
//	With a limit of 0 a Reservation is OK,   It is not OK, and takes nothing. Delay is
//	and due in 292 years.                    InfDuration with both.
//	AllowN(t, -n) in debt is refused, and    It is permitted, and pays the debt.
//	gives nothing back.
//	A negative burst is a negative number    It is held as 0 tokens; Burst returns it as it was
//	of tokens.                               set.
//	A limiter that was at Inf at the same    It is full.
//	instant keeps its debt.
//	Every decision locks a mutex.            Decisions are lock-free while nobody waits and no
//	                                         reservation can be cancelled.
//
// A Limiter that is told times from different clocks, such as the present and a simulation's, goes by
// the latest of them: while a clock is behind it, it refills nothing.
//
// The Limiter's own clock is monotonic. In a testing/synctest bubble it is the bubble's. A Limiter that
// is used inside a bubble must be used first in that bubble.
package rate

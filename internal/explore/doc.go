// Package explore runs small concurrent scenarios under every schedule that matters. It is a stateless model checker for
// code whose imports of sync, sync/atomic, time, context and hash/maphash have been replaced by the instrumented
// packages below twin; package overlay does that for go test, so that the product's source and binary stay as they are.
//
// All goroutines of a scenario are coroutines, of which exactly one runs. An atomic operation, a lock, a reading of the
// clock, an operation on a channel and the start of a goroutine are points at which the scheduler may switch. A [Search]
// enumerates the choices depth first, by running the scenario again and again. It bounds the preemptions, which are the
// switches away from a goroutine that could have gone on (Musuvathi, Qadeer: Iterative context bounding, 2007).
//
// Schedules that differ only in the order of independent steps lead to the same state, so they are run once: see
// [Search.Reduce].
//
// The time is virtual. It moves when a scenario says so, and to the next alarm when no goroutine can go on.
//
// No package of the product may import this one.
package explore

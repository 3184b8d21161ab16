package tokenbucket

import "github.com/go-tokenbucket/tokenbucket/internal/engine"

// A home is where a bucket belongs that is one of a [Keyed], whose type Bucket does not know. Such a
// bucket exists only while somebody queues for the key or is in one of its methods.
type home interface {
	// enter keeps the bucket until exit, and reports whether it was still there.
	enter() bool

	// exit ends what enter began.
	exit()

	// renew returns the key's cell after the last one was evicted. The bucket's lock is held.
	renew() *engine.Cell

	// install makes a new cell on p the key's, in place of the one whose word the caller holds. The
	// bucket's lock is held.
	install(p *engine.Timeline, word uint64) *engine.Cell
}

package tokenbucket

// A home is where a bucket lives that belongs to one key of a [Keyed], whose type Bucket does not know. Such a bucket
// exists only while somebody queues for the key or is in one of its methods.
type home interface {
	enter() bool                            // keeps the bucket, unless it is gone already
	exit()                                  // lets go of it
	renew() *cell                           // finds the key's cell after the last one was evicted
	install(p *timeline, word uint64) *cell // makes a cell the key's, in the place of the one that it has
}

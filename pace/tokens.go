package pace

import (
	"context"

	"github.com/go-tokenbucket/tokenbucket"
)

// tokens is what one job costs: how many tokens of which bucket.
type tokens interface {
	// wait takes the tokens as soon as they are there. An error means that none were taken.
	wait(ctx context.Context) error
	// take takes the tokens if they are there now, and reports whether it did.
	take() bool
	// refund puts back tokens that were taken.
	refund()
}

// bucketTokens is n tokens of a bucket.
type bucketTokens struct {
	bucket *tokenbucket.Bucket
	n      int
}

func (t bucketTokens) wait(ctx context.Context) error {
	return waitError(ctx, t.bucket.WaitN(ctx, t.n))
}
func (t bucketTokens) take() bool { return t.bucket.AllowN(t.n) }
func (t bucketTokens) refund()    { t.bucket.Refund(t.n) }

// keyTokens is n tokens of a key.
type keyTokens[K comparable] struct {
	keyed *tokenbucket.Keyed[K]
	key   K
	n     int
}

func (t keyTokens[K]) wait(ctx context.Context) error {
	return waitError(ctx, t.keyed.WaitN(ctx, t.key, t.n))
}
func (t keyTokens[K]) take() bool { return t.keyed.AllowN(t.key, t.n) }
func (t keyTokens[K]) refund()    { t.keyed.Refund(t.key, t.n) }

// noTokens is the cost of a job that no bucket limits.
type noTokens struct{}

func (noTokens) wait(context.Context) error { return nil }
func (noTokens) take() bool                 { return true }
func (noTokens) refund()                    {}

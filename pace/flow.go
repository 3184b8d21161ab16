package pace

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

const (
	// chunkTime is how much of the bucket's refill one chunk takes when the bucket is empty.
	// Shorter chunks flow more evenly and share a bucket better; longer ones cost fewer system
	// calls.
	chunkTime = 10 * time.Millisecond

	// maxChunk bounds a chunk, in bytes, so that one large buffer does not take a whole burst that
	// others wait for. It is also about what a system call moves at once.
	maxChunk = 64 << 10

	// copyChunk is how many bytes ReadFrom and WriteTo ask for at once. At a finite rate they get
	// at most maxChunk; without a limit, a larger chunk saves calls.
	copyChunk = 1 << 20

	// limitCheck is how often a waiting flow looks whether its limit was changed. The bucket itself
	// re-times a waiter at once; but a chunk that was sized for a fast limit must be made smaller,
	// or it would come late and in one lump.
	limitCheck = time.Second
)

// A flow moves bytes at the price of one token each. It takes the tokens for a chunk, lets the
// caller move at most as many bytes, and puts back the tokens of the bytes that were not moved.
//
// A flow is safe for concurrent use. Flows that share a bucket are served first come, first served,
// a chunk at a time.
type flow struct {
	bucket  *tokenbucket.Bucket    // nil means unlimited
	context func() context.Context // returns the context of the next wait
}

// A grant is the permission to move up to size bytes.
type grant struct {
	size   int
	tokens int // taken for it: equal to size, or 0 if nothing limits the flow
}

// acquire waits until tokens for some of want bytes have been taken. It takes what is there, at
// most maxChunk; if that is less than chunkTime's worth, it waits for the rest of that. want is
// positive.
func (f *flow) acquire(want int) (grant, error) {
	ctx := f.context()
	if ctx.Err() != nil {
		return grant{}, contextError(ctx)
	}
	for {
		if f.bucket == nil {
			return grant{size: want}, nil
		}
		limit := f.bucket.Limit()
		if limit.Rate == tokenbucket.Inf() {
			// No tokens: putting some back under a later limit would mint them.
			return grant{size: want}, nil
		}
		most := min(want, maxChunk, max(limit.Burst, 1))
		n := f.bucket.TakeAvailable(most)
		least := min(most, evenChunk(limit.Rate))
		if n >= least {
			return grant{size: n, tokens: n}, nil
		}
		err := f.wait(ctx, least-n, limit)
		if err == nil {
			return grant{size: least, tokens: least}, nil
		}
		f.bucket.Refund(n)
		if !f.retry(err) {
			return grant{}, waitError(ctx, err)
		}
	}
}

// evenChunk returns how many bytes rate refills in chunkTime, between 1 and maxChunk.
func evenChunk(rate tokenbucket.Rate) int {
	return int(min(max(rate.TokensPerSecond()*chunkTime.Seconds(), 1), maxChunk))
}

var errLimitChanged = errors.New("pace: the limit was changed")

// wait waits for n tokens. It returns an error that wraps errLimitChanged if the bucket's limit is
// no longer the one that n was computed from.
func (f *flow) wait(ctx context.Context, n int, limit tokenbucket.Limit) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var check *time.Timer
	check = time.AfterFunc(tokenbucket.Never, func() {
		switch {
		case ctx.Err() != nil:
		case f.bucket.Limit() != limit:
			cancel(errLimitChanged)
		default:
			check.Reset(limitCheck)
		}
	})
	defer check.Stop()
	check.Reset(limitCheck)
	return f.bucket.WaitN(ctx, n)
}

// retry reports whether a wait failed only because the limit was changed meanwhile. The zero
// Bucket, which has no burst at all, refuses every chunk.
func (f *flow) retry(err error) bool {
	return errors.Is(err, errLimitChanged) ||
		errors.Is(err, tokenbucket.ErrExceedsBurst) && f.bucket.Limit().Burst > 0
}

// move calls op, which moves at most g.size bytes and returns how many it did, and settles the
// grant. If op panics or calls runtime.Goexit, all tokens are put back.
func (f *flow) move(g grant, op func() (int, error)) (moved int, err error) {
	defer func() { f.settle(g, min(max(moved, 0), g.size)) }()
	return op()
}

// settle puts back the tokens of g for which no bytes were moved.
//
// If moving the bytes took long, the bucket may have been refilled meanwhile, and with the tokens
// of g it would hold more than its burst: a source that was idle would be followed by the chunk and
// then a whole burst. So the tokens beyond the burst are charged. Fractions of a token are not.
func (f *flow) settle(g grant, moved int) {
	if g.tokens == 0 {
		return
	}
	limit := f.bucket.Limit()
	excess := f.bucket.Tokens() + float64(g.tokens) - float64(limit.Burst)
	f.bucket.Refund(g.tokens - moved)
	if excess >= 1 && limit.Rate != tokenbucket.Inf() {
		f.bucket.Charge(int(min(excess, float64(moved))))
	}
}

// copy lets dst read src to its end, a chunk at a time, so that dst can use whatever shortcut it
// has for src, such as sendfile.
func (f *flow) copy(dst io.ReaderFrom, src io.Reader) (total int64, err error) {
	for {
		g, err := f.acquire(copyChunk)
		if err != nil {
			return total, err
		}
		chunk := &io.LimitedReader{R: src, N: int64(g.size)}
		_, err = f.move(g, func() (int, error) {
			n, err := dst.ReadFrom(chunk)
			total += n
			// What was read counts: after an error, dst may have written less.
			return g.size - int(chunk.N), err
		})
		if err != nil || chunk.N > 0 {
			return total, err
		}
	}
}

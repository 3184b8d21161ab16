package pace

import (
	"context"
	"errors"
	"io"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Reader reads from another reader no faster than a bucket allows: every byte takes one token.
//
// A Reader keeps no bytes: what it has read, it has returned. Before it reads, it takes the tokens
// for a chunk, and afterwards it puts back those of the bytes that did not come. A chunk is as many
// bytes as there are tokens, but at least what the bucket refills in 10 ms and at most 64 KiB, the
// burst or the buffer. So the bytes flow evenly once the burst is spent, a buffer may have any size
// at any burst, and several Readers, Writers and Conns may share a bucket: they take turns, a chunk
// each.
//
// In every window of length T, at most burst + rate*(T + 10ms) bytes are read, and one chunk more
// for each other user of the bucket whose source is idle, since it holds the tokens of a chunk.
//
// Create one with [NewReader]; the zero Reader must not be used, nor may a Reader be copied. It may
// be called by as many goroutines at once as the underlying reader.
type Reader struct {
	source io.Reader
	flow   flow
}

// NewReader returns a Reader that reads from r, with one token of b for each byte, until ctx ends.
// It panics if r or b is nil.
func NewReader(ctx context.Context, r io.Reader, b *tokenbucket.Bucket) *Reader {
	if r == nil {
		panic("pace: NewReader: the reader is nil")
	}
	mustBucket("NewReader", b)
	return &Reader{source: r, flow: flow{bucket: b, context: func() context.Context { return ctx }}}
}

// Read waits for the tokens of a chunk, then calls the underlying Read once, for at most len(p)
// bytes, and returns what that returns. The end of the source is found only by reading, so it too
// waits for a token. An empty p takes none.
//
// If the wait fails, Read returns 0 and the reason, and has not called the underlying Read:
//   - the end of the context, at once: errors.Is matches both the context's error and its cause;
//   - any other error of [tokenbucket.Bucket.WaitN]: a turn that would come after the context's
//     deadline, or too many waiters; more tokens than the burst, only for the zero Bucket.
//
// The end of the context does not interrupt the underlying Read.
//
// A limit that is changed while Read waits is in force at once. A chunk that turns out to be larger
// than the new burst is made smaller; one that is too large for the new rate, within a second. At
// the zero rate Read waits for [tokenbucket.Bucket.SetLimit], [tokenbucket.Bucket.Refund] or the
// end of the context; with Inf it does not wait, and the chunk is as large as p.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return r.source.Read(p)
	}
	g, err := r.flow.acquire(len(p))
	if err != nil {
		return 0, err
	}
	n, err := r.flow.move(g, func() (int, error) { return r.source.Read(p[:g.size:g.size]) })
	if n < 0 || n > g.size {
		return 0, errInvalidRead
	}
	return n, err
}

var errInvalidRead = errors.New("pace: the underlying Read returned an invalid count")

// WriteTo implements [io.WriterTo] for [io.Copy]: it reads until the end of the source, an error of
// w, or a wait that fails. If w is an [io.ReaderFrom], as a TCP connection is, w reads from the
// source itself, a chunk at a time, and may use what the operating system has for that.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if dst, ok := w.(io.ReaderFrom); ok {
		return r.flow.copy(dst, r.source)
	}
	return io.Copy(w, struct{ io.Reader }{r})
}

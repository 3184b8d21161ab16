package pace

import (
	"context"
	"errors"
	"io"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Writer writes to another writer no faster than a bucket allows: every byte takes one token.
//
// It writes in chunks, as a [Reader] reads: see there for their size, for the bound, and for
// sharing a bucket. It keeps no bytes, so there is nothing to flush.
//
// Create one with [NewWriter]; the zero Writer must not be used, nor may a Writer be copied. All
// methods may be called by any number of goroutines at once. The bytes of one Write stay together:
// calls of Write come one after the other.
type Writer struct {
	sink io.Writer
	flow flow

	// busy holds a value while a Write is under way. A mutex would not do: waiting for one cannot
	// be interrupted, and a testing/synctest bubble does not take it for waiting.
	busy chan struct{}
}

// NewWriter returns a Writer that writes to w, with one token of b for each byte, until ctx ends.
// It panics if w or b is nil.
func NewWriter(ctx context.Context, w io.Writer, b *tokenbucket.Bucket) *Writer {
	if w == nil {
		panic("pace: NewWriter: the writer is nil")
	}
	mustBucket("NewWriter", b)
	return newWriter(w, flow{bucket: b, context: func() context.Context { return ctx }})
}

func newWriter(w io.Writer, f flow) *Writer {
	return &Writer{sink: w, flow: f, busy: make(chan struct{}, 1)}
}

// Write writes p, chunk after chunk, each as soon as its tokens have come. It returns how many
// bytes the underlying writer has accepted and, if those are not all, an error: that of the
// underlying writer, or [io.ErrShortWrite] if it had none, or the reason why the wait failed; see
// [Reader.Read]. Only the bytes that were accepted have cost tokens. The end of the context does
// not interrupt the underlying Write. An empty p takes no token.
func (w *Writer) Write(p []byte) (written int, err error) {
	ctx := w.flow.context()
	select {
	case w.busy <- struct{}{}:
		defer func() { <-w.busy }()
	case <-ctx.Done():
		return 0, contextError(ctx)
	}
	if len(p) == 0 {
		return w.sink.Write(p)
	}
	for written < len(p) {
		n, err := w.writeChunk(p[written:])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// writeChunk writes as much of p as it gets tokens for in one wait. The caller must have put a
// value into busy.
func (w *Writer) writeChunk(p []byte) (int, error) {
	g, err := w.flow.acquire(len(p))
	if err != nil {
		return 0, err
	}
	n, err := w.flow.move(g, func() (int, error) { return w.sink.Write(p[:g.size:g.size]) })
	switch {
	case n < 0 || n > g.size:
		return 0, errInvalidWrite
	case n < g.size && err == nil:
		return n, io.ErrShortWrite
	}
	return n, err
}

var errInvalidWrite = errors.New("pace: the underlying Write returned an invalid count")

// ReadFrom implements [io.ReaderFrom] for [io.Copy]: it writes all that r has, until its end, an
// error of r, or a Write that fails. If the underlying writer is an [io.ReaderFrom] itself, as a
// TCP connection is, it reads from r a chunk at a time, and may use what the operating system has
// for that. Then a Write beside ReadFrom may come between two chunks.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	if dst, ok := w.sink.(io.ReaderFrom); ok {
		return w.flow.copy(dst, r)
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}

package pipe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// maxWhole is the longest line that is written in one piece, and how much is written at once.
const maxWhole = 64 << 10

// copier copies lines at the pace of a bucket. Make it with newCopier.
type copier struct {
	in     *bufio.Reader
	screen *terminal.Screen
	bucket *tokenbucket.Bucket
	burst  int
	bytes  bool
	out    []byte       // lines that may go and have not been written yet
	passed atomic.Int64 // lines or bytes that may go
	size   atomic.Int64 // of those, in bytes
	line   sync.Mutex   // held from the first byte of a line to its last, and while anything of out is left
}

func newCopier(r io.Reader, s *terminal.Screen, b *tokenbucket.Bucket, burst int, bytes bool) *copier {
	return &copier{
		in: bufio.NewReaderSize(r, maxWhole), screen: s, bucket: b, burst: burst, bytes: bytes, out: make([]byte, 0, maxWhole),
	}
}

// copy copies until the end of the input, an error, or the end of ctx, which does not cut a line in two. It returns nil in
// the first case. After the last one it must not be called again.
func (c *copier) copy(ctx context.Context) error {
	c.line.Lock()
	defer c.line.Unlock()
	for {
		piece, err := c.read()
		long := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err == io.EOF && len(piece) == 0:
			return c.flush()
		case err != nil && err != io.EOF && !long:
			return errors.Join(c.flush(), fmt.Errorf("reading: %w", err))
		}
		if werr := c.pass(ctx, piece); werr != nil {
			return werr
		}
		if long {
			if err := c.rest(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return errors.Join(c.flush(), ctx.Err())
		}
	}
}

// read returns the next line, or so much of it as there is room for. If that has to come from the reader all that may go is
// written first, for nobody knows when it comes; and line is let go of meanwhile.
func (c *copier) read() ([]byte, error) {
	if buffered, _ := c.in.Peek(c.in.Buffered()); bytes.IndexByte(buffered, '\n') >= 0 {
		return c.in.ReadSlice('\n')
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	c.line.Unlock()
	defer c.line.Lock()
	return c.in.ReadSlice('\n')
}

// pass waits for the tokens of a line, or of the beginning of a long one, and passes it on. While it waits line is free.
func (c *copier) pass(ctx context.Context, piece []byte) error {
	n := 1
	if c.bytes {
		n = len(piece)
	}
	if n > c.burst || !c.bucket.AllowN(n) {
		if err := c.flush(); err != nil {
			return err
		}
		c.line.Unlock()
		err := c.wait(ctx, n)
		c.line.Lock()
		if err != nil {
			return err
		}
	}
	return c.write(piece, n)
}

// rest passes on what is left of a long line, without regard to any context.
func (c *copier) rest() error {
	for {
		if err := c.flush(); err != nil {
			return err
		}
		piece, err := c.in.ReadSlice('\n')
		n := 0 // its token was that of the beginning
		if c.bytes {
			n = len(piece)
			if err := c.wait(context.Background(), n); err != nil {
				return err
			}
		}
		if err := c.write(piece, n); err != nil {
			return err
		}
		switch {
		case err == nil || err == io.EOF:
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return errors.Join(c.flush(), fmt.Errorf("reading: %w", err))
		}
	}
}

// wait takes n tokens, which may be more than the burst.
func (c *copier) wait(ctx context.Context, n int) error {
	for n > 0 {
		part := min(n, c.burst)
		if err := c.bucket.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

func (c *copier) write(piece []byte, tokens int) error {
	if len(c.out)+len(piece) > maxWhole {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.out = append(c.out, piece...)
	c.passed.Add(int64(tokens))
	c.size.Add(int64(len(piece)))
	return nil
}

func (c *copier) flush() (err error) {
	if len(c.out) == 0 {
		return nil
	}
	c.screen.Around(c.screen.Out, func() { _, err = c.screen.Out.Write(c.out) })
	c.out = c.out[:0]
	return err
}

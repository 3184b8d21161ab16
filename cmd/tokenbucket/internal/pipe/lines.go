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

// maxPiece is the longest line that is written in one piece, and the most that is written at once.
const maxPiece = 64 << 10

// counts are what has passed so far.
type counts struct {
	tokens atomic.Int64
	bytes  atomic.Int64
}

// lineCopier copies lines, a token each. Make it with newLineCopier.
type lineCopier struct {
	counts
	in     *bufio.Reader
	screen *terminal.Screen
	bucket *tokenbucket.Bucket
	out    []byte // lines that have their tokens and have not been written

	// line is held from the first byte of a line to its last, and while out is not empty. It is
	// free while the copier waits for input between two lines, or for a token.
	line sync.Mutex
}

func newLineCopier(r io.Reader, s *terminal.Screen, b *tokenbucket.Bucket) *lineCopier {
	return &lineCopier{in: bufio.NewReaderSize(r, maxPiece), screen: s, bucket: b, out: make([]byte, 0, maxPiece)}
}

// copy copies until the end of the input, an error, or the end of ctx; only the first returns nil.
// The end of ctx does not cut a line in two. Call copy once.
func (c *lineCopier) copy(ctx context.Context) error {
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
		if err := c.pass(ctx, piece); err != nil {
			return err
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

// read returns the next line, or the first piece of a long one. Before it waits for input, it
// writes the lines that have their tokens.
func (c *lineCopier) read() ([]byte, error) {
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

// pass waits for the token of a line and passes its first piece on.
func (c *lineCopier) pass(ctx context.Context, piece []byte) error {
	if !c.bucket.Allow() {
		if err := c.flush(); err != nil {
			return err
		}
		c.line.Unlock()
		err := c.bucket.Wait(ctx)
		c.line.Lock()
		if err != nil {
			return err
		}
	}
	c.tokens.Add(1)
	return c.write(piece)
}

// rest passes on the other pieces of a long line, which already has its token.
func (c *lineCopier) rest() error {
	for {
		if err := c.flush(); err != nil {
			return err
		}
		piece, err := c.in.ReadSlice('\n')
		if err := c.write(piece); err != nil {
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

func (c *lineCopier) write(piece []byte) error {
	if len(c.out)+len(piece) > maxPiece {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.out = append(c.out, piece...)
	c.bytes.Add(int64(len(piece)))
	return nil
}

func (c *lineCopier) flush() (err error) {
	if len(c.out) == 0 {
		return nil
	}
	c.screen.Around(c.screen.Out, func() { _, err = c.screen.Out.Write(c.out) })
	c.out = c.out[:0]
	return err
}

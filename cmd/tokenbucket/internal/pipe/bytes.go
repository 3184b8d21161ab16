package pipe

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// pieceTime is how often a byteCopier writes while it has to wait: often enough to be even, and
// seldom enough to cost little.
const pieceTime = 20 * time.Millisecond

// byteCopier copies bytes, a token each, without regard to lines. Make it with newByteCopier.
type byteCopier struct {
	counts
	in     io.Reader
	screen *terminal.Screen
	bucket *tokenbucket.Bucket
	piece  int // how many bytes to wait for at a time
}

func newByteCopier(r io.Reader, s *terminal.Screen, b *tokenbucket.Bucket) *byteCopier {
	l := b.Limit()
	piece := min(l.Rate.TokensPerSecond()*pieceTime.Seconds(), maxPiece, float64(l.Burst))
	return &byteCopier{in: r, screen: s, bucket: b, piece: max(int(piece), 1)}
}

// copy copies until the end of the input, an error, or the end of ctx; only the first returns nil.
func (c *byteCopier) copy(ctx context.Context) error {
	buf := make([]byte, maxPiece)
	for {
		n, err := c.in.Read(buf)
		if err := c.pass(ctx, buf[:n]); err != nil {
			return err
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("reading: %w", err)
		}
	}
}

// pass writes p as its tokens come.
func (c *byteCopier) pass(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), c.piece)
		if err := c.bucket.WaitN(ctx, n); err != nil {
			return err
		}
		n += c.bucket.TakeAvailable(len(p) - n) // what a pause has left
		var err error
		c.screen.Around(c.screen.Out, func() { _, err = c.screen.Out.Write(p[:n]) })
		if err != nil {
			return err
		}
		c.tokens.Add(int64(n))
		c.bytes.Add(int64(n))
		p = p[n:]
	}
	return nil
}

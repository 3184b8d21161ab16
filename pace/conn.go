package pace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Conn is a network connection that sends and receives no faster than its buckets allow: every
// byte takes one token. It reads as a [Reader] does and writes as a [Writer] does.
//
// Deadlines, Close and the end of the context interrupt Read and Write wherever they block: while
// they wait for tokens, and in the underlying connection. Tokens for bytes that were not
// transferred are put back.
//
// It is meant for connections that are streams of bytes. A Write to a packet connection would be
// split into several packets.
//
// Create one with [NewConn]; the zero Conn must not be used, nor may a Conn be copied. All methods
// may be called by any number of goroutines at once. A Conn must be closed.
type Conn struct {
	conn   net.Conn
	ctx    context.Context         // the user's
	close  context.CancelCauseFunc // ends the contexts of all waits
	detach func() bool             // releases the Conn from ctx

	reader        *Reader
	writer        *Writer
	readDeadline  *deadline
	writeDeadline *deadline

	mu sync.Mutex // orders SetDeadline and interrupt
}

// NewConn returns a Conn that takes one token of read for each byte that it receives from c, and
// one of write for each byte that it sends, until ctx ends. Both may be the same bucket; a nil
// bucket means no limit in that direction. NewConn panics if c is nil.
func NewConn(ctx context.Context, c net.Conn, read, write *tokenbucket.Bucket) *Conn {
	if c == nil {
		panic("pace: NewConn: the connection is nil")
	}
	open, end := context.WithCancelCause(ctx)
	p := &Conn{
		conn: c, ctx: ctx, close: end,
		readDeadline:  newDeadline(open),
		writeDeadline: newDeadline(open),
	}
	p.reader = &Reader{source: c, flow: flow{bucket: read, context: p.readDeadline.context}}
	p.writer = newWriter(c, flow{bucket: write, context: p.writeDeadline.context})
	p.detach = context.AfterFunc(ctx, p.interrupt)
	return p
}

// interrupt ends the calls that block in the underlying connection, since the context has ended.
func (c *Conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetDeadline(time.Unix(1, 0)) // a connection without deadlines cannot be interrupted
}

// Read receives at most len(p) bytes. See [Reader.Read]. If the read deadline passes while it
// waits, the error wraps [os.ErrDeadlineExceeded]; if the Conn is closed, [net.ErrClosed].
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	return n, c.opError("read", err)
}

// Write sends p. See [Writer.Write]. If the write deadline passes while it waits, the error wraps
// [os.ErrDeadlineExceeded]; if the Conn is closed, [net.ErrClosed].
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.writer.Write(p)
	return n, c.opError("write", err)
}

// WriteTo implements [io.WriterTo] for [io.Copy]. See [Reader.WriteTo].
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.reader.WriteTo(w)
	return n, c.opError("read", err)
}

// ReadFrom implements [io.ReaderFrom] for [io.Copy]. See [Writer.ReadFrom].
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.writer.ReadFrom(r)
	return n, c.opError("write", err)
}

// opError returns err as a connection of package net would: a deadline that passed and a Conn that
// was closed are a [*net.OpError]. The end of the user's context is reported as such, wherever it
// interrupted the call.
func (c *Conn) opError(op string, err error) error {
	var reason error
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, net.ErrClosed):
		reason = net.ErrClosed
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case c.ctx.Err() != nil:
		return contextError(c.ctx)
	default:
		reason = os.ErrDeadlineExceeded
	}
	if _, ok := errors.AsType[*net.OpError](err); ok { // of the underlying connection
		return err
	}
	local := c.conn.LocalAddr()
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Addr: c.conn.RemoteAddr(), Err: reason}
}

// Close closes the underlying connection. Read and Write that wait for tokens return at once.
func (c *Conn) Close() error {
	c.close(net.ErrClosed)
	c.detach()
	c.readDeadline.stop()
	c.writeDeadline.stop()
	return c.conn.Close()
}

// CloseWrite shuts down the sending side. It returns an error that wraps [errors.ErrUnsupported] if
// the underlying connection has no such method.
func (c *Conn) CloseWrite() error {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("pace: CloseWrite of a %T: %w", c.conn, errors.ErrUnsupported)
	}
	return half.CloseWrite()
}

// CloseRead shuts down the receiving side. It returns an error that wraps [errors.ErrUnsupported]
// if the underlying connection has no such method.
func (c *Conn) CloseRead() error {
	half, ok := c.conn.(interface{ CloseRead() error })
	if !ok {
		return fmt.Errorf("pace: CloseRead of a %T: %w", c.conn, errors.ErrUnsupported)
	}
	return half.CloseRead()
}

// NetConn returns the underlying connection. What is read from it or written to it takes no tokens.
func (c *Conn) NetConn() net.Conn { return c.conn }

// LocalAddr returns the local address of the underlying connection.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the remote address of the underlying connection.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline sets the deadlines of Read and Write; the zero time means none. It also applies to
// calls that block now. A call that a deadline has interrupted may be repeated once the deadline
// was moved.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadline(t, c.conn.SetDeadline, c.readDeadline, c.writeDeadline)
}

// SetReadDeadline sets the deadline of Read. See [Conn.SetDeadline].
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, c.conn.SetReadDeadline, c.readDeadline)
}

// SetWriteDeadline sets the deadline of Write. See [Conn.SetDeadline].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, c.conn.SetWriteDeadline, c.writeDeadline)
}

func (c *Conn) setDeadline(t time.Time, underlying func(time.Time) error, ours ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return contextError(c.ctx) // a later deadline would undo what interrupt did
	}
	if err := underlying(t); err != nil {
		return err
	}
	for _, d := range ours {
		d.set(t)
	}
	return nil
}

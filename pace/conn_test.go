package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// pipeConn returns a Conn with an empty bucket of rate in both directions, and the other end.
func pipeConn(t *testing.T, ctx context.Context, rate tokenbucket.Rate) (c *Conn, other net.Conn, b *tokenbucket.Bucket) {
	near, far := net.Pipe()
	b = drained(rate, 1000)
	c = NewConn(ctx, near, b, b)
	t.Cleanup(func() { c.Close(); far.Close() })
	return c, far, b
}

// directions are the calls of a Conn that can wait for tokens. The other end is ready.
var directions = []struct {
	name        string
	call        func(c *Conn, other net.Conn) (int64, error)
	setDeadline func(*Conn, time.Time) error
}{
	{"Read", func(c *Conn, other net.Conn) (int64, error) {
		go func() { _, _ = other.Write(pattern(100)) }()
		n, err := c.Read(make([]byte, 100))
		return int64(n), err
	}, (*Conn).SetReadDeadline},
	{"Write", func(c *Conn, other net.Conn) (int64, error) {
		go func() { _, _ = io.Copy(io.Discard, other) }()
		n, err := c.Write(pattern(100))
		return int64(n), err
	}, (*Conn).SetWriteDeadline},
	{"WriteTo", func(c *Conn, other net.Conn) (int64, error) {
		go func() { _, _ = other.Write(pattern(100)) }()
		return c.WriteTo(new(bytes.Buffer))
	}, (*Conn).SetReadDeadline},
	{"ReadFrom", func(c *Conn, other net.Conn) (int64, error) {
		go func() { _, _ = io.Copy(io.Discard, other) }()
		return c.ReadFrom(bytes.NewReader(pattern(100)))
	}, (*Conn).SetWriteDeadline},
}

// Whatever ends a call that waits for tokens ends it at once, with the error of package net, and no
// tokens are gone.
func TestConnInterruptsWait(t *testing.T) {
	for _, d := range directions {
		for _, c := range []struct {
			name string
			end  func(c *Conn, cancel context.CancelCauseFunc)
			want error
		}{
			{"Close", func(c *Conn, _ context.CancelCauseFunc) { c.Close() }, net.ErrClosed},
			{"context", func(_ *Conn, cancel context.CancelCauseFunc) { cancel(errBoom) }, errBoom},
			{"deadline set while waiting", func(c *Conn, _ context.CancelCauseFunc) { _ = d.setDeadline(c, time.Now()) }, os.ErrDeadlineExceeded},
			{"SetDeadline", func(c *Conn, _ context.CancelCauseFunc) { _ = c.SetDeadline(time.Now().Add(-1)) }, os.ErrDeadlineExceeded},
		} {
			t.Run(d.name+", "+c.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					begun := time.Now()
					conn, other, b := pipeConn(t, ctx, tokenbucket.Rate{})
					time.AfterFunc(time.Second, func() { c.end(conn, cancel) })
					n, err := d.call(conn, other)
					wantIs(t, err, c.want)
					elapsed(t, begun, time.Second)
					if n != 0 || b.Tokens() != 0 || b.Waiting() != 0 {
						t.Errorf("%d bytes moved, %v tokens left, %d wait; want none", n, b.Tokens(), b.Waiting())
					}
					var timeout net.Error
					if c.want == os.ErrDeadlineExceeded && (!errors.As(err, &timeout) || !timeout.Timeout()) {
						t.Errorf("%v is no timeout", err)
					}
					conn.Close()
					other.Close()
				})
			})
		}
	}
}

// The end of the context also interrupts a call that blocks in the underlying connection, and a
// later deadline does not undo that.
func TestConnContextInterruptsConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		begun := time.Now()
		near, far := net.Pipe()
		b := quota(100)
		c := NewConn(ctx, near, b, b)
		defer far.Close()
		defer c.Close()
		time.AfterFunc(time.Second, func() { cancel(errBoom) })
		for _, op := range []func([]byte) (int, error){c.Read, c.Write} {
			_, err := op(make([]byte, 10))
			wantIs(t, err, context.Canceled, errBoom)
		}
		elapsed(t, begun, time.Second)
		wantIs(t, c.SetDeadline(time.Time{}), context.Canceled, errBoom)
		_, err := c.Read(make([]byte, 10))
		wantIs(t, err, context.Canceled, errBoom)
		if b.Tokens() != 100 {
			t.Errorf("%v tokens are left, want all", b.Tokens())
		}
	})
}

// A deadline may be moved while a call waits for tokens; a call that was interrupted goes on later.
func TestConnDeadlineMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begun := time.Now()
		c, other, _ := pipeConn(t, context.Background(), tokenbucket.PerSecond(1))
		m := newMeter()
		go func() { _, _ = io.Copy(m, other) }()
		_ = c.SetWriteDeadline(begun.Add(2500 * time.Millisecond))
		time.AfterFunc(time.Second+1, func() { _ = c.SetWriteDeadline(begun.Add(3500 * time.Millisecond)) })
		data := pattern(5)
		n, err := c.Write(data)
		wantIs(t, err, os.ErrDeadlineExceeded)
		elapsed(t, begun, 3500*time.Millisecond)
		if n != 3 {
			t.Fatalf("%d bytes were written, want 3", n)
		}
		_, err = c.Write(data[n:])
		wantIs(t, err, os.ErrDeadlineExceeded)
		_ = c.SetDeadline(time.Time{})
		if n, err := c.Write(data[n:]); n != 2 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		synctest.Wait()
		m.want(t, data, "1@1s 1@2s 1@3s 1@4s 1@5s")
		c.Close()
		other.Close()
	})
}

// A direction without a bucket is not limited, but ends with the context and Close too.
func TestConnNilBucket(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := NewConn(context.Background(), near, nil, nil)
	go func() { _, _ = io.CopyN(far, far, 1000) }()
	data := pattern(1000)
	go func() { _, _ = c.Write(data) }()
	got := make([]byte, 1000)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("Read: %v", err)
	}
	if c.Close(); c.NetConn() != near || c.LocalAddr() != near.LocalAddr() || c.RemoteAddr() != near.RemoteAddr() {
		t.Error("it is another connection")
	}
	for _, op := range []func([]byte) (int, error){c.Read, c.Write} {
		_, err := op(data)
		wantIs(t, err, net.ErrClosed)
	}
	wantIs(t, errors.Join(c.CloseRead(), c.CloseWrite()), errors.ErrUnsupported)
}

// tcpPair returns both ends of a TCP connection over loopback.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// Over TCP, io.Copy from and to a file arrives whole, with and without a limit, and has cost its
// bytes.
func TestConnCopiesFile(t *testing.T) {
	const size = 1 << 20
	data := pattern(size)
	name := t.TempDir() + "/data"
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, rate := range []tokenbucket.Rate{{}, tokenbucket.Inf()} {
		from, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		to, err := os.Create(name + ".copy")
		if err != nil {
			t.Fatal(err)
		}
		client, server := tcpPair(t)
		send, receive := tokenbucket.New(rate, size+1), tokenbucket.New(rate, size+1)
		sent := make(chan error, 1)
		go func() {
			out := NewConn(context.Background(), client, nil, send)
			_, err := io.Copy(out, from)
			sent <- errors.Join(err, out.CloseWrite())
		}()
		n, err := io.Copy(to, NewConn(context.Background(), server, receive, nil))
		if err := errors.Join(err, <-sent); err != nil || n != size {
			t.Errorf("io.Copy: %d, %v", n, err)
		}
		if got, err := os.ReadFile(name + ".copy"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came, not the %d that were sent: %v", len(got), size, err)
		}
		for _, b := range []*tokenbucket.Bucket{send, receive} {
			if rate != tokenbucket.Inf() && b.Tokens() != 1 {
				t.Errorf("%v tokens are left, want 1", b.Tokens())
			}
		}
		from.Close()
		to.Close()
	}
}

// A readerFrom records the readers that it is given.
type readerFrom struct {
	bytes.Buffer
	chunks []int64
}

func (r *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	r.chunks = append(r.chunks, src.(*io.LimitedReader).N)
	return r.Buffer.ReadFrom(src)
}

// io.Copy keeps the ReadFrom of the destination, a chunk at a time, and reports its error and that
// of the source.
func TestCopyUsesReadFrom(t *testing.T) {
	data := pattern(200_000)
	for _, copies := range []func(dst io.Writer, src io.Reader, b *tokenbucket.Bucket) (int64, error){
		func(dst io.Writer, src io.Reader, b *tokenbucket.Bucket) (int64, error) {
			return io.Copy(NewWriter(context.Background(), dst, b), struct{ io.Reader }{src})
		},
		func(dst io.Writer, src io.Reader, b *tokenbucket.Bucket) (int64, error) {
			return io.Copy(dst, NewReader(context.Background(), src, b))
		},
	} {
		for _, want := range []error{nil, errBoom} {
			b, dst := quota(1<<20), &readerFrom{}
			src := io.Reader(bytes.NewReader(data))
			if want != nil {
				src = io.MultiReader(src, readerFunc(func([]byte) (int, error) { return 0, errBoom }))
			}
			n, err := copies(dst, src, b)
			if n != 200_000 || err != want || !bytes.Equal(dst.Bytes(), data) || b.Tokens() != 1<<20-200_000 {
				t.Errorf("io.Copy: %d, %v, want 200000, %v; %v tokens are left", n, err, want, b.Tokens())
			}
			if len(dst.chunks) != 4 || dst.chunks[0] != maxChunk {
				t.Errorf("ReadFrom was given chunks of %v", dst.chunks)
			}
		}
		plain, b := newMeter(), quota(1<<20)
		if n, err := copies(plain, bytes.NewReader(data), b); n != 200_000 || err != nil || !bytes.Equal(plain.moved.Bytes(), data) {
			t.Errorf("io.Copy without ReadFrom: %d, %v", n, err)
		}
		if b.Tokens() != 1<<20-200_000 {
			t.Errorf("%v tokens are left", b.Tokens())
		}
	}
	_, err := io.Copy(NewWriter(context.Background(), &meter{err: errBoom}, quota(9)), strings.NewReader("text"))
	wantIs(t, err, errBoom)
}

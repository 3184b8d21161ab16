package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// quota returns a bucket that never refills: it shows exactly which tokens are gone.
func quota(n int) *tokenbucket.Bucket { return tokenbucket.New(tokenbucket.Rate{}, n) }

// Only the bytes that were moved cost tokens, whatever the underlying Read or Write does.
func TestUnusedTokensComeBack(t *testing.T) {
	returns := func(n int, err error) func([]byte) (int, error) {
		return func([]byte) (int, error) { return n, err }
	}
	for _, c := range []struct {
		name             string
		op               func([]byte) (int, error)
		n, tokens        int
		readErr, writErr error
	}{
		{"all", returns(10, nil), 10, 10, nil, nil},
		{"part", returns(3, nil), 3, 17, nil, io.ErrShortWrite},
		{"part and error", returns(3, errBoom), 3, 17, errBoom, errBoom},
		{"error", returns(0, errBoom), 0, 20, errBoom, errBoom},
		{"end", returns(0, io.EOF), 0, 20, io.EOF, io.EOF},
		{"nothing", returns(0, nil), 0, 20, nil, io.ErrShortWrite},
		{"too much", returns(11, nil), 0, 10, errInvalidRead, errInvalidWrite},
		{"negative", returns(-1, nil), 0, 20, errInvalidRead, errInvalidWrite},
	} {
		b := quota(20)
		n, err := NewReader(context.Background(), readerFunc(c.op), b).Read(make([]byte, 10))
		if n != c.n || err != c.readErr || b.Tokens() != float64(c.tokens) {
			t.Errorf("%s: Read returned %d, %v and left %v tokens; want %d, %v, %d", c.name, n, err, b.Tokens(), c.n, c.readErr, c.tokens)
		}
		b = quota(20)
		n, err = NewWriter(context.Background(), writerFunc(c.op), b).Write(make([]byte, 10))
		if n != c.n || err != c.writErr || b.Tokens() != float64(c.tokens) {
			t.Errorf("%s: Write returned %d, %v and left %v tokens; want %d, %v, %d", c.name, n, err, b.Tokens(), c.n, c.writErr, c.tokens)
		}
	}
}

// An empty buffer goes to the underlying Read or Write, and takes no token.
func TestEmptyBuffer(t *testing.T) {
	b := quota(1)
	b.Allow()
	if n, err := NewReader(context.Background(), strings.NewReader(""), b).Read(nil); n != 0 || err != io.EOF {
		t.Errorf("Read(nil): %d, %v", n, err)
	}
	if n, err := NewWriter(context.Background(), &meter{err: errBoom}, b).Write(nil); n != 0 || err != errBoom {
		t.Errorf("Write(nil): %d, %v", n, err)
	}
}

func TestPanicPutsTokensBack(t *testing.T) {
	for _, leave := range []func(){func() { panic(errBoom) }, runtime.Goexit} {
		b := quota(20)
		op := func([]byte) (int, error) { leave(); return 0, nil }
		for _, f := range []func(){
			func() { _, _ = NewReader(context.Background(), readerFunc(op), b).Read(make([]byte, 10)) },
			func() { _, _ = NewWriter(context.Background(), writerFunc(op), b).Write(make([]byte, 10)) },
		} {
			exits(func() { _ = panicOf(f) })
			if b.Tokens() != 20 {
				t.Errorf("%v tokens are left, want all 20", b.Tokens())
			}
		}
	}
}

// The end of the context ends a wait at once. The bytes before it are moved and paid, the others
// are neither.
func TestContextEndsWait(t *testing.T) {
	for _, c := range []struct {
		name string
		rate tokenbucket.Rate
		n    int
	}{{"zero rate", tokenbucket.Rate{}, 5}, {"slow", tokenbucket.PerHour(1), 5}, {"even", tokenbucket.PerSecond(1), 5 + 60}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				for _, write := range []func(context.Context, *meter, *tokenbucket.Bucket, []byte) (int, error){
					func(ctx context.Context, m *meter, b *tokenbucket.Bucket, data []byte) (int, error) {
						return NewWriter(ctx, m, b).Write(data)
					},
					func(ctx context.Context, m *meter, b *tokenbucket.Bucket, data []byte) (int, error) {
						return io.ReadFull(NewReader(ctx, m.reading(bytes.NewReader(data)), b), make([]byte, len(data)))
					},
				} {
					ctx, cancel := context.WithCancelCause(context.Background())
					m, b, data := newMeter(), tokenbucket.New(c.rate, 5), pattern(100)
					time.AfterFunc(60*time.Second+time.Millisecond, func() { cancel(errBoom) })
					n, err := write(ctx, m, b, data)
					wantIs(t, err, context.Canceled, errBoom)
					if n != c.n || !bytes.Equal(m.moved.Bytes(), data[:n]) {
						t.Errorf("%d bytes, want %d", n, c.n)
					}
					elapsed(t, m.begun, 60*time.Second+time.Millisecond)
					if b.Waiting() != 0 || b.Tokens() < 0 || b.Tokens() > 0.1 {
						t.Errorf("%d wait, %v tokens are left", b.Waiting(), b.Tokens())
					}
				}
			})
		})
	}
}

// What a bucket refuses is returned before anything is moved, and the tokens that were there stay.
func TestWaitRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		soon, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ended, end := context.WithCancelCause(context.Background())
		end(errBoom)
		few := tokenbucket.New(tokenbucket.Per(1000, time.Hour), 100)
		few.TakeAvailable(100)
		full := tokenbucket.New(tokenbucket.PerHour(1), 1, tokenbucket.WithMaxWaiters(0))
		full.Allow()
		for _, c := range []struct {
			name string
			ctx  context.Context
			b    *tokenbucket.Bucket
			want error
		}{
			{"context has ended", ended, tokenbucket.New(tokenbucket.Inf(), 1), errBoom},
			{"zero Bucket", context.Background(), new(tokenbucket.Bucket), tokenbucket.ErrExceedsBurst},
			{"deadline", soon, few, tokenbucket.ErrDeadline},
			{"too many waiters", context.Background(), full, tokenbucket.ErrQueueFull},
		} {
			tokens := c.b.Tokens()
			op := func([]byte) (int, error) { t.Errorf("%s: it was called", c.name); return 0, nil }
			_, err := NewReader(c.ctx, readerFunc(op), c.b).Read(make([]byte, 10))
			wantIs(t, err, c.want)
			_, err = NewWriter(c.ctx, writerFunc(op), c.b).Write(make([]byte, 10))
			wantIs(t, err, c.want)
			if got := c.b.Tokens(); got != tokens {
				t.Errorf("%s: %v tokens are left, want %v", c.name, got, tokens)
			}
		}
	})
}

// Writes of several goroutines come one after the other, though they are split.
func TestWritesStayTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMeter()
		w := NewWriter(context.Background(), m, tokenbucket.New(tokenbucket.PerSecond(1000), 3))
		done := make(chan error)
		for i := range 10 {
			go func() {
				_, err := w.Write(bytes.Repeat([]byte{byte('0' + i)}, 50))
				done <- err
			}()
		}
		for range 10 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for i := 0; i < 500; i += 50 {
			part := m.moved.Bytes()[i : i+50]
			if !bytes.Equal(part, bytes.Repeat(part[:1], 50)) {
				t.Errorf("bytes %d to %d are %q", i, i+50, part)
			}
		}
	})
}

// A moody stream moves what it likes of each buffer, and sometimes fails, by its own generator.
func moody(random *rand.Rand, most int) (n int, err error) {
	n = random.IntN(most + 1)
	if random.IntN(20) == 0 {
		err = errBoom
	}
	return n, err
}

// FuzzStreams compares throttled reading and writing with plain io, for any limit, size of buffer,
// and sequence of short results and errors: the bytes are the same, in order, and as many tokens
// are gone.
func FuzzStreams(f *testing.F) {
	f.Add(uint64(1), uint32(0), uint32(0), uint32(100))
	f.Add(uint64(2), uint32(100), uint32(7), uint32(1000))
	f.Add(uint64(3), uint32(70_000), uint32(300_000), uint32(200_000))
	f.Fuzz(func(t *testing.T, seed uint64, b, l, s uint32) {
		burst, buffer, size := 1+int(b%100_000), 1+int(l%400_000), int(s%300_000)
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			data, source := pattern(size), bytes.NewReader(pattern(size))
			var copied bytes.Buffer
			read, written := tokenbucket.New(tokenbucket.PerSecond(1_000_000), burst), tokenbucket.New(tokenbucket.PerSecond(1_000_000), burst)
			r := NewReader(context.Background(), readerFunc(func(p []byte) (int, error) {
				n, err := moody(random, len(p))
				if n > 0 {
					var end error
					if n, end = source.Read(p[:n]); err == nil {
						err = end
					}
				}
				return n, err
			}), read)
			w := NewWriter(context.Background(), writerFunc(func(p []byte) (int, error) {
				n, err := moody(random, len(p))
				copied.Write(p[:n])
				return n, err
			}), written)
			copyMoodily(t, r, w, make([]byte, buffer))
			if !bytes.Equal(copied.Bytes(), data) {
				t.Fatalf("%d bytes came, %d were sent", copied.Len(), size)
			}
			for _, b := range []*tokenbucket.Bucket{read, written} {
				if time.Sleep(time.Duration(burst) * time.Microsecond); b.Tokens() != float64(burst) {
					t.Errorf("%v tokens after the bucket's refill, want the burst of %d", b.Tokens(), burst)
				}
			}
		})
	})
}

// copyMoodily copies r to w, and repeats what has failed. Every byte that Read returned is written.
func copyMoodily(t *testing.T, r io.Reader, w io.Writer, buf []byte) {
	for {
		n, readErr := r.Read(buf)
		for sent := 0; sent < n; {
			k, err := w.Write(buf[sent:n])
			if sent += k; err == nil && sent < n {
				t.Fatalf("Write returned %d of %d and no error", k, n)
			} else if err != nil && !errors.Is(err, errBoom) && err != io.ErrShortWrite {
				t.Fatal(err)
			}
		}
		if readErr == io.EOF {
			return
		} else if readErr != nil && readErr != errBoom {
			t.Fatal(readErr)
		}
	}
}

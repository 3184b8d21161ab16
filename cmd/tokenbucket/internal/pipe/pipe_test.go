package pipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// writes keeps every write and when it was made.
type writes struct {
	begun time.Time
	at    []time.Duration
	what  []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.at = append(w.at, time.Since(w.begun))
	w.what = append(w.what, string(p))
	return len(p), nil
}

func copyThrough(ctx context.Context, in io.Reader, w io.Writer, rate string, burst int, bytes bool) error {
	r, err := tokenbucket.ParseRate(rate)
	if err != nil {
		return err
	}
	s := terminal.NewScreen(cli.Streams{Out: w, Err: io.Discard}, true, nil)
	b := tokenbucket.New(r, burst)
	if bytes {
		return newByteCopier(in, s, b).copy(ctx)
	}
	return newLineCopier(in, s, b).copy(ctx)
}

func TestLinesGoAtTheScheduledInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{begun: time.Now()}
		if err := copyThrough(t.Context(), strings.NewReader("1\n2\n3\n4\n5"), w, "10/s", 3, false); err != nil {
			t.Fatal(err)
		}
		want := "[0s 100ms 200ms] [\"1\\n2\\n3\\n\" \"4\\n\" \"5\"]"
		if got := fmt.Sprintf("%v %q", w.at, w.what); got != want {
			t.Errorf("written was %s, want %s", got, want)
		}
	})
}

func TestBytesGoAtTheScheduledInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{begun: time.Now()}
		if err := copyThrough(t.Context(), strings.NewReader("12\n456"), w, "10/s", 3, true); err != nil {
			t.Fatal(err)
		}
		want := "[0s 100ms 200ms 300ms] [\"12\\n\" \"4\" \"5\" \"6\"]"
		if got := fmt.Sprintf("%v %q", w.at, w.what); got != want {
			t.Errorf("written was %s, want %s", got, want)
		}
	})
}

// Bytes flow evenly at any rate, whatever they are: after the burst, every write comes within two
// pieceTimes of the last, or a byte's time at a small rate, and as much is written as the limit
// allows.
func TestBytesFlowEvenly(t *testing.T) {
	for _, c := range []struct {
		rate        string
		perSecond   float64
		size, burst int
	}{
		{"20480/s", 20480, 200_000, 2048}, {"1024/s", 1024, 10_240, 102}, {"5/s", 5, 30, 1}, {"5000000/s", 5e6, 10_000_000, 500_000},
		{"20480/s", 20480, 200_000, 1}, {"20480/s", 20480, 100_000, 90_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &writes{begun: time.Now()}
			if err := copyThrough(t.Context(), bytes.NewReader(make([]byte, c.size)), w, c.rate, c.burst, true); err != nil {
				t.Fatal(err)
			}
			within := max(2*pieceTime, time.Duration(1.01*float64(time.Second)/c.perSecond))
			var written int
			for i, at := range w.at {
				if i > 0 && at-w.at[i-1] > within {
					t.Fatalf("%s burst %d: no write between %v and %v", c.rate, c.burst, w.at[i-1], at)
				}
				written += len(w.what[i])
				if allowed := float64(c.burst) + c.perSecond*at.Seconds() + 0.001; float64(written) > allowed {
					t.Fatalf("%s burst %d: %d bytes within %v, want at most %.0f", c.rate, c.burst, written, at, allowed)
				}
			}
			if want := time.Duration(float64(c.size-c.burst) / c.perSecond * float64(time.Second)); w.at[len(w.at)-1] > want+time.Millisecond {
				t.Errorf("%s burst %d: it took %v, want %v", c.rate, c.burst, w.at[len(w.at)-1], want)
			}
		})
	}
}

// A copy of bytes ends at once, wherever it is.
func TestStoppedBytesEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(context.Background(), 1500*time.Millisecond, nil)
		defer cancel()
		ctx2, stop := context.WithCancel(context.Background())
		context.AfterFunc(ctx, stop)
		w := &writes{begun: time.Now()}
		err := copyThrough(ctx2, bytes.NewReader(make([]byte, 1000)), w, "1/s", 1, true)
		if took := time.Since(w.begun); !errors.Is(err, context.Canceled) || took != 1500*time.Millisecond || len(w.at) != 2 {
			t.Errorf("error %v after %v and %d writes, want canceled after 1.5s and 2", err, took, len(w.at))
		}
	})
}

// Whatever the lines and however they arrive, all comes out, and every write is of whole lines, if
// they are not too long.
func TestCopyLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 40 {
		var in bytes.Buffer
		long := r.IntN(4) == 0
		for range r.IntN(200) {
			n := r.IntN(100)
			if long && r.IntN(10) == 0 {
				n = maxPiece - 2 + r.IntN(5) + maxPiece*r.IntN(2)
			}
			in.WriteString(strings.Repeat("x", n) + "\n")
		}
		if r.IntN(2) == 0 {
			in.WriteString("the end")
		}
		readers := []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader, func(r io.Reader) io.Reader { return r }}
		if !long {
			readers = append(readers, iotest.OneByteReader)
		}
		w := &writes{begun: time.Now()}
		src := readers[r.IntN(len(readers))](bytes.NewReader(in.Bytes()))
		bytes := r.IntN(2) == 0
		if err := copyThrough(t.Context(), src, w, "inf", 1, bytes); err != nil {
			t.Fatal(err)
		}
		if strings.Join(w.what, "") != in.String() {
			t.Fatal("what comes out is not what went in")
		}
		for i, p := range w.what {
			if i < len(w.what)-1 && !long && !bytes && !strings.HasSuffix(p, "\n") {
				t.Fatalf("a line is cut in two: %q, %q", p, w.what[i+1])
			}
		}
	}
}

// A copy of lines that is stopped in the middle of a line goes on to its end.
func TestStoppedCopyEndsItsLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, rest, next := strings.Repeat("x", maxPiece), strings.Repeat("y", 10)+"\n", "more\n"
		ctx, stop := context.WithCancel(t.Context())
		in, feed := io.Pipe()
		go func() {
			_, _ = io.WriteString(feed, first)
			stop()
			synctest.Wait()
			_, _ = io.WriteString(feed, rest+next)
			feed.Close()
		}()
		w := &writes{begun: time.Now()}
		err := copyThrough(ctx, in, w, "1000/s", 100, false)
		in.Close()
		if got := strings.Join(w.what, ""); !errors.Is(err, context.Canceled) || got != first+rest {
			t.Errorf("error %v after %d bytes, want canceled after the %d of the line", err, len(got), len(first+rest))
		}
	})
}

func TestReadErrorComesAfterWhatWasRead(t *testing.T) {
	broken := errors.New("broken")
	w := &writes{begun: time.Now()}
	err := copyThrough(t.Context(), io.MultiReader(strings.NewReader("1\n2\n"), iotest.ErrReader(broken)), w, "inf", 1, false)
	if !errors.Is(err, broken) || strings.Join(w.what, "") != "1\n2\n" {
		t.Errorf("error %v after %q, want broken after both lines", err, w.what)
	}
}

func TestByteRate(t *testing.T) {
	for text, want := range map[string]string{
		"64KiB/s": "65536/s", "1.5MiB/s": "1572864/s", "0.1KiB/s": "102.4/s", "1MB/m": "1000000/m", "5B/250ms": "20/s", "10/s": "10/s",
		"2GiB/h": "2147483648/h", "inf": "inf", ".5kB/s": "500/s",
	} {
		var r byteRate
		if err := r.Set(text); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if w, _ := tokenbucket.ParseRate(want); r.Rate != w {
			t.Errorf("%s is %v, want %s", text, r.Rate, want)
		}
	}
	var r byteRate
	if err := r.Set("5M/s"); err == nil || !strings.Contains(err.Error(), "\"M\" is no unit of bytes, want B, kB, MB") {
		t.Errorf("5M/s gives %v, want an error that names the units", err)
	}
	for _, text := range []string{"", "5", "KiB/s", "5 KiB/s", "-5KiB/s", "5KiB/x", "5TiB/s", "1e3KiB/s", "5KiB/-1s"} {
		var r byteRate
		if err := r.Set(text); err == nil {
			t.Errorf("%q is %v, want an error", text, r.Rate)
		}
	}
}

func FuzzByteRate(f *testing.F) {
	for _, s := range []string{"64KiB/s", "1.5MiB/250ms", "10/s", "inf", ".5kB/m", "5M/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r byteRate
		if err := r.Set(s); err != nil {
			return
		}
		if r.String() != s {
			t.Errorf("the text of %q is %q", s, r.String())
		}
		if again, err := tokenbucket.ParseRate(r.Rate.String()); err != nil || again != r.Rate {
			t.Errorf("%q is %v, which is read back as %v, %v", s, r.Rate, again, err)
		}
		var size byteSize
		if n, _, _ := strings.Cut(s, "/"); size.Set(n) == nil && size.n < 1 {
			t.Errorf("the size %q is %d", n, size.n)
		}
	})
}

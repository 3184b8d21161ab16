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
	return newCopier(in, s, tokenbucket.New(r, burst), burst, bytes).copy(ctx)
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
		if err := copyThrough(t.Context(), strings.NewReader("12\n45678\n01\n"), w, "10/s", 3, true); err != nil {
			t.Fatal(err)
		}
		// The line of 6 is more than the burst: it goes in one piece when all its tokens have come, and the next 0.3 s later.
		want := "[0s 600ms 900ms] [\"12\\n\" \"45678\\n\" \"01\\n\"]"
		if got := fmt.Sprintf("%v %q", w.at, w.what); got != want {
			t.Errorf("written was %s, want %s", got, want)
		}
	})
}

// Whatever the lines and however they arrive, all comes out, and every write is of whole lines, if they are not too long.
func TestCopyLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 40 {
		var in bytes.Buffer
		long := r.IntN(4) == 0
		for range r.IntN(200) {
			n := r.IntN(100)
			if long && r.IntN(10) == 0 {
				n = maxWhole - 2 + r.IntN(5) + maxWhole*r.IntN(2)
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
		if err := copyThrough(t.Context(), src, w, "inf", 1, r.IntN(2) == 0); err != nil {
			t.Fatal(err)
		}
		if strings.Join(w.what, "") != in.String() {
			t.Fatal("what comes out is not what went in")
		}
		for i, p := range w.what {
			if i < len(w.what)-1 && !long && !strings.HasSuffix(p, "\n") {
				t.Fatalf("a line is cut in two: %q, %q", p, w.what[i+1])
			}
		}
	}
}

func TestStoppedCopyEndsItsLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The long line is of more than one piece; its bytes take 100 s, the stop comes in the middle.
		line := strings.Repeat("x", 100_000) + "\n"
		ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
		defer cancel()
		ctx2, stop := context.WithCancelCause(context.Background())
		context.AfterFunc(ctx, func() { stop(errors.New("stopped")) })
		w := &writes{begun: time.Now()}
		err := copyThrough(ctx2, strings.NewReader(line+"more\n"), w, "1000/s", 100, true)
		if err == nil || strings.Join(w.what, "") != line {
			t.Errorf("error %v, %d bytes; want an error and the %d of the line", err, len(strings.Join(w.what, "")), len(line))
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
	for _, text := range []string{"", "5", "KiB/s", "5 KiB/s", "-5KiB/s", "5KiB/x", "5TiB/s", "1e3KiB/s", "5KiB/-1s"} {
		var r byteRate
		if err := r.Set(text); err == nil {
			t.Errorf("%q is %v, want an error", text, r.Rate)
		}
	}
}

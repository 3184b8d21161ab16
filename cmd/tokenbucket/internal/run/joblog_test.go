package run

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var oddItems = []string{
	"plain", "", " with blanks ", "tab\tin\tit", "new\nline", "\"quoted\"", "quoted\"inside", "back\\slash", "\xff\xfe", "\r", "a\x00b", "prefix",
	"prefix of another", "{}", "ünïcödé",
}

func TestJoblineIsReadBack(t *testing.T) {
	for _, item := range oddItems {
		line := jobline(&job{seq: 7, item: item, attempts: 2, last: result{start: time.Now(), took: time.Second, exit: 3}})
		if strings.Count(line, "\n") != 1 || line[len(line)-1] != '\n' {
			t.Errorf("%q is not one line", line)
		}
		got, exit, err := parseJobline([]byte(line[:len(line)-1]))
		if got != item || exit != 3 || err != nil {
			t.Errorf("%q is read back as %q, %d, %v", item, got, exit, err)
		}
	}
}

// A kill in the middle of a write leaves any beginning of the log. From each of them a resumed run
// has to know the jobs of the whole lines and nothing else, and what it adds must be whole lines
// again.
func TestJoblogTornAnywhere(t *testing.T) {
	whole := joblogHeader
	for i, item := range oddItems {
		whole += jobline(&job{seq: i + 1, item: item, attempts: 1, last: result{exit: i % 2}})
	}
	path := filepath.Join(t.TempDir(), "log")
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, []byte(whole[:cut]), 0o666); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for i := range max(strings.Count(whole[:cut], "\n")-1, 0) {
			if i%2 == 0 {
				want[oddItems[i]]++
			}
		}
		l, past, err := openJoblog(path, true)
		if err != nil || past.strange.Count > 0 || !maps.Equal(past.succeeded, want) {
			t.Fatalf("cut at %d: %+v, error %v; want %v succeeded", cut, past, err, want)
		}
		if err := l.write(&job{seq: 99, item: "added"}); err != nil {
			t.Fatal(err)
		}
		l.close()
		want["added"]++
		after, _ := os.ReadFile(path)
		past, err = readJoblog(bytes.NewReader(after))
		if err != nil || past.strange.Count > 0 || past.size != int64(len(after)) || !maps.Equal(past.succeeded, want) {
			t.Fatalf("cut at %d and added to: %+v, error %v; want %v succeeded", cut, past, err, want)
		}
	}
}

func TestJoblogNotesStrangeLines(t *testing.T) {
	log := joblogHeader + "garbage\n1\t2\t3\tx\t5\titem\n1\t2\t3\t0\t5\t\"item\n1\t2\t3\t0\t5\tgood\n"
	past, err := readJoblog(strings.NewReader(log))
	if err != nil || past.strange.Count != 3 || len(past.succeeded) != 1 || past.succeeded["good"] != 1 {
		t.Errorf("%+v, error %v; want good and three strange lines", past, err)
	}
	if _, err := readJoblog(strings.NewReader("a list\nof things\n")); err != errNoJoblog {
		t.Errorf("another file gives %v, want %v", err, errNoJoblog)
	}
}

// Neither a file without newlines nor a log with one endless line is kept in memory.
func TestJoblogOfEndlessLines(t *testing.T) {
	if _, err := readJoblog(zeros{}); err != errNoJoblog {
		t.Errorf("endless zeros give %v, want %v", err, errNoJoblog)
	}
	long := io.MultiReader(strings.NewReader(joblogHeader), io.LimitReader(zeros{}, 64<<20), strings.NewReader("\n1\t2\t3\t0\t5\tgood\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	past, err := readJoblog(long)
	runtime.ReadMemStats(&after)
	if err != nil || past.strange.Count != 1 || past.succeeded["good"] != 1 {
		t.Errorf("%+v, error %v; want good and one strange line", past, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("a line of 64 MiB allocates %d bytes, want less than 32 MiB", grown)
	}
}

// zeros is an endless file of zeros, as /dev/full is for a reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func FuzzJoblog(f *testing.F) {
	f.Add([]byte(joblogHeader + "1\t2026-01-02T15:04:05.000Z\t0.001\t0\t1\titem\n"))
	f.Add([]byte(joblogHeader + "1\t\t\t0\t1\t\"a\\nb\"\n2\t\t\t1\t1\t\ntorn"))
	f.Fuzz(func(t *testing.T, log []byte) {
		past, err := readJoblog(bytes.NewReader(log))
		if err != nil {
			if err != errNoJoblog {
				t.Fatal(err)
			}
			return
		}
		if past.size > int64(len(log)) || past.size > 0 && log[past.size-1] != '\n' {
			t.Fatalf("whole lines end at %d of %d", past.size, len(log))
		}
		// A log of the same successes, written anew, reads the same.
		again := joblogHeader
		for item, n := range past.succeeded {
			again += strings.Repeat(jobline(&job{item: item}), n)
		}
		if got, err := readJoblog(strings.NewReader(again)); err != nil || got.strange.Count > 0 || !maps.Equal(got.succeeded, past.succeeded) {
			t.Fatalf("%v is read back as %+v, %v", past.succeeded, got, err)
		}
	})
}

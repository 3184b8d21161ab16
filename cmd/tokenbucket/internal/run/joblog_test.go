package run

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
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

// A kill in the middle of a write leaves any beginning of the log. From each of them a resumed run has to know the jobs of the
// whole lines and nothing else, and what it adds must be whole lines again.
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
		l, succeeded, strange, err := openJoblog(path, true)
		if err != nil || len(strange) > 0 || !maps.Equal(succeeded, want) {
			t.Fatalf("cut at %d: succeeded are %v, strange %q, error %v; want %v", cut, succeeded, strange, err, want)
		}
		if err := l.write(&job{seq: 99, item: "added"}); err != nil {
			t.Fatal(err)
		}
		l.close()
		want["added"]++
		after, _ := os.ReadFile(path)
		succeeded, size, strange, err := readJoblog(bytes.NewReader(after))
		if err != nil || len(strange) > 0 || size != int64(len(after)) || !maps.Equal(succeeded, want) {
			t.Fatalf("cut at %d and added to: succeeded are %v, strange %q, error %v; want %v", cut, succeeded, strange, err, want)
		}
	}
}

func TestJoblogSaysWhatIsStrange(t *testing.T) {
	log := joblogHeader + "garbage\n1\t2\t3\tx\t5\titem\n1\t2\t3\t0\t5\t\"item\n1\t2\t3\t0\t5\tgood\n"
	succeeded, _, strange, err := readJoblog(strings.NewReader(log))
	if err != nil || len(strange) != 3 || len(succeeded) != 1 || succeeded["good"] != 1 {
		t.Errorf("succeeded are %v, strange %q, error %v; want good and three lines", succeeded, strange, err)
	}
	if _, _, _, err := readJoblog(strings.NewReader("a list\nof things\n")); err != errNoJoblog {
		t.Errorf("another file gives %v, want %v", err, errNoJoblog)
	}
}

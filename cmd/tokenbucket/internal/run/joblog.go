package run

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
)

// joblogHeader is the first line of a job log, and how a log is told from another file.
const joblogHeader = "seq\tstart\tseconds\texit\tattempts\titem\n"

// joblog is a file with a line for each job that is over. A line goes out in one write, after the output of its job, so that
// kill -9 at any instant leaves whole lines and at most one torn one at the end. Make it with openJoblog; nil logs nothing.
type joblog struct{ f *os.File }

// openJoblog opens the log at path for more lines. With resume it returns how many times each item has succeeded so far,
// and what is strange about the log; without, there must be no log yet, or the record of another run would be lost.
func openJoblog(path string, resume bool) (l *joblog, succeeded map[string]int, strange []string, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if info, err := f.Stat(); err != nil {
		return nil, nil, nil, err
	} else if info.Size() > 0 && !resume {
		return nil, nil, nil, flags.BadValue("joblog", path, "a file that is not there yet, or -resume to go on with it")
	}
	succeeded, whole, strange, err := readJoblog(f)
	if errors.Is(err, errNoJoblog) {
		return nil, nil, nil, flags.BadValue("joblog", path, "a job log, which begins with "+strconv.Quote(joblogHeader))
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading -joblog %s: %w", path, err)
	}
	// The torn line goes: completed by the next line, or by a newline, it could name an item that is another one's beginning.
	if err := f.Truncate(whole); err != nil {
		return nil, nil, nil, err
	}
	if whole == 0 {
		_, err = f.WriteString(joblogHeader)
	}
	return &joblog{f}, succeeded, strange, err
}

var errNoJoblog = errors.New("not a job log")

// readJoblog returns how many times each item has succeeded, and how long the part of the log is that has whole lines.
func readJoblog(r io.Reader) (succeeded map[string]int, whole int64, strange []string, err error) {
	br := bufio.NewReader(r)
	succeeded = map[string]int{}
	for n := 1; ; n++ {
		line, err := br.ReadBytes('\n')
		switch {
		case err == io.EOF && n == 1 && strings.HasPrefix(joblogHeader, string(line)):
			return succeeded, 0, nil, nil // empty, or torn at the very beginning
		case n == 1 && string(line) != joblogHeader:
			return nil, 0, nil, errNoJoblog
		case err == io.EOF:
			return succeeded, whole, strange, nil
		case err != nil:
			return nil, 0, nil, err
		}
		whole += int64(len(line))
		if n == 1 {
			continue
		}
		item, exit, err := parseJobline(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			strange = append(strange, fmt.Sprintf("line %d: %v, so it counts for nothing", n, err))
		} else if exit == 0 {
			succeeded[item]++
		}
	}
}

// parseJobline reads what jobline wrote.
func parseJobline(line []byte) (item string, exit int, err error) {
	parts := strings.SplitN(string(line), "\t", 6)
	if len(parts) != 6 {
		return "", 0, fmt.Errorf("it has %d fields, want 6", len(parts))
	}
	if exit, err = strconv.Atoi(parts[3]); err != nil {
		return "", 0, fmt.Errorf("exit is %q, want a number", parts[3])
	}
	item = parts[5]
	if strings.HasPrefix(item, `"`) {
		if item, err = strconv.Unquote(item); err != nil {
			return "", 0, fmt.Errorf("item is %s, want it quoted as in Go", parts[5])
		}
	}
	return item, exit, nil
}

// jobline is the line of j. An item is written as it is, tabs and all, unless that could be misread: then it is quoted.
func jobline(j *job) string {
	item := j.item
	if strings.HasPrefix(item, `"`) || strings.ContainsAny(item, "\n\r\x00") {
		item = strconv.Quote(item)
	}
	return fmt.Sprintf("%d\t%s\t%.3f\t%d\t%d\t%s\n", j.seq, j.last.start.Format("2006-01-02T15:04:05.000Z07:00"),
		j.last.took.Seconds(), j.last.exit, j.attempts, item)
}

func (l *joblog) write(j *job) error {
	if l == nil {
		return nil
	}
	_, err := l.f.WriteString(jobline(j))
	return err
}

func (l *joblog) close() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// result is what became of one attempt.
type result struct {
	start time.Time
	took  time.Duration
	exit  int
	why   string // for people; empty if it succeeded
}

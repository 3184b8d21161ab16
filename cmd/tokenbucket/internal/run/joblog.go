package run

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
)

// joblogHeader is the first line of a job log. It tells a job log from other files.
const joblogHeader = "seq\tstart\tseconds\texit\tattempts\titem\n"

// joblog is a file with a line for each finished job. Each line is one write, made after the job's
// output is out, so that a kill at any instant leaves whole lines and at most one torn line at the
// end. Make it with openJoblog; a nil joblog logs nothing.
type joblog struct{ f *os.File }

// openJoblog opens the log at path for appending and locks it. With resume it returns the log's
// record so far; without, the log must be new or empty, so that the record of another run is not
// lost.
func openJoblog(path string, resume bool) (l *joblog, past record, err error) {
	// Opening a device or a named pipe may have effects, or block.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, record{}, flags.BadValue("joblog", path, "a regular file, not "+kindOf(info.Mode()))
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, record{}, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f); err != nil {
		return nil, record{}, fmt.Errorf("job log %s: %w", path, err)
	}
	if info, err := f.Stat(); err != nil {
		return nil, record{}, err
	} else if info.Size() > 0 && !resume {
		return nil, record{}, flags.BadValue("joblog", path, "a new or empty file, or -resume to continue the run of this log")
	}
	past, err = readJoblog(f)
	if errors.Is(err, errNoJoblog) {
		return nil, record{}, flags.BadValue("joblog", path, "a job log, which begins with "+strconv.Quote(joblogHeader))
	}
	if err != nil {
		return nil, record{}, fmt.Errorf("reading job log %s: %w", path, err)
	}
	// A torn line must go: completed by the next line, or by a newline, it could name another item.
	if err := f.Truncate(past.size); err != nil {
		return nil, record{}, err
	}
	if past.size == 0 {
		_, err = f.WriteString(joblogHeader)
	}
	return &joblog{f}, past, err
}

// kindOf names the kind of a file that is not regular.
func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&os.ModeNamedPipe != 0:
		return "a named pipe"
	case m&os.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
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

// jobline returns the line of j. An item that could be misread is quoted; others are written as
// they are, with their tabs.
func jobline(j *job) string {
	item := j.item
	if strings.HasPrefix(item, `"`) || strings.ContainsAny(item, "\n\r\x00") {
		item = strconv.Quote(item)
	}
	return fmt.Sprintf("%d\t%s\t%.3f\t%d\t%d\t%s\n", j.seq, j.last.start.Format("2006-01-02T15:04:05.000Z07:00"),
		j.last.took.Seconds(), j.last.exit, j.attempts, item)
}

package run

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// record is what a job log says of the runs so far.
type record struct {
	succeeded map[string]int // how many times each item has succeeded
	size      int64          // of the header and the whole lines, without a torn line at the end
	strange   terminal.Notes // lines that were not understood
}

var errNoJoblog = errors.New("not a job log")

// maxJobline is the longest line that jobline writes: quoting makes up to four bytes of one.
const maxJobline = 4*maxItem + 1<<10

// readJoblog reads a job log.
func readJoblog(r io.Reader) (record, error) {
	past := record{succeeded: map[string]int{}}
	br := bufio.NewReader(r)
	header := make([]byte, len(joblogHeader))
	switch n, err := io.ReadFull(br, header); {
	case !strings.HasPrefix(joblogHeader, string(header[:n])):
		return past, errNoJoblog
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return past, nil // empty, or torn in its header
	case err != nil:
		return past, err
	}
	past.size = int64(len(joblogHeader))
	for n := 2; ; n++ {
		line, size, err := readBounded(br, maxJobline)
		switch {
		case err == io.EOF:
			return past, nil
		case err != nil:
			return past, err
		}
		past.size += size
		if size > maxJobline {
			past.strange.Addf("line %d: it has %d bytes, want at most %d", n, size, maxJobline)
			continue
		}
		item, exit, err := parseJobline(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			past.strange.Addf("line %d: %v", n, err)
		} else if exit == 0 {
			past.succeeded[item]++
		}
	}
}

// readBounded reads to the next newline. It returns at most the first most bytes of the line, and
// how many there are in all. A line without a newline is io.EOF.
func readBounded(br *bufio.Reader, most int) (line []byte, size int64, err error) {
	for {
		piece, err := br.ReadSlice('\n')
		size += int64(len(piece))
		line = append(line, piece[:min(len(piece), most-len(line))]...)
		if err != bufio.ErrBufferFull {
			return line, size, err
		}
	}
}

// parseJobline reads a line that jobline wrote.
func parseJobline(line []byte) (item string, exit int, err error) {
	parts := strings.SplitN(string(line), "\t", 6)
	if len(parts) != 6 {
		return "", 0, fmt.Errorf("the number of fields is %d, want 6", len(parts))
	}
	if exit, err = strconv.Atoi(parts[3]); err != nil {
		return "", 0, fmt.Errorf("the exit status is %s, want a number", terminal.Excerpt(parts[3]))
	}
	item = parts[5]
	if strings.HasPrefix(item, `"`) {
		if item, err = strconv.Unquote(item); err != nil {
			return "", 0, fmt.Errorf("the item is %s, want it quoted as in Go", terminal.Excerpt(parts[5]))
		}
	}
	return item, exit, nil
}

// noteStrange prints the notes about lines that were not understood.
func (past *record) noteStrange(s *terminal.Screen, path string) {
	are := "are"
	if past.strange.Count == 1 {
		are = "is"
	}
	lines := terminal.Plural(past.strange.Count, "line")
	past.strange.Print(s, fmt.Sprintf("%s: %s of the job log %s not understood, and ignored", path, lines, are))
}

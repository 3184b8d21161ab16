package run

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// maxItem is the longest item, in bytes. Linux accepts arguments of up to 128 KiB, other systems
// shorter ones.
const maxItem = 1 << 20

// job is an item and the result of its attempts so far. It belongs to one goroutine at a time.
type job struct {
	seq      int // the number of its item in the list, from 1; skipped items count
	item     string
	key      string
	attempts int
	last     result // of the last attempt
}

// result is how one attempt ended.
type result struct {
	start time.Time
	took  time.Duration
	exit  int
	why   string // the reason for people; empty if the attempt succeeded
}

// itemReader reads items, which end with a newline or with NUL. Make it with newItemReader.
type itemReader struct {
	scan *bufio.Scanner
	nul  bool
	seq  int
}

func newItemReader(r io.Reader, nul bool) *itemReader {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, maxItem)
	if nul {
		scan.Split(splitNUL)
	}
	return &itemReader{scan: scan, nul: nul}
}

// next returns the next item and its number, or io.EOF. An empty line is no item; with NUL an empty
// item is one.
func (r *itemReader) next() (seq int, item string, err error) {
	for r.scan.Scan() {
		if item := r.scan.Text(); item != "" || r.nul {
			r.seq++
			return r.seq, item, nil
		}
	}
	switch err := r.scan.Err(); err {
	case nil:
		return 0, "", io.EOF
	case bufio.ErrTooLong:
		return 0, "", fmt.Errorf("item %d is longer than 1 MiB", r.seq+1)
	default:
		return 0, "", fmt.Errorf("reading items: %w", err)
	}
}

func splitNUL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// template is a command line in which {} stands for the item. Make it with newTemplate.
type template []string

func newTemplate(args []string) template {
	if slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "{}") }) {
		return args
	}
	return append(slices.Clone(args), "{}")
}

func (t template) fill(item string) []string {
	args := make([]string, len(t))
	for i, a := range t {
		args[i] = strings.ReplaceAll(a, "{}", item)
	}
	return args
}

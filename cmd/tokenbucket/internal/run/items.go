package run

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxItem bounds what an item may take of memory. Linux takes arguments of up to 128 KiB, others less.
const maxItem = 1 << 20

// job is an item and what became of it so far. One goroutine at a time has it.
type job struct {
	seq      int // of its item in the input, from 1; items that are skipped count
	item     string
	key      string
	attempts int
	last     result // of the last attempt
}

// itemReader reads items, one a line or one a NUL. Make it with newItemReader.
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

// next returns the next item and its number, or io.EOF. Empty lines are no items; between NULs an empty item is one.
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

// template is a command with {} where the item goes. Make it with newTemplate.
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

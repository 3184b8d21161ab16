package httplimit

import (
	"strconv"
	"strings"
	"sync"
)

// lines makes values of header fields. They are cut from blocks, so that most of them allocate
// nothing. A block is garbage when the last response with a value from it is; no part of it is used
// twice, because handlers may keep and change what is in a header.
type lines struct {
	values []string        // what is left of a block
	text   strings.Builder // a block that strings are appended to
	buf    []byte          // scratch
}

const (
	valuesBlock = 64
	textBlock   = 1024
)

var linesPool = sync.Pool{New: func() any { return &lines{buf: make([]byte, 0, 256)} }}

func newLines() *lines { return linesPool.Get().(*lines) }

// free ends the use of w. What it has made stays valid.
func (w *lines) free() {
	w.buf = w.buf[:0]
	linesPool.Put(w)
}

// line returns a field with the value s. Appending to it copies it.
func (w *lines) line(s string) []string {
	if len(w.values) == 0 {
		w.values = make([]string, valuesBlock)
	}
	v := w.values[:1:1]
	w.values = w.values[1:]
	v[0] = s
	return v
}

// flush returns a field whose value is in buf, and empties buf.
func (w *lines) flush() []string {
	if w.text.Cap()-w.text.Len() < len(w.buf) {
		w.text = strings.Builder{}
		w.text.Grow(max(textBlock, len(w.buf)))
	}
	start := w.text.Len()
	w.text.Write(w.buf)
	w.buf = w.buf[:0]
	return w.line(w.text.String()[start:])
}

// integer returns a field with the value n.
func (w *lines) integer(n int64) []string {
	if 0 <= n && n < 100 {
		return w.line(strconv.Itoa(int(n))) // which allocates nothing
	}
	w.buf = strconv.AppendInt(w.buf[:0], n, 10)
	return w.flush()
}

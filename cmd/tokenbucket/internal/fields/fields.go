// Package fields cuts lines into fields.
package fields

import (
	"bytes"
	"strings"
)

// Splitter cuts a line into fields. The zero Splitter cuts at blanks, and takes what is in
// [brackets] or in "quotes" for one field: field 4 of an access log is its time and field 9 the
// user agent. With a separator every occurrence separates, as in cut -d.
type Splitter struct{ Sep string }

// New returns the Splitter for the flag -sep: sep is the separator, in which \t is a tab, or empty
// for blanks.
func New(sep string) Splitter { return Splitter{strings.ReplaceAll(sep, `\t`, "\t")} }

// Nth returns the nth field of line, counted from 1, and whether there is one.
func (s Splitter) Nth(line []byte, n int) ([]byte, bool) {
	for ; ; n-- {
		field, rest, ok := s.Cut(line)
		if !ok || n == 1 {
			return field, ok
		}
		line = rest
	}
}

// Cut returns the first field of line without its brackets or quotes, and what follows. A nil line
// has no fields.
func (s Splitter) Cut(line []byte) (field, rest []byte, ok bool) {
	if s.Sep != "" {
		if line == nil {
			return nil, nil, false
		}
		field, rest, found := bytes.Cut(line, []byte(s.Sep))
		if !found {
			rest = nil
		}
		return Unwrap(bytes.TrimSpace(field)), rest, true
	}
	line = bytes.TrimLeft(line, " \t\r")
	if len(line) == 0 {
		return nil, nil, false
	}
	if end := wrapped(line); end > 0 {
		return line[1:end], line[end+1:], true
	}
	if i := bytes.IndexAny(line, " \t\r"); i >= 0 {
		return line[:i], line[i:], true
	}
	return line, nil, true
}

// wrapped returns where the bracket or quote that line begins with is closed, or 0.
func wrapped(line []byte) int {
	var closing byte
	switch line[0] {
	case '[':
		closing = ']'
	case '"':
		closing = '"'
	default:
		return 0
	}
	for i := 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++ // Apache writes a quote in a request as \"
		case closing:
			return i
		}
	}
	return 0
}

// Unwrap returns field without the brackets or quotes around it, if there are any.
func Unwrap(field []byte) []byte {
	if len(field) > 1 && wrapped(field) == len(field)-1 {
		return field[1 : len(field)-1]
	}
	return field
}

package main

import (
	"bytes"
	"strings"
)

// fields tells how a line is cut. The zero value cuts at blanks, and takes what is in [brackets] or in "quotes" for one field,
// so that field 4 of an access log is its time and field 9 the user agent. Otherwise every sep separates, as in cut -d.
type fields struct{ sep string }

// newFields reads the flag -sep.
func newFields(sep string) fields { return fields{strings.ReplaceAll(sep, `\t`, "\t")} }

// nth returns the nth field of line, counted from 1, and whether there is one.
func (f fields) nth(line []byte, n int) ([]byte, bool) {
	for ; ; n-- {
		field, rest, ok := f.cut(line)
		if !ok || n == 1 {
			return field, ok
		}
		line = rest
	}
}

// cut returns the first field of line without its brackets or quotes, and what follows. A nil line has no fields.
func (f fields) cut(line []byte) (field, rest []byte, ok bool) {
	if f.sep != "" {
		if line == nil {
			return nil, nil, false
		}
		field, rest, found := bytes.Cut(line, []byte(f.sep))
		if !found {
			rest = nil
		}
		return unwrap(bytes.TrimSpace(field)), rest, true
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

func unwrap(field []byte) []byte {
	if len(field) > 1 && wrapped(field) == len(field)-1 {
		return field[1 : len(field)-1]
	}
	return field
}

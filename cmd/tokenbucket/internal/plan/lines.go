package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/fields"
)

// fieldRef names a field of a line: by its number, counted from 1, or in JSON by its name. The zero
// fieldRef names none.
type fieldRef struct {
	n    int
	name string
}

func (f fieldRef) isSet() bool { return f.n > 0 || f.name != "" }

// parseFieldRef reads the number or the name of a field.
func parseFieldRef(s string) (fieldRef, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err == nil && n >= 1:
		return fieldRef{n: n}, nil
	case err == nil, errors.Is(err, strconv.ErrRange), s == "":
		return fieldRef{}, errors.New("want the number of a field, 1 or more, or in JSON its name")
	}
	return fieldRef{name: s}, nil
}

// request is what a line says: the time in ns since 1970, the zone in which it is written, and the
// key.
type request struct {
	ns   int64
	zone *time.Location
	key  []byte // valid until the next line is read
}

// lineReader reads requests from the lines of a log. If time is not set it looks for it: in the
// first line for a time of any format in any field; in the others for this format only, so that
// nothing else is taken for a time.
type lineReader struct {
	split     fields.Splitter
	time, key fieldRef
	format    timeFormat
	joined    []byte                     // a date and a time that were two fields
	object    map[string]json.RawMessage // of a line of JSON
}

// read reads the request of a line.
func (r *lineReader) read(line []byte) (request, error) {
	if trimmed := bytes.TrimLeft(line, " \t"); len(trimmed) > 0 && trimmed[0] == '{' {
		return r.readJSON(trimmed)
	}
	if name := r.time.name + r.key.name; name != "" {
		return request{}, fmt.Errorf("it is no JSON object, want one with the field %q", name)
	}
	t, err := r.findTime(line)
	if err != nil {
		return request{}, err
	}
	ns, err := nanoseconds(t)
	if err != nil {
		return request{}, err
	}
	req := request{ns: ns, zone: t.Location()}
	if r.key.n > 0 {
		var ok bool
		if req.key, ok = r.split.Nth(line, r.key.n); !ok {
			return request{}, fmt.Errorf("it has no field %d, want the key there", r.key.n)
		}
	}
	return req, nil
}

// findTime returns the time of a line of text.
func (r *lineReader) findTime(line []byte) (time.Time, error) {
	for n, rest := 1, line; ; n++ {
		field, next, ok := r.split.Cut(rest)
		switch {
		case !ok && r.time.n > 0:
			return time.Time{}, fmt.Errorf("it has no field %d, want a time there", r.time.n)
		case !ok:
			return time.Time{}, fmt.Errorf("no time in %q", clip(line, mostShown))
		case r.time.n == 0:
			if t, format, ok := parseTime(r.join(value(field), next), r.format); ok && (format != formatEpoch || inGuessedRange(t)) {
				r.format = format
				return t, nil
			}
		case r.time.n == n:
			t, _, ok := parseTime(r.join(field, next), anyFormat)
			if !ok {
				return t, fmt.Errorf("field %d is %q, want a time", n, clip(field, mostShown))
			}
			return t, nil
		}
		rest = next
	}
}

// value returns the value of a field like time=2026-01-02T15:04:05Z, or the field if it is none.
func value(field []byte) []byte {
	if name, value, ok := bytes.Cut(field, []byte("=")); ok && len(name) > 0 && len(name) <= len("timestamp") {
		return value
	}
	return field
}

// join returns field and the one or two that follow it, if they are a date, a time of day and
// perhaps a zone. Blanks separate fields, and such a time.
func (r *lineReader) join(field, next []byte) []byte {
	if len(field) != len("2006-01-02") || (field[4] != '-' && field[4] != '/') || field[4] != field[7] {
		return field
	}
	clock, next, ok := r.split.Cut(next)
	if !ok || len(clock) < len("15:04:05") || clock[2] != ':' {
		return field
	}
	r.joined = append(append(append(r.joined[:0], field...), ' '), clock...)
	if zone, _, ok := r.split.Cut(next); ok && isZone(zone) {
		r.joined = append(append(r.joined, ' '), zone...)
	}
	return r.joined
}

// isZone reports whether field looks like +0100, -07:00 or UTC.
func isZone(field []byte) bool {
	signed := len(field) > 0 && (field[0] == '+' || field[0] == '-')
	return signed && (len(field) == len("+0100") || len(field) == len("+01:00")) || string(field) == "UTC"
}

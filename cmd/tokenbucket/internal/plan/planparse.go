package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/fields"
)

// timeFormat is how a log writes the time.
type timeFormat int

const (
	anyFormat timeFormat = iota
	formatRFC3339
	formatCLF
	formatEpoch
)

// layoutCLF is the time of the common and the combined log format, which stands in brackets.
const layoutCLF = "02/Jan/2006:15:04:05 -0700"

// The seconds from which and before which a number is taken for an epoch time when nobody has said in which field it is: 1973
// to 5138. What else is a number in a log, as a status or a size, is rarely among them.
const minGuessed, maxGuessed = 1e8, 1e11

// timeReader finds the time in lines. If n is 0 it looks for it: in the first line for any format in any field, then, lest
// something else be taken for a time, for this format only.
type timeReader struct {
	split  fields.Splitter
	n      int // of the field, from 1; 0 is any
	format timeFormat
}

// read returns the time of line in ns since 1970, and the zone that it was written in.
func (r *timeReader) read(line []byte) (ns int64, zone *time.Location, err error) {
	if r.n > 0 {
		field, ok := r.split.Nth(line, r.n)
		if !ok {
			return 0, nil, fmt.Errorf("it has no field %d, want a time there", r.n)
		}
		t, _, ok := parseTime(field, anyFormat)
		if !ok {
			return 0, nil, fmt.Errorf("field %d is %q, want a time", r.n, clip(field, mostShown))
		}
		return inRange(t)
	}
	for rest := line; ; {
		field, next, ok := r.split.Cut(rest)
		if !ok {
			return 0, nil, fmt.Errorf("no time in %q", clip(line, mostShown))
		}
		if t, format, ok := parseTime(field, r.format); ok && (format != formatEpoch || guessed(t)) {
			r.format = format
			return inRange(t)
		}
		rest = next
	}
}

func guessed(t time.Time) bool { return t.Unix() >= minGuessed && t.Unix() < maxGuessed }

// inRange refuses what a number of ns since 1970 has no room for. It is also as far as a bucket counts.
func inRange(t time.Time) (int64, *time.Location, error) {
	if y := t.Year(); t.Unix() < 0 || y > 2261 {
		return 0, nil, fmt.Errorf("the year is %d, want 1970 to 2261", y)
	}
	return t.UnixNano(), t.Location(), nil
}

// mostShown is how many bytes of a line a message shows.
const mostShown = 60

// clip is the beginning of a line.
func clip(line []byte, most int) string {
	if len(line) > most {
		return strings.ToValidUTF8(string(line[:most]), "") + "..." // a character cut in two goes
	}
	return string(line)
}

// parseTime reads a field as a time, in the wanted format if it is not anyFormat. What a field can't be is seen by its first
// bytes: time.Parse is slow to say no.
func parseTime(field []byte, want timeFormat) (t time.Time, format timeFormat, ok bool) {
	field = fields.Unwrap(field)
	switch {
	case len(field) < 1 || field[0] < '0' || field[0] > '9':
		return t, 0, false
	case len(field) >= len("2006-01-02T15:04:05Z") && field[4] == '-':
		format = formatRFC3339
	case len(field) == len(layoutCLF) && field[2] == '/':
		format = formatCLF
	default:
		format = formatEpoch
	}
	if want != anyFormat && want != format {
		return t, 0, false
	}
	var err error
	switch format {
	case formatRFC3339:
		t, err = time.Parse(time.RFC3339, string(field))
	case formatCLF:
		t, err = time.Parse(layoutCLF, string(field))
	case formatEpoch:
		t, err = parseEpoch(string(field))
	}
	return t, format, err == nil
}

// parseEpoch reads seconds since 1970, with up to 9 decimals; what is beyond them is dropped.
func parseEpoch(s string) (time.Time, error) {
	whole, decimals, _ := strings.Cut(s, ".")
	sec, ok := digits(whole, 11) // to the year 5138
	if !ok {
		return time.Time{}, fmt.Errorf("%q is not a number of seconds", s)
	}
	if len(decimals) > 9 {
		if _, ok := digits(decimals[9:], len(decimals)); !ok {
			return time.Time{}, fmt.Errorf("%q is not a number of seconds", s)
		}
		decimals = decimals[:9]
	}
	ns, ok := digits(decimals+strings.Repeat("0", 9-len(decimals)), 9)
	if !ok {
		return time.Time{}, fmt.Errorf("%q is not a number of seconds", s)
	}
	return time.Unix(sec, ns).UTC(), nil
}

// digits reads 1 to most digits. strconv takes signs, too.
func digits(s string, most int) (n int64, ok bool) {
	if len(s) == 0 || len(s) > most {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if i < 18 { // more digits than that are only checked, never used
			n = 10*n + int64(s[i]-'0')
		}
	}
	return n, true
}

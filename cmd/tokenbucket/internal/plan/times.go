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
	anyFormat   timeFormat = iota
	formatISO              // 2006-01-02T15:04:05, with or without fraction and zone
	formatDash             // 2006-01-02 15:04:05, likewise
	formatSlash            // 2006/01/02 15:04:05, likewise
	formatCLF              // that of the common and the combined log format
	formatEpoch            // seconds since 1970 with or without fraction; or ms, us or ns
)

// layoutCLF is the time of the common and the combined log format, which stands in brackets.
const layoutCLF = "02/Jan/2006:15:04:05 -0700"

// The bounds between the units of an epoch time, which also bound what is taken for one where no
// field is named: 1973 to 5138 in each unit. Other numbers of a log, as a status or a size, are
// seldom among them.
const (
	minSeconds = 1e8
	minMillis  = 1e11
	minMicros  = 1e14
	minNanos   = 1e17
)

// mostShown is how many bytes of a line a message shows.
const mostShown = 60

// clip returns the first most bytes of text, for a message.
func clip(text []byte, most int) string {
	if len(text) > most {
		// The cut may have left a part of a character.
		return strings.ToValidUTF8(string(text[:most]), "") + "..."
	}
	return string(text)
}

// parseTime reads text as a time, in the wanted format unless that is anyFormat. A time without a
// zone is UTC. The first bytes decide which format is tried, because time.Parse is slow to fail.
func parseTime(text []byte, want timeFormat) (t time.Time, format timeFormat, ok bool) {
	text = fields.Unwrap(text)
	format = guessFormat(text)
	if format == anyFormat || want != anyFormat && want != format {
		return t, 0, false
	}
	s := string(text)
	switch format {
	case formatISO:
		t, ok = parseLayouts(s, "2006-01-02T15:04:05")
	case formatDash:
		t, ok = parseLayouts(s, "2006-01-02 15:04:05")
	case formatSlash:
		t, ok = parseLayouts(s, "2006/01/02 15:04:05")
	case formatCLF:
		var err error
		t, err = time.Parse(layoutCLF, s)
		ok = err == nil
	case formatEpoch:
		t, ok = parseEpoch(s)
	}
	return t, format, ok
}

func guessFormat(text []byte) timeFormat {
	const shortest = len("2006-01-02 15:04:05")
	switch {
	case len(text) == 0 || text[0] < '0' || text[0] > '9':
		return anyFormat
	case len(text) == len(layoutCLF) && text[2] == '/':
		return formatCLF
	case len(text) < shortest:
		return formatEpoch
	case text[4] == '-' && text[10] == 'T':
		return formatISO
	case text[4] == '-' && text[10] == ' ':
		return formatDash
	case text[4] == '/' && text[10] == ' ':
		return formatSlash
	}
	return formatEpoch
}

// parseLayouts reads a time in the layout, which may be followed by a fraction, with a point or a
// comma, and by a zone.
func parseLayouts(s, layout string) (time.Time, bool) {
	zones := []string{"Z07:00", "", "Z0700", " Z0700", " Z07:00", " UTC"}
	if len(s) == len(layout) {
		zones = zones[1:2]
	}
	for _, zone := range zones {
		if t, err := time.Parse(layout+zone, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseEpoch reads a number of seconds since 1970 with decimals or without, or of milliseconds,
// microseconds or nanoseconds, which are told by their size. Decimals beyond a nanosecond are
// dropped.
func parseEpoch(s string) (time.Time, bool) {
	whole, decimals, _ := strings.Cut(s, ".")
	n, ok := digits(whole, 19)
	if !ok || decimals != "" && !allDigits(decimals) {
		return time.Time{}, false
	}
	unit, perSecond := int64(time.Second), int64(1)
	switch {
	case n >= minNanos:
		unit, perSecond = 1, 1e9
	case n >= minMicros:
		unit, perSecond = int64(time.Microsecond), 1e6
	case n >= minMillis:
		unit, perSecond = int64(time.Millisecond), 1e3
	}
	var fraction int64 // of the unit, in ns
	for i, scale := 0, unit; i < len(decimals) && scale > 1; i++ {
		scale /= 10
		fraction += int64(decimals[i]-'0') * scale
	}
	return time.Unix(n/perSecond, n%perSecond*unit+fraction).UTC(), true
}

// inGuessedRange reports whether an epoch time is likely to be one.
func inGuessedRange(t time.Time) bool { return t.Unix() >= minSeconds && t.Unix() < minMillis }

// digits reads a number of 1 to most digits. strconv accepts signs, too.
func digits(s string, most int) (n int64, ok bool) {
	if len(s) > most || !allDigits(s) {
		return 0, false
	}
	for i := range len(s) {
		d := int64(s[i] - '0')
		if n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = 10*n + d
	}
	return n, true
}

func allDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' }) < 0
}

// nanoseconds returns t as ns since 1970. It refuses times for which an int64 of ns has no room; no
// bucket counts further.
func nanoseconds(t time.Time) (int64, error) {
	if y := t.Year(); t.Unix() < 0 || y > 2261 {
		return 0, fmt.Errorf("the year is %d, want 1970 to 2261", y)
	}
	return t.UnixNano(), nil
}

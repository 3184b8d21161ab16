package tokenbucket

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Limit is what a bucket enforces: it holds at most Burst tokens and refills at Rate. It is a plain
// comparable value that may be copied freely. The zero Limit is not valid, because its burst is 0.
//
// As text a Limit is "10/s burst 20"; in JSON it is {"rate":"10/s","burst":20}. Only valid limits and
// the zero Limit are written and read, so data with a missing or impossible burst is an error.
type Limit struct {
	Rate  Rate
	Burst int // 1 to math.MaxInt; more than 2^61 is held as 2^61
}

// Validate returns an error if Burst is less than 1. Every Rate is valid.
func (l Limit) Validate() error {
	if l.Burst < 1 {
		return fmt.Errorf("tokenbucket: Limit: Burst is %d, want 1 to math.MaxInt", l.Burst)
	}
	return nil
}

// String returns the limit as in "10/s burst 20". [Limit.UnmarshalText] reads it back.
func (l Limit) String() string { return fmt.Sprintf("%v burst %d", l.Rate, l.Burst) }

// MarshalText implements [encoding.TextMarshaler] by [Limit.String]. It returns the error of
// [Limit.Validate] for a limit that is neither valid nor zero.
func (l Limit) MarshalText() ([]byte, error) {
	if err := l.writable(); err != nil {
		return nil, err
	}
	return []byte(l.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads what [Limit.String] prints, with any
// rate that [ParseRate] reads. On an error l is unchanged.
func (l *Limit) UnmarshalText(text []byte) error {
	if len(text) > maxLimitText {
		return fmt.Errorf("tokenbucket: limit %.16q... has %d bytes, want at most %d", text, len(text), maxLimitText)
	}
	rate, burst, ok := strings.Cut(string(text), " burst ")
	if !ok {
		return fmt.Errorf(`tokenbucket: limit %q: want a rate and a burst, such as "10/s burst 20"`, text)
	}
	r, err := ParseRate(rate)
	if err != nil {
		return fmt.Errorf("tokenbucket: limit %q: %w", text, err)
	}
	n, err := parseBurst(burst)
	if err != nil {
		return fmt.Errorf("tokenbucket: limit %q: %w", text, err)
	}
	return l.set(Limit{Rate: r, Burst: n})
}

// maxLimitText is room for the longest rate, " burst " and 64 bits in decimal.
const maxLimitText = maxRateText + len(" burst ") + 20

// parseBurst reads a burst as strconv prints it. 0 is read too: it is that of the zero Limit.
func parseBurst(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("burst is %q, want 1 to math.MaxInt", s)
	}
	return n, nil
}

// MarshalJSON implements [json.Marshaler]: the limit as in {"rate":"10/s","burst":20}. It returns the
// error of [Limit.Validate] for a limit that is neither valid nor zero.
func (l Limit) MarshalJSON() ([]byte, error) {
	if err := l.writable(); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"rate":"%v","burst":%d}`, l.Rate, l.Burst), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. It reads an object with a rate, a string as [ParseRate]
// reads it, and a burst, a number; neither may be missing. It ignores other members. It also reads a
// string, as [Limit.UnmarshalText] does. By the convention of [json.Unmarshaler], null does nothing.
// On an error l is unchanged.
func (l *Limit) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		return l.UnmarshalText([]byte(text))
	}
	if string(data) == "null" {
		return nil
	}
	var members struct {
		Rate  *Rate
		Burst *int
	}
	if err := json.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("tokenbucket: limit: %w", err)
	}
	if members.Rate == nil {
		return missing("rate")
	}
	if members.Burst == nil {
		return missing("burst")
	}
	return l.set(Limit{Rate: *members.Rate, Burst: *members.Burst})
}

func missing(member string) error {
	return fmt.Errorf(`tokenbucket: limit: %s is missing, want {"rate":"10/s","burst":20}`, member)
}

// set makes l the limit that was read, if such a one may be written.
func (l *Limit) set(read Limit) error {
	if err := read.writable(); err != nil {
		return err
	}
	*l = read
	return nil
}

// writable returns an error if l is neither valid nor zero. A zero Limit is often a field that was
// not set, and a configuration with such a field has to read back.
func (l Limit) writable() error {
	if l == (Limit{}) {
		return nil
	}
	return l.Validate()
}

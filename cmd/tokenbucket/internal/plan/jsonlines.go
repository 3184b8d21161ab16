package plan

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// timeNames are the names under which loggers write the time, in the order in which they are looked
// for: slog and logrus, zap, others, Elastic, and the variables of nginx.
var timeNames = []string{"time", "ts", "timestamp", "@timestamp", "time_iso8601", "time_local", "msec", "datetime", "date", "t"}

// readJSON reads the request of a line that is a JSON object.
func (r *lineReader) readJSON(line []byte) (request, error) {
	if n := r.time.n + r.key.n; n > 0 {
		return request{}, fmt.Errorf("it is a JSON object, want the names of its fields for -time and -key, not %d", n)
	}
	clear(r.object)
	if err := json.Unmarshal(line, &r.object); err != nil {
		return request{}, fmt.Errorf("it is no JSON object: %w", err)
	}
	t, err := r.jsonTime(line)
	if err != nil {
		return request{}, err
	}
	ns, err := nanoseconds(t)
	if err != nil {
		return request{}, err
	}
	req := request{ns: ns, zone: t.Location()}
	if r.key.name != "" {
		raw, ok := r.jsonField(r.key.name)
		if !ok {
			return request{}, fmt.Errorf("it has no field %q, want the key there", r.key.name)
		}
		req.key = jsonText(raw)
	}
	return req, nil
}

func (r *lineReader) jsonTime(line []byte) (time.Time, error) {
	if name := r.time.name; name != "" {
		raw, ok := r.jsonField(name)
		if !ok {
			return time.Time{}, fmt.Errorf("it has no field %q, want a time there", name)
		}
		t, ok := parseJSONTime(raw)
		if !ok {
			return t, fmt.Errorf("the field %q is %q, want a time", name, clip(raw, mostShown))
		}
		return t, nil
	}
	for _, name := range timeNames {
		if raw, ok := r.object[name]; ok {
			if t, ok := parseJSONTime(raw); ok {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("no time in %q, want one in a field such as %q", clip(line, mostShown), timeNames[0])
}

// jsonField returns the field with this name, or with a.b the field b of the object a.
func (r *lineReader) jsonField(name string) (json.RawMessage, bool) {
	if raw, ok := r.object[name]; ok {
		return raw, true
	}
	outer, inner, ok := strings.Cut(name, ".")
	object := r.object
	for ok {
		var next map[string]json.RawMessage
		if json.Unmarshal(object[outer], &next) != nil {
			return nil, false
		}
		if raw, found := next[inner]; found {
			return raw, true
		}
		object = next
		outer, inner, ok = strings.Cut(inner, ".")
	}
	return nil, false
}

// jsonText returns the text of a string, and any other value as it is written.
func jsonText(raw json.RawMessage) []byte {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return []byte(s)
	}
	return raw
}

// parseJSONTime reads a time from a string, or from a number, which may have an exponent.
func parseJSONTime(raw json.RawMessage) (time.Time, bool) {
	text := jsonText(raw)
	if t, _, ok := parseTime(text, anyFormat); ok {
		return t, true
	}
	x, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || x < 0 || x >= 1<<63 {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(x)
	return parseEpoch(strconv.FormatFloat(whole, 'f', 0, 64) + strings.TrimPrefix(strconv.FormatFloat(fraction, 'f', 9, 64), "0"))
}

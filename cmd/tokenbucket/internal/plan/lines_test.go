package plan

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestJSONLines(t *testing.T) {
	for _, c := range []struct {
		time, key  string
		line, want string // the time and the key, or a part of the error
	}{
		{"", "remote", `{"time":"2026-01-02T15:04:05.678+01:00","level":"INFO","msg":"m","remote":"a b"}`, "2026-01-02T14:04:05.678Z a b"}, // slog
		{"", "logger", `{"level":"info","ts":1767366245.678,"logger":"http","msg":"m"}`, "2026-01-02T15:04:05.678Z http"},                  // zap
		{"", "", `{"level":"info","ts":1.767366245678e9}`, "2026-01-02T15:04:05.677999973Z "},                                              // a double has no more digits
		{"", "", `{"ts":"2026-01-02T15:04:05.678+0100"}`, "2026-01-02T14:04:05.678Z "},                                                     // zap's ISO 8601
		{"", "remote_addr", `{"time_iso8601":"2026-01-02T15:04:05+00:00","remote_addr":"192.0.2.1"}`, "2026-01-02T15:04:05Z 192.0.2.1"},    // nginx
		{"", "status", `{"time_local":"02/Jan/2026:15:04:05 +0000","status":404}`, "2026-01-02T15:04:05Z 404"},
		{"", "", `{"msec":"1767366245.678"}`, "2026-01-02T15:04:05.678Z "},
		{"", "request.remote_ip", `{"ts":1767366245,"request":{"remote_ip":"192.0.2.1"}}`, "2026-01-02T15:04:05Z 192.0.2.1"}, // caddy
		{"at", "", `{"time":"2026-01-02T15:04:05Z","at":17}`, "1970-01-01T00:00:17Z "},
		{"at", "", `{"time":"2026-01-02T15:04:05Z"}`, `it has no field "at", want a time there`},
		{"at", "", `{"at":"noon"}`, `the field "at" is "\"noon\"", want a time`},
		{"", "ip", `{"time":"2026-01-02T15:04:05Z"}`, `it has no field "ip", want the key there`},
		{"", "a.b.c", `{"time":"2026-01-02T15:04:05Z","a":{"b":[]}}`, `it has no field "a.b.c"`},
		{"", "", `{"msg":"no time"}`, `no time in`},
		{"", "", `{"time":`, `it is no JSON object: unexpected end`},
		{"", "3", `{"time":"2026-01-02T15:04:05Z"}`, `it is a JSON object, want the names of its fields for -time and -key, not 3`},
		{"", "ip", `2026-01-02T15:04:05Z x`, `it is no JSON object, want one with the field "ip"`},
		{"", "", `{"time":"2263-01-02T15:04:05Z"}`, `the year is 2263, want 1970 to 2261`},
		{"", "", `{"time":-5,"ts":1e300}`, `no time in`},
	} {
		var r lineReader
		var err error
		if c.time != "" {
			r.time, err = parseFieldRef(c.time)
		}
		if c.key != "" && err == nil {
			r.key, err = parseFieldRef(c.key)
		}
		if err != nil {
			t.Fatal(err)
		}
		req, err := r.read([]byte(c.line))
		got := time.Unix(0, req.ns).UTC().Format(time.RFC3339Nano) + " " + string(req.key)
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("-time %q -key %q of %s: %q, want %q", c.time, c.key, c.line, got, c.want)
		}
	}
}

// Of any line, a time is within its range, and reading changes nothing of it.
func FuzzLine(f *testing.F) {
	for _, line := range []string{
		`203.0.113.7 - - [02/Jan/2026:15:04:05 +0100] "GET / HTTP/1.1" 200 5120`, "2026-01-02 15:04:05,678 +0100 x", "2026/01/02 15:04:05 x",
		"1700000000123", "time=2026-01-02T15:04:05Z", `{"time":"2026-01-02T15:04:05Z","k":{"l":1}}`, `{"ts":1.7e9,"k":"x"}`, "[[", `"\`,
	} {
		f.Add([]byte(line), "", uint8(0))
		f.Add([]byte(line), ",", uint8(2))
	}
	f.Fuzz(func(t *testing.T, line []byte, sep string, n uint8) {
		before := bytes.Clone(line)
		for _, r := range []lineReader{{key: fieldRef{n: int(n)}}, {key: fieldRef{name: "k.l"}}, {time: fieldRef{n: int(n)}}, {time: fieldRef{name: "ts"}}} {
			r.split.Sep = sep
			req, err := r.read(line)
			if err == nil && (req.ns < 0 || req.zone == nil) {
				t.Errorf("the time of %q is %d in %v", line, req.ns, req.zone)
			}
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("the error has %d bytes: %.100q", len(err.Error()), err)
			}
		}
		if !bytes.Equal(line, before) {
			t.Errorf("reading changes %q to %q", before, line)
		}
	})
}

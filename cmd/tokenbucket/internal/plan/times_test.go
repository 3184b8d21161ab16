package plan

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	at := func(s string) string {
		ns, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return ns.UTC().Format(time.RFC3339Nano)
	}
	for _, c := range []struct {
		n          int
		line, want string // "" is none
	}{
		{0, "2026-01-02T15:04:05Z x", at("2026-01-02T15:04:05Z")},
		{0, "level=info 2026-01-02T15:04:05.123456789+05:30", at("2026-01-02T15:04:05.123456789+05:30")},
		{0, "[2026-01-02T15:04:05Z] x", at("2026-01-02T15:04:05Z")},
		{0, `h - - [02/Jan/2026:15:04:05 -0700] "GET / HTTP/1.1" 200 1234567890`, at("2026-01-02T15:04:05-07:00")},
		{0, "1700000000", at("2023-11-14T22:13:20Z")},
		{0, "1700000000.25 x", at("2023-11-14T22:13:20.25Z")},
		{0, "1700000000.1234567899 x", at("2023-11-14T22:13:20.123456789Z")},
		{0, "x 200 17 1700000000", at("2023-11-14T22:13:20Z")}, // 200 and 17 are no times of our days
		{1, "17", at("1970-01-01T00:00:17Z")},
		{2, "1700000000 17.5", at("1970-01-01T00:00:17.5Z")},
		{0, "no time", ""},
		{0, "", ""},
		{0, "17", ""},
		{0, "-1700000000", ""},
		{0, "1700000000.", at("2023-11-14T22:13:20Z")},
		{0, "1700000000.x", ""},
		{0, "1700000000.1234567891x", ""},
		{0, "1700000000e1", ""},
		{0, "1700000000123", at("2023-11-14T22:13:20.123Z")},
		{0, "1700000000123.5 x", at("2023-11-14T22:13:20.1235Z")},
		{0, "1700000000123456", at("2023-11-14T22:13:20.123456Z")},
		{0, "1700000000123456789", at("2023-11-14T22:13:20.123456789Z")},
		{0, "99999999999999999999", ""},
		{0, "2026-01-02 15:04:05 x", at("2026-01-02T15:04:05Z")},
		{0, "2026-01-02 15:04:05,678 INFO x", at("2026-01-02T15:04:05.678Z")},
		{0, "2026-01-02 15:04:05.678 +0100 x", at("2026-01-02T15:04:05.678+01:00")},
		{0, "2026-01-02 15:04:05 +01:00 x", at("2026-01-02T15:04:05+01:00")},
		{0, "2026-01-02 15:04:05 UTC x", at("2026-01-02T15:04:05Z")},
		{0, "[2026-01-02 15:04:05] x", at("2026-01-02T15:04:05Z")},
		{0, "2026/01/02 15:04:05 main.go:7: x", at("2026-01-02T15:04:05Z")},
		{0, "2026/01/02 15:04:05.123456 x", at("2026-01-02T15:04:05.123456Z")},
		{0, "2026/01/02 15:04:05 [error] 7#7: x", at("2026-01-02T15:04:05Z")},
		{0, "2026-01-02 x 15:04:05", ""},
		{0, "2026-01-02", ""},
		{0, "2026/01-02 15:04:05", ""},
		{2, "x 2026-01-02 15:04:05", at("2026-01-02T15:04:05Z")},
		{0, "time=2026-01-02T15:04:05.678Z level=INFO", at("2026-01-02T15:04:05.678Z")},
		{0, "2026-01-02T15:04:05.000+0100 x", at("2026-01-02T15:04:05+01:00")},
		{0, "2026-02-30T00:00:00Z", ""},
		{0, "2026-01-02T15:04:05", at("2026-01-02T15:04:05Z")},
		{0, "[32/Jan/2026:15:04:05 -0700]", ""},
		{0, "1969-12-31T23:59:59Z", ""},
		{0, "2262-01-01T00:00:00Z", ""},
		{3, "1700000000 17", ""},
	} {
		r := lineReader{time: fieldRef{n: c.n}}
		req, err := r.read([]byte(c.line))
		got := ""
		if err == nil {
			got = time.Unix(0, req.ns).UTC().Format(time.RFC3339Nano)
		}
		if got != c.want {
			t.Errorf("the time of %q is %q (%v), want %q", c.line, got, err, c.want)
		}
	}
}

// Once the format is known, nothing else is taken for a time.
func TestFormatIsKept(t *testing.T) {
	r := lineReader{}
	if _, err := r.read([]byte(`h - - [02/Jan/2026:15:04:05 -0700] "GET /" 200 1700000000`)); err != nil {
		t.Fatal(err)
	}
	if req, err := r.read([]byte(`h - - [broken] "GET /" 200 1700000000`)); err == nil {
		t.Errorf("a size is taken for the time %d", req.ns)
	}
	if _, err := r.read([]byte(`h - a user [02/Jan/2026:15:04:06 -0700] "GET /" 200`)); err != nil {
		t.Errorf("a field more in front: %v", err)
	}
}

func TestPlainText(t *testing.T) {
	if got := plainText("a\x01\xff<"); got != "a\ufffd\ufffd<" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkPlanLine(b *testing.B) {
	for name, line := range map[string]string{
		"combined": `203.0.113.7 - - [02/Jan/2026:15:04:05 +0100] "GET /docs HTTP/1.1" 200 5120 "-" "Mozilla/5.0 (X11) Firefox/140.0"`,
		"JSON":     `{"time":"2026-01-02T15:04:05Z","level":"INFO","msg":"request","remote":"203.0.113.7","path":"/docs","status":200}`,
	} {
		b.Run(name, func(b *testing.B) {
			l, s := limitOf(b, "10/s", 20)
			p := &plan{replay: newReplay(l, s, 100)}
			p.reader.key = fieldRef{n: 1}
			if line[0] == '{' {
				p.reader.key = fieldRef{name: "remote"}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.take(1, []byte(line)); err != nil || p.leftOut.Count > 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

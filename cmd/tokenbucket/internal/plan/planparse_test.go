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
		{0, "1700000000123", ""}, // ms
		{0, "2026-02-30T00:00:00Z", ""},
		{0, "2026-01-02T15:04:05", ""}, // in which zone?
		{0, "[32/Jan/2026:15:04:05 -0700]", ""},
		{0, "1969-12-31T23:59:59Z", ""},
		{0, "2262-01-01T00:00:00Z", ""},
		{3, "1700000000 17", ""},
	} {
		r := timeReader{n: c.n}
		ns, _, err := r.read([]byte(c.line))
		got := ""
		if err == nil {
			got = time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
		}
		if got != c.want {
			t.Errorf("the time of %q is %q (%v), want %q", c.line, got, err, c.want)
		}
	}
}

// Once the format is known, nothing else is taken for a time.
func TestFormatIsKept(t *testing.T) {
	r := timeReader{}
	if _, _, err := r.read([]byte(`h - - [02/Jan/2026:15:04:05 -0700] "GET /" 200 1700000000`)); err != nil {
		t.Fatal(err)
	}
	if ns, _, err := r.read([]byte(`h - - [broken] "GET /" 200 1700000000`)); err == nil {
		t.Errorf("a size is taken for the time %d", ns)
	}
	if _, _, err := r.read([]byte(`h - a user [02/Jan/2026:15:04:06 -0700] "GET /" 200`)); err != nil {
		t.Errorf("a field more in front: %v", err)
	}
}

func TestPlural(t *testing.T) {
	if got := plural(1, "line") + plural(0, "line") + clip([]byte("ünïcödé"), 4); got != "1 line0 linesün..." {
		t.Errorf("got %q", got)
	}
	if got := plainText("a\x01\xff<"); got != "a\ufffd\ufffd<" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkPlanLine(b *testing.B) {
	l, s := limitOf(b, "10/s", 20)
	p := &plan{replay: newReplay(l, s, 100, true), times: timeReader{}, options: options{key: 1}}
	line := []byte(`203.0.113.7 - - [02/Jan/2026:15:04:05 +0100] "GET /docs HTTP/1.1" 200 5120 "-" "Mozilla/5.0 (X11) Firefox/140.0"`)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.take(1, line); err != nil {
			b.Fatal(err)
		}
	}
}

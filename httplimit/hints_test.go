package httplimit

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

// now is the instant at which the hints of these tests are read.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const httpNow = "Sun, 01 Mar 2026 12:00:00 GMT"

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestHint(t *testing.T) {
	const century = 100 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name   string
		status int
		h      http.Header
		want   time.Duration
	}{
		{"nothing", 429, headers(), 0},
		{"seconds", 429, headers("Retry-After", "120"), 2 * time.Minute},
		{"a date", 503, headers("Retry-After", "Sun, 01 Mar 2026 12:01:30 GMT"), 90 * time.Second},
		{"a date of RFC 850", 503, headers("Retry-After", "Sunday, 01-Mar-26 12:01:30 GMT"), 90 * time.Second},
		{"a date by the server's clock", 503, headers("Date", "Sun, 01 Mar 2026 15:00:00 GMT", "Retry-After", "Sun, 01 Mar 2026 15:01:30 GMT"), 90 * time.Second},
		{"a broken clock", 503, headers("Date", "yesterday", "Retry-After", "Sun, 01 Mar 2026 12:01:30 GMT"), 90 * time.Second},
		{"a date in the past", 503, headers("Retry-After", "Sun, 01 Mar 2026 11:00:00 GMT"), 0},
		{"a century", 429, headers("Retry-After", "3153600000"), century},
		{"more than there is", 429, headers("Retry-After", "99999999999999999999999"), 1<<63 - 1},
		{"a fraction", 429, headers("Retry-After", "1.5"), 1500 * time.Millisecond},
		{"milliseconds", 429, headers("Retry-After-Ms", "250"), 250 * time.Millisecond},
		{"zero", 429, headers("Retry-After", "0"), 0},
		{"negative", 429, headers("Retry-After", "-1"), 0},
		{"plus", 429, headers("Retry-After", "+1"), 0},
		{"an exponent", 429, headers("Retry-After", "1e3"), 0},
		{"hexadecimal", 429, headers("Retry-After", "0x10"), 0},
		{"junk", 429, headers("Retry-After", "soon"), 0},
		{"a long number", 429, headers("Retry-After", strings.Repeat("1", 65)), 0},
		{"a redirect's", 301, headers("Retry-After", "5"), 0},
		{"GitHub's second limit", 403, headers("Retry-After", "60"), time.Minute},

		{"the draft", 200, headers("RateLimit", `"default";r=0;t=7`), 7 * time.Second},
		{"the draft with something left", 429, headers("RateLimit", `"default";r=1;t=7`), 0},
		{"the draft without a time", 429, headers("RateLimit", `"default";r=0`), 0},
		{"the draft without r", 429, headers("RateLimit", `"default";t=7`), 0},
		{"the draft's longest", 200, headers("RateLimit", `"a";r=0;t=3, "b";r=9;t=99,"c";r=0;t=5;pk=:Zm9v==:`), 5 * time.Second},
		{"the draft on two lines", 200, headers("RateLimit", `"a";r=0;t=3`, "RateLimit", `b;x;t=4;r=0`), 4 * time.Second},
		{"the draft behind Retry-After", 429, headers("Retry-After", "2", "RateLimit", `"a";r=0;t=300`), 2 * time.Second},
		{"version 07", 200, headers("RateLimit", "limit=10, remaining=0, reset=5"), 5 * time.Second},
		{"version 07 with something left", 200, headers("RateLimit", "limit=10, remaining=1, reset=5"), 0},
		{"version 06", 200, headers("RateLimit-Remaining", "0", "RateLimit-Reset", "6"), 6 * time.Second},
		{"a century in the draft", 200, headers("RateLimit", `"a";r=0;t=999999999999999`), maxDelta * time.Second},
		{"junk in the draft", 200, headers("RateLimit", `"a";r=0;t=3, ???=`), 0},
		{"an open string", 200, headers("RateLimit", `"a;r=0;t=3`), 0},
		{"negative in the draft", 200, headers("RateLimit", `"a";r=-1;t=3`), 0},
		{"a negative time in the draft", 200, headers("RateLimit", `"a";r=0;t=-3`), 0},
		{"no name of a parameter", 200, headers("RateLimit", `"a";=0;t=3`), 0},
		{"no value", 200, headers("RateLimit", `"a";r=;t=3`), 0},
		{"no value in version 07", 200, headers("RateLimit", `remaining=`), 0},
		{"open bytes", 200, headers("RateLimit", `:YWJj;r=0;t=3`), 0},
		{"bytes", 200, headers("RateLimit", `:YWJj:;r=0;t=3`), 3 * time.Second},
		{"two items without a comma", 200, headers("RateLimit", `"a";r=0;t=3 "b"`), 0},
		{"too long", 200, headers("RateLimit", `"a";r=0;t=3`+strings.Repeat(" ", maxDraft)), 0},

		{"GitHub", 403, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772366700"), 5 * time.Minute},
		{"GitHub with something left", 200, headers("X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", "1772366700"), 0},
		{"GitHub, past", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772366399"), 0},
		{"GitHub by its clock", 403, headers("Date", "Sun, 01 Mar 2026 12:04:00 GMT", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772366700"), time.Minute},
		{"a fraction since 1970", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772366400.75"), 750 * time.Millisecond},
		{"a fraction of a millisecond", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772366401500.5"), 1500500 * time.Microsecond},
		{"milliseconds since 1970", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772366401500"), 1500 * time.Millisecond},
		{"the year 5000", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "95617584000.5"), math.MaxInt64},
		{"the year 4500 in milliseconds", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "99990000000000"), math.MaxInt64},
		{"the year 300000", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "900000000000000"), 0},
		{"a delta", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "17"), 17 * time.Second},
		{"Reddit", 200, headers("X-RateLimit-Remaining", "0.0", "X-RateLimit-Reset", "17"), 17 * time.Second},
		{"Discord", 200, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset-After", "1.25"), 1250 * time.Millisecond},
		{"X", 429, headers("X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", "1772366410"), 10 * time.Second},
		{"an HTTP date", 429, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "Sun, 01 Mar 2026 12:00:20 GMT"), 20 * time.Second},
		{"OpenAI", 200, headers("X-RateLimit-Remaining-Requests", "0", "X-RateLimit-Reset-Requests", "6m0s",
			"X-RateLimit-Remaining-Tokens", "0", "X-RateLimit-Reset-Tokens", "20ms"), 6 * time.Minute},
		{"OpenAI with something left", 200, headers("X-RateLimit-Remaining-Requests", "59", "X-RateLimit-Reset-Requests", "6m0s"), 0},
		{"a negative duration", 200, headers("X-RateLimit-Remaining-Tokens", "0", "X-RateLimit-Reset-Tokens", "-6m0s"), 0},
		{"Anthropic", 429, headers("Anthropic-RateLimit-Input-Tokens-Remaining", "0", "Anthropic-RateLimit-Input-Tokens-Reset", "2026-03-01T12:00:42Z"), 42 * time.Second},
		{"RFC 3339 with a zone", 429, headers("Anthropic-RateLimit-Requests-Remaining", "0", "Anthropic-RateLimit-Requests-Reset", "2026-03-01T14:00:42+02:00"), 42 * time.Second},
		{"RFC 3339, past", 429, headers("Anthropic-RateLimit-Requests-Remaining", "0", "Anthropic-RateLimit-Requests-Reset", "2025-03-01T14:00:42Z"), 0},
		{"junk", 429, headers("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "tomorrow"), 0},
		{"junk left", 429, headers("X-RateLimit-Remaining", "-5", "X-RateLimit-Reset", "10"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, want := hint(c.h, c.status, now), (advice{pause: c.want}); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// TestHintPace: what is not refused is not to be slowed below the rate that RateLimit-Policy gives.
func TestHintPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		status        int
		state, policy string
		want          advice
	}{
		{200, `"a";r=0;t=1`, `"a";q=100;w=1`, advice{every: 10 * ms}},
		{404, `"a";r=0;t=1`, `"a";q=100;w=1`, advice{every: 10 * ms}},
		{200, `"a";r=0;t=1`, `"a";q=3;w=1`, advice{every: 333333334}},
		{200, `"a";r=0;t=2`, `"a";q=1;w=60`, advice{every: 2 * time.Second}},
		{200, `"a";r=1;t=1`, `"a";q=100;w=1`, advice{}},
		{200, `"a";r=0;t=0`, `"a";q=100;w=1`, advice{}},
		{200, `"a";r=0;t=7`, `"b";q=100;w=1`, advice{pause: 7 * time.Second}},
		{200, `"a";r=0;t=7`, `"a";q=100`, advice{pause: 7 * time.Second}},
		{200, `"a";r=0;t=7`, `"a";q=0;w=9`, advice{pause: 7 * time.Second}},
		{200, `"a";r=0;t=7`, `"a";q=100;w=1, ?=`, advice{pause: 7 * time.Second}},
		{200, `"a";r=0;t=7`, `"a";q=100;w=1, "a";q=1;w=1`, advice{every: time.Second}},
		{200, `"a";r=0;t=7, "b";r=0;t=3`, `"a";q=5;w=1`, advice{every: 200 * ms, pause: 3 * time.Second}},
		{200, `"a";r=0;t=9`, `"a";q=1;w=999999999999999`, advice{every: 9 * time.Second}},
		{429, `"a";r=0;t=7`, `"a";q=100;w=1`, advice{pause: 7 * time.Second}},
		{403, `"a";r=0;t=7`, `"a";q=100;w=1`, advice{pause: 7 * time.Second}},
	} {
		h := headers("RateLimit", c.state, "RateLimit-Policy", c.policy)
		if got := hint(h, c.status, now); got != c.want {
			t.Errorf("%d %s %s: %v, want %v", c.status, c.state, c.policy, got, c.want)
		}
	}
}

func TestHeedCaps(t *testing.T) {
	h := headers("RateLimit", `"a";r=0;t=999999, "b";r=0;t=999999`, "RateLimit-Policy", `"a";q=1;w=999999`)
	for _, c := range []struct{ max, want time.Duration }{{0, time.Hour}, {time.Minute, time.Minute}} {
		tr := &Transport{MaxPause: c.max}
		if got, want := tr.heed(&http.Response{StatusCode: 200, Header: h}, now), (advice{c.want, c.want}); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// FuzzHint: whatever a server says, its advice is two times of 0 to MaxPause, and nothing else.
func FuzzHint(f *testing.F) {
	for _, s := range []string{"", "-1", "1", "1e300", "6m0s", "2026-03-01T12:00:42Z", httpNow, "1772366700", "1772366700.5",
		`"a";r=0;t=5, b;r=0`, "limit=1, remaining=0, reset=5", "\x00", "99999999999999999999"} {
		f.Add(s, s, `"a";q=5;w=1`, s, s)
	}
	tr := &Transport{}
	f.Fuzz(func(t *testing.T, retry, state, policy, reset, date string) {
		h := headers("Retry-After", retry, "Retry-After-Ms", reset, "RateLimit", state, "RateLimit-Policy", policy, "Date", date)
		for _, f := range families {
			h.Set(f.remaining, "0")
			h.Set(f.reset, reset)
		}
		for _, status := range []int{200, 403, 429} {
			a := tr.heed(&http.Response{StatusCode: status, Header: h}, now)
			if min(a.pause, a.every) < 0 || max(a.pause, a.every) > time.Hour {
				t.Errorf("%v", a)
			}
			if a.every > 0 && refuses(status) {
				t.Errorf("a refused request is to be paced by %v", a.every)
			}
		}
	})
}

// FuzzDraft: what is not a structured field has no effect, and the longest wait does not depend
// on what else is there.
func FuzzDraft(f *testing.F) {
	for _, s := range []string{`"a";r=0;t=5`, `b;r=0;t=1.5;pk=:Zm9v:`, `limit=1, remaining=0, reset=5`, `"\"";x;r=0`, `:==:`, `"`, `;`, `a;r=0;t=99999999999999999999`} {
		f.Add(s, `"a";q=5;w=1`)
	}
	f.Fuzz(func(t *testing.T, s, policy string) {
		a := draftAdvice([]string{s}, []string{policy})
		if min(a.pause, a.every) < 0 || max(a.pause, a.every) > maxDelta*time.Second {
			t.Errorf("%v", a)
		}
		alone := draftAdvice([]string{s}, nil)
		if max(a.pause, a.every) > alone.pause {
			t.Errorf("%v with a policy is longer than %v without", a, alone)
		}
		if alone.pause > 0 && len(s) < maxDraft-100 {
			if with := draftAdvice([]string{`"mine";r=0;t=1`, s}, nil); with.pause < alone.pause {
				t.Errorf("%v, with another limit %v", alone, with)
			}
			if broken := draftAdvice([]string{s, `"`}, nil); broken != (advice{}) {
				t.Errorf("%v out of a broken field", broken)
			}
		}
	})
}

// FuzzAccept: no Accept makes a refusal fail.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "application/json;q=0.5, text/plain;q=0.9", "application/*;q=NaN", ";;q=,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if prefersProblem([]string{s}) && !strings.Contains(strings.ToLower(s), "application/") {
			t.Errorf("%q asks for no JSON", s)
		}
	})
}

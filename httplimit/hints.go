package httplimit

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// heed returns how long the server asks to be left alone, no longer than MaxPause, and whether it does.
func (t *Transport) heed(resp *http.Response, now time.Time) (time.Duration, bool) {
	d := hint(resp.Header, resp.StatusCode, now)
	return min(d, t.maxPause()), d > 0
}

// hint returns how long a server asks to be left alone, or 0 if it does not, or in no way that makes sense.
//
// All there is to be had from a server is a time: a forged or broken response can slow its host down, never speed it up.
func hint(h http.Header, status int, now time.Time) time.Duration {
	ref := now
	// Times are by the server's clock, if it tells that, so that it does not matter whether ours agrees.
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		ref = date
	}
	if status >= 400 {
		// The draft gives Retry-After precedence over all the others.
		if d := max(seconds(h.Get("Retry-After-Ms"))/1000, retryAfter(h.Get(fieldRetry), ref)); d > 0 {
			return d
		}
	}
	longest := draftReset(h[fieldState])
	for _, f := range families {
		if left, ok := decimal(h.Get(f.remaining)); ok && left < 1 {
			longest = max(longest, reset(h.Get(f.reset), ref))
		}
	}
	return longest
}

// families are the fields with which servers tell that nothing is left, and until when. Names are as in an http.Header.
var families = [...]struct{ remaining, reset string }{
	{"X-Ratelimit-Remaining", "X-Ratelimit-Reset"},                   // GitHub, GitLab, Reddit and many more
	{"X-Ratelimit-Remaining", "X-Ratelimit-Reset-After"},             // Discord
	{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},                 // X, Okta
	{"Ratelimit-Remaining", "Ratelimit-Reset"},                       // the draft until its version 06
	{"X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"}, // OpenAI and those compatible with it
	{"X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"},
	{"Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset"},
	{"Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset"},
	{"Anthropic-Ratelimit-Input-Tokens-Remaining", "Anthropic-Ratelimit-Input-Tokens-Reset"},
	{"Anthropic-Ratelimit-Output-Tokens-Remaining", "Anthropic-Ratelimit-Output-Tokens-Reset"},
}

// retryAfter reads Retry-After: seconds or a date. 0 is no time to wait, or none that can be understood.
func retryAfter(s string, ref time.Time) time.Duration {
	if d := seconds(s); d > 0 {
		return d
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(ref), 0)
	}
	return 0
}

// Numbers up to maxDelta, some nine years, are taken for a number of seconds; those above for a time since 1970, in
// seconds or, from minMillis on (the year 5138 in seconds), in milliseconds.
const (
	maxDelta  = 3e8
	minMillis = 1e11
	maxMillis = 1e14
)

// reset reads the time at which there is something left again: a number of seconds, a time since 1970, a duration such as
// 6m0s, or a date (RFC 3339 or HTTP's). 0 is no time to wait, or none that can be understood.
func reset(s string, ref time.Time) time.Duration {
	if v, ok := decimal(s); ok {
		switch {
		case v <= maxDelta:
			return seconds(s)
		case v < minMillis:
			return max(time.Unix(int64(v), 0).Sub(ref), 0)
		case v < maxMillis:
			return max(time.UnixMilli(int64(v)).Sub(ref), 0)
		}
		return 0
	}
	if d, err := time.ParseDuration(s); err == nil {
		return max(d, 0)
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return max(t.Sub(ref), 0)
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(ref), 0)
	}
	return 0
}

// seconds reads a number of seconds; what is too large for a Duration is the largest.
func seconds(s string) time.Duration {
	v, ok := decimal(s)
	if !ok {
		return 0
	}
	if v *= float64(time.Second); v >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(v)
}

// maxDigits bounds the numbers that are read: nobody who means something writes more.
const maxDigits = 64

// decimal reads digits with or without a fraction, and nothing else: no sign, no exponent.
func decimal(s string) (v float64, ok bool) {
	whole, fraction, point := strings.Cut(s, ".")
	if len(s) > maxDigits || !isDigits(whole) || point && !isDigits(fraction) {
		return 0, false
	}
	for i := range len(whole) {
		v = v*10 + float64(whole[i]-'0')
	}
	for i, scale := 0, 0.1; i < len(fraction); i, scale = i+1, scale/10 {
		v += float64(fraction[i]-'0') * scale
	}
	return v, true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

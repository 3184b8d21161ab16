package httplimit

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// An advice is how a server wants its clients to slow down. The zero advice is none.
//
// Times are all that a server can tell: a forged or broken response can slow requests down, never speed them up.
type advice struct {
	pause time.Duration // send nothing for so long
	every time.Duration // send one request at most in so long, counted from the one that was answered
}

// heed returns the advice in resp, with no time longer than MaxPause.
func (t *Transport) heed(resp *http.Response, now time.Time) advice {
	a := hint(resp.Header, resp.StatusCode, now)
	return advice{min(a.pause, t.maxPause()), min(a.every, t.maxPause())}
}

// refuses reports whether the status can be that of a request that was too many. GitHub answers 403.
func refuses(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusForbidden:
		return true
	}
	return false
}

// hint reads the advice in the header of a response with the given status, received at now.
func hint(h http.Header, status int, now time.Time) advice {
	ref := now
	// Times are by the server's clock, if it tells that, so that it does not matter whether ours agrees.
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		ref = date
	}
	if status >= 400 {
		// The draft gives Retry-After precedence over all the others.
		if d := max(seconds(h.Get("Retry-After-Ms"))/1000, retryAfter(h.Get(fieldRetry), ref)); d > 0 {
			return advice{pause: d}
		}
	}
	var a advice
	if state := h[fieldState]; len(state) > 0 {
		policies := h[fieldPolicy]
		if refuses(status) {
			policies = nil // the request was refused: the server's rate does not matter, only its t
		}
		a = draftAdvice(state, policies)
	}
	for _, f := range families {
		if left, ok := decimal(h.Get(f.remaining)); ok && left < 1 {
			a.pause = max(a.pause, reset(h.Get(f.reset), ref))
		}
	}
	return a
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
			return max(sinceEpoch(v, time.Second).Sub(ref), 0)
		case v < maxMillis:
			return max(sinceEpoch(v, time.Millisecond).Sub(ref), 0)
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

// sinceEpoch returns the time v units after 1970. Half a microsecond can be lost in a fraction.
func sinceEpoch(v float64, unit time.Duration) time.Time {
	whole, fraction := math.Modf(v)
	return time.Unix(0, 0).Add(time.Duration(whole) * unit).Add(time.Duration(math.Ceil(fraction * float64(unit))))
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

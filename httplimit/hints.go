package httplimit

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// An advice is how a server wants its clients to slow down. The zero advice is none.
//
// Times are all that a server can tell: a forged or broken response can slow requests down, never
// speed them up.
type advice struct {
	pause time.Duration // send nothing for so long
	every time.Duration // send one request at most in so long, counted from the one that was answered
}

// heed returns the advice in resp, with no time longer than MaxPause.
func (t *Transport) heed(resp *http.Response, now time.Time) advice {
	a := hint(resp.Header, resp.StatusCode, now)
	return advice{min(a.pause, t.maxPause()), min(a.every, t.maxPause())}
}

// refuses reports whether the status can be that of a request that was too many. GitHub answers
// 403.
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
	// Times are by the server's clock, if it sends that, so that it need not agree with ours.
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

// families are the fields in which servers say that nothing is left, and until when. The names are
// as in an http.Header.
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

// retryAfter reads Retry-After: seconds or a date. It returns 0 if that is in the past or makes no
// sense.
func retryAfter(s string, ref time.Time) time.Duration {
	if d := seconds(s); d > 0 {
		return d
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(ref), 0)
	}
	return 0
}

// Numbers up to maxDelta, about nine years, are numbers of seconds. Larger numbers are times since
// 1970: in seconds, or from minMillis on, which would be the year 5138, in milliseconds.
const (
	maxDelta  = 3e8
	minMillis = 1e11
	maxMillis = 1e14
)

// reset reads the time at which there is something left again: a number of seconds, a time since
// 1970, a duration such as 6m0s, or a date of RFC 3339 or of HTTP. It returns 0 if that is in the
// past or makes no sense.
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

// sinceEpoch returns the time v units after 1970, rounded up to what a float64 can hold.
func sinceEpoch(v float64, unit time.Duration) time.Time {
	whole, fraction := math.Modf(v)
	perSecond := int64(time.Second / unit)
	return time.Unix(int64(whole)/perSecond, int64(whole)%perSecond*int64(unit)).
		Add(time.Duration(math.Ceil(fraction * float64(unit))))
}

// seconds reads a number of seconds. A number that is too large for a Duration is the largest one.
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

// maxDigits is the length of the longest number that is read.
const maxDigits = 64

// decimal reads digits with or without a fraction. A sign or an exponent is no decimal.
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

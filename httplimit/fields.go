package httplimit

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// setFields sets the header fields that tell about d, whose demands are ds.
func (p *Policy) setFields(h http.Header, d *Decision, ds []demand) {
	if len(ds) == 0 && p.names.Shadow == "" {
		return
	}
	w := newLines()
	if d.refused >= 0 && !d.Allowed {
		if s := retrySeconds(d.Result); s > 0 {
			h[fieldRetry] = w.integer(s)
		}
	}
	if p.names.RateLimitPolicy != "" || p.names.RateLimit != "" {
		p.setDraft(h, d.refused, ds, w)
	}
	if isFinite(d.Result.Limit) {
		p.setTightest(h, d.Result, w)
	}
	if p.names.Shadow != "" && (d.refused >= 0 || d.Err != nil) && d.Allowed {
		p.setShadow(h, d.Refusal(), w)
	}
	w.free()
}

// setDraft adds to RateLimit-Policy and RateLimit.
func (p *Policy) setDraft(h http.Header, refused int, ds []demand, w *lines) {
	policy := ""
	for i := range ds {
		x := &ds[i]
		if refused >= 0 && i != refused || refused < 0 && !x.held || !isFinite(x.result.Limit) {
			continue
		}
		q := p.quotas.of(x.Name, x.result.Limit)
		if policy == "" {
			policy = q.policy
		} else {
			policy += ", " + q.policy
			w.buf = append(w.buf, ", "...)
		}
		w.buf = q.appendState(w.buf, x.result)
	}
	if policy == "" {
		return
	}
	if name := p.names.RateLimitPolicy; name != "" {
		h[name] = joined(h[name], w.line(policy))
	}
	if name := p.names.RateLimit; name != "" {
		h[name] = joined(h[name], w.flush())
	}
	w.buf = w.buf[:0]
}

func joined(old, line []string) []string {
	if len(old) == 0 {
		return line
	}
	return append(old, line...)
}

// setTightest sets the fields in the manner of X-RateLimit.
func (p *Policy) setTightest(h http.Header, res tokenbucket.Result, w *lines) {
	if name := p.names.Limit; name != "" {
		h[name] = w.integer(int64(res.Limit.Burst))
	}
	if name := p.names.Remaining; name != "" {
		h[name] = w.integer(int64(res.Remaining))
	}
	if name := p.names.Reset; name != "" && res.ResetAfter != tokenbucket.Never {
		full := time.Now().Add(res.ResetAfter + time.Second - 1)
		h[name] = w.integer(full.Unix())
	}
}

func (p *Policy) setShadow(h http.Header, why Refusal, w *lines) {
	if why.Status != http.StatusTooManyRequests {
		h[p.names.Shadow] = w.integer(int64(why.Status))
		return
	}
	w.buf = appendPrintable(w.buf, why.Policy)
	h[p.names.Shadow] = w.flush()
}

// isFinite reports whether there is a limit to tell about: a Limiter may leave it out, and an
// infinite rate has no window.
func isFinite(l tokenbucket.Limit) bool { return l.Burst > 0 && l.Rate != tokenbucket.Inf() }

// retrySeconds returns the value of Retry-After for a refusal, or 0 if waiting would never help.
func retrySeconds(res tokenbucket.Result) int64 {
	if res.RetryAfter == tokenbucket.Never {
		return 0
	}
	return max(ceilSeconds(res.RetryAfter), 1)
}

func ceilSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}

// maxInteger is the largest integer in a structured field (RFC 9651, section 3.3.1).
const maxInteger = 999_999_999_999_999

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, min(n, maxInteger), 10) }

// appendString appends a string of a structured field.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c < ' ' || c > '~':
			c = '?' // such a string can hold nothing but printable ASCII
		case c == '"' || c == '\\':
			b = append(b, '\\')
		}
		b = append(b, byte(c))
	}
	return append(b, '"')
}

// appendPrintable appends s to the value of a field that is not structured.
func appendPrintable(b []byte, s string) []byte {
	for _, c := range s {
		if c < ' ' || c > '~' {
			c = '?'
		}
		b = append(b, byte(c))
	}
	return b
}

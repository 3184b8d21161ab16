package httplimit

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// The fields' names as they are in an http.Header.
const (
	fieldState     = "Ratelimit"
	fieldPolicy    = "Ratelimit-Policy"
	fieldRetry     = "Retry-After"
	fieldLimit     = "X-Ratelimit-Limit"
	fieldRemaining = "X-Ratelimit-Remaining"
	fieldReset     = "X-Ratelimit-Reset"
)

// describe sets the fields that tell of the decision. RateLimit and RateLimit-Policy are lists: those of a Policy further
// out stay.
func (p *Policy) describe(h http.Header, d *decision) {
	if d.refused >= 0 {
		if s := retrySeconds(d.claims[d.refused].result); s > 0 {
			h[fieldRetry] = []string{strconv.FormatInt(s, 10)}
		}
	}
	if p.draftFields {
		policy, state := d.fields(&p.shapes)
		if policy != "" {
			// One allocation for both lines, neither of which can grow into the other.
			lines := []string{policy, state}
			h[fieldPolicy] = joined(h[fieldPolicy], lines[:1:1])
			h[fieldState] = joined(h[fieldState], lines[1:])
		}
	}
	if c := d.tightest(); p.xFields && c != nil && isFinite(c.result.Limit) {
		res := c.result
		h[fieldLimit] = []string{strconv.Itoa(res.Limit.Burst)}
		h[fieldRemaining] = []string{strconv.Itoa(res.Remaining)}
		if res.ResetAfter != tokenbucket.Never {
			full := time.Now().Add(res.ResetAfter + time.Second - 1)
			h[fieldReset] = []string{strconv.FormatInt(full.Unix(), 10)}
		}
	}
}

func joined(old, line []string) []string {
	if len(old) == 0 {
		return line
	}
	return append(old, line...)
}

// fields returns the values of RateLimit-Policy and RateLimit: of all limits that allowed, or the one that refused.
func (d *decision) fields(known *shapes) (policy, state string) {
	var b1, b2 [96]byte
	pol, st := b1[:0], b2[:0]
	for i := range d.claims {
		c := &d.claims[i]
		if d.refused >= 0 && i != d.refused || d.refused < 0 && !c.held || !isFinite(c.result.Limit) {
			continue
		}
		if len(pol) > 0 {
			pol, st = append(pol, ", "...), append(st, ", "...)
		}
		shape := known.of(c.result.Limit)
		pol = append(appendString(pol, c.Name), shape.params...)
		st = appendState(st, c.Name, c.result, shape.perSecond)
	}
	return string(pol), string(st)
}

// isFinite tells whether there is a limit to speak of: a Limiter may leave it out, and an infinite rate has no window.
func isFinite(l tokenbucket.Limit) bool { return l.Burst > 0 && l.Rate != tokenbucket.Inf() }

// retrySeconds returns the value of Retry-After for a refusal, or 0 if waiting would never help.
func retrySeconds(res tokenbucket.Result) int64 {
	if res.RetryAfter == tokenbucket.Never {
		return 0
	}
	return max(ceilSeconds(res.RetryAfter), 1)
}

// ceilSeconds rounds up; d is not so large that adding a second would overflow, for it is not Never.
func ceilSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}

// A shape is what the fields say of a limit, and its rate in tokens per second.
type shape struct {
	params    string // of RateLimit-Policy: the quota q and its window of w seconds, unless the rate is zero
	perSecond float64
}

func shapeOf(l tokenbucket.Limit) shape {
	s := shape{perSecond: l.Rate.TokensPerSecond()}
	quota, window := quotaOf(s.perSecond, float64(l.Burst))
	b := appendInt([]byte(";q="), quota)
	if window > 0 {
		b = appendInt(append(b, ";w="...), window)
	}
	s.params = string(b)
	return s
}

const (
	// longWindow is the longest window in seconds, a day, that is chosen for the sake of an exact rate. It is longer only
	// where a burst takes longer to refill.
	longWindow = 86400

	// fineQuota is the least quota of a window that makes no exact rate, so that rounding costs at most 1 % of it.
	fineQuota = 100
)

// quotaOf returns the smallest quota of at least the burst, and its window in whole seconds, that make the rate:
// quota/window = perSecond. Where no window of reasonable length does, they make a rate that is slightly lower.
func quotaOf(perSecond, burst float64) (quota, window int64) {
	if perSecond == 0 {
		return toInteger(burst), 0
	}
	refill := burst / perSecond
	if refill >= maxInteger {
		return toInteger(burst), maxInteger
	}
	if q, w := fraction(perSecond, max(longWindow, refill)); w > 0 {
		n := max(math.Ceil(burst/q-roundingError), 1)
		return toInteger(n * q), toInteger(n * w)
	}
	w := max(math.Ceil(max(burst, fineQuota)/perSecond-roundingError), 1)
	return toInteger(math.Floor(w*perSecond + roundingError)), toInteger(w)
}

// roundingError is more than floating point adds to a quota or a window that is to be rounded.
const roundingError = 1e-6

func toInteger(v float64) int64 { return int64(min(v, maxInteger)) }

// fraction returns x as a fraction in lowest terms whose denominator is at most limit, or 0, 0 if there is none. It follows
// the convergents of the continued fraction of x (Hardy and Wright, An Introduction to the Theory of Numbers, chapter 10).
func fraction(x, limit float64) (num, den float64) {
	const exact = 1e-13 // relative to x: what a rate loses in a float64 and the few divisions below
	num, den = math.Floor(x), 1
	lastNum, lastDen := 1.0, 0.0
	for rest := x - math.Floor(x); math.Abs(num/den-x) > exact*x; {
		rest = 1 / rest
		whole := math.Floor(rest)
		rest -= whole
		num, lastNum = whole*num+lastNum, num
		den, lastDen = whole*den+lastDen, den
		if !(den <= limit) {
			return 0, 0
		}
	}
	return num, den
}

// shapes remembers the shapes of the first maxShapes limits, in a map that is never written to.
type shapes struct {
	m atomic.Pointer[map[tokenbucket.Limit]shape]
}

const maxShapes = 64

func (k *shapes) of(l tokenbucket.Limit) shape {
	var old map[tokenbucket.Limit]shape
	p := k.m.Load()
	if p != nil {
		old = *p
	}
	s, ok := old[l]
	if ok {
		return s
	}
	s = shapeOf(l)
	if len(old) < maxShapes {
		m := map[tokenbucket.Limit]shape{l: s}
		maps.Copy(m, old)
		k.m.CompareAndSwap(p, &m) // who loses comes again
	}
	return s
}

// appendState appends an item of RateLimit: the name, r the whole tokens left, and t the seconds to the next one, unless
// it never comes. To a request that was refused, t is its Retry-After, which the draft wants it not to be earlier than.
func appendState(b []byte, name string, res tokenbucket.Result, perSecond float64) []byte {
	b = appendInt(append(appendString(b, name), ";r="...), int64(res.Remaining))
	switch missing := res.Limit.Burst - res.Remaining; {
	case !res.Allowed && res.RetryAfter != tokenbucket.Never:
		b = appendInt(append(b, ";t="...), retrySeconds(res))
	case !res.Allowed, res.ResetAfter == tokenbucket.Never:
	case missing <= 0:
		b = append(b, ";t=0"...)
	default:
		// All but the next of the missing tokens come after it.
		next := res.ResetAfter.Seconds() - float64(missing-1)/perSecond
		b = appendInt(append(b, ";t="...), max(roundUp(next), 1))
	}
	return b
}

// roundUp rounds up what is a millionth above a whole number, which is more than the arithmetic in floating point, and
// in nanoseconds before, can have added.
func roundUp(seconds float64) int64 {
	return int64(min(math.Ceil(seconds*(1-1e-12)-1e-6), maxInteger))
}

// maxInteger is the largest integer in a structured field, RFC 9651.
const maxInteger = 999_999_999_999_999

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, min(n, maxInteger), 10) }

// appendString appends a structured field's string. It can hold nothing but printable ASCII.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c < ' ' || c > '~':
			c = '?'
		case c == '"' || c == '\\':
			b = append(b, '\\')
		}
		b = append(b, byte(c))
	}
	return append(b, '"')
}

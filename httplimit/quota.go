package httplimit

import (
	"maps"
	"math"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket"
)

// A quota is what RateLimit-Policy and RateLimit say of a limit.
type quota struct {
	limit     tokenbucket.Limit
	name      string
	item      string // the name as an item
	policy    string // the item of RateLimit-Policy
	perSecond float64
}

func newQuota(name string, l tokenbucket.Limit) *quota {
	q := &quota{limit: l, name: name, perSecond: l.Rate.TokensPerSecond()}
	q.item = string(appendString(nil, name))
	tokens, window := quotaOf(q.perSecond, float64(l.Burst))
	b := appendInt([]byte(q.item+";q="), tokens)
	if window > 0 {
		b = appendInt(append(b, ";w="...), window)
	}
	q.policy = string(b)
	return q
}

// appendState appends the item of RateLimit: r, the whole tokens left, and t, the seconds to the
// next one, unless it never comes. For a request that was refused, t is its Retry-After: the draft
// wants Retry-After to be no earlier than t.
func (q *quota) appendState(b []byte, res tokenbucket.Result) []byte {
	b = appendInt(append(append(b, q.item...), ";r="...), int64(res.Remaining))
	switch missing := res.Limit.Burst - res.Remaining; {
	case !res.Allowed && res.RetryAfter != tokenbucket.Never:
		b = appendInt(append(b, ";t="...), retrySeconds(res))
	case !res.Allowed, res.ResetAfter == tokenbucket.Never:
	case missing <= 0:
		b = append(b, ";t=0"...)
	default:
		// All but the next of the missing tokens come after it.
		next := res.ResetAfter.Seconds() - float64(missing-1)/q.perSecond
		b = appendInt(append(b, ";t="...), max(roundUp(next), 1))
	}
	return b
}

// roundUp rounds up what is more than a millionth above a whole number. Nanoseconds and floating
// point can have added less than that.
func roundUp(seconds float64) int64 {
	return toInteger(math.Ceil(seconds*(1-1e-12) - roundingError))
}

const (
	// longWindow is the longest window in seconds, a day, that is chosen for the sake of an exact
	// rate. It is longer only where a burst takes longer to refill.
	longWindow = 86400

	// fineQuota is the least quota with a rate that is not exact. Rounding costs at most 1 % of it.
	fineQuota = 100

	// roundingError is more than floating point adds to a quota or a window.
	roundingError = 1e-6
)

// quotaOf returns the smallest quota of at least the burst, and its window in whole seconds, that
// make the rate: quota/window = perSecond. Where no window of reasonable length does, they make a
// slightly lower rate. The window of a rate of 0 is 0.
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

func toInteger(v float64) int64 { return int64(min(v, maxInteger)) }

// fraction returns x as a fraction in lowest terms with a denominator of at most limit, or 0, 0 if
// there is none. It follows the convergents of the continued fraction of x (Hardy and Wright, An
// Introduction to the Theory of Numbers, chapter 10).
func fraction(x, limit float64) (num, den float64) {
	const exact = 1e-13 // relative to x: what a rate loses in a float64 and in a few divisions
	num, den = math.Floor(x), 1
	lastNum, lastDen := 1.0, 0.0
	for rest := x - num; math.Abs(num/den-x) > exact*x; {
		rest = 1 / rest
		whole := math.Floor(rest)
		rest -= whole
		num, lastNum = whole*num+lastNum, num
		den, lastDen = whole*den+lastDen, den
		if !(den <= limit) { // or is not a number
			return 0, 0
		}
	}
	return num, den
}

// quotas remember the quotas of the first maxQuotas limits.
type quotas struct {
	last atomic.Pointer[quota]               // nearly every Policy has only one
	m    atomic.Pointer[map[quotaKey]*quota] // never written to
}

type quotaKey struct {
	name  string
	limit tokenbucket.Limit
}

const maxQuotas = 64

func (qs *quotas) of(name string, l tokenbucket.Limit) *quota {
	if q := qs.last.Load(); q != nil && q.limit == l && q.name == name {
		return q
	}
	var old map[quotaKey]*quota
	p := qs.m.Load()
	if p != nil {
		old = *p
	}
	key := quotaKey{name, l}
	q, ok := old[key]
	if ok {
		return q
	}
	q = newQuota(name, l)
	if len(old) < maxQuotas {
		m := map[quotaKey]*quota{key: q}
		maps.Copy(m, old)
		if qs.m.CompareAndSwap(p, &m) && p == nil { // a lost race is no harm: it is made again
			qs.last.Store(q)
		}
	}
	return q
}

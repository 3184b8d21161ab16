package httplimit

import (
	"strings"
	"time"
)

// maxDraft is the longest RateLimit that is read.
const maxDraft = 4096

// draftReset reads RateLimit: the longest t of the limits that have nothing left. A field that is not a structured field as a
// whole is ignored as a whole, as RFC 9651 demands. The form of version 07 is read too: limit=10, remaining=0, reset=5.
func draftReset(lines []string) (longest time.Duration) {
	p := parser{strings.Join(lines, ",")}
	if len(p.s) > maxDraft {
		return 0
	}
	old := params{}
	for {
		p.space()
		if p.s == "" {
			break
		}
		name, ok := p.bare()
		if !ok {
			return 0
		}
		if p.skip('=') { // version 07
			value, ok := p.bare()
			if !ok {
				return 0
			}
			old.set(strings.ToLower(name), value)
		}
		ps, ok := p.params()
		if !ok {
			return 0
		}
		longest = max(longest, ps.wait("r", "t"))
		if p.space(); p.s != "" && !p.skip(',') {
			return 0
		}
	}
	return max(longest, old.wait("remaining", "reset"))
}

// params are parameters that are numbers.
type params map[string]float64

func (ps params) set(name, value string) {
	if v, ok := decimal(value); ok {
		ps[name] = v
	} else {
		delete(ps, name)
	}
}

// wait returns the time until there is something left, or 0 if there is, or it is not told.
func (ps params) wait(remaining, reset string) time.Duration {
	if left, ok := ps[remaining]; !ok || left >= 1 {
		return 0
	}
	return time.Duration(min(ps[reset], maxDelta) * float64(time.Second))
}

// A parser reads what is needed of structured fields, RFC 9651.
type parser struct {
	s string
}

func (p *parser) space() { p.s = strings.TrimLeft(p.s, " \t") }

func (p *parser) skip(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// params reads ;name=value any number of times.
func (p *parser) params() (params, bool) {
	ps := params{}
	for p.skip(';') {
		p.space()
		name := p.while(func(c byte) bool {
			return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("_-.*", c) >= 0
		})
		if name == "" {
			return nil, false
		}
		value := ""
		if p.skip('=') {
			var ok bool
			if value, ok = p.bare(); !ok {
				return nil, false
			}
		}
		ps.set(name, value)
	}
	return ps, true
}

// bare reads a string, which it returns with its quotation marks, or anything else that is not a list: numbers, tokens,
// bytes, booleans, dates.
func (p *parser) bare() (string, bool) {
	if strings.HasPrefix(p.s, `"`) {
		value, rest, ok := cutQuoted(p.s[1:])
		p.s = rest
		return `"` + value + `"`, ok
	}
	value := p.while(func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(`",;=()<>[]{}\`, c) < 0 })
	if strings.HasPrefix(value, ":") { // bytes are in base64, which can end in equals signs
		for p.skip('=') {
		}
		closed := p.skip(':') || len(value) > 1 && strings.HasSuffix(value, ":")
		return value, closed
	}
	return value, value != ""
}

func (p *parser) while(is func(byte) bool) string {
	i := 0
	for i < len(p.s) && is(p.s[i]) {
		i++
	}
	value := p.s[:i]
	p.s = p.s[i:]
	return value
}

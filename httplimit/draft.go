package httplimit

import (
	"math"
	"strings"
	"time"
)

// maxDraft is the length up to which RateLimit and RateLimit-Policy are read.
const maxDraft = 4096

// draftAdvice reads RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers. A
// limit with nothing left asks for a pause of t. If the policy of the same name gives a rate, q
// per w, it asks for no more than that rate: t is a whole number of seconds, and a fast bucket
// has many tokens again after one.
func draftAdvice(state, policies []string) (a advice) {
	states, ok := readDraft(state)
	if !ok {
		return advice{}
	}
	quotas, _ := readDraft(policies)
	for _, s := range states {
		t := s.wait()
		if t <= 0 {
			continue
		}
		if every := quotas.every(s.name); every > 0 {
			a.every = max(a.every, min(every, t))
		} else {
			a.pause = max(a.pause, t)
		}
	}
	return a
}

// A draftItem is a member of RateLimit or RateLimit-Policy.
type draftItem struct {
	name string
	params
}

type draftItems []draftItem

// every returns the time between two requests at the slowest rate that a policy of the name has,
// or 0.
func (items draftItems) every(name string) (d time.Duration) {
	for _, x := range items {
		q, w := x.params["q"], x.params["w"]
		if x.name == name && q > 0 && w > 0 {
			d = max(d, time.Duration(math.Ceil(min(w/q, maxDelta)*float64(time.Second)*(1-1e-15))))
		}
	}
	return d
}

// readDraft reads a list of items. If any part of a field is not a structured field, it reads
// nothing, as RFC 9651 demands. The form of the draft's version 07 is read too, as one item:
// limit=10, remaining=0, reset=5.
func readDraft(lines []string) (items draftItems, ok bool) {
	p := parser{strings.Join(lines, ",")}
	if len(p.s) > maxDraft {
		return nil, false
	}
	old := params{}
	for {
		p.space()
		if p.s == "" {
			break
		}
		name, ok := p.bare()
		if !ok {
			return nil, false
		}
		if p.skip('=') { // version 07
			value, ok := p.bare()
			if !ok {
				return nil, false
			}
			old.set(strings.ToLower(name), value)
		}
		ps, ok := p.params()
		if !ok {
			return nil, false
		}
		items = append(items, draftItem{name, ps})
		if p.space(); p.s != "" && !p.skip(',') {
			return nil, false
		}
	}
	if left, ok := old["remaining"]; ok {
		items = append(items, draftItem{"", params{"r": left, "t": old["reset"]}})
	}
	return items, true
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

// wait returns the time until there is something left, or 0 if there is, or the server does not
// say.
func (ps params) wait() time.Duration {
	if left, ok := ps["r"]; !ok || left >= 1 {
		return 0
	}
	return time.Duration(min(ps["t"], maxDelta) * float64(time.Second))
}

// A parser reads the parts of structured fields (RFC 9651) that RateLimit uses.
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

// bare reads a bare item: a string, which it returns between quotation marks, a number, a token, a
// byte sequence, a boolean or a date.
func (p *parser) bare() (string, bool) {
	if strings.HasPrefix(p.s, `"`) {
		value, rest, ok := cutQuoted(p.s[1:])
		p.s = rest
		return `"` + value + `"`, ok
	}
	value := p.while(func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(`",;=()<>[]{}\`, c) < 0 })
	if strings.HasPrefix(value, ":") { // base64 can end in equals signs
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

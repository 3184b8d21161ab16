package httplimit

import (
	"iter"
	"slices"
	"strings"
)

// elements returns the elements of a list field, which can have several lines, from the right.
// Empty elements do not count.
//
// Everything is read from the right, quoted strings too. What clients have written further left,
// such as a quotation mark without a second one, has no influence on what proxies have written, and
// costs no time.
func elements(lines []string, quotes bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, rest := range slices.Backward(lines) {
			for rest != "" {
				var e string
				rest, e = cutLast(rest, quotes)
				if e = strings.Trim(e, " \t"); e != "" && !yield(e) {
					return
				}
			}
		}
	}
}

// cutLast splits a list before its last element.
func cutLast(s string, quotes bool) (rest, element string) {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		case s[i] == '"' && quotes && !escaped(s, i):
			quoted = !quoted
		}
	}
	return "", s
}

// escaped reports whether there is an odd number of backslashes before s[i].
func escaped(s string, i int) bool {
	before := strings.TrimRight(s[:i], `\`)
	return (i-len(before))%2 == 1
}

// forwardedFor returns the value of the parameter "for" of an element of Forwarded.
func forwardedFor(element string) (string, bool) {
	node, found := "", false
	for rest, more := element, true; more; {
		var name, value string
		var ok bool
		if name, value, rest, more, ok = cutPair(rest); !ok {
			return "", false
		}
		if strings.EqualFold(name, "for") {
			if found {
				return "", false
			}
			node, found = value, true
		}
	}
	return node, found
}

// cutPair reads name=value up to the next semicolon, and reports whether more follows.
func cutPair(s string) (name, value, rest string, more, ok bool) {
	name, s, ok = strings.Cut(strings.Trim(s, " \t"), "=")
	if !ok || !isToken(name) {
		return "", "", "", false, false
	}
	if strings.HasPrefix(s, `"`) {
		value, s, ok = cutQuoted(s[1:])
	} else {
		i := strings.IndexAny(s, "; \t")
		if i < 0 {
			i = len(s)
		}
		value, s = s[:i], s[i:]
	}
	s = strings.TrimLeft(s, " \t")
	if !ok || s != "" && s[0] != ';' {
		return "", "", "", false, false
	}
	rest, more = strings.CutPrefix(s, ";")
	return name, value, rest, more, true
}

// cutQuoted reads a quoted string after its first quotation mark.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

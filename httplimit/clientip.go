package httplimit

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientIP says how to tell a client's address. The zero ClientIP is the address of the connection, r.RemoteAddr, and
// trusts no header field. It is a plain value, used by [ByIP].
//
// An address counts without its zone and its port, and an IPv4-mapped IPv6 address as IPv4.
type ClientIP struct {
	// Header is the field in which the proxies in front of the server pass the client's address on: "X-Forwarded-For",
	// "Forwarded" (RFC 7239), "X-Real-IP" or any other that holds addresses separated by commas. It needs Proxies or Hops,
	// for clients can send it too: it is read from the right, where the nearest proxy has written.
	Header string

	// Proxies are the addresses of proxies that are believed. If the connection does not come from one, Header is
	// ignored. Otherwise the client is the rightmost address in Header that is not in Proxies; or the leftmost, if
	// all are; or the connection's, if there is none. Where a believed proxy gives no address ("unknown", a hidden name,
	// junk), there is no key.
	Proxies []netip.Prefix

	// Hops is how many proxies in front of the server write to Header, where their addresses cannot be named: the client is
	// the address at that place from the right; of a field with one address, which proxies overwrite, 1. If there
	// are fewer, there is no key. Without Proxies, the server must not be reachable except through the proxies; it may
	// then listen on a unix socket, where connections have no address. With both, Proxies are those that may connect.
	Hops int

	// IPv6Bits groups IPv6 clients by the first so many bits of their address. 0 is 64: a client owns at least that much.
	// 128 is each address for itself, which lets anybody invent as many as they like.
	IPv6Bits int
}

// ByIP tells requests apart by the address of the client. It panics if c contradicts itself.
func ByIP(c ClientIP) KeyFunc {
	if err := c.complete(); err != nil {
		panic("httplimit: ByIP: " + err.Error())
	}
	return c.key
}

// complete checks c and puts it into the form that is worked with. The user keeps what was given.
func (c *ClientIP) complete() error {
	switch {
	case c.Header == "" && (len(c.Proxies) > 0 || c.Hops != 0):
		return errors.New("there is no Header to go with Proxies or Hops")
	case c.Header != "" && len(c.Proxies) == 0 && c.Hops == 0:
		return fmt.Errorf("field Header is %q without Proxies or Hops, so that any client could forge it", c.Header)
	case c.Hops < 0:
		return fmt.Errorf("field Hops is %d, want 0 or more", c.Hops)
	case c.IPv6Bits < 0 || c.IPv6Bits > 128:
		return fmt.Errorf("field IPv6Bits is %d, want 0 to 128", c.IPv6Bits)
	}
	if c.IPv6Bits == 0 {
		c.IPv6Bits = 64
	}
	c.Header = http.CanonicalHeaderKey(c.Header)
	c.Proxies = slices.Clone(c.Proxies)
	for i, p := range c.Proxies {
		if !p.IsValid() {
			return fmt.Errorf("field Proxies[%d] is %v, want a prefix", i, p)
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			c.Proxies[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return nil
}

func (c *ClientIP) key(r *http.Request) (string, error) {
	a, err := c.addr(r)
	switch {
	case err != nil:
		return "", noKey(err)
	case a.Is4() || c.IPv6Bits == 128:
		return a.String(), nil
	}
	p, _ := a.Prefix(c.IPv6Bits)
	return p.String(), nil
}

func (c *ClientIP) addr(r *http.Request) (netip.Addr, error) {
	if len(c.Proxies) == 0 && c.Hops > 0 {
		// The peer does not matter. On a unix socket it has no address either: its RemoteAddr is "@".
		return c.count(r.Header)
	}
	peer, ok := parseNode(r.RemoteAddr)
	switch {
	case !ok:
		return peer, fmt.Errorf("RemoteAddr is %q, want an address", r.RemoteAddr)
	case c.Header == "", len(c.Proxies) > 0 && !c.trusts(peer):
		return peer, nil
	case c.Hops > 0:
		return c.count(r.Header)
	}
	return c.walk(peer, r.Header)
}

func (c *ClientIP) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(c.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// count returns the address at place Hops from the right.
func (c *ClientIP) count(h http.Header) (netip.Addr, error) {
	n := 0
	for e := range elements(h[c.Header], c.isForwarded()) {
		if n++; n == c.Hops {
			return c.node(e)
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has %d addresses, want %d", c.Header, n, c.Hops)
}

// walk returns the first address from the right that is not trusted.
func (c *ClientIP) walk(peer netip.Addr, h http.Header) (netip.Addr, error) {
	client := peer
	for e := range elements(h[c.Header], c.isForwarded()) {
		a, err := c.node(e)
		if err != nil || !c.trusts(a) {
			return a, err
		}
		client = a
	}
	return client, nil
}

func (c *ClientIP) isForwarded() bool { return c.Header == "Forwarded" }

// node returns the address in an element of the field.
func (c *ClientIP) node(element string) (netip.Addr, error) {
	node, ok := element, true
	if c.isForwarded() {
		node, ok = forwardedFor(element)
	}
	if ok {
		if a, ok := parseNode(node); ok {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has %q, want an address", c.Header, element[:min(len(element), 64)])
}

// elements returns what is in a list field that can have several lines, from the right. Empty elements do not count.
//
// It reads from the right all the way, quoted strings too, so that what clients have written further left, such as a
// quotation mark without its other one, can have no influence on how proxies are read, nor cost time.
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

// escaped tells whether there is an odd number of backslashes before s[i].
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

// cutPair reads name=value up to the next semicolon.
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

// isToken tells whether s is a token in the sense of RFC 9110.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// parseNode reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1],
// [2001:db8::1]:80. The port may be one of RFC 7239 that hides itself.
func parseNode(s string) (netip.Addr, bool) {
	port, hasPort := "", false
	host, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		var ok bool
		if host, port, ok = strings.Cut(host, "]"); !ok {
			return netip.Addr{}, false
		}
		if port != "" {
			if port, hasPort = strings.CutPrefix(port, ":"); !hasPort {
				return netip.Addr{}, false
			}
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, hasPort = strings.Cut(s, ":")
	}
	a, err := netip.ParseAddr(host)
	if err != nil || bracketed && a.Is4() || hasPort && !isPort(port) {
		return netip.Addr{}, false
	}
	return a.WithZone("").Unmap(), true
}

func isPort(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

package httplimit

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientIP says how to find the address of a client. The zero ClientIP takes the address of the
// connection, r.RemoteAddr, and trusts no header field. It is a plain value, for [ByIP].
//
// Addresses count without their zone and port. IPv6 addresses that stand for IPv4 count as IPv4:
// those that are mapped (::ffff:0:0/96) and those of the well-known prefix of NAT64 (64:ff9b::/96).
type ClientIP struct {
	// Header is the name of the field in which the proxies in front of the server pass on the
	// client's address: "X-Forwarded-For", "Forwarded" (RFC 7239), "X-Real-IP" or any other that
	// holds addresses separated by commas. Because clients can send the field too, it needs Proxies
	// or Hops, and is read from the right, where the nearest proxy has written.
	Header string

	// Proxies are the addresses of the proxies that are trusted. If the connection does not come
	// from one of them, Header is ignored. Otherwise the client is the rightmost address in Header
	// that is not in Proxies; the leftmost if all of them are; or the connection's if Header is
	// empty. Where a trusted proxy gives no address ("unknown", a hidden name, junk), the request
	// has no key.
	Proxies []netip.Prefix

	// Hops is the number of proxies in front of the server that write to Header, where their
	// addresses are not known. The client is at that place from the right; in a field with one
	// address, which proxies overwrite, Hops is 1. A request with fewer addresses has no key.
	// Without Proxies, the server must not be reachable except through the proxies; it may then
	// listen on a unix socket, whose connections have no address. With both, Proxies are the
	// addresses that may connect.
	Hops int

	// IPv4Bits and IPv6Bits group clients by that many leading bits of their address. 0 is 32 for
	// IPv4, each address for itself, and 64 for IPv6: a client owns at least that much. With 128,
	// every client can use as many addresses as it likes.
	IPv4Bits, IPv6Bits int
}

// ByIP returns a KeyFunc that takes the address of the client for the key. It panics if c
// contradicts itself.
func ByIP(c ClientIP) KeyFunc {
	if err := c.complete(); err != nil {
		panic("httplimit: ByIP: " + err.Error())
	}
	return c.key
}

// complete checks c, and puts its copy into the form that the other methods need.
func (c *ClientIP) complete() error {
	switch {
	case c.Header == "" && (len(c.Proxies) > 0 || c.Hops != 0):
		return errors.New("there is no Header to go with Proxies or Hops")
	case c.Header != "" && len(c.Proxies) == 0 && c.Hops == 0:
		return fmt.Errorf("field Header is %q without Proxies or Hops, so that any client could forge it", c.Header)
	case c.Hops < 0:
		return fmt.Errorf("field Hops is %d, want 0 or more", c.Hops)
	case c.IPv4Bits < 0 || c.IPv4Bits > 32:
		return fmt.Errorf("field IPv4Bits is %d, want 0 to 32", c.IPv4Bits)
	case c.IPv6Bits < 0 || c.IPv6Bits > 128:
		return fmt.Errorf("field IPv6Bits is %d, want 0 to 128", c.IPv6Bits)
	}
	if c.IPv4Bits == 0 {
		c.IPv4Bits = 32
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
		if a := unwrap(p.Addr()); a.Is4() && p.Addr().Is6() && p.Bits() >= 96 {
			c.Proxies[i] = netip.PrefixFrom(a, p.Bits()-96)
		}
	}
	return nil
}

func (c *ClientIP) key(r *http.Request) (string, error) {
	if c.Header == "" && c.IPv4Bits == 32 {
		if host, ok := plainIPv4(r.RemoteAddr); ok {
			return host, nil
		}
	}
	a, err := c.addr(r)
	if err != nil {
		return "", noKey(err)
	}
	bits := c.IPv6Bits
	if a.Is4() {
		bits = c.IPv4Bits
	}
	if bits == a.BitLen() {
		return a.String(), nil
	}
	p, _ := a.Prefix(bits)
	return p.String(), nil
}

// plainIPv4 returns the host of host:port if it is an IPv4 address. There is only one way to write
// that, so the text is the key, and nothing is allocated for it.
func plainIPv4(addr string) (string, bool) {
	host, port, _ := strings.Cut(addr, ":")
	a, err := netip.ParseAddr(host)
	return host, err == nil && a.Is4() && isPort(port)
}

func (c *ClientIP) addr(r *http.Request) (netip.Addr, error) {
	if len(c.Proxies) == 0 && c.Hops > 0 {
		return c.count(r.Header) // on a unix socket the connection has no address: RemoteAddr is "@"
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

// nat64 is the well-known prefix of RFC 6052. The prefix of local use in RFC 8215 is not unwrapped:
// where in it the IPv4 address is, is up to each network.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// unwrap returns the IPv4 address that a stands for, or a itself.
func unwrap(a netip.Addr) netip.Addr {
	if a.Is6() && nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a.Unmap()
}

// parseNode reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1,
// [2001:db8::1], [2001:db8::1]:80. The port may be an obfuscated one (RFC 7239, section 6.3).
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
	return unwrap(a.WithZone("")), true
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

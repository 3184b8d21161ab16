package httplimit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func from(remote, field string, lines ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = remote
	if field != "" {
		r.Header[http.CanonicalHeaderKey(field)] = lines
	}
	return r
}

const none = "" // no key

func TestByIPRemoteAddr(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234":                       "192.0.2.1",
		"192.0.2.1":                            "192.0.2.1",
		"[::ffff:192.0.2.1]:1234":              "192.0.2.1",
		"[::ffff:192.0.2.1%eth0]:1234":         "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1234":          "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:99":            "2001:db8:1:2::/64",
		"2001:db8:1:3::1":                      "2001:db8:1:3::/64",
		"[64:ff9b::c000:201]:80":               "192.0.2.1", // NAT64
		"[64:ff9b::192.0.2.1]:80":              "192.0.2.1",
		"[64:ff9b:1::c000:201]:80":             "64:ff9b:1::/64", // a prefix of local use
		"[64:ff9b:0:0:0:1:c000:201]:80":        "64:ff9b::/64",
		"[fe80::1%eth0]:80":                    "fe80::/64",
		"[::1]:80":                             "::/64",
		"":                                     none,
		"@":                                    none,
		"/run/http.sock":                       none,
		"192.0.2.1:":                           none,
		"192.0.2.1:80:90":                      none,
		"192.0.2.01:80":                        none,
		"[192.0.2.1]:80":                       none,
		"[2001:db8::1":                         none,
		"[2001:db8::1]80":                      none,
		"[2001:db8::1]:":                       none,
		"[2001:db8::1]:8 0":                    none,
		"localhost:80":                         none,
		"192.0.2.1:" + strings.Repeat("9", 65): none,
	} {
		// Header fields are never looked at.
		r := from(remote, "X-Forwarded-For", "203.0.113.9")
		r.Header.Set("X-Real-IP", "203.0.113.9")
		r.Header.Set("Forwarded", "for=203.0.113.9")
		check(t, ByIP(ClientIP{}), r, want)
	}
	check(t, ByIP(ClientIP{IPv6Bits: 128}), from("[2001:db8::0:1%x]:1", ""), "2001:db8::1")
	check(t, ByIP(ClientIP{IPv6Bits: 48}), from("[2001:db8:1:2::1]:1", ""), "2001:db8:1::/48")
	check(t, ByIP(ClientIP{IPv6Bits: 48}), from("192.0.2.77:1", ""), "192.0.2.77")
	check(t, ByIP(ClientIP{IPv4Bits: 24}), from("192.0.2.77:1", ""), "192.0.2.0/24")
	check(t, ByIP(ClientIP{IPv4Bits: 24}), from("[::ffff:192.0.2.77]:1", ""), "192.0.2.0/24")
	check(t, ByIP(ClientIP{IPv4Bits: 24}), from("[2001:db8:1:2::1]:1", ""), "2001:db8:1:2::/64")
}

func check(t *testing.T, key KeyFunc, r *http.Request, want string) {
	t.Helper()
	got, err := key(r)
	if got != want || (want == none) != errors.Is(err, ErrNoKey) {
		t.Errorf("%s %v: %q, %v; want %q", r.RemoteAddr, r.Header, got, err, want)
	}
}

func TestByIPProxies(t *testing.T) {
	xff := ByIP(ClientIP{Header: "x-forwarded-for", Proxies: prefixes("10.0.0.0/8", "::ffff:172.16.0.0/108", "64:ff9b::172.30.0.0/112", "2001:db8:ff::/48")})
	for _, c := range []struct {
		name, remote string
		lines        []string
		want         string
	}{
		{"a stranger's header is ignored", "198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7"},
		{"one hop", "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"a mapped peer", "[::ffff:10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"an IPv6 peer", "[2001:db8:ff::1]:1", []string{"2001:db8:7:8::9"}, "2001:db8:7:8::/64"},
		{"a mapped prefix", "172.16.5.5:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"beside a mapped prefix", "172.32.0.1:1", []string{"203.0.113.9"}, "172.32.0.1"},
		{"NAT64", "10.0.0.1:1", []string{"64:ff9b::203.0.113.9"}, "203.0.113.9"},
		{"a NAT64 proxy", "[64:ff9b::10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"a NAT64 prefix", "172.30.5.5:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"two hops", "10.0.0.1:1", []string{"203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"a forged chain", "10.0.0.1:1", []string{"1.1.1.1, 10.9.9.9, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"forged junk", "10.0.0.1:1", []string{`"<script>,,;\, 203.0.113.9`}, "203.0.113.9"},
		{"forged lines", "10.0.0.1:1", []string{"1.1.1.1", "2.2.2.2, 203.0.113.9"}, "203.0.113.9"},
		{"a proxy that adds a line", "10.0.0.1:1", []string{"1.1.1.1, 203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"empty elements", "10.0.0.1:1", []string{"203.0.113.9, ,", "", " \t"}, "203.0.113.9"},
		{"ports", "10.0.0.1:1", []string{"203.0.113.9:55123, 10.0.0.2:9"}, "203.0.113.9"},
		{"brackets", "10.0.0.1:1", []string{"[2001:db8::1]:443"}, "2001:db8::/64"},
		{"a zone", "10.0.0.1:1", []string{"fe80::1%eth0"}, "fe80::/64"},
		{"a mapped client", "10.0.0.1:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"an inner client", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a proxy that says unknown", "10.0.0.1:1", []string{"203.0.113.9, unknown"}, none},
		{"a proxy that says junk", "10.0.0.1:1", []string{"203.0.113.9, 1.2.3.4.5, 10.0.0.2"}, none},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, xff, from(c.remote, "X-Forwarded-For", c.lines...), c.want) })
	}
}

func TestByIPHops(t *testing.T) {
	two := ByIP(ClientIP{Header: "X-Forwarded-For", Hops: 2})
	check(t, two, from("192.0.2.1:1", "X-Forwarded-For", "1.1.1.1, 203.0.113.9, 192.0.2.2"), "203.0.113.9")
	check(t, two, from("192.0.2.1:1", "X-Forwarded-For", "1.1.1.1", "203.0.113.9", "192.0.2.2"), "203.0.113.9")
	check(t, two, from("192.0.2.1:1", "X-Forwarded-For", "203.0.113.9"), none)
	check(t, two, from("192.0.2.1:1", "X-Forwarded-For", "junk, 192.0.2.2"), none)
	check(t, two, from("192.0.2.1:1", ""), none)

	one := ByIP(ClientIP{Header: "X-Real-IP", Hops: 1, Proxies: prefixes("10.0.0.0/8")})
	check(t, one, from("10.0.0.1:1", "X-Real-IP", "1.1.1.1", "203.0.113.9"), "203.0.113.9")
	check(t, one, from("192.0.2.1:1", "X-Real-IP", "203.0.113.9"), "192.0.2.1")
	// The client is at place 1, even if it is a proxy's address.
	check(t, one, from("10.0.0.1:1", "X-Real-IP", "10.5.5.5"), "10.5.5.5")

	// Behind a proxy on a unix socket the connection has no address, and needs none.
	for _, peer := range []string{"@", "", "/run/http.sock"} {
		check(t, two, from(peer, "X-Forwarded-For", "203.0.113.9, 192.0.2.2"), "203.0.113.9")
		check(t, one, from(peer, "X-Real-IP", "203.0.113.9"), none)
	}

	named := ByIP(ClientIP{Header: "CF-Connecting-IP", Hops: 1})
	check(t, named, from("192.0.2.1:1", "CF-Connecting-IP", "2001:db8::5"), "2001:db8::/64")
}

func TestByIPForwarded(t *testing.T) {
	key := ByIP(ClientIP{Header: "Forwarded", Proxies: prefixes("10.0.0.0/8")})
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"for=203.0.113.9"}, "203.0.113.9"},
		{[]string{"For=203.0.113.9;Proto=https;BY=203.0.113.43"}, "203.0.113.9"},
		{[]string{`proto=http ; for="203.0.113.9:47011" ;by=10.0.0.1`}, "203.0.113.9"},
		{[]string{`for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::/64"},
		{[]string{`for="[2001:db8:cafe::17]:_hidden.1-x"`}, "2001:db8:cafe::/64"},
		{[]string{`for="\[2001:db8:cafe::17\]"`}, "2001:db8:cafe::/64"},
		{[]string{`for=203.0.113.9, for="10.0.0.2:80"`}, "203.0.113.9"},
		{[]string{`for=1.1.1.1`, `for=203.0.113.9, for=10.0.0.2`}, "203.0.113.9"},
		{[]string{`for=203.0.113.9;ext="a, for=1.1.1.1; \" b", for=10.0.0.2`}, "203.0.113.9"},
		// What a client wrote cannot hide what the proxy added, whatever quotation marks it
		// leaves open.
		{[]string{`for=", for=203.0.113.9`}, "203.0.113.9"},
		{[]string{`for="1.1.1.1`, `for="[2001:db8:cafe::17]"`}, "2001:db8:cafe::/64"},
		{[]string{`for=1.1.1.1;x="\, for="[2001:db8:cafe::17]"`}, "2001:db8:cafe::/64"},
		{[]string{`for=1.1.1.1;x="a\\", for=203.0.113.9`}, "203.0.113.9"},
		{[]string{`for=unknown`}, none},
		{[]string{`for=_gazonk`}, none},
		{[]string{`for=203.0.113.9, for=_proxy7`}, none},
		{[]string{`by=10.0.0.1;proto=https`}, none},
		{[]string{`for=203.0.113.9;for=1.1.1.1`}, none},
		{[]string{`for=203.0.113.9;`}, none},
		{[]string{`for`}, none},
		{[]string{`for=`}, none},
		{[]string{`=203.0.113.9`}, none},
		{[]string{`for ="203.0.113.9"`}, none},
		{[]string{`for="203.0.113.9" x`}, none},
		{[]string{`for="203.0.113.9`}, none},
		{[]string{`for="203.0.113.9\`}, none},
		{[]string{`for="[203.0.113.9]"`}, none},
		{nil, "10.0.0.1"},
	} {
		check(t, key, from("10.0.0.1:80", "Forwarded", c.lines...), c.want)
	}
}

func TestByIPPanics(t *testing.T) {
	for want, c := range map[string]ClientIP{
		"there is no Header to go with Proxies or Hops":                                          {Hops: 1},
		`field Header is "X-Real-IP" without Proxies or Hops, so that any client could forge it`: {Header: "X-Real-IP"},
		"field Hops is -1, want 0 or more":                                                       {Header: "X", Hops: -1},
		"field IPv4Bits is 33, want 0 to 32":                                                     {IPv4Bits: 33},
		"field IPv6Bits is 129, want 0 to 128":                                                   {IPv6Bits: 129},
		"field Proxies[0] is invalid Prefix, want a prefix":                                      {Header: "X", Proxies: make([]netip.Prefix, 1)},
	} {
		mustPanic(t, "httplimit: ByIP: "+want, func() { ByIP(c) })
	}
}

func TestKeys(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Api-Key", "k1")
	r.AddCookie(&http.Cookie{Name: "session", Value: "s1"})
	r.AddCookie(&http.Cookie{Name: "empty"})
	broken := func(*http.Request) (string, error) { return "", errDown }
	check(t, ByHeader("x-api-key"), r, "k1")
	check(t, ByHeader("X-Other"), r, none)
	check(t, ByCookie("session"), r, "s1")
	check(t, ByCookie("other"), r, none)
	check(t, ByCookie("empty"), r, none)
	check(t, ByPattern, r, none)
	check(t, Join(ByHeader("X-Api-Key"), ByIP(ClientIP{})), r, "2:k19:192.0.2.1")
	check(t, Join(ByHeader("X-Other"), ByIP(ClientIP{})), r, none)
	check(t, Join(broken), r, none)
	check(t, Join(fixed("")), r, none)
	check(t, FirstOf(ByHeader("X-Api-Key"), ByIP(ClientIP{})), r, "0:k1")
	check(t, FirstOf(ByHeader("X-Other"), ByIP(ClientIP{})), r, "1:192.0.2.1")
	check(t, FirstOf(ByHeader("X-Other"), fixed(""), broken), r, none)
	r.Pattern = "GET /{id}"
	check(t, ByPattern, r, "GET /{id}")

	a, _ := Join(fixed("a:1"), fixed("b"))(r)
	b, _ := Join(fixed("a"), fixed("1:b"))(r)
	if a == b {
		t.Errorf("different combinations are both %q", a)
	}
	mustPanic(t, "httplimit: ByHeader: the name is empty", func() { ByHeader("") })
	mustPanic(t, "httplimit: Join: there is no KeyFunc, want 1 or more", func() { Join() })
	mustPanic(t, "httplimit: FirstOf: KeyFunc 1 is nil", func() { FirstOf(ByPattern, nil) })
}

// FuzzByIP: whatever a client writes to the left of what the trusted proxy added, the key is the
// client's address.
func FuzzByIP(f *testing.F) {
	for _, s := range []string{"", "1.1.1.1", `for="`, `for="\`, "10.0.0.2,", `for=1.1.1.1;x="a, b"`, "::ffff:1.2.3.4%z, [::1]:80", ",,,", `"`} {
		f.Add(s, s)
	}
	proxies := prefixes("10.0.0.0/8", "2001:db8:ff::/48")
	xff := ByIP(ClientIP{Header: "X-Forwarded-For", Proxies: proxies})
	fwd := ByIP(ClientIP{Header: "Forwarded", Proxies: proxies})
	hop := ByIP(ClientIP{Header: "Forwarded", Hops: 1})
	f.Fuzz(func(t *testing.T, forged, remote string) {
		for _, h := range []struct {
			key          KeyFunc
			field, added string
			want         string
		}{
			{xff, "X-Forwarded-For", "203.0.113.9", "203.0.113.9"},
			{xff, "X-Forwarded-For", "203.0.113.9, 10.1.1.1", "203.0.113.9"},
			{fwd, "Forwarded", "for=203.0.113.9", "203.0.113.9"},
			{fwd, "Forwarded", `for="[2001:db8::1]:80";by=_x, for="10.1.1.1:_p"`, "2001:db8::/64"},
			{hop, "Forwarded", `for="[2001:db8::1]"`, "2001:db8::/64"},
		} {
			check(t, h.key, from("10.0.0.1:80", h.field, forged+", "+h.added), h.want)
			check(t, h.key, from("10.0.0.1:80", h.field, forged, h.added), h.want)
			if key, err := h.key(from(remote, h.field, forged)); key == "" && !errors.Is(err, ErrNoKey) {
				t.Errorf("no key and error %v", err)
			}
			if key, err := h.key(from("10.0.0.1:80", h.field, forged)); err == nil {
				if _, err := netip.ParsePrefix(key); err != nil {
					if _, err := netip.ParseAddr(key); err != nil {
						t.Errorf("%q gives the key %q", forged, key)
					}
				}
			}
		}
	})
}

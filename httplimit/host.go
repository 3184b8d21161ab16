package httplimit

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// hostOf returns the host and the port that u leads to, as one text for all ways to write them:
// in lower case, without the scheme's own port, without the final dot of a fully qualified name,
// in Punycode (RFC 3492), and IPv6 as RFC 5952 has it.
func hostOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.String()
	} else {
		host = strings.TrimRight(toASCII(host), ".")
	}
	port := u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	if port == "" || port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// toASCII returns an internationalized host name as net/http sends it in the field Host. The
// standard library has no other access to its conversion, and golang.org/x/net/idna would bring a
// second copy of the tables. A name that cannot be converted stays as it is.
func toASCII(host string) string {
	if isASCII(host) {
		return host
	}
	var b bytes.Buffer
	r := http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: host}, Header: http.Header{}}
	if r.Write(&b) != nil {
		return host
	}
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		if ascii, ok := strings.CutPrefix(line, "Host: "); ok {
			return strings.ToLower(ascii)
		}
	}
	return host
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
}

package httplimit

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestHostOf(t *testing.T) {
	for u, want := range map[string]string{
		"http://Example.com":            "example.com",
		"http://example.com:80":         "example.com",
		"http://example.com:":           "example.com",
		"http://example.com:080":        "example.com",
		"http://example.com:08080":      "example.com:8080",
		"https://example.com:443/x":     "example.com",
		"https://example.com:80":        "example.com:80",
		"http://example.com.":           "example.com",
		"http://example.com.:80/":       "example.com",
		"http://[2001:DB8::1]:8080":     "[2001:db8::1]:8080",
		"http://[2001:DB8:0:0::0001]/":  "2001:db8::1",
		"http://u:p@h/":                 "h",
		"http://bücher.example":         "xn--bcher-kva.example",
		"http://BÜCHER.example.:80":     "xn--bcher-kva.example",
		"http://xn--bcher-kva.example/": "xn--bcher-kva.example",
		"http://例え.テスト/":                "xn--r8jz45g.xn--zckzah",
		"mailto:x":                      "",
	} {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostOf(parsed); got != want {
			t.Errorf("%s: %s, want %s", u, got, want)
		}
	}
}

// FuzzHostOf: the host of a URL that is made of a host is that host.
func FuzzHostOf(f *testing.F) {
	for _, s := range []string{"a", "A:80", "a.:080", "bücher.example:81", "[::1]:80", "[fe80::1]", "..", "a\u0130b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse("http://" + s)
		if err != nil {
			return
		}
		host := hostOf(u)
		again := &url.URL{Scheme: "http", Host: host}
		if _, err := netip.ParseAddr(host); err == nil && strings.Contains(host, ":") {
			again.Host = "[" + host + "]"
		}
		if got := hostOf(again); got != host {
			t.Errorf("%q gives %q, and that %q", s, host, got)
		}
	})
}

package httplimit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-tokenbucket/tokenbucket"
)

// TestErrorTexts: each error names its package once.
func TestErrorTexts(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "@"
	foreign := errors.New("no such tenant")
	key := func(k KeyFunc) error { _, err := k(r); return err }
	broken := func(*http.Request) (string, error) { return "", foreign }
	for want, err := range map[string]error{
		`the request has no key: no header field X-Key`:                             key(ByHeader("X-Key")),
		`the request has no key: RemoteAddr is "@", want an address`:                key(ByIP(ClientIP{})),
		`the request has no key: no header field X; no cookie c; no such tenant`:    key(FirstOf(ByHeader("X"), ByCookie("c"), fixed(""), broken)),
		`the request has no key: no header field X; no header field Y; no cookie c`: key(FirstOf(FirstOf(ByHeader("X"), ByHeader("Y")), ByCookie("c"))),
		`the request has no key: no such tenant`:                                    key(Join(broken)),
		`the request has no key`:                                                    key(FirstOf(fixed(""))),
		`waiting for the pause of a: the turn would come after the deadline`:        &waitError{"the pause of a", tokenbucket.ErrDeadline},
	} {
		if err.Error() != "httplimit: "+want {
			t.Errorf("%v, want httplimit: %s", err, want)
		}
		if strings.Contains(want, "no key") && !errors.Is(err, ErrNoKey) || strings.Contains(want, "tenant") && !errors.Is(err, foreign) {
			t.Errorf("%v does not wrap what it should", err)
		}
	}
}

package httplimit

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// A KeyFunc returns whose tokens a request takes. A request that cannot be told apart is an error;
// "" counts as one. It must be safe for concurrent use.
type KeyFunc func(*http.Request) (string, error)

// ByHeader returns a KeyFunc that takes a header field for the key, such as one with an API key.
// A missing or empty field is an error. Clients choose its value: unless something in front of
// the Policy has verified it, a client that invents values has a new bucket each time. It panics
// if name is empty.
func ByHeader(name string) KeyFunc {
	mustName("ByHeader", name)
	return func(r *http.Request) (string, error) {
		if v := r.Header.Get(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("%w: no header field %s", ErrNoKey, name)
	}
}

// ByCookie returns a KeyFunc that takes a cookie for the key. A missing or empty cookie is an
// error. The warning of [ByHeader] applies. It panics if name is empty.
func ByCookie(name string) KeyFunc {
	mustName("ByCookie", name)
	return func(r *http.Request) (string, error) {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value, nil
		}
		return "", fmt.Errorf("%w: no cookie %s", ErrNoKey, name)
	}
}

// ByPattern is a KeyFunc that takes the pattern that http.ServeMux chose for the request. It is
// known only inside the mux: wrap the handlers, not the mux, or use a KeyFunc that calls
// mux.Handler.
func ByPattern(r *http.Request) (string, error) {
	if r.Pattern == "" {
		return "", fmt.Errorf("%w: no http.ServeMux has routed it yet", ErrNoKey)
	}
	return r.Pattern, nil
}

// Join returns a KeyFunc that combines keys: there is a bucket for each combination, of client and
// pattern, say. Different combinations are never the same key, whatever clients send. It panics if
// keys is empty or has a nil.
func Join(keys ...KeyFunc) KeyFunc {
	mustKeys("Join", keys)
	return func(r *http.Request) (string, error) {
		var b strings.Builder
		for _, key := range keys {
			k, err := key(r)
			if err != nil || k == "" {
				return "", noKey(err)
			}
			b.WriteString(strconv.Itoa(len(k)))
			b.WriteByte(':')
			b.WriteString(k)
		}
		return b.String(), nil
	}
}

// FirstOf returns a KeyFunc that takes the first key that there is: a user, say, or else an
// address. Keys of different functions are never the same, so a client cannot pass off another's
// address as its user name. It panics if keys is empty or has a nil.
func FirstOf(keys ...KeyFunc) KeyFunc {
	mustKeys("FirstOf", keys)
	return func(r *http.Request) (string, error) {
		var errs []error
		for i, key := range keys {
			k, err := key(r)
			if err == nil && k != "" {
				return strconv.Itoa(i) + ":" + k, nil
			}
			errs = append(errs, noKey(err))
		}
		return "", noKeys(errs)
	}
}

func mustName(where, name string) {
	if name == "" {
		panic(fmt.Sprintf("httplimit: %s: the name is empty", where))
	}
}

func mustKeys(where string, keys []KeyFunc) {
	if len(keys) == 0 {
		panic(fmt.Sprintf("httplimit: %s: there is no KeyFunc, want 1 or more", where))
	}
	for i, k := range keys {
		if k == nil {
			panic(fmt.Sprintf("httplimit: %s: KeyFunc %d is nil", where, i))
		}
	}
}

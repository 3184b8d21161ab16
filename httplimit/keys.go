package httplimit

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// A KeyFunc tells whose tokens a request takes. It must not return "": what cannot be told apart is an error. Any number
// of goroutines may call it at once.
type KeyFunc func(*http.Request) (string, error)

// ByHeader tells requests apart by a header field, such as one with an API key, and is an error where it is missing or
// empty. Clients choose what is in it: unless something before the Policy has verified it, inventing values gives a client
// a bucket each time.
func ByHeader(name string) KeyFunc {
	mustName("ByHeader", name)
	return func(r *http.Request) (string, error) {
		if v := r.Header.Get(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("%w: no header field %s", ErrNoKey, name)
	}
}

// ByCookie tells requests apart by a cookie, and is an error where it is missing or empty. The warning of [ByHeader] holds.
func ByCookie(name string) KeyFunc {
	mustName("ByCookie", name)
	return func(r *http.Request) (string, error) {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value, nil
		}
		return "", fmt.Errorf("%w: no cookie %s", ErrNoKey, name)
	}
}

// ByPattern tells requests apart by the pattern that http.ServeMux chose for them. It is known inside of the mux only: wrap
// the handlers, not the mux, or use a KeyFunc of your own that asks mux.Handler(r).
func ByPattern(r *http.Request) (string, error) {
	if r.Pattern == "" {
		return "", fmt.Errorf("%w: no http.ServeMux has routed it yet", ErrNoKey)
	}
	return r.Pattern, nil
}

// Join combines keys: a request has a bucket for each combination, of client and pattern, say. Different combinations
// are never the same key, whatever clients put in.
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

// FirstOf uses the first key that there is: that of a user, say, and otherwise the address. Keys of different functions are
// never the same, so that nobody can name another's address in place of a user.
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

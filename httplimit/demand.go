package httplimit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"reflect"

	"github.com/go-tokenbucket/tokenbucket"
)

// A demand is what one limit of a request has to grant, and what came of it.
type demand struct {
	Limit
	total  int // the tokens to take: Cost, and that of later limits with the same bucket
	merged bool
	result tokenbucket.Result
	held   bool // the tokens were taken, and not refunded
	waived bool // the limiter failed, and the request is served without it
}

// idle reports whether nothing is to be taken for d: it has its tokens, its limiter failed, or an
// earlier demand of the same bucket takes them.
func (d *demand) idle() bool { return d.held || d.waived || d.merged }

// A source finds the demands of a request.
type source struct {
	name    string
	limiter Limiter
	choose  func(*http.Request) Limiter          // if not nil, instead of limiter
	key     KeyFunc                              // of limiter
	cost    func(*http.Request) int              // of limiter; nil is 1
	limits  func(*http.Request) ([]Limit, error) // if not nil, instead of all of the above
	settles bool                                 // every limiter has to be a Settler
}

// demands appends the demands of r to ds.
func (s *source) demands(r *http.Request, ds []demand) ([]demand, error) {
	if s.limits != nil {
		return s.several(r, ds)
	}
	l := Limit{Name: s.name, Limiter: s.limiter, Cost: 1}
	if s.choose != nil {
		l.Limiter = s.choose(r)
	}
	if l.Limiter == nil {
		return nil, nil
	}
	if s.cost != nil {
		l.Cost = s.cost(r)
	}
	if !isKeyless(l.Limiter) {
		var err error
		if l.Key, err = s.key(r); err != nil {
			return nil, noKey(err)
		}
	}
	if s.settles {
		mustSettle(l)
	}
	if err := l.complete(); err != nil {
		return nil, err
	}
	return append(ds, demand{Limit: l, total: l.Cost}), nil
}

// several appends the demands of all limits of r.
func (s *source) several(r *http.Request, ds []demand) ([]demand, error) {
	limits, err := s.limits(r)
	if err != nil {
		return nil, noKey(err)
	}
	for i, l := range limits {
		if l.Limiter == nil {
			l.Limiter = s.limiter
		}
		if l.Limiter == nil {
			panic(fmt.Sprintf("httplimit: limit %q has no Limiter", l.Name))
		}
		l.Name = cmp.Or(l.Name, s.name)
		l.Cost = cmp.Or(l.Cost, 1)
		if s.settles || i < len(limits)-1 {
			mustSettle(l)
		}
		if err := l.complete(); err != nil {
			return nil, err
		}
		ds = appendMerged(ds, l)
	}
	return ds, nil
}

// complete checks l's key and cost, and bounds the key.
func (l *Limit) complete() error {
	switch {
	case isKeyless(l.Limiter):
		l.Key = ""
	case l.Key == "":
		return ErrNoKey
	}
	if l.Cost < 0 {
		return fmt.Errorf("%w: %d", ErrCost, l.Cost)
	}
	l.Key = bounded(l.Key)
	return nil
}

// appendMerged appends the demand of l. Limits with one bucket are taken from in one step: taken
// one after the other, each would wait for the tokens that the other holds.
func appendMerged(ds []demand, l Limit) []demand {
	merged := false
	for i := range ds {
		d := &ds[i]
		if !d.merged && d.Key == l.Key && equalLimiters(d.Limiter, l.Limiter) {
			d.total += min(l.Cost, math.MaxInt-d.total)
			merged = true
			break
		}
	}
	return append(ds, demand{Limit: l, total: l.Cost, merged: merged})
}

// equalLimiters reports whether a and b are the same limiter. Values that cannot be compared count
// as different.
func equalLimiters(a, b Limiter) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// mustSettle panics if l cannot refund. That is a mistake in the program, which shows with the
// first request.
func mustSettle(l Limit) {
	if _, ok := l.Limiter.(Settler); !ok {
		panic(fmt.Sprintf("httplimit: limit %q: %T cannot refund; want a Settler, or the limit last",
			l.Name, l.Limiter))
	}
}

// maxKey is the length up to which a key is held as it is. Clients choose keys, and
// tokenbucket.WithMaxKeys bounds only their number.
const maxKey = 256

// bounded returns key, or its hash if it is long.
func bounded(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

package rate

import (
	"sync"
	"time"
)

// A Sometimes runs a function on some of the calls of Do: the first ones, every n-th, or those that
// come long enough after the last run. A call that meets one of these conditions is enough. The first
// call always runs it, so the zero Sometimes runs it once.
//
// The fields must not be changed while Do may be called. A Sometimes must not be copied after first
// use.
type Sometimes struct {
	First    int           // the first so many calls run the function; none if it is not positive
	Every    int           // the first call and every Every'th from there run it; none if not positive
	Interval time.Duration // a call that comes so long after the last run, or longer, runs it; none if not positive

	mu    sync.Mutex
	calls int       // of Do, so far
	ran   time.Time // when the function ran last; used only with an Interval
}

// Do calls f if the conditions of s say so. Calls of Do are made one after the other: a call blocks
// while f runs for another one, and f must not call Do of the same Sometimes. If f panics, the call
// does not count.
func (s *Sometimes) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due() {
		f()
		if s.Interval > 0 {
			s.ran = time.Now()
		}
	}
	s.calls++
}

func (s *Sometimes) due() bool {
	switch {
	case s.calls == 0 || s.calls < s.First:
		return true
	case s.Every > 0 && s.calls%s.Every == 0:
		return true
	}
	return s.Interval > 0 && time.Since(s.ran) >= s.Interval
}

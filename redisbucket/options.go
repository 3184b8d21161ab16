package redisbucket

import (
	"fmt"
	"strings"
	"time"
)

// An Option configures a [Limiter] when it is made.
type Option func(*settings)

type settings struct {
	prefix     string
	budget     time.Duration
	breakAfter int
	breakFor   time.Duration
	fallback   Fallback
	leasing    *leasing // nil without leases
}

// DefaultBudget is how long a round trip may take, unless [WithBudget] sets another limit.
// [NewClient] uses it for its timeouts.
const DefaultBudget = 250 * time.Millisecond

// defaultBudget is what tests on a busy machine raise.
var defaultBudget = DefaultBudget

func defaults() settings {
	return settings{prefix: "tokenbucket", budget: defaultBudget, breakAfter: 5, breakFor: time.Second}
}

// WithPrefix sets what the keys on the server begin with, "tokenbucket" without this option.
// Limiters of different meaning on one server need different prefixes. It panics if prefix
// contains a brace.
func WithPrefix(prefix string) Option {
	if strings.ContainsAny(prefix, "{}") {
		panic(fmt.Sprintf("redisbucket: WithPrefix: prefix is %q, want no braces", prefix))
	}
	return func(s *settings) { s.prefix = prefix }
}

// WithBudget bounds how long a call may take at the server, [DefaultBudget] without this option.
// After that the server counts as unavailable. It panics if d is not positive.
func WithBudget(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("redisbucket: WithBudget: d is %v, want more than 0", d))
	}
	return func(s *settings) { s.budget = d }
}

// WithBreaker sets when a server is no longer asked: after so many failures in a row, for the
// length of pause. Then one call tries again; if it succeeds all do, if not there is another
// pause. Without this option it is 5 failures and a second. Each node of a Cluster or Ring is
// counted on its own. An error that concerns one key, one slot or a missing right is no failure
// of the server. WithBreaker panics if failures or pause is not positive.
func WithBreaker(failures int, pause time.Duration) Option {
	if failures < 1 {
		panic(fmt.Sprintf("redisbucket: WithBreaker: failures is %d, want 1 or more", failures))
	}
	if pause <= 0 {
		panic(fmt.Sprintf("redisbucket: WithBreaker: pause is %v, want more than 0", pause))
	}
	return func(s *settings) { s.breakAfter, s.breakFor = failures, pause }
}

// WithFallback sets what is answered when the server gives no decision, [ReturnError] without this
// option.
func WithFallback(f Fallback) Option {
	return func(s *settings) { s.fallback = f }
}

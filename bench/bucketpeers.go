package main

import (
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/go-tokenbucket/tokenbucket"
	tbrate "github.com/go-tokenbucket/tokenbucket/rate"
	"github.com/juju/ratelimit"
	uber "go.uber.org/ratelimit"
	"golang.org/x/time/rate"
)

// The contenders' names, as the tables show them.
const (
	us         = "tokenbucket"
	usCoarse   = "tokenbucket-coarse"
	usRate     = "tokenbucket/rate"
	xtime      = "x/time/rate"
	juju       = "juju"
	failsafe   = "failsafe-go"
	uberName   = "uber"
	floorSince = "time.Since"
	floorCAS   = "compare-and-swap"
)

// A limit is a token every so often, and a burst.
type limit struct {
	every time.Duration
	burst int
}

var (
	plenty  = limit{every: time.Microsecond, burst: 1 << 30} // never exhausted while a cell runs
	nothing = limit{every: time.Hour, burst: 1}              // nothing is left once the burst is taken
)

// A caller calls a limiter n times for one token and returns how often it was granted. Each has its own loop around a
// direct call, as a user would write it: a common loop would call all of them through a func value or an interface.
type caller func(n int) int

// A bucketPeer is a limiter of one bucket.
type bucketPeer struct {
	who  string
	make func(l limit) caller
	can  ability
}

// An ability is what a contender can do.
type ability int

const (
	floor     ability = iota // no limiter at all, but the least that one needs
	allowOnly                // it can't say no: it sleeps
	allowDeny
)

var bucketPeers = []bucketPeer{
	{floorSince, sinceCaller, floor},
	{floorCAS, casCaller, floor},
	{us, bucketCaller, allowDeny},
	{usCoarse, coarseCaller, allowDeny},
	{usRate, rateCaller, allowDeny},
	{xtime, xtimeCaller, allowDeny},
	{uberName, uberCaller, allowOnly},
	{juju, jujuCaller, allowDeny},
	{failsafe, failsafeCaller, allowDeny},
}

var epoch = time.Now()

func sinceCaller(limit) caller {
	return func(n int) (granted int) {
		for range n {
			if time.Since(epoch) >= 0 {
				granted++
			}
		}
		return granted
	}
}

// casCaller knows the word's value unless others change it, so alone it pays for nothing but the compare-and-swap.
func casCaller(limit) caller {
	word := new(atomic.Uint64)
	return func(n int) int {
		v := word.Load()
		for range n {
			for !word.CompareAndSwap(v, v+1) {
				v = word.Load()
			}
			v++
		}
		return n
	}
}

func bucketCaller(l limit) caller {
	return callBucket(tokenbucket.New(tokenbucket.Every(l.every), l.burst))
}

func coarseCaller(l limit) caller {
	clock := tokenbucket.NewCoarseClock(time.Millisecond)
	return callBucket(tokenbucket.New(tokenbucket.Every(l.every), l.burst, tokenbucket.WithClock(clock)))
}

func callBucket(bucket *tokenbucket.Bucket) caller {
	return func(n int) (granted int) {
		for range n {
			if bucket.Allow() {
				granted++
			}
		}
		return granted
	}
}

func rateCaller(l limit) caller {
	limiter := tbrate.NewLimiter(tbrate.Every(l.every), l.burst)
	return func(n int) (granted int) {
		for range n {
			if limiter.Allow() {
				granted++
			}
		}
		return granted
	}
}

func xtimeCaller(l limit) caller {
	limiter := rate.NewLimiter(rate.Every(l.every), l.burst)
	return func(n int) (granted int) {
		for range n {
			if limiter.Allow() {
				granted++
			}
		}
		return granted
	}
}

// uberCaller has no burst and no call that does not sleep. A billion a second keeps it awake.
func uberCaller(limit) caller {
	limiter := uber.New(1_000_000_000)
	return func(n int) int {
		for range n {
			limiter.Take()
		}
		return n
	}
}

func jujuCaller(l limit) caller {
	bucket := ratelimit.NewBucket(l.every, int64(l.burst))
	return func(n int) (granted int) {
		for range n {
			if bucket.TakeAvailable(1) == 1 {
				granted++
			}
		}
		return granted
	}
}

// failsafeCaller has a limiter of a fixed window: its smooth one has no burst.
func failsafeCaller(l limit) caller {
	limiter := ratelimiter.NewBursty[any](uint(l.burst), l.every*time.Duration(l.burst))
	return func(n int) (granted int) {
		for range n {
			if limiter.TryAcquirePermit() {
				granted++
			}
		}
		return granted
	}
}

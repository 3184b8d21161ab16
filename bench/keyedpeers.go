package main

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/go-chi/httprate"
	"github.com/go-tokenbucket/tokenbucket"
	limiter "github.com/sethvargo/go-limiter"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	"golang.org/x/time/rate"
)

// The names of those that are only here.
const (
	floorMap  = "map+time.Since"
	mutexMap  = "mutex-map"
	syncMap   = "sync.Map"
	goLimiter = "go-limiter"
	throttle  = "throttled"
	chi       = "httprate"
)

// A keyed is a limiter of many keys. Its loops are around direct calls, as those of a caller are.
type keyed[K comparable] struct {
	call   func(keys []K) (granted int) // one token of each key
	insert func(keys []K) (granted int) // the same for keys that are all new; call, if it is nil
	evict  func()                       // drops the keys that are as good as new; nil if it can't be told to
}

// A keyedPeer is a kind of limiter of many keys.
type keyedPeer[K comparable] struct {
	who  string
	make func(l limit) keyed[K]
}

// keyedPeers are those that take keys of any type.
func keyedPeers[K comparable]() []keyedPeer[K] {
	return []keyedPeer[K]{{floorMap, plainKeyed[K]}, {us, bucketKeyed[K]}, {mutexMap, mutexKeyed[K]}, {syncMap, syncKeyed[K]}}
}

// stringPeers are those that take strings.
func stringPeers() []keyedPeer[string] {
	return append(keyedPeers[string](), keyedPeer[string]{goLimiter, goLimiterKeyed},
		keyedPeer[string]{throttle, throttledKeyed}, keyedPeer[string]{chi, chiKeyed})
}

// plainKeyed is the floor: a look-up and a look at the clock. To insert, it needs no clock.
func plainKeyed[K comparable](limit) keyed[K] {
	m := make(map[K]uint64)
	insert := func(keys []K) int {
		for _, key := range keys {
			m[key] = 1
		}
		return len(keys)
	}
	call := func(keys []K) (granted int) {
		for _, key := range keys {
			if time.Since(epoch) >= time.Duration(m[key]) {
				granted++
			}
		}
		return granted
	}
	return keyed[K]{call: call, insert: insert}
}

func bucketKeyed[K comparable](l limit) keyed[K] {
	buckets := tokenbucket.NewKeyed[K](tokenbucket.Every(l.every), l.burst)
	call := func(keys []K) (granted int) {
		for _, key := range keys {
			if buckets.Allow(key) {
				granted++
			}
		}
		return granted
	}
	return keyed[K]{call: call, evict: func() { buckets.Evict() }}
}

// mutexKeyed is what people write first. It drops a limiter that is full, under the lock that everybody needs.
func mutexKeyed[K comparable](l limit) keyed[K] {
	var mu sync.Mutex
	m := make(map[K]*rate.Limiter)
	get := func(key K) *rate.Limiter {
		mu.Lock()
		defer mu.Unlock()
		limiter, ok := m[key]
		if !ok {
			limiter = rate.NewLimiter(rate.Every(l.every), l.burst)
			m[key] = limiter
		}
		return limiter
	}
	call := func(keys []K) (granted int) {
		for _, key := range keys {
			if get(key).Allow() {
				granted++
			}
		}
		return granted
	}
	evict := func() {
		mu.Lock()
		defer mu.Unlock()
		for key, limiter := range m {
			if limiter.Tokens() >= float64(l.burst) {
				delete(m, key)
			}
		}
	}
	return keyed[K]{call: call, evict: evict}
}

// syncKeyed is what people write next.
func syncKeyed[K comparable](l limit) keyed[K] {
	var m sync.Map
	call := func(keys []K) (granted int) {
		for _, key := range keys {
			limiter, ok := m.Load(key)
			if !ok {
				limiter, _ = m.LoadOrStore(key, rate.NewLimiter(rate.Every(l.every), l.burst))
			}
			if limiter.(*rate.Limiter).Allow() {
				granted++
			}
		}
		return granted
	}
	evict := func() {
		m.Range(func(key, limiter any) bool {
			if limiter.(*rate.Limiter).Tokens() >= float64(l.burst) {
				m.Delete(key)
			}
			return true
		})
	}
	return keyed[K]{call: call, evict: evict}
}

func goLimiterKeyed(l limit) keyed[string] {
	store, err := memorystore.New(&memorystore.Config{Tokens: uint64(l.burst), Interval: l.every * time.Duration(l.burst)})
	must(err)
	return keyed[string]{call: callGoLimiter(store)}
}

func callGoLimiter(store limiter.Store) func(keys []string) int {
	ctx := context.Background()
	return func(keys []string) (granted int) {
		for _, key := range keys {
			if _, _, _, ok, err := store.Take(ctx, key); ok && err == nil {
				granted++
			}
		}
		return granted
	}
}

func throttledKeyed(l limit) keyed[string] {
	store, err := memstore.NewCtx(0)
	must(err)
	limiter, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
		MaxRate: throttled.PerDuration(1, l.every), MaxBurst: l.burst - 1,
	})
	must(err)
	limiter.SetMaxCASAttemptsLimit(math.MaxInt) // otherwise it gives up when its bucket is in demand
	ctx := context.Background()
	return keyed[string]{call: func(keys []string) (granted int) {
		for _, key := range keys {
			if limited, _, err := limiter.RateLimitCtx(ctx, key, 1); !limited && err == nil {
				granted++
			}
		}
		return granted
	}}
}

// chiKeyed does with the counter what the middleware does around it, which can't be called without a request.
func chiKeyed(l limit) keyed[string] {
	window := l.every * time.Duration(l.burst)
	var mu sync.Mutex
	var counter httprate.LimitCounter = httprate.NewLocalLimitCounter(window)
	allow := func(key string) bool {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now().UTC()
		current := now.Truncate(window)
		this, last, err := counter.Get(key, current, current.Add(-window))
		share := float64(window-now.Sub(current)) / float64(window)
		if err != nil || int(math.Round(float64(last)*share))+this+1 > l.burst {
			return false
		}
		return counter.IncrementBy(key, current, 1) == nil
	}
	return keyed[string]{call: func(keys []string) (granted int) {
		for _, key := range keys {
			if allow(key) {
				granted++
			}
		}
		return granted
	}}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

package redisbucket

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// leases are those of the keys that were asked for lately. Their number is bounded.
type leases struct {
	ttl    time.Duration
	count  *counters
	seed   maphash.Seed
	shards [leaseShards]leaseShard
}

type leaseShard struct {
	mu sync.RWMutex
	m  map[leaseKey]*lease // guarded by mu
}

// A leaseKey is a key, or the hash of one that is long: those take no more room than others.
type leaseKey struct {
	text   string
	hashed bool
}

func (ls *leases) locate(key string) (*leaseShard, leaseKey) {
	id := leaseKey{text: key}
	if len(key) > longest {
		id = leaseKey{text: name("", key), hashed: true}
	}
	return &ls.shards[maphash.String(ls.seed, id.text)%leaseShards], id
}

// find returns the lease of a key, or nil.
func (shard *leaseShard) find(id leaseKey) *lease {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.m[id]
}

const (
	leaseShards = 64
	maxLeases   = 1 << 16

	// inspected is how many leases a new one looks at for some that are idle: with more than one, idle ones go away faster than
	// new ones come.
	inspected = 4
)

func newLeases(ttl time.Duration, count *counters) *leases {
	return &leases{ttl: ttl, count: count, seed: maphash.MakeSeed()}
}

// of returns the lease of key, a new one if there is none, or nil if there is no room.
func (ls *leases) of(key string, now time.Duration) *lease {
	shard, id := ls.locate(key)
	if e := shard.find(id); e != nil {
		return e
	}
	return ls.enter(shard, id, now)
}

// visit calls f with the lease of key, if there is one.
func (ls *leases) visit(key string, f func(*lease)) {
	if ls == nil {
		return
	}
	shard, id := ls.locate(key)
	if e := shard.find(id); e != nil {
		f(e)
	}
}

func (ls *leases) enter(shard *leaseShard, id leaseKey, now time.Duration) *lease {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if e := shard.m[id]; e != nil {
		return e
	}
	seen := 0
	for other, e := range shard.m { // in random order
		if seen++; seen > inspected {
			break
		}
		if e.idle(now, ls.ttl) {
			delete(shard.m, other)
		}
	}
	if len(shard.m) >= maxLeases/leaseShards {
		return nil
	}
	if shard.m == nil {
		shard.m = make(map[leaseKey]*lease)
	}
	e := &lease{asked: now, lapsed: &ls.count.lapsedTokens}
	e.cur.Store(new(batch))
	id.text = strings.Clone(id.text) // the caller's may be part of something large
	shard.m[id] = e
	return e
}

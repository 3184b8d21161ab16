package redisbucket

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// A Router is a [Client] that knows which of several servers has a key. A [Limiter] has a breaker
// for each, so that one that hangs does not stop the others. The clients of go-redis need not be
// one.
type Router interface {
	// Node returns a name of the server that has the given key of the server's, or "" if that is
	// not known. It must not block, and may be called by any number of goroutines at once.
	Node(key string) string
}

// nodes are the breakers of the servers behind a client.
type nodes struct {
	node  func(key string) string
	known atomic.Bool // the client has been asked before
	new   func() *breaker
	mu    sync.RWMutex
	all   map[string]*breaker // guarded by mu
}

// maxNodes bounds the memory if servers come and go for years.
const maxNodes = 1024

// of returns the breaker of the server that has a key.
func (n *nodes) of(key string) *breaker {
	name := n.node(key)
	n.mu.RLock()
	b := n.all[name]
	n.mu.RUnlock()
	if b != nil {
		return b
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.all[name]; b != nil {
		return b
	}
	if n.all == nil || len(n.all) >= maxNodes {
		n.all = make(map[string]*breaker)
	}
	b = n.new()
	n.all[name] = b
	return b
}

// route sets how a key's server is found.
func (n *nodes) route(c Client) {
	switch c := c.(type) {
	case Router:
		n.node = c.Node
	case *redis.ClusterClient:
		n.node = func(key string) string {
			if !n.known.Load() {
				return "" // the client would ask all nodes where the slots are, and wait for them
			}
			return addr(c.MasterForKey(context.Background(), key))
		}
	case *redis.Ring:
		n.node = func(key string) string { return addr(c.GetShardClientForKey(key)) }
	default:
		n.node = func(string) string { return "" }
	}
}

func addr(c *redis.Client, err error) string {
	if err != nil {
		return ""
	}
	return c.Options().Addr
}

// single reports whether all keys are on one server, so that one script call may have any of them.
func single(c Client) bool {
	_, ok := c.(*redis.Client)
	return ok
}

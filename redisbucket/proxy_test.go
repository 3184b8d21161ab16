package redisbucket_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// A badLine is a proxy that holds up what it passes on, either way, and now and then hangs up in
// the middle of it.
type badLine struct {
	addr string
	bad  atomic.Bool
	mu   sync.Mutex
	all  []net.Conn
}

func newBadLine(t *testing.T, to string) *badLine {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &badLine{addr: l.Addr().String()}
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				down.Close()
				return
			}
			p.mu.Lock()
			p.all = append(p.all, up, down)
			p.mu.Unlock()
			go p.pass(up, down)
			go p.pass(down, up)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.all {
			c.Close()
		}
	})
	return p
}

func (p *badLine) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if p.bad.Load() {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			if rand.IntN(20) == 0 {
				_, _ = to.Write(buf[:rand.IntN(n)])
				return
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A network that is slow and cuts connections in the middle of requests and replies costs tokens,
// and grants none.
func TestBadNetwork(t *testing.T) {
	for name, opts := range map[string][]redisbucket.Option{
		"exact":  nil,
		"leased": {redisbucket.WithLease(100 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newBadLine(t, shared)
			client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{p.addr}})
			defer client.Close()
			opts := append(opts, redisbucket.WithPrefix(unique(t)), redisbucket.WithBreaker(5, 10*time.Millisecond))
			x := startLoad(t, redisbucket.New(client, brisk, opts...), 8)
			x.goesOn(t)
			p.bad.Store(true)
			until(t, func() bool { return x.failed.Load() > 20 })
			x.goesOn(t)
			p.bad.Store(false)
			x.goesOn(t)
			bound := brisk
			if len(opts) > 2 {
				bound.Burst += int(brisk.Rate.TokensPerSecond() / 10)
			}
			checkBound(t, x.end(), bound)
		})
	}
}

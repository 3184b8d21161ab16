package redisbucket

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// gates make concurrent decisions share calls to the server. A decision that finds fewer than
// maxCalls calls under way goes at once, alone. One that finds more waits for the next call, which
// starts when one of those returns and takes along all who wait. So a lone caller waits for nobody,
// and the more callers there are, the more decisions there are in a call.
//
// With one server there is one gate, named "". With several there is a gate for each key.
type gates struct {
	mu    sync.Mutex
	calls map[string]*gate // of names with calls under way; guarded by mu
}

type gate struct {
	under   int        // calls under way, at least 1
	waiting []*request // for the next call
}

const (
	maxCalls = 2   // one on its way there while another is on its way back
	maxBatch = 256 // decisions in a call, so that no call keeps the server for long
)

// A request is a decision that waits for a call of others. It ends when done has the error.
type request struct {
	key     string
	s       *scale
	n       int
	allowed bool
	missing int64
	done    chan error
	gone    atomic.Bool // the caller has left
}

// enter reports whether the caller may go at once. If so, leave must follow. If not, r waits.
func (g *gates) enter(name string, r func() *request) *request {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.calls[name]
	switch {
	case x == nil:
		if g.calls == nil {
			g.calls = make(map[string]*gate)
		}
		g.calls[name] = &gate{under: 1}
		return nil
	case x.under < maxCalls:
		x.under++
		return nil
	}
	waiting := r()
	x.waiting = append(x.waiting, waiting)
	return waiting
}

// leave ends a call, and returns the requests for the next one, which the caller has to make.
func (g *gates) leave(name string) []*request {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.calls[name]
	if n := min(len(x.waiting), maxBatch); n > 0 {
		next := x.waiting[:n:n]
		x.waiting = x.waiting[n:]
		return next
	}
	if x.under--; x.under == 0 {
		delete(g.calls, name)
	}
	return nil
}

// gateOf returns the name of the gate for a key.
func (l *Limiter) gateOf(key string) string {
	if l.single {
		return ""
	}
	return key
}

// decide decides on n tokens of key at the server, together with others if there are any.
func (l *Limiter) decide(ctx context.Context, method, key string, s *scale, n int) (allowed bool, missing int64, err error) {
	if ctx.Err() != nil {
		return false, 0, endOf(ctx)
	}
	name := l.gateOf(key)
	r := l.gates.enter(name, func() *request {
		return &request{key: key, s: s, n: n, done: make(chan error, 1)}
	})
	if r != nil {
		return l.decideTogether(ctx, method, r)
	}
	defer l.hand(name)
	reply, err := l.ask(ctx, method, &l.scripts.take, 2, []string{l.name(key)}, s.args(1, s.need(n)))
	if err != nil {
		return false, 0, err
	}
	return reply[0] == 1, reply[1], nil
}

// decideTogether waits for a call of others to bring the answer.
func (l *Limiter) decideTogether(ctx context.Context, method string, r *request) (bool, int64, error) {
	timer := time.NewTimer(l.budget)
	defer timer.Stop()
	select {
	case err := <-r.done:
		return r.allowed, r.missing, err
	case <-ctx.Done():
		r.gone.Store(true)
		return false, 0, endOf(ctx)
	case <-timer.C:
		r.gone.Store(true)
		return false, 0, &unavailable{method, errBudget}
	}
}

// hand ends a call, and makes those of the requests that have come meanwhile.
func (l *Limiter) hand(name string) {
	if next := l.gates.leave(name); next != nil {
		go func() {
			for ; next != nil; next = l.gates.leave(name) {
				next = slices.DeleteFunc(next, func(r *request) bool { return r.gone.Load() })
				if len(next) == 0 {
					continue
				}
				err := l.askAll(context.Background(), "Take", next)
				for _, r := range next {
					r.done <- err
				}
			}
		}()
	}
}

// askAll decides on all requests in one call.
func (l *Limiter) askAll(ctx context.Context, method string, all []*request) error {
	order, keys, args := l.bundle(all)
	l.count.shared.Add(uint64(len(all) - 1))
	reply, err := l.ask(ctx, method, &l.scripts.take, 2*len(all), keys, args)
	if err != nil {
		return err
	}
	for i, r := range order {
		r.allowed, r.missing = reply[2*i] == 1, reply[2*i+1]
	}
	return nil
}

// bundle returns requests in the order in which take.lua answers them, and its arguments: those of
// one bucket together, in the order in which they came.
func (l *Limiter) bundle(all []*request) (order []*request, keys []string, args []any) {
	type bucket struct {
		key string
		s   *scale
	}
	places := make(map[bucket]int, len(all))
	var groups [][]*request
	for _, r := range all {
		b := bucket{r.key, r.s}
		i, ok := places[b]
		if !ok {
			i = len(groups)
			places[b] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	for _, group := range groups {
		first := group[0]
		keys = append(keys, l.name(first.key))
		args = append(args, first.s.args(len(group))...)
		for _, r := range group {
			args = append(args, r.s.need(r.n))
			order = append(order, r)
		}
	}
	return order, keys, args
}

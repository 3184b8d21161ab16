package httplimit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// maxPauses bounds the hosts whose pauses are remembered. Beyond it the one that would end first is forgotten.
const maxPauses = 1024

// pauses are the hosts that must be left alone, and until when.
type pauses struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (p *pauses) extend(host string, d time.Duration, now time.Time) {
	until := now.Add(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.until[host]
	if d <= 0 || ok && !until.After(old) {
		return
	}
	if p.until == nil {
		p.until = make(map[string]time.Time)
	}
	if !ok && len(p.until) >= maxPauses {
		p.makeRoom(now)
	}
	p.until[host] = until
}

// makeRoom drops the pauses that are over, or else the one that ends first.
func (p *pauses) makeRoom(now time.Time) {
	first := ""
	for host, until := range p.until {
		if !until.After(now) {
			delete(p.until, host)
		} else if first == "" || until.Before(p.until[first]) {
			first = host
		}
	}
	if len(p.until) >= maxPauses {
		delete(p.until, first)
	}
}

// left returns how much longer host must be left alone; 0 or less if it need not.
func (p *pauses) left(host string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.until[host]
	if !ok {
		return 0
	}
	d := time.Until(until)
	if d <= 0 {
		delete(p.until, host)
	}
	return d
}

// maxJitter bounds the delay after a pause, for those of an hour.
const maxJitter = 10 * time.Second

// jitter returns a random delay after a pause of d that leaves half of the time that is left after it until ctx's deadline.
func (t *Transport) jitter(ctx context.Context, d time.Duration) time.Duration {
	random := t.Jitter
	if random == nil {
		random = rand.Float64
	}
	spread := min(d/4, maxJitter)
	if deadline, ok := ctx.Deadline(); ok {
		spread = min(spread, (time.Until(deadline)-d)/2)
	}
	return max(time.Duration(random()*float64(spread)), 0)
}

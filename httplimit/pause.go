package httplimit

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"
)

// A pauseKey is what a pause applies to: requests to one host with one key, or one key of
// [Transport.PauseKey].
type pauseKey struct{ host, key string }

func (k pauseKey) String() string {
	if k.key == "" {
		return k.host
	}
	return k.key
}

// A pause is what a server asked for.
type pause struct {
	until time.Time     // no request before it
	next  time.Time     // no request before it, but without jitter after it
	every time.Duration // the least time between two requests; 0 if the server does not mind
}

// wait returns the time until the pause is over, and whether a jitter is to follow it.
func (p *pause) wait(now time.Time) (d time.Duration, jitter bool) {
	if p.until.After(now) && !p.next.After(p.until) {
		return p.until.Sub(now), true
	}
	return max(p.next.Sub(now), 0), false
}

const (
	// maxPauses bounds the pauses that are remembered one by one. They take about 20 MB.
	maxPauses = 1 << 17

	// minSweep is the number of pauses from which on those that are over are looked for.
	minSweep = 1024

	// sharedPauses is the number of pauses that all keys beyond maxPauses share.
	sharedPauses = 256
)

// pauses are the pauses in force. The zero value has none.
//
// The memory is bounded, and no pause in force is forgotten: keys beyond maxPauses share pauses,
// by their hash. Such a key can be paused for another.
type pauses struct {
	mu      sync.Mutex
	m       map[pauseKey]*pause
	sweepAt int // the size of m at which it is swept
	swept   time.Time

	sharing bool // a shared pause may be in force
	shared  [sharedPauses]time.Time
	seed    maphash.Seed
}

// hold pauses key for d.
func (p *pauses) hold(key pauseKey, d time.Duration, now time.Time) {
	if d <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	until := now.Add(d)
	at := p.slot(key, now)
	if at == nil {
		at = p.share(key)
	}
	if until.After(*at) {
		*at = until
	}
}

// slot returns where the pause of key ends, or nil if there is no room for it.
func (p *pauses) slot(key pauseKey, now time.Time) *time.Time {
	if x := p.entry(key, now); x != nil {
		return &x.until
	}
	return nil
}

// entry returns the pause of key, which it makes if there is room for one more.
func (p *pauses) entry(key pauseKey, now time.Time) *pause {
	x, ok := p.m[key]
	if ok {
		return x
	}
	full := len(p.m) >= maxPauses
	if len(p.m) >= max(p.sweepAt, minSweep) && (!full || now.Sub(p.swept) >= time.Second) {
		p.sweep(now)
	}
	if len(p.m) >= maxPauses {
		return nil
	}
	if p.m == nil {
		p.m = make(map[pauseKey]*pause)
	}
	x = new(pause)
	p.m[key] = x
	return x
}

// sweep drops the pauses that are over. The next sweep comes when there are twice as many as this
// one leaves, or at most once a second, so that it adds constant time to each pause.
func (p *pauses) sweep(now time.Time) {
	for key, x := range p.m {
		if d, _ := x.wait(now); d <= 0 {
			delete(p.m, key)
		}
	}
	p.sweepAt, p.swept = min(2*len(p.m), maxPauses), now
}

// share returns where the pause that key shares ends.
func (p *pauses) share(key pauseKey) *time.Time {
	if !p.sharing {
		p.sharing, p.seed = true, maphash.MakeSeed()
		clear(p.shared[:])
	}
	return &p.shared[maphash.Comparable(p.seed, key)%sharedPauses]
}

// pace spaces requests of key by every, from the one that was sent at the given time.
func (p *pauses) pace(key pauseKey, every time.Duration, sent, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.entry(key, now); x != nil {
		x.every = every
		if next := sent.Add(every); next.After(x.next) {
			x.next = next
		}
	}
}

// unpace ends what pace began.
func (p *pauses) unpace(key pauseKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x, ok := p.m[key]; ok {
		x.every, x.next = 0, time.Time{}
	}
}

// left returns how much longer key is paused, and whether a jitter is to follow.
func (p *pauses) left(key pauseKey, now time.Time) (d time.Duration, jitter bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leftLocked(key, now)
}

// leftLocked is left. The caller holds mu.
func (p *pauses) leftLocked(key pauseKey, now time.Time) (d time.Duration, jitter bool) {
	if x, ok := p.m[key]; ok {
		if d, jitter = x.wait(now); d <= 0 && x.every == 0 {
			delete(p.m, key)
		}
	}
	if p.sharing {
		if shared := p.share(key).Sub(now); shared > d {
			return shared, true
		}
	}
	return d, jitter
}

// enter reports whether a request of key may be sent now. If requests are spaced, the next one
// has to wait for this one.
func (p *pauses) enter(key pauseKey, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d, _ := p.leftLocked(key, now); d > 0 {
		return false
	}
	if x, ok := p.m[key]; ok {
		x.next = now.Add(x.every)
	}
	return true
}

// maxJitter bounds the delay after a pause, for pauses of an hour.
const maxJitter = 10 * time.Second

// jitter returns a random delay to follow a pause of d, at most a quarter of it. It leaves half
// of the time between the pause and ctx's deadline.
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

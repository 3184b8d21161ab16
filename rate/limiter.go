package rate

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A Limiter permits events at a rate of Limit per second and in bursts of at most Burst. It is a
// bucket of Burst tokens that is full at first; every event takes a token.
//
// Use Allow to drop events that exceed the rate, Wait to block until they are permitted, and Reserve
// to be told how long to wait. AllowN, WaitN and ReserveN are for n events at once. If Limit is
// [Inf], all of them permit everything, and the burst is ignored.
//
// The methods that take a time t go by that time and read no clock. The first time that a Limiter is
// told or reads begins its refill; it need not be near the present. A time earlier than one that came
// before refills nothing, but takes what is there. A time beyond 146 years after the first begins the
// refill anew, with the same tokens.
//
// The zero Limiter is valid and permits no events. A Limiter must not be copied after first use. All
// methods are safe for concurrent use. While nobody waits or holds a reservation, decisions are made
// without a lock.
type Limiter struct {
	cell atomic.Pointer[cell] // nil until a time comes; replaced under mu, its predecessor sealed

	mu       sync.Mutex
	limit    Limit // as it was set, but 0 for NaN
	burst    int   // as it was set
	queue    engine.Waitlist
	alarm    alarm
	receipts receipts
}

// NewLimiter returns a Limiter that permits events at the rate r and in bursts of at most b. It reads
// no clock: two new Limiters with the same arguments are equal by [reflect.DeepEqual].
func NewLimiter(r Limit, b int) *Limiter { return &Limiter{limit: r.normal(), burst: b} }

// Limit returns the rate. It is 0 if NaN was set.
func (lim *Limiter) Limit() Limit {
	limit, _ := lim.settings()
	return limit
}

// Burst returns the number of events that are permitted at once, as it was set. With a burst of 0 or
// less no events are permitted, unless the limit is [Inf].
func (lim *Limiter) Burst() int {
	_, burst := lim.settings()
	return burst
}

func (lim *Limiter) settings() (Limit, int) {
	lim.mu.Lock()
	defer lim.mu.Unlock()
	return lim.limit, lim.burst
}

// SetLimit is SetLimitAt with the present time.
func (lim *Limiter) SetLimit(newLimit Limit) { lim.set(nil, &newLimit, nil) }

// SetLimitAt changes the rate at time t. The tokens that are there stay. Waiters and reservations are
// given new times at once, so [Reservation.Delay] may change. A Limiter whose limit was [Inf] is full.
func (lim *Limiter) SetLimitAt(t time.Time, newLimit Limit) { lim.set(&t, &newLimit, nil) }

// SetBurst is SetBurstAt with the present time.
func (lim *Limiter) SetBurst(newBurst int) { lim.set(nil, nil, &newBurst) }

// SetBurstAt changes the burst at time t. The tokens that are there stay, as far as the new burst has
// room for them, even if reservations are owed more. A WaitN for more than the new burst fails.
func (lim *Limiter) SetBurstAt(t time.Time, newBurst int) { lim.set(&t, nil, &newBurst) }

// set changes the limit or the burst, whichever is not nil.
func (lim *Limiter) set(t *time.Time, limit *Limit, burst *int) {
	h := lim.hold(t)
	defer h.release()
	if limit != nil {
		lim.limit = limit.normal()
	}
	if burst != nil {
		lim.burst = *burst
	}
	h.SetLimit(lim.limit.plain(lim.burst))
	h.Retime()
}

// Tokens is TokensAt with the present time.
func (lim *Limiter) Tokens() float64 { return lim.tokensAt(nil) }

// TokensAt returns the number of tokens at time t, less what waiters and reservations are owed. It is
// negative if they are owed more than is there. It changes nothing, whatever t is.
func (lim *Limiter) TokensAt(t time.Time) float64 { return lim.tokensAt(&t) }

func (lim *Limiter) tokensAt(t *time.Time) float64 {
	if c := lim.cell.Load(); c != nil {
		first := c.Word.Load()
		if m, how := c.Timeline.Look(&c.Word, first, c.instant(t)); how == engine.Granted {
			return m.Tokens()
		}
	}
	var tokens float64
	if lim.peek(func(c *cell, h *engine.Held) { tokens = h.TokensAt(c.instant(t)) }) {
		return tokens
	}
	return float64(max(lim.Burst(), 0))
}

// Allow reports whether an event is permitted now, and takes a token if it is.
func (lim *Limiter) Allow() bool {
	c := lim.cell.Load()
	if c == nil {
		return lim.allow(nil, 1)
	}
	first := engine.Sealed
	if c.refusing.Load() {
		first = c.Word.Load()
	}
	refill, need := c.Timeline.Ask(int64(time.Since(c.epoch)), 1)
	if how := c.Timeline.Grant(&c.Word, first, refill, need); how <= engine.Granted {
		return how == engine.Granted
	}
	return lim.allow(nil, 1)
}

// AllowN reports whether n events are permitted at time t, and takes n tokens if they are. It takes
// all or nothing. A negative n gives -n tokens back, up to the burst, and is always permitted unless
// it is more than a negative burst. An n of 0 is permitted unless others are owed more than is there.
func (lim *Limiter) AllowN(t time.Time, n int) bool {
	if c := lim.cell.Load(); c != nil {
		first := c.Word.Load()
		refill, need := c.Timeline.Ask(int64(t.Sub(c.epoch)), n)
		if how := c.Timeline.Grant(&c.Word, first, refill, need); how <= engine.Granted {
			return how == engine.Granted
		}
	}
	return lim.allow(&t, n)
}

// allow is AllowN for every case. A t of nil stands for the clock.
func (lim *Limiter) allow(t *time.Time, n int) bool {
	for n > 0 {
		c := lim.cell.Load()
		if c == nil {
			break
		}
		first := c.Word.Load() // before the clock is read: it proves a denial
		want := engine.Want{Least: uint64(n), Most: uint64(n)}
		_, _, how := c.Timeline.Take(&c.Word, first, c.instant(t), want)
		switch how {
		case engine.Granted:
			return true
		case engine.Denied, engine.Dry:
			c.refuse()
			return false
		case engine.Dead, engine.Stale:
			continue
		}
		break
	}
	return lim.allowLocked(t, n)
}

func (lim *Limiter) allowLocked(t *time.Time, n int) bool {
	h := lim.hold(t)
	defer h.release()
	switch {
	case h.exceeds(n):
		return false
	case n < 0:
		h.GiveBack(magnitude(n))
		return true
	case n == 0:
		return h.Moment().Turn(0) <= h.Now()
	}
	_, _, how := h.Take(engine.Want{Least: uint64(n), Most: uint64(n)})
	return how == engine.Granted
}

// magnitude returns -n for a negative n.
func magnitude(n int) uint64 { return -uint64(n) }

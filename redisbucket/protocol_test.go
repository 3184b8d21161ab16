package redisbucket_test

// A model of the protocol between processes and the server, small enough that every order of events
// can be tried: see explore_test.go. A tick is half of what a token takes to refill.

const (
	ticksPerToken = 2
	leaseTicks    = 2
)

// A fault is a mistake in the protocol, which the exploration has to find.
type fault string

const (
	correct       fault = ""
	inAdvance     fault = "waiters take their tokens when they come"
	noLeave       fault = "waiters that leave stay in the list"
	noLapse       fault = "places do not lapse"
	ownExpiry     fault = "a key expires when it is full by the limit that wrote last"
	fullOnRaise   fault = "a raised burst is full"
	resend        fault = "a call whose reply was lost is sent again"
	absoluteClock fault = "the clock's step counts, whichever way"
	eternalLease  fault = "leased tokens are served after the lease"
	leaseReturned fault = "leased tokens that lapse are given back"
)

// A modelBucket is what the server holds of a key. Tokens refill at one in ticksPerToken for all
// limits, and bursts differ.
type modelBucket struct {
	exists  bool
	d       int // half tokens missing
	at      int // server time
	burst   int // of the limit that wrote last
	e       int // not to be taken for full before
	newest  int
	waiting [procs]modelPlace // by process; the list's order is that of seq
}

type modelPlace struct {
	in         bool
	seq, lapse int
}

// settle brings the bucket up to the server's time and a burst. It returns how many half tokens the
// change of burst has added, which must be none.
func (b *modelBucket) settle(now, burst int, f fault) (added int) {
	full := b.at + b.d
	stay := max(full, b.e)
	if f == ownExpiry {
		stay = full
	}
	if b.exists && stay <= now && b.empty() {
		b.exists = false
	}
	if !b.exists {
		*b = modelBucket{exists: true, at: now, burst: burst}
		return 0
	}
	passed := now - b.at
	switch {
	case passed < 0 && f == absoluteClock:
		passed = -passed
	case passed < 0:
		b.e, passed = max(b.e+passed, 0), 0
		b.waiting = [procs]modelPlace{}
	}
	b.d, b.at = max(b.d-passed, 0), now
	if burst != b.burst {
		before := ticksPerToken*b.burst - b.d
		b.e = max(b.e, now+b.d)
		if f == fullOnRaise {
			b.d = max(b.d, 0)
		} else {
			b.d = max(b.d+ticksPerToken*(burst-b.burst), 0)
		}
		b.burst = burst
		added = max(ticksPerToken*b.burst-b.d-before, 0)
	}
	return added
}

func (b *modelBucket) empty() bool {
	for _, p := range b.waiting {
		if p.in {
			return false
		}
	}
	return true
}

// wanted returns what waiters in front of a place want, and lets those lapse that are late.
func (b *modelBucket) wanted(now, seq int, f fault) (n int) {
	for i, p := range b.waiting {
		if p.in && p.seq < seq {
			if p.lapse < now && f != noLapse {
				b.waiting[i].in = false
				continue
			}
			n += ticksPerToken
		}
	}
	return n
}

// take takes half tokens that are there.
func (b *modelBucket) take(need int) {
	b.d += need
	if b.e > b.at {
		b.e += need
	}
}

// room returns how many half tokens are there for a place.
func (b *modelBucket) room(now, seq int, f fault) int {
	return ticksPerToken*b.burst - b.d - b.wanted(now, seq, f)
}

const last = 1 << 20 // behind all places

// ask is wait.lua for a process with a place, or 0. It returns whether the token was granted, the
// place, and the server's ticks until the waiter has to ask again.
func (b *modelBucket) ask(now, who, place int, f fault) (granted bool, seq, again int) {
	seq = place
	if seq == 0 {
		b.newest = max(now+1, b.newest+1)
		seq = b.newest
	}
	lacking := ticksPerToken - b.room(now, seq, f)
	b.waiting[who].in = false
	if f == inAdvance && place == 0 {
		b.take(ticksPerToken)
		return lacking <= 0, seq, lacking
	}
	if lacking <= 0 {
		b.take(ticksPerToken)
		return true, seq, 0
	}
	b.waiting[who] = modelPlace{in: true, seq: seq, lapse: now + lacking}
	return false, seq, lacking
}

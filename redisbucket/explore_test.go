package redisbucket_test

import (
	"fmt"
	"testing"
)

// The exploration tries every order of what three processes do and of what befalls them: requests
// that are executed, replies that are lost, processes that leave or die, a server that forgets or
// whose clock steps, and time that passes.
const (
	procs     = 3
	lastTick  = 6
	opsOfEach = 2
)

type modelProc struct {
	ops    int // still to do
	asleep bool
	dead   bool
	place  int
	until  int // by the process's clock, which is real time
	held   int // leased tokens
	lapses int
}

// A world is all there is. It is comparable, so that no state is explored twice.
type world struct {
	real, clock int
	bucket      modelBucket
	ref         modelBucket // taken from by the same grants, without a waiting list
	procs       [procs]modelProc
	faults      int // steps of the clock and lost data, still to come
	losses      int // replies, still to be lost
	forgiven    int // tokens that faults of the server may cost
	drawn       int // half tokens that were acted on and have not been refilled since, in real time
	twice       int // half tokens that were taken for a call more than once
	added       int // half tokens that changes of limit have added
}

// A scene is who does what.
type scene struct {
	bursts [procs]int
	ops    [procs]int
	kinds  [procs]string // "take", "wait" or "lease", or several
	faults int
	losses int
}

type explorer struct {
	scene
	fault fault
	seen  map[world]bool
	found string
	most  int // the greatest burst
	lease bool
	mixed bool // processes have different bursts
}

// explore returns a violation, or "" if there is none, and how many states there are.
func explore(s scene, f fault) (string, int) {
	x := &explorer{scene: s, fault: f, seen: map[world]bool{}}
	w := world{faults: s.faults, losses: s.losses}
	for i := range w.procs {
		w.procs[i].ops = s.ops[i]
		x.most = max(x.most, s.bursts[i])
		x.mixed = x.mixed || s.bursts[i] != s.bursts[0]
		x.lease = x.lease || s.kinds[i] == "lease"
	}
	x.visit(w)
	return x.found, len(x.seen)
}

func (x *explorer) visit(w world) {
	if x.found != "" || x.seen[w] {
		return
	}
	x.seen[w] = true
	if bad := x.violation(&w); bad != "" {
		x.found = bad
		return
	}
	for i := range w.procs {
		x.act(w, i)
	}
	x.environment(w)
}

// violation checks the bound in every window, and that nothing is lost.
func (x *explorer) violation(w *world) string {
	// A bucket that all grants are taken from, in real time, is overdrawn if and only if there is a
	// window with more than burst + rate*T.
	most := ticksPerToken * (x.most + w.forgiven)
	if x.lease {
		most += leaseTicks
	}
	if w.drawn > most {
		return fmt.Sprintf("%d half tokens at once, want at most %d", w.drawn, most)
	}
	if w.twice > 0 {
		return "a call has taken its tokens twice"
	}
	if w.added > 0 {
		return "a change of limit has added tokens"
	}
	for i, p := range w.procs {
		if x.losses == 0 && w.bucket.waiting[i].in && !p.asleep && !p.dead {
			return "a waiter that has left is still in the list"
		}
	}
	if !x.mixed && w.bucket.empty() && w.bucket.exists && w.bucket.d > w.ref.d+max(0, w.ref.at-w.bucket.at) {
		return fmt.Sprintf("without waiters %d half tokens are missing, want %d", w.bucket.d, w.ref.d)
	}
	later := w.bucket
	if later.exists && w.clock == lastTick {
		later.settle(w.clock+1000, later.burst, x.fault)
		if later.room(later.at, last, x.fault) < ticksPerToken*later.burst {
			return "long after, the bucket is not full"
		}
	}
	return ""
}

// grant lets a process act with a token.
func (w *world) grant() { w.drawn += ticksPerToken }

// call executes one call at the server, before which buckets are brought up to its time.
func (x *explorer) call(w *world, i int, f func(b *modelBucket)) {
	w.added += w.bucket.settle(w.clock, x.bursts[i], x.fault)
	w.ref.settle(w.clock, x.bursts[i], correct)
	before := w.bucket.d
	f(&w.bucket)
	if took := w.bucket.d - before; took > 0 {
		if x.fault != inAdvance || w.bucket.waiting[i].in {
			w.ref.take(took)
		}
	}
}

// act explores all that process i can do next.
func (x *explorer) act(w world, i int) {
	p := &w.procs[i]
	if p.dead {
		return
	}
	if p.held > 0 {
		x.serve(w, i)
		return
	}
	if p.asleep {
		x.wake(w, i)
		return
	}
	if p.ops == 0 {
		return
	}
	p.ops--
	switch x.kinds[i] {
	case "take":
		x.take(w, i)
	case "wait":
		x.ask(w, i)
	case "lease":
		x.borrow(w, i)
	}
}

func (x *explorer) take(w world, i int) {
	granted := false
	once := func(b *modelBucket) {
		if granted = b.room(w.clock, last, x.fault) >= ticksPerToken; granted {
			b.take(ticksPerToken)
		}
	}
	x.call(&w, i, once)
	if lost := w; lost.losses > 0 && granted {
		lost.losses--
		if x.fault == resend {
			before := lost.bucket.d
			x.call(&lost, i, once)
			lost.twice = lost.bucket.d - before
		}
		x.visit(lost)
	}
	if granted {
		w.grant()
	}
	x.visit(w)
}

func (x *explorer) ask(w world, i int) {
	p := &w.procs[i]
	var granted bool
	var again int
	x.call(&w, i, func(b *modelBucket) { granted, p.place, again = b.ask(w.clock, i, p.place, x.fault) })
	if lost := w; lost.losses > 0 {
		lost.losses--
		lost.procs[i].asleep, lost.procs[i].place = false, 0
		x.visit(lost)
	}
	p.asleep, p.until = !granted, w.real+again
	if granted {
		p.place = 0
		w.grant()
	}
	x.visit(w)
}

// wake explores a sleeper that asks at its time, leaves, or dies.
func (x *explorer) wake(w world, i int) {
	if w.real >= w.procs[i].until {
		if next := w; x.fault == inAdvance {
			next.procs[i].asleep, next.procs[i].place = false, 0
			next.grant()
			x.visit(next)
		} else {
			x.ask(next, i)
		}
	}
	left := w
	left.procs[i].asleep, left.procs[i].place = false, 0
	if x.fault != noLeave {
		left.bucket.waiting[i].in = false
	}
	x.visit(left)
	w.procs[i].dead = true
	x.visit(w)
}

// borrow takes up to two tokens for a lease.
func (x *explorer) borrow(w world, i int) {
	n := 0
	x.call(&w, i, func(b *modelBucket) {
		n = max(min(b.room(w.clock, last, x.fault)/ticksPerToken, 2), 0)
		b.take(n * ticksPerToken)
	})
	w.procs[i].held += n
	w.procs[i].lapses = w.real + leaseTicks
	x.visit(w)
}

// serve explores a process that acts with a leased token.
func (x *explorer) serve(w world, i int) {
	p := &w.procs[i]
	if w.real >= p.lapses && x.fault != eternalLease {
		if x.fault == leaseReturned {
			w.bucket.d = max(w.bucket.d-p.held*ticksPerToken, 0)
		}
		p.held = 0
		x.visit(w)
		return
	}
	p.held--
	w.grant()
	x.visit(w)
}

// environment explores time, the server's faults, and what they may cost.
func (x *explorer) environment(w world) {
	if w.real < lastTick {
		next := w
		next.real++
		next.clock++
		next.drawn = max(next.drawn-1, 0)
		x.visit(next)
	}
	if w.faults == 0 {
		return
	}
	w.faults--
	w.forgiven += x.most
	forgets := w
	forgets.bucket, forgets.ref = modelBucket{}, modelBucket{}
	x.visit(forgets)
	for _, step := range []int{-3, 3} {
		steps := w
		if step < 0 {
			steps.forgiven -= x.most // a step back grants nothing
		}
		steps.clock = max(steps.clock+step, 0)
		x.visit(steps)
	}
}

var scenes = map[string]scene{
	"waiters and a server's fault": {
		bursts: [3]int{1, 1, 1}, ops: [3]int{1, 1, 1}, kinds: [3]string{"wait", "wait", "take"}, faults: 1,
	},
	"waiters and a lost reply": {
		bursts: [3]int{1, 1, 1}, ops: [3]int{1, 1, 2}, kinds: [3]string{"wait", "wait", "take"}, losses: 1,
	},
	"mixed limits": {bursts: [3]int{1, 2, 1}, ops: [3]int{1, 4, 1}, kinds: [3]string{"take", "take", "wait"}},
	"leases":       {bursts: [3]int{2, 2, 2}, ops: [3]int{2, 2, 2}, kinds: [3]string{"lease", "lease", "take"}},
	"takers":       {bursts: [3]int{2, 2, 2}, ops: [3]int{2, 2, 2}, kinds: [3]string{"take", "take", "take"}, faults: 1, losses: 1},
}

// No order of events breaks the protocol.
func TestExploreProtocol(t *testing.T) {
	for name, s := range scenes {
		t.Run(name, func(t *testing.T) {
			bad, states := explore(s, correct)
			if bad != "" {
				t.Errorf("%s", bad)
			}
			t.Logf("%d states", states)
		})
	}
}

// Each fault that the protocol avoids is found if it is put in.
func TestExploreFindsFaults(t *testing.T) {
	for f, name := range map[fault]string{
		inAdvance:     "waiters and a server's fault",
		noLeave:       "waiters and a server's fault",
		noLapse:       "waiters and a lost reply",
		resend:        "takers",
		absoluteClock: "takers",
		ownExpiry:     "mixed limits",
		fullOnRaise:   "mixed limits",
		eternalLease:  "leases",
		leaseReturned: "leases",
	} {
		t.Run(string(f), func(t *testing.T) {
			bad, states := explore(scenes[name], f)
			if bad == "" {
				t.Error("not found")
			}
			t.Logf("%s, after %d states", bad, states)
		})
	}
}

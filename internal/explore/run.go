package explore

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unsafe"
)

// A run is one execution of a scenario under one schedule.
type run struct {
	search  *Search
	number  uint64
	threads []*thread
	current *thread
	next    *thread // the thread to go on with; nil when the run is over
	enabled []*thread

	depth  int // of choices made so far
	budget int // of preemptions left
	steps  int
	over   bool
	pruned bool   // it came to a state that is known
	failed string // what went wrong

	clock   clock
	outside thread // whoever moves the time when nobody can go on
	chans   map[unsafe.Pointer]*Object
	calls   uint64 // the sum of the hashes of the calls so far; see Call
	returns uint64 // and of their returns
	atRest  func(now time.Duration)
	replay  *replay // nil in a search
}

// active is the run that is going on. There is one at a time in a process: the code under test does not know its run.
var active *run

// now returns the run and the thread that are going on, or nil outside of a scenario's goroutines.
func now() (*run, *thread) {
	r := active
	if r == nil || r.current == nil {
		return nil, nil
	}
	return r, r.current
}

// loop runs one thread after the other until the run is over, then unwinds those that are left.
func (r *run) loop() {
	r.next = r.pick(nil)
	for r.next != nil && !r.over {
		t := r.next
		r.next = nil
		r.current = t
		t.worker.resume()
	}
	r.over = true
	for _, t := range r.threads {
		r.current = t
		for !t.done {
			t.worker.resume()
		}
		r.search.idle = append(r.search.idle, t.worker)
	}
	r.current = nil
}

func (r *run) fail(reason string) {
	if r.failed == "" {
		r.failed = reason
	}
	r.over = true
}

// pick returns the thread that takes the next step. at is the thread that is at a point, or nil if the last one has ended.
// It returns nil when the run is over.
func (r *run) pick(at *thread) *thread {
	for !r.over {
		r.enabled = r.enabled[:0]
		free := true // a switch costs nothing
		if at != nil && (at.blocked == nil || at.blocked.Ready()) {
			r.enabled = append(r.enabled, at)
			free = false
		}
		for _, t := range r.threads {
			if t != at && !t.done && (t.blocked == nil || t.blocked.Ready()) {
				r.enabled = append(r.enabled, t)
			}
		}
		if len(r.enabled) > 0 {
			return r.choose(at, free)
		}
		r.rest()
	}
	return nil
}

// choose lets the search choose one of the enabled threads.
func (r *run) choose(at *thread, free bool) *thread {
	if r.steps++; r.steps > r.search.maxSteps() {
		r.fail(fmt.Sprintf("%d steps and no end: livelock", r.steps))
		return nil
	}
	i := 0
	if n := len(r.enabled); n > 1 {
		i = r.which(at, free, n)
	}
	if r.over {
		return nil
	}
	if i > 0 && !free {
		r.budget--
	}
	t := r.enabled[i]
	if r.replay != nil {
		fmt.Fprintf(&r.replay.trace, "  %-12s %-24s %s\n", t.name, t.doing, t.where)
	}
	return t
}

// which returns the choice among n threads that can go on. The first is at, unless the switch is free.
func (r *run) which(at *thread, free bool, n int) int {
	switch {
	case r.replay != nil:
		return r.replay.choose(r, n, !free && (r.budget == 0 || at.quiet))
	case free:
		return r.search.choice(r, n, r.fingerprint(nil))
	case r.budget == 0:
		return 0
	}
	return r.search.choice(r, n, r.fingerprint(at))
}

// fingerprint identifies the state: what has happened, in which order as far as it matters, and who runs, because that
// decides what a preemption is.
func (r *run) fingerprint(at *thread) uint64 {
	sum := r.outside.hash
	for _, t := range r.threads {
		h := t.hash
		if t == at {
			h = mix(h, 21)
		}
		sum += mix(h, 22)
	}
	return sum
}

// rest is called when no thread can go on: the scenario is over, or the time moves, or somebody sleeps for good.
func (r *run) rest() {
	var left []string
	for _, t := range r.threads {
		if !t.done {
			left = append(left, fmt.Sprintf("%s at %s %v", t.name, t.doing, t.where))
		}
	}
	if len(left) == 0 {
		r.over = true
		return
	}
	if r.atRest != nil {
		r.atRest(time.Duration(r.clock.now))
	}
	due := r.clock.due()
	if due == math.MaxInt64 || due > int64(r.search.horizon()) {
		r.fail("asleep for good: " + strings.Join(left, "; "))
		return
	}
	if r.replay != nil {
		fmt.Fprintf(&r.replay.trace, "  nobody can go on: the time moves to %v\n", time.Duration(due))
	}
	r.advance(&r.outside, due)
}

// alternative lets the search choose one of n ways in which the step of thread t may go.
func (r *run) alternative(t *thread, n int) int {
	if n < 2 {
		return 0
	}
	i := 0
	if r.replay != nil {
		i = r.replay.choose(r, n, false)
	} else {
		i = r.search.choice(r, n, mix(r.fingerprint(t), 41))
	}
	if r.over {
		panic(ended{})
	}
	t.hash = mix(t.hash, uint64(i)+42)
	return i
}

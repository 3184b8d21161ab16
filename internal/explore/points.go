package explore

import "time"

// This file is what the instrumented packages call.

// Before is a point: the calling goroutine is about to do something, and goes on when the scheduler lets it and b, unless it is
// nil, is ready. The operation itself follows, and then After, with no other point in between.
//
// Before and After do nothing outside of a scenario's goroutines.
//
//go:noinline
func Before(doing string, b Blocker) {
	r, t := now()
	if r == nil {
		if b != nil && !b.Ready() {
			panic("explore: " + doing + " would block outside of a scenario's goroutines")
		}
		return
	}
	r.before(t, doing, b)
}

//go:noinline
func (r *run) before(t *thread, doing string, b Blocker) {
	if r.over {
		panic(ended{})
	}
	blocks := b != nil && !b.Ready()
	t.pointed = true
	if s := r.search; s.Reduce {
		t.site = callerSite()
		t.pointed = s.contended[t.site]
	}
	t.quiet = !t.pointed && !blocks
	if r.replay != nil {
		t.where = callers()
	}
	if !t.quiet || r.replay != nil {
		r.pause(t, doing, b)
	}
}

// After notes that the operation announced by Before has read or written o.
func After(o *Object, write bool) {
	if r, t := now(); r != nil {
		if r.over {
			panic(ended{})
		}
		r.touch(t, o, write)
	}
}

// Note is After for an operation that needs no point before it, because it only lets others go on: the release of a lock.
func Note(o *Object) {
	if r, t := now(); r != nil {
		if r.over {
			panic(ended{})
		}
		t.pointed = true
		r.touch(t, o, true)
	}
}

// Go starts f in a goroutine of the scenario.
func Go(f func()) {
	r, t := now()
	if r == nil {
		panic("explore: a goroutine is started outside of a scenario's goroutines")
	}
	r.spawn("a goroutine of "+t.name, t, f)
}

// Call marks the beginning of a call whose place in time, relative to other calls, the scenario's check depends on. Return marks its end.
// A call that began after another one had returned is never taken for one that began earlier.
func Call(what string) {
	r, t := now()
	if r == nil {
		return
	}
	if t.begun {
		t.quiet, t.where = false, ""
		r.pause(t, what, nil)
	}
	t.begun, t.pointed = true, true
	r.touch(t, &r.clock.object, false)
	t.hash = mix(t.hash, r.returns)
	r.calls += mix(t.hash, 51)
}

// Return marks the end of a call. See Call.
func Return() {
	if r, t := now(); r != nil {
		t.pointed = true
		r.touch(t, &r.clock.object, false)
		t.hash = mix(t.hash, r.calls)
		r.returns += mix(t.hash, 52)
	}
}

// Yield is a point without an operation.
func Yield() {
	if r, t := now(); r != nil {
		t.quiet, t.where = false, ""
		r.pause(t, "yield", nil)
		t.hash = mix(t.hash, 53)
	}
}

// Elapsed returns the virtual time since the beginning of the run. It is not a point.
func Elapsed() time.Duration {
	if active == nil {
		return 0
	}
	return time.Duration(active.clock.now)
}

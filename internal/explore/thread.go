package explore

import (
	"fmt"
	"iter"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
)

// A thread is a goroutine of the scenario.
type thread struct {
	id      int
	name    string
	worker  *worker
	hash    uint64  // of its last step; see Object
	site    site    // of the step that it is at
	pointed bool    // its step began at a point
	quiet   bool    // the search does not stop here; a replay does
	where   string  // the place in the code, for the trace
	begun   bool    // it has made a call
	doing   string  // what it is about to do, for the trace
	blocked Blocker // what it may have to wait for; nil if it can go on in any case
	done    bool
}

// A Blocker is what a goroutine may have to wait for.
type Blocker interface {
	Ready() bool // reports whether the goroutine could go on now
}

// A site is the address of an instruction of the code under test.
type site uintptr

// A worker is a coroutine, used by one thread after the other.
type worker struct {
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	job    func()
}

func newWorker() *worker {
	w := new(worker)
	w.resume, w.stop = iter.Pull(func(yield func(struct{}) bool) {
		w.yield = yield
		for {
			w.job()
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return w
}

// ended is the panic that unwinds a thread whose run is over.
type ended struct{}

// callers returns the last few places in the code under test that led here, the latest first.
func callers() string {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	var places []string
	for more := true; more && len(places) < 4; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.Contains(f.Function, "tokenbucket") && !strings.Contains(f.Function, "/internal/explore") {
			places = append(places, fmt.Sprintf("%s:%d", path.Base(f.File), f.Line))
		}
	}
	return strings.Join(places, " < ")
}

// spawn makes a new thread that will run f. Its parent's last step happened before it.
func (r *run) spawn(name string, parent *thread, f func()) {
	t := &thread{id: len(r.threads), name: name, hash: mix(parent.hash, 11), doing: "start"}
	parent.hash = mix(parent.hash, 12)
	r.threads = append(r.threads, t)
	t.worker = r.search.worker()
	t.worker.job = func() {
		defer func() {
			switch x := recover().(type) {
			case nil, ended:
			default:
				r.fail(fmt.Sprintf("%s panicked: %v\n%s", t.name, x, debug.Stack()))
			}
			r.finish(t)
		}()
		if r.over {
			return
		}
		f()
	}
}

// finish is the end of a thread.
func (r *run) finish(t *thread) {
	t.done = true
	if !r.over {
		r.next = r.pick(nil)
	}
}

// pause is a point of thread t, which is about to do something. It returns when t is to do it.
func (r *run) pause(t *thread, doing string, b Blocker) {
	if r.over {
		panic(ended{})
	}
	t.doing, t.blocked = doing, b
	next := r.pick(t)
	if next != t {
		r.next = next
		t.worker.yield(struct{}{})
		if r.over {
			panic(ended{})
		}
	}
	t.blocked = nil
}

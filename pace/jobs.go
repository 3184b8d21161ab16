package pace

import "sync"

// jobs counts the jobs of a group by their state, and reports when none is left. It does for a
// group what a [sync.WaitGroup] cannot: once a wait has ended it is closed, and no job is admitted
// any more, so adding a job beside a wait is no misuse.
//
// The zero jobs is empty and open. It must not be copied. All methods are safe for concurrent use.
type jobs struct {
	mu      sync.Mutex
	waiting int           // handed over, and neither started nor refused yet
	running int           // started, and not finished yet
	helpers int           // goroutines of the package itself that a wait must also wait for
	waiters int           // calls of wait that block
	closed  bool          // a wait has ended
	idle    chan struct{} // closed together with closed; nil until a wait begins

	started, failed, refused uint64
}

// Stats are the figures of a [Group] or a [KeyedGroup] at one instant. Each job that was handed
// over, by a Go or a TryGo, is counted once in Waiting, Started or Refused.
type Stats struct {
	Waiting int    // jobs that queue, or whose Go blocks
	Running int    // jobs that have been started and have not returned
	Started uint64 // jobs that have been started
	Failed  uint64 // of those, the jobs that returned an error, panicked, or called runtime.Goexit
	Refused uint64 // jobs that were not started: an error of Go or the queue, a false TryGo
}

func (j *jobs) stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{Waiting: j.waiting, Running: j.running, Started: j.started, Failed: j.failed, Refused: j.refused}
}

// admit counts a job that was handed over, and reports whether the group is still open. The caller
// must report what becomes of an admitted job: by refuse or by start.
func (j *jobs) admit() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		j.refused++
		return false
	}
	j.waiting++
	return true
}

// refuse counts an admitted job that will not be started.
func (j *jobs) refuse() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting--
	j.refused++
	j.closeIfIdleLocked()
}

// start counts an admitted job that is started. Its goroutine must call finish, and then
// helperDone.
func (j *jobs) start() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting--
	j.running++
	j.started++
}

// finish counts a started job that has ended, with err or, if that is nil, well. Its goroutine
// counts as a helper from then on: it still has to release its slot.
func (j *jobs) finish(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
	j.helpers++
	if err != nil {
		j.failed++
	}
}

// addHelper makes waits wait for one more goroutine, until helperDone is called. Only the caller of
// admit, before it refuses or starts its job, may call it: the group must not be closed.
func (j *jobs) addHelper() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.helpers++
}

func (j *jobs) helperDone() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.helpers--
	j.closeIfIdleLocked()
}

// wait blocks until every admitted job was refused or has finished. Nothing is admitted afterwards.
func (j *jobs) wait() {
	j.mu.Lock()
	if j.idle == nil {
		j.idle = make(chan struct{})
	}
	j.waiters++
	j.closeIfIdleLocked()
	idle := j.idle
	j.mu.Unlock()
	<-idle
}

// closeIfIdleLocked closes the group at the instant at which its last job is gone and a wait is
// under way. Closing it only when the waiter has woken would admit jobs in between.
func (j *jobs) closeIfIdleLocked() {
	if j.waiters > 0 && !j.closed && j.waiting+j.running+j.helpers == 0 {
		j.closed = true
		close(j.idle)
	}
}

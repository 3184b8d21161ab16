package run

import (
	"container/heap"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// scheduler decides when each job starts. It belongs to the goroutine that calls run, which starts
// another one for each attempt.
//
// A job starts when it has a slot and a token of its key. A key that has to wait holds a
// reservation, and no slot. If there is no slot when the reservation is due, its token is refunded:
// tokens kept for later would all be used at once when slots become free. So the starts of a key
// never exceed its limit, and with free slots they are exactly at the limit's instants.
type scheduler struct {
	limit   *tokenbucket.Keyed[string]
	free    int           // slots
	ahead   int           // how many jobs may be known and not running; beyond that no item is read
	retries int           // attempts after the first
	backoff time.Duration // before the second attempt, then doubled
	items   <-chan *job   // closed at the end of the input
	stop    <-chan struct{}

	attempt     func(*job) (outcome, error) // runs the job, and prints it after its last attempt
	giveUp      func(*job)                  // prints a failed job that will not be tried again
	mayStart    func(seq int) bool          // reports whether the job may start yet
	cannotStart func(error)                 // stops the run: no process can be started

	queues    map[string]*keyQueue // by key; those with jobs that could start now
	needToken []*keyQueue          // first come, first served
	reserved  agenda[*keyQueue]    // hold a reservation
	held      []*keyQueue          // mayStart said no
	later     agenda[*job]         // wait for another attempt
	ended     chan attemptEnd
	stopping  bool

	withheld  int       // slots not used until an attempt ends, because of a shortage
	shortages int       // pauses in a row because no process could be started
	resume    time.Time // the end of such a pause
	count     tally
}

// keyQueue has the jobs of one key, in order. While it has any it is in queues, and in one of
// needToken, reserved and held.
type keyQueue struct {
	key  string
	jobs []*job
}

// outcome is how an attempt ended.
type outcome int

const (
	succeeded outcome = iota
	failed
	notStarted // the system was short of files, processes or memory; the error says of what
)

// attemptEnd is the end of one attempt.
type attemptEnd struct {
	*job
	outcome outcome
	err     error // of notStarted
}

// tally counts jobs for the progress line. Any goroutine may read it.
type tally struct {
	waiting  atomic.Int64 // known and not running: for a token, a slot or another attempt
	running  atomic.Int64
	started  atomic.Int64 // attempts
	done     atomic.Int64 // succeeded
	failed   atomic.Int64
	skipped  atomic.Int64 // had succeeded before, according to the job log
	complete atomic.Bool  // the input is at its end
}

// run returns when all jobs have ended, or after stop when those that were running have ended.
func (s *scheduler) run() {
	s.queues, s.ended = map[string]*keyQueue{}, make(chan attemptEnd)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wake, ok := s.dispatch(); ok {
			timer.Reset(time.Until(wake))
		} else {
			timer.Stop()
		}
		if s.idle() {
			return
		}
		items, stop := s.items, s.stop
		if s.stopping || s.count.waiting.Load() >= int64(s.ahead) {
			items = nil
		}
		if s.stopping {
			stop = nil
		}
		select {
		case j, ok := <-items:
			s.arrive(j, ok)
		case e := <-s.ended:
			s.end(e)
		case <-timer.C:
		case <-stop:
			s.halt()
		}
	}
}

func (s *scheduler) idle() bool {
	if s.count.running.Load() > 0 {
		return false
	}
	return s.stopping || s.count.complete.Load() && s.count.waiting.Load() == 0
}

func (s *scheduler) arrive(j *job, ok bool) {
	if !ok {
		s.items = nil
		s.count.complete.Store(true)
		return
	}
	s.count.waiting.Add(1)
	q := s.queue(j.key)
	q.jobs = append(q.jobs, j)
}

// queue returns the queue of key. A new one is empty, and the caller must add a job.
func (s *scheduler) queue(key string) *keyQueue {
	q := s.queues[key]
	if q == nil {
		q = &keyQueue{key: key}
		s.queues[key] = q
		s.needToken = append(s.needToken, q)
	}
	return q
}

// putFirst puts j before the other jobs of its key, where it was before.
func (s *scheduler) putFirst(j *job) {
	q := s.queue(j.key)
	q.jobs = slices.Insert(q.jobs, 0, j)
}

// halt drops the jobs that have not begun. Jobs that failed and were to be tried again have failed.
func (s *scheduler) halt() {
	s.stopping = true
	for _, e := range s.later {
		s.abandon(e.value)
	}
	for _, q := range s.queues {
		for _, j := range q.jobs {
			s.abandon(j)
		}
	}
	s.queues, s.needToken, s.reserved, s.held, s.later = map[string]*keyQueue{}, nil, nil, nil, nil
}

// abandon drops a job that waits.
func (s *scheduler) abandon(j *job) {
	s.count.waiting.Add(-1)
	if j.attempts > 0 {
		s.count.failed.Add(1)
		s.giveUp(j)
	}
}

// dispatch starts the jobs that can start now. It returns the next instant at which there is
// something to do, if known.
func (s *scheduler) dispatch() (wake time.Time, ok bool) {
	now := time.Now()
	for s.later.isDue(now) {
		s.putFirst(heap.Pop(&s.later).(entry[*job]).value)
	}
	for s.reserved.isDue(now) {
		q := heap.Pop(&s.reserved).(entry[*keyQueue]).value
		if s.hasSlot(now) {
			s.start(q)
		} else {
			s.limit.Refund(q.key, 1)
			s.needToken = append(s.needToken, q)
		}
	}
	for s.hasSlot(now) && len(s.needToken) > 0 {
		q := s.needToken[0]
		s.needToken = s.needToken[1:]
		s.reserve(q)
	}
	return s.wake(now)
}

// hasSlot reports whether a job could start now if it had a token.
func (s *scheduler) hasSlot(now time.Time) bool { return s.free > 0 && !now.Before(s.resume) }

func (s *scheduler) wake(now time.Time) (at time.Time, ok bool) {
	if len(s.reserved) > 0 {
		at, ok = s.reserved[0].at, true
	}
	if len(s.later) > 0 && (!ok || s.later[0].at.Before(at)) {
		at, ok = s.later[0].at, true
	}
	if now.Before(s.resume) && (!ok || s.resume.Before(at)) {
		at, ok = s.resume, true
	}
	return at, ok
}

// reserve gets q a token, and starts its first job if the token is there now.
func (s *scheduler) reserve(q *keyQueue) {
	if !s.mayStart(q.jobs[0].seq) {
		s.held = append(s.held, q)
		return
	}
	delay := tokenbucket.Never
	if r, err := s.limit.Reserve(q.key); err == nil {
		delay = r.Delay()
	}
	if delay == 0 {
		s.start(q)
		return
	}
	heap.Push(&s.reserved, entry[*keyQueue]{time.Now().Add(delay), q})
}

// start starts the first job of q. The caller must have taken its token.
func (s *scheduler) start(q *keyQueue) {
	j := q.jobs[0]
	if q.jobs = q.jobs[1:]; len(q.jobs) > 0 {
		s.needToken = append(s.needToken, q)
	} else {
		delete(s.queues, q.key)
	}
	s.free--
	s.count.waiting.Add(-1)
	s.count.running.Add(1)
	s.count.started.Add(1)
	j.attempts++
	go func() {
		outcome, err := s.attempt(j)
		s.ended <- attemptEnd{j, outcome, err}
	}()
}

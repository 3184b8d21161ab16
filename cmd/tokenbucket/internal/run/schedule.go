package run

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// scheduler decides when which job starts. One goroutine, that of run, owns it; it starts another for every attempt.
//
// A job starts when it has a slot and a token of its key. A key that has to wait has an appointment with its bucket, not
// a slot, and so do jobs that wait for another attempt. If there is no slot when the appointment comes, the token is put
// back, for tokens that are kept for later would all be used at once when slots become free. So the starts of each key
// keep its limit, and are exactly where it has them if there are slots.
type scheduler struct {
	limit   *tokenbucket.Keyed[string]
	free    int           // slots
	ahead   int           // how many jobs may be known and not running: then no more are read
	retries int           // attempts after the first
	backoff time.Duration // before the second attempt, then doubled
	items   <-chan *job   // closed at the end of the input
	stop    <-chan struct{}

	attempt  func(*job) (failed bool) // runs in a goroutine of its own; prints the job if it is the last attempt
	giveUp   func(*job)               // for a job that failed and can't have its next attempt any more
	mayStart func(seq int) bool       // or it has to wait until another attempt has ended

	keys     map[string]*line // those with jobs that could start now
	hungry   []*line          // need a token, first come, first served
	due      agenda[*line]    // have an appointment
	parked   []*line          // must not start yet, says mayStart
	later    agenda[*job]     // wait for another attempt
	ended    chan attemptEnd
	stopping bool
	count    tally
}

// line is the jobs of a key, in order. While it has any it is in keys, and in one of hungry, due and parked.
type line struct {
	key  string
	jobs []*job
}

// attemptEnd is the end of one attempt.
type attemptEnd struct {
	*job
	failed bool
}

// tally is what the progress line tells. It may be read by any goroutine.
type tally struct {
	waiting  atomic.Int64 // known, not running: their turn has not come, or they wait for another attempt
	running  atomic.Int64
	started  atomic.Int64 // attempts
	done     atomic.Int64 // succeeded
	failed   atomic.Int64
	skipped  atomic.Int64 // had succeeded before, says the job log
	complete atomic.Bool  // the input is at its end
}

// run returns when all is done, or after stop when what was running has ended.
func (s *scheduler) run() {
	s.keys, s.ended = map[string]*line{}, make(chan attemptEnd)
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
	l := s.line(j.key)
	l.jobs = append(l.jobs, j)
}

// line returns the line of key. A new one has no jobs: the caller adds one.
func (s *scheduler) line(key string) *line {
	l := s.keys[key]
	if l == nil {
		l = &line{key: key}
		s.keys[key] = l
		s.hungry = append(s.hungry, l)
	}
	return l
}

// end frees the slot, and decides what becomes of the job.
func (s *scheduler) end(e attemptEnd) {
	s.free++
	s.count.running.Add(-1)
	s.hungry, s.parked = append(s.hungry, s.parked...), nil
	switch {
	case !e.failed:
		s.count.done.Add(1)
	case e.attempts > s.retries:
		s.count.failed.Add(1)
	case s.stopping:
		s.count.failed.Add(1)
		s.giveUp(e.job)
	default:
		s.count.waiting.Add(1)
		at := time.Now().Add(backoffAfter(s.backoff, e.attempts))
		heap.Push(&s.later, entry[*job]{at, e.job})
	}
}

// maxBackoff keeps a job that fails for long from being forgotten.
const maxBackoff = time.Minute

// backoffAfter returns how long to wait after so many attempts: base, doubled for each but the first, up to a minute or base
// itself. Of that a random part of up to a half is left out, lest those that failed together try again together.
func backoffAfter(base time.Duration, attempts int) time.Duration {
	most := max(maxBackoff, base)
	d := base
	for range min(attempts-1, 63) {
		if d > most/2 {
			d = most
			break
		}
		d *= 2
	}
	return d - rand.N(d/2+1)
}

// halt drops what has not begun. Those that have failed and would have had another attempt have failed for good.
func (s *scheduler) halt() {
	s.stopping = true
	for _, e := range s.later {
		s.count.failed.Add(1)
		s.count.waiting.Add(-1)
		s.giveUp(e.do)
	}
	s.keys, s.hungry, s.due, s.parked, s.later = map[string]*line{}, nil, nil, nil, nil
}

// dispatch starts what can start now, and returns when there is next something to do, if that is known.
func (s *scheduler) dispatch() (wake time.Time, ok bool) {
	now := time.Now()
	for s.later.isDue(now) {
		j := heap.Pop(&s.later).(entry[*job]).do
		l := s.line(j.key)
		l.jobs = slices.Insert(l.jobs, 0, j) // it was in front of them before
	}
	for s.due.isDue(now) {
		l := heap.Pop(&s.due).(entry[*line]).do
		if s.free > 0 {
			s.start(l)
		} else {
			s.limit.Refund(l.key, 1)
			s.hungry = append(s.hungry, l)
		}
	}
	for s.free > 0 && len(s.hungry) > 0 {
		l := s.hungry[0]
		s.hungry = s.hungry[1:]
		s.feed(l)
	}
	return s.wake()
}

func (s *scheduler) wake() (at time.Time, ok bool) {
	if len(s.due) > 0 {
		at, ok = s.due[0].at, true
	}
	if len(s.later) > 0 && (!ok || s.later[0].at.Before(at)) {
		at, ok = s.later[0].at, true
	}
	return at, ok
}

// feed gets l a token, and starts its first job if the token is there.
func (s *scheduler) feed(l *line) {
	if !s.mayStart(l.jobs[0].seq) {
		s.parked = append(s.parked, l)
		return
	}
	delay := tokenbucket.Never
	if r, err := s.limit.Reserve(l.key); err == nil {
		delay = r.Delay()
	}
	if delay == 0 {
		s.start(l)
		return
	}
	heap.Push(&s.due, entry[*line]{time.Now().Add(delay), l})
}

// start starts the first job of l, which has its token.
func (s *scheduler) start(l *line) {
	j := l.jobs[0]
	if l.jobs = l.jobs[1:]; len(l.jobs) > 0 {
		s.hungry = append(s.hungry, l)
	} else {
		delete(s.keys, l.key)
	}
	s.free--
	s.count.waiting.Add(-1)
	s.count.running.Add(1)
	s.count.started.Add(1)
	j.attempts++
	go func() { s.ended <- attemptEnd{j, s.attempt(j)} }()
}

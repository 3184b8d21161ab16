package run

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// maxBackoff bounds the pause before an attempt, unless -backoff is longer.
	maxBackoff = time.Minute

	// shortagePause is how long to wait when no process can be started and none is running that
	// could end.
	shortagePause = time.Second

	// maxShortages is how many attempts in a row may fail to start, with none running, before the
	// run gives up.
	maxShortages = 10
)

// end frees the slot of an attempt, and decides what becomes of its job.
func (s *scheduler) end(e attemptEnd) {
	s.count.running.Add(-1)
	s.needToken, s.held = append(s.needToken, s.held...), nil
	if e.outcome == notStarted {
		s.takeBack(e)
		return
	}
	// What ended has freed what was missing.
	s.free += 1 + s.withheld
	s.withheld, s.shortages = 0, 0
	switch {
	case e.outcome == succeeded:
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

// takeBack undoes the start of an attempt that did not come about: its token is refunded and its
// slot withheld until another attempt has ended. If none is running, nothing starts for a while;
// after too many such pauses the run stops.
func (s *scheduler) takeBack(e attemptEnd) {
	s.limit.Refund(e.key, 1)
	s.count.started.Add(-1)
	s.count.waiting.Add(1)
	e.attempts--
	s.withheld++
	if s.stopping {
		s.abandon(e.job)
		return
	}
	s.putFirst(e.job)
	if s.count.running.Load() > 0 {
		return
	}
	s.free += s.withheld
	s.withheld = 0
	s.resume = time.Now().Add(shortagePause)
	if s.shortages++; s.shortages == maxShortages {
		s.cannotStart(fmt.Errorf("job %d could not be started: %w", e.seq, e.err))
	}
}

// backoffAfter returns the pause after the given number of attempts: base, doubled for each attempt
// but the first, up to a minute or to base if that is longer. A random part of up to a half is
// taken off, so that jobs that failed together do not return together.
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

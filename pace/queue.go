package pace

import (
	"context"
	"sync"
)

// queues holds the jobs of a KeyedGroup that have not been started, in a queue for each key that
// has any. The zero queues is empty and ready for use. All methods are safe for concurrent use.
type queues[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*queue

	// unequal is the queue of all keys that are not equal to themselves, such as NaN: a map would
	// never find them again.
	unequal *queue
}

// A queue holds the jobs of one key, first come, first served. The job that the queue's goroutine
// is trying to start belongs to the queue although it is not linked.
type queue struct {
	head, tail *queuedJob
}

// A queuedJob is a job to be started when its tokens and a slot are there.
type queuedJob struct {
	cost    tokens
	f       func(context.Context) error
	next    *queuedJob
	unblock context.CancelFunc // ends the wait of the Go that blocks for it; nil if none ever did

	// Guarded by queues.mu. hasPlace may be read without it once left is known to be set.
	hasPlace bool  // it has one of the group's places, and no Go blocks for it
	left     bool  // it is no longer in the queue
	err      error // why it left; nil if it was started
}

// has reports whether any job of key is queued.
func (q *queues[K]) has(key K) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.findLocked(key) != nil
}

// findLocked returns the queue of key, or nil.
func (q *queues[K]) findLocked(key K) *queue {
	if key != key {
		return q.unequal
	}
	return q.byKey[key]
}

// push appends j to the queue of key, and reports whether it is the first. The caller must then see
// to it that the queue is served, beginning with j, until pop returns nil.
func (q *queues[K]) push(key K, j *queuedJob) (jobs *queue, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if jobs = q.findLocked(key); jobs == nil {
		jobs = new(queue)
		q.setLocked(key, jobs)
		return jobs, true
	}
	if jobs.head == nil {
		jobs.head = j
	} else {
		jobs.tail.next = j
	}
	jobs.tail = j
	return jobs, false
}

// pop removes and returns the next job of a queue. If there is none, it removes the queue and
// returns nil.
func (q *queues[K]) pop(key K, jobs *queue) *queuedJob {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := jobs.head
	if j == nil {
		q.setLocked(key, nil)
		return nil
	}
	jobs.head, j.next = j.next, nil
	return j
}

// setLocked makes jobs the queue of key; nil removes it.
func (q *queues[K]) setLocked(key K, jobs *queue) {
	switch {
	case key != key:
		q.unequal = jobs
	case jobs == nil:
		delete(q.byKey, key)
	default:
		if q.byKey == nil {
			q.byKey = make(map[K]*queue)
		}
		q.byKey[key] = jobs
	}
}

// leave marks j as no longer queued, because of err or, if that is nil, to be started. It reports
// whether j was still queued.
func (q *queues[K]) leave(j *queuedJob, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.left {
		return false
	}
	j.left, j.err = true, err
	return true
}

// givePlace gives a place to j, for which a Go has blocked until now, and reports whether j was
// still queued: otherwise it needs none.
func (q *queues[K]) givePlace(j *queuedJob) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.left {
		return false // hasPlace does not change any more: it is read without the lock
	}
	j.hasPlace = true
	return true
}

// reason returns why j has left its queue; nil if it was started.
func (q *queues[K]) reason(j *queuedJob) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return j.err
}

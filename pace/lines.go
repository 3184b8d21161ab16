package pace

import (
	"context"
	"sync"
)

// lines holds the jobs of a KeyedGroup that have not been started, in a line for each key that has any. The zero lines is
// empty and ready for use.
type lines[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*line
	odd   *line // of all keys that are not equal to themselves, such as NaN: a map would never find them again
}

// A line is a queue of jobs, first come, first served. The first of them is its server's, and counts as being in the line
// although it is not linked.
type line struct {
	head, tail *job
}

// A job is something to be started when its tokens and a slot are there.
type job struct {
	n       int
	f       func(context.Context) error
	next    *job
	release context.CancelFunc // wakes the Go that is blocked; nil if none ever was

	// Guarded by the lock of lines:
	roomy bool  // it has a part of the group's room, and no Go waits for it
	left  bool  // it is not in the queue any more
	err   error // why it left, unless it was started
}

// has tells whether anybody is in the line of key.
func (q *lines[K]) has(key K) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.find(key) != nil
}

// find returns the line of key, or nil.
func (q *lines[K]) find(key K) *line {
	if key != key {
		return q.odd
	}
	return q.byKey[key]
}

// push puts j in the line of key, and tells whether it is the first: then the caller has to see that the line is served,
// beginning with j, until pop tells that it is no more.
func (q *lines[K]) push(key K, j *job) (l *line, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l = q.find(key); l == nil {
		l = new(line)
		q.set(key, l)
		return l, true
	}
	if l.head == nil {
		l.head = j
	} else {
		l.tail.next = j
	}
	l.tail = j
	return l, false
}

// pop returns the next job in the line l of key. If there is none it takes the line away and returns nil.
func (q *lines[K]) pop(key K, l *line) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := l.head
	if j == nil {
		q.set(key, nil)
		return nil
	}
	l.head, j.next = j.next, nil
	return j
}

// set makes l the line of key; nil for none.
func (q *lines[K]) set(key K, l *line) {
	switch {
	case key != key:
		q.odd = l
	case l == nil:
		delete(q.byKey, key)
	default:
		if q.byKey == nil {
			q.byKey = make(map[K]*line)
		}
		q.byKey[key] = l
	}
}

// leave takes j out, for err or to be started, and tells whether it was in.
func (q *lines[K]) leave(j *job, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.left {
		return false
	}
	j.left, j.err = true, err
	return true
}

// settle ends the wait of a Go for j. If j is still in, it has room from now on, or if there is none it is given up;
// otherwise settle tells why it left.
func (q *lines[K]) settle(j *job, room bool) (left bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.left {
		return true, j.err
	}
	j.roomy, j.left = room, !room
	return false, nil
}

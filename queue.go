package tokenbucket

import (
	"sync/atomic"
	"time"
)

// A queue is the line of those whom a bucket could not serve at once, first come, first served: waiters, each a goroutine
// in Wait, and appointments, each a Reservation. Tokens are taken when they are granted, never in advance, so leaving the
// queue is an unlink with nothing to give back, and everybody behind has moved forward.
type queue struct {
	head, tail *node
	lead       *node       // the first waiter; in front of it there are only appointments
	waiters    int         // in the queue
	booked     int         // appointments in the queue
	most       int         // waiters and appointments that may queue, if bounded
	owed       uint64      // tokens that those in the queue ask for, in all
	owedBooked uint64      // and of these, those of appointments
	armed      int64       // the instant at which somebody will look at the queue again
	timer      *time.Timer // see alarm.go
	lastBooked *node       // the last appointment; none is later

	// plan is the level of the bucket once all in the queue have been served. It is kept only while there are
	// appointments, since without them it is the level plus what is owed, and made anew when it is not planned.
	plan    uint64
	planned bool

	// loose tells that appointments may have room in front of them, which a waiter behind them can use: somebody has left,
	// or the limit was changed, or tokens were put back.
	loose bool

	// disturbed tells that an appointment may be kept later than was told: tokens were charged, the limit was changed,
	// or a waiter in front was served so late that tokens were lost.
	disturbed bool

	bounded bool
}

// A node is a place in the queue.
type node struct {
	prev, next *node
	n          uint64
	at         int64         // an appointment's instant: it is not served before
	wake       chan struct{} // a waiter's: its state has changed, or it is to take the lead. nil for an appointment
	timer      *time.Timer   // see alarm.go
	state      atomic.Uint32 // changed with the queue's lock held
}

const (
	inQueue   = uint32(iota)
	served    // the tokens were taken for it
	abandoned // it left
	oversized // the burst has become smaller than what it waits for
)

// maxOwed bounds the tokens owed, so that they can be counted. It is two full buckets of the largest kind.
const maxOwed = 1 << 62

// floor returns the instant before which nobody at the end of the queue is served: that of the last appointment.
func (q *queue) floor() int64 {
	if q.lastBooked == nil {
		return always
	}
	return q.lastBooked.at
}

// full tells whether no node of n tokens may join.
func (q *queue) full(n uint64) bool {
	return q.bounded && q.waiters+q.booked >= q.most || n > maxOwed-q.owed
}

func (q *queue) push(x *node) {
	x.prev = q.tail
	if q.tail == nil {
		q.head = x
	} else {
		q.tail.next = x
	}
	q.tail = x
	q.owed += x.n
	if x.wake == nil {
		q.booked++
		q.owedBooked += x.n
		q.lastBooked = x
		return
	}
	q.waiters++
	if q.lead == nil {
		q.lead, q.armed = x, forever
	}
}

// remove unlinks x and gives it its final state.
//
// The searches for the next lead and for the last appointment cost no more, all together, than the nodes that they pass,
// unless appointments are made and cancelled again and again behind many waiters.
func (q *queue) remove(x *node, state uint32) {
	if x == q.lead {
		q.lead = x.next
		for q.lead != nil && q.lead.wake == nil {
			q.lead = q.lead.next
		}
		if q.timer == nil || x.timer != nil {
			q.armed = forever // its alarm goes with it; that of the queue stays
		}
	}
	if x == q.lastBooked {
		q.lastBooked = x.prev
		for q.lastBooked != nil && q.lastBooked.wake != nil {
			q.lastBooked = q.lastBooked.prev
		}
	}
	if x.prev == nil {
		q.head = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		q.tail = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil // its owner may keep it, and must not keep others with it
	q.owed -= x.n
	x.state.Store(state)
	if x.wake == nil {
		q.owedBooked -= x.n
		if q.booked--; q.booked == 0 {
			q.planned, q.loose, q.disturbed = false, false, false
		}
		return
	}
	q.waiters--
	x.notify()
}

// notify wakes the goroutine of x, now or as soon as it looks.
func (x *node) notify() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

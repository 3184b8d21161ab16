package engine

import "sync/atomic"

// A Waitlist is the queue of a bucket, first come, first served: waiters, each a goroutine that
// blocks until its tokens are granted, and reservations, each granted at the instant that was told
// when it was made. Tokens are taken when they are granted, never in advance. So leaving the queue is
// an unlink with nothing to give back, and everybody behind has moved forward.
//
// The zero Waitlist is empty. It is guarded by the bucket's lock, and changed only through a [Held].
type Waitlist struct {
	head, tail   *Node
	front        *Node  // the first waiter; before it there are only reservations
	lastReserved *Node  // the last reservation; none is later
	waiters      int    // in the queue
	reserved     int    // reservations in the queue
	owed         uint64 // tokens that everybody in the queue asks for, in all
	owedReserved uint64 // and of these, those of reservations

	// popped and poppedTail list the waiters that were served or became oversized, in order, until
	// their owners are woken; see Pop.
	popped, poppedTail *Node

	// forecast is the level of the bucket once everybody in the queue has been served. It is kept only
	// while there are reservations, since without them it is the level plus what is owed. It is
	// computed anew when forecastValid is false.
	forecast      uint64
	forecastValid bool

	// gaps reports whether reservations may have room in front of them that a waiter behind them can
	// use: somebody has left, the limit was changed, or tokens were put back.
	gaps bool

	// slipped reports whether a reservation may be granted later than was told: tokens were charged,
	// the limit was changed, or a waiter in front was served so late that tokens were lost.
	slipped bool
}

// A Node is a place in a [Waitlist]. The owner makes it, with N and, for a waiter, with Owner set.
type Node struct {
	prev, next *Node
	state      atomic.Uint32 // a State; changed with the bucket's lock held

	N     uint64 // tokens
	At    int64  // a reservation's instant: it is not served before. Of a waiter, an estimate
	Owner any    // a waiter's goroutine, for the shell to wake; nil for a reservation
}

// A State says what has become of a [Node].
type State uint32

const (
	Waiting   State = iota // in the queue
	Served                 // its tokens were taken
	Abandoned              // it left the queue
	Oversized              // a change of limit made the burst smaller than N
)

// maxOwed bounds the tokens owed, so that they can be counted. It is two full buckets of the largest
// kind.
const maxOwed = 1 << 62

// State returns the state of the node. It may be called without the bucket's lock.
func (x *Node) State() State { return State(x.state.Load()) }

func (x *Node) isReservation() bool { return x.Owner == nil }

// Front returns the first waiter, or nil.
func (q *Waitlist) Front() *Node { return q.front }

// Empty reports whether nobody is in the queue.
func (q *Waitlist) Empty() bool { return q.head == nil }

// Waiters returns how many waiters are in the queue.
func (q *Waitlist) Waiters() int { return q.waiters }

// Len returns how many waiters and reservations are in the queue.
func (q *Waitlist) Len() int { return q.waiters + q.reserved }

// Owed returns how many tokens everybody in the queue asks for, in all.
func (q *Waitlist) Owed() uint64 { return q.owed }

// HasRoom reports whether n more tokens can be owed.
func (q *Waitlist) HasRoom(n uint64) bool { return n <= maxOwed-q.owed }

// Pop returns a waiter that has left the queue other than by Leave, so that its owner can be woken.
// It returns nil when there are no more.
func (q *Waitlist) Pop() *Node {
	x := q.popped
	if x == nil {
		return nil
	}
	if q.popped, x.next = x.next, nil; q.popped == nil {
		q.poppedTail = nil
	}
	return x
}

// floor returns the instant before which nobody at the end of the queue is served: that of the last
// reservation.
func (q *Waitlist) floor() int64 {
	if q.lastReserved == nil {
		return Past
	}
	return q.lastReserved.At
}

func (q *Waitlist) push(x *Node) {
	x.prev = q.tail
	if q.tail == nil {
		q.head = x
	} else {
		q.tail.next = x
	}
	q.tail = x
	q.owed += x.N
	if x.isReservation() {
		q.reserved++
		q.owedReserved += x.N
		q.lastReserved = x
		return
	}
	q.waiters++
	if q.front == nil {
		q.front = x
	}
}

// remove unlinks x and gives it its final state.
//
// The searches for the next front and for the last reservation cost no more, all together, than the
// nodes that they pass, unless reservations are made and cancelled again and again behind many
// waiters.
func (q *Waitlist) remove(x *Node, state State) {
	if x == q.front {
		q.front = x.next
		for q.front != nil && q.front.isReservation() {
			q.front = q.front.next
		}
	}
	if x == q.lastReserved {
		q.lastReserved = x.prev
		for q.lastReserved != nil && !q.lastReserved.isReservation() {
			q.lastReserved = q.lastReserved.prev
		}
	}
	q.unlink(x)
	q.owed -= x.N
	x.state.Store(uint32(state))
	if x.isReservation() {
		q.owedReserved -= x.N
		if q.reserved--; q.reserved == 0 {
			q.forecastValid, q.gaps, q.slipped = false, false, false
		}
		return
	}
	q.waiters--
	if state != Abandoned {
		q.toWake(x)
	}
}

// toWake appends x to the list of Pop.
func (q *Waitlist) toWake(x *Node) {
	if q.popped == nil {
		q.popped = x
	} else {
		q.poppedTail.next = x
	}
	q.poppedTail = x
}

// unlink takes x out of the list. Its owner may keep it, and must not keep others with it.
func (q *Waitlist) unlink(x *Node) {
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
	x.prev, x.next = nil, nil
}

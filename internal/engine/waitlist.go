package engine

import "sync/atomic"

// A Waitlist is the queue of a bucket, first come, first served: waiters, each a goroutine that
// blocks until its tokens are granted, and reservations, each granted at the instant that was told
// when it was made. Tokens are taken when they are granted, never in advance. So leaving the queue
// is an unlink with nothing to give back, and everybody behind has moved forward.
//
// The zero Waitlist is empty. It is guarded by the bucket's lock, and changed only through a
// [Held].
type Waitlist struct {
	head, tail   *Node
	front        *Node  // the first waiter; before it there are only reservations
	lastReserved *Node  // the last reservation; none is later
	waiters      int    // in the queue
	reserved     int    // reservations in the queue
	owed         uint64 // tokens that everybody in the queue asks for, in all
	owedReserved uint64 // and of these, those of reservations

	// gone and goneTail list the nodes that have left the queue, in order, until Pop publishes it.
	gone, goneTail *Node

	// forecast is the level of the bucket once everybody in the queue has been served. It is kept
	// only while there are reservations, since without them it is the level plus what is owed. It
	// is computed anew when forecastValid is false.
	forecast      uint64
	forecastValid bool

	// gaps reports whether reservations may have room in front of them that a waiter behind them
	// can use: somebody has left, the limit was changed, or tokens were put back.
	gaps bool

	// slipped reports whether a reservation may be granted later than was told: tokens were
	// charged, the limit was changed, or a waiter in front was served so late that tokens were
	// lost.
	slipped bool
}

// A Node is a place in a [Waitlist]. The owner makes it, with N and, for a waiter, with Owner set.
type Node struct {
	prev, next *Node
	state      State         // guarded by the bucket's lock
	published  atomic.Uint32 // state, as everybody may see it: set by Pop

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

// maxOwed bounds the tokens owed, so that they can be counted. It is two full buckets of the
// largest kind.
const maxOwed = 1 << 62

// State returns the state of the node as it was last published. It may be called without the
// bucket's lock.
func (x *Node) State() State { return State(x.published.Load()) }

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

// Pop publishes the state of a node that has left the queue and returns the node, so that its
// owner can be woken. It returns nil when there are no more. It must be called after the word was
// stored: whoever sees that a node was served must find the word that goes with it.
func (q *Waitlist) Pop() *Node {
	x := q.gone
	if x == nil {
		return nil
	}
	if q.gone, x.next = x.next, nil; q.gone == nil {
		q.goneTail = nil
	}
	x.published.Store(uint32(x.state))
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
	x.state = state
	q.toPublish(x)
	if x.isReservation() {
		q.owedReserved -= x.N
		if q.reserved--; q.reserved == 0 {
			q.forecastValid, q.gaps, q.slipped = false, false, false
		}
		return
	}
	q.waiters--
}

// toPublish appends x to the list of Pop.
func (q *Waitlist) toPublish(x *Node) {
	if q.gone == nil {
		q.gone = x
	} else {
		q.goneTail.next = x
	}
	q.goneTail = x
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

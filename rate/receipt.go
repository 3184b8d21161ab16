package rate

import (
	"math"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// A receipt is for the tokens of a reservation that were there at once. They are taken at that
// instant, so cancelling has to put them back. But the bucket may have been full at a later instant,
// had they not been taken: then they, or a part of them, would have been lost, and putting them back
// would mint tokens.
//
// A bucket at level v and refill r lacks v-r tokens: that is its room. Without a reservation of n
// tokens it would lack n less, but never less than nothing. So of the n tokens there remain as many
// as the least room that the bucket had at any change since.
type receipt struct {
	next *receipt
	n    uint64 // quanta to be given back, at most; 0 once they are, or when it is too late
	room uint64 // quanta: the least room at any change after this receipt, and before the next
	at   int64  // the instant of the reservation
}

// receipts are those that may still be cancelled, in the order in which they were made. While there
// are any, all decisions go by the lock, so that each change is noted. They are guarded by it.
type receipts struct {
	first, last *receipt
	count       int
	queued      bool // the word has the bit engine.Queued for the receipts' sake
}

const (
	// keepReceipts is how long a receipt is kept by the limiter's time, in ns. It bridges the time
	// between reading the clock for a reservation and cancelling it as of that reading, in which other
	// goroutines may have told later times.
	keepReceipts = int64(time.Second)

	// maxReceipts bounds the memory of a limiter whose time stands still.
	maxReceipts = 1 << 12
)

// add makes r the receipt for n quanta at the instant t.
func (q *receipts) add(r *receipt, n uint64, t int64) {
	r.n, r.room, r.at = n, math.MaxUint64, t
	if q.last == nil {
		q.first = r
	} else {
		q.last.next = r
	}
	q.last = r
	if q.count++; q.count > maxReceipts {
		q.drop()
	}
}

// drop makes the oldest receipt worthless.
func (q *receipts) drop() {
	r := q.first
	if q.first = r.next; q.first == nil {
		q.last = nil
	}
	r.n, r.next = 0, nil // a Reservation that is kept must not keep others
	q.count--
}

// expire drops the receipts that are too old at the instant t.
func (q *receipts) expire(t int64) {
	for q.first != nil && q.first.at < t-keepReceipts {
		q.drop()
	}
}

// redeem returns how many quanta of r have to be put back. Calling it again returns 0.
func (q *receipts) redeem(r *receipt) uint64 {
	n := r.n
	for x := r; x != nil; x = x.next {
		n = min(n, x.room)
	}
	// From here on the room was what it would have been with n tokens less taken.
	for x := r; x != nil; x = x.next {
		x.room -= n
	}
	r.n = 0
	return n
}

// A mark is the state of a Limiter when it was last noted.
type mark struct {
	word     uint64
	timeline *engine.Timeline
	last     *receipt
}

// note notes the room at the instant t if the state has changed since the mark: before the change for
// the receipts that there were at the mark, and after it for all.
func (h *hold) note(t int64) {
	q := &h.lim.receipts
	was, now := h.mark, mark{h.Word() &^ engine.Queued, h.Timeline(), q.last}
	h.mark = now
	if now.last == nil || was == now {
		return
	}
	if was.last != nil && (was.word != now.word || was.timeline != now.timeline) {
		was.last.room = min(was.last.room, was.timeline.Room(was.word, t))
	}
	if was.timeline != now.timeline {
		q.convert(was.timeline, now.timeline)
	}
	now.last.room = min(now.last.room, now.timeline.Room(now.word, h.Now()))
}

// convert converts the quanta of all receipts to those of another timeline.
func (q *receipts) convert(from, to *engine.Timeline) {
	for r := q.first; r != nil; r = r.next {
		r.n, r.room = to.Convert(from, r.n), to.Convert(from, r.room)
	}
}

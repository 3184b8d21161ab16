package engine

import "testing"

const second = int64(1e9)

// bucket is the least shell around the engine: a word and a queue, told the time.
type bucket struct {
	Cell
	queue Waitlist
}

func newBucket(l Limit) *bucket {
	b := &bucket{Cell: Cell{Timeline: NewTimeline(l, 0)}}
	b.Word.Store(b.Timeline.Birth())
	return b
}

// at calls f with the state of the bucket at the instant t.
func (b *bucket) at(t int64, f func(h *Held)) {
	h := b.queue.Hold(b.Timeline, Seize(&b.Word), t)
	f(&h)
	b.Timeline = h.Timeline()
	b.Word.Store(h.Word())
}

func (b *bucket) publish() (gone []*Node) {
	for x := b.queue.Pop(); x != nil; x = b.queue.Pop() {
		gone = append(gone, x)
	}
	return gone
}

// A node is seen to be served only after the caller has stored the word that goes with it.
func TestServedIsPublishedLast(t *testing.T) {
	b := newBucket(Limit{Tokens: 1, PerLo: 1e9, Burst: 1})
	x, y := &Node{N: 1, Owner: 1}, &Node{N: 1, At: 3 * second}
	b.at(0, func(h *Held) {
		h.Take(Want{1, 1, false})
		h.Join(x)
		h.Join(y)
	})
	b.at(2*second, func(h *Held) {
		if h.StateOf(x) != Served || x.State() != Waiting {
			t.Errorf("with the word in hand: %v, published %v", h.StateOf(x), x.State())
		}
		if !h.Leave(y) || y.State() != Waiting || h.Leave(y) {
			t.Error("a node that left is still there, or seen too early")
		}
	})
	gone := b.publish()
	if len(gone) != 2 || gone[0] != x || x.State() != Served || gone[1] != y || y.State() != Abandoned {
		t.Errorf("published %v", gone)
	}
}

// A change of limit re-times the queue, and drops the waiters that ask for more than the new burst.
func TestHeldSetLimit(t *testing.T) {
	b := newBucket(Limit{Tokens: 1, PerLo: 1e9, Burst: 10})
	big, small, reserved := &Node{N: 5, Owner: 1}, &Node{N: 2, Owner: 1}, &Node{N: 6, At: 13 * second}
	b.at(0, func(h *Held) {
		h.Take(Want{10, 10, false})
		h.Join(big)
		h.Join(small)
		h.Join(reserved)
		if h.Due() != 5*second || h.GrantAt(reserved) != 13*second {
			t.Errorf("due at %d, reserved at %d", h.Due(), h.GrantAt(reserved))
		}
	})
	old := b.Timeline
	b.at(0, func(h *Held) {
		h.SetLimit(Limit{Tokens: 2, PerLo: 1e9, Burst: 4})
		if h.Timeline() == old || h.Due() != second || h.GrantAt(reserved) != 13*second {
			t.Errorf("due at %d, reserved at %d", h.Due(), h.GrantAt(reserved))
		}
	})
	if b.publish(); big.State() != Oversized || small.State() != Waiting {
		t.Errorf("states %v and %v", big.State(), small.State())
	}
	b.at(second, func(*Held) {})
	if b.publish(); small.State() != Served || b.Word.Load()&Queued == 0 {
		t.Error("the small waiter was not served, or the reservation is gone")
	}
	b.at(14*second, func(*Held) {})
	if b.publish(); reserved.State() != Served || b.queue.Len() != 0 {
		t.Error("the reservation was not granted")
	}
}

// The outcomes of a word that is out of the ordinary.
func TestOutcomes(t *testing.T) {
	p := NewTimeline(Limit{Tokens: 1, PerLo: 1e9, Burst: 2}, 0)
	full, empty := p.Birth(), p.quanta(2)
	for _, c := range []struct {
		name        string
		word, first uint64
		t           int64
		want        Want
		outcome     Outcome
	}{
		{"granted", full, full, 0, Want{2, 2, false}, Granted},
		{"denied", empty, empty, 0, Want{1, 1, false}, Denied},
		{"denied without proof", empty, full, 0, Want{1, 1, false}, Stale},
		{"fewer than the most without proof", p.quanta(1), full, 0, Want{0, 2, false}, Stale},
		{"figures without proof", p.quanta(1), full, 0, Want{1, 1, true}, Stale},
		{"nothing there", empty, empty, 0, Want{0, 2, false}, Granted},
		{"queued", full | Queued, full | Queued, 0, Want{1, 1, false}, Busy},
		{"queued and dry", empty | Queued, empty | Queued, 0, Want{1, 1, false}, Dry},
		{"queued and dry without proof", empty | Queued, empty, 0, Want{1, 1, false}, Busy},
		{"sealed", Sealed, Sealed, 0, Want{1, 1, false}, Dead},
		{"spent", full, full, int64(p.span), Want{1, 1, false}, Spent},
		{"before the base", full, full, -second, Want{2, 2, false}, Granted},
	} {
		var cell Cell
		cell.Word.Store(c.word)
		if _, _, got := p.Take(&cell.Word, c.first, c.t, c.want); got != c.outcome {
			t.Errorf("%s: %d, want %d", c.name, got, c.outcome)
		}
	}
}

// Ask and Grant agree with Take wherever they decide.
func TestGrantIsTake(t *testing.T) {
	p := NewTimeline(Limit{Tokens: 3, PerLo: 7, Burst: 5}, 0)
	for level := uint64(0); level < 8; level++ {
		for n := -1; n < 8; n++ {
			for at := int64(-1); at < 20; at++ {
				var short, long Cell
				short.Word.Store(p.quanta(level))
				long.Word.Store(p.quanta(level))
				refill, need := p.Ask(at, n)
				got := p.Grant(&short.Word, p.quanta(level), refill, need)
				if got == Busy {
					if n >= 1 && n <= 5 && at >= 0 {
						t.Fatalf("level %d, n %d, at %d: left to Take", level, n, at)
					}
					continue
				}
				_, _, want := p.Take(&long.Word, p.quanta(level), at, Want{Least: uint64(n), Most: uint64(n)})
				if got != want || short.Word.Load() != long.Word.Load() {
					t.Fatalf("level %d, n %d, at %d: %d, want %d", level, n, at, got, want)
				}
			}
		}
	}
}

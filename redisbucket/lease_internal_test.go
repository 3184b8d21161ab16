package redisbucket

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// prepaid are the tokens that a lease was ever given and that were not served, by the instants at which they lapse.
type prepaid map[time.Duration]int64

// at drops what has lapsed and returns how many there are.
func (p prepaid) at(now time.Duration) (n int64) {
	for until, count := range p {
		if now >= until {
			delete(p, until)
		} else {
			n += count
		}
	}
	return n
}

// serve takes out n, those first that lapse first.
func (p prepaid) serve(n int64) {
	for n > 0 {
		first := time.Duration(1<<63 - 1)
		for until := range p {
			first = min(first, until)
		}
		k := min(n, p[first])
		n -= k
		if p[first] -= k; p[first] == 0 {
			delete(p, first)
		}
	}
}

// However batches come, are claimed, put back and merged: there is never a token more than was given and has not lapsed.
func TestLeaseHoldsNoMoreThanItWasGiven(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		e, model, now := &lease{lapsed: new(atomic.Uint64)}, prepaid{}, time.Duration(0)
		e.cur.Store(new(batch))
		var portions []portion
		for range 200 {
			switch r.IntN(6) {
			case 0, 1:
				n, until := r.Int64N(20), now+time.Duration(r.Int64N(100))
				e.add(newBatch(n, until), now)
				model[until] += n
			case 2:
				now += time.Duration(r.Int64N(40))
			case 3:
				portions = append(portions, e.withdraw(r.Int64N(30), now))
			case 4, 5:
				if len(portions) == 0 {
					continue
				}
				i := r.IntN(len(portions))
				c := portions[i]
				portions = append(portions[:i], portions[i+1:]...)
				c.lapse(now)
				if n := c.total(); r.IntN(2) == 0 {
					e.putBack(c, now)
				} else if have := model.at(now); n > have {
					t.Fatalf("seed %d: %d tokens were served, of %d", seed, n, have)
				} else {
					model.serve(n)
				}
			}
			held := e.usable(now)
			for _, c := range portions {
				c.lapse(now)
				held += c.total()
			}
			if have := model.at(now); held > have {
				t.Fatalf("seed %d: %d tokens are held, of %d", seed, held, have)
			}
		}
	}
}

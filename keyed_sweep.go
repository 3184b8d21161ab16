package tokenbucket

import (
	"sync/atomic"
	"time"
	"weak"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
	"github.com/go-tokenbucket/tokenbucket/internal/hashtable"
)

const (
	// sweepEvery is how often idle keys are looked for, and for how long a bucket has to have been
	// full to be dropped then: a key that is used every few seconds keeps its place.
	sweepEvery = 10 * time.Second

	// sweepShare bounds what looking for idle keys costs, to one part in so many of a processor's
	// time.
	sweepShare = 100
)

// A sweeper gives the memory of idle keys back when nobody calls. It is a timer, not a goroutine,
// and knows its Keyed only by a weak pointer, so it does not keep an abandoned one alive. There is
// a timer only while there are keys.
type sweeper struct {
	armed atomic.Bool
}

func (k *Keyed[K]) arm() {
	if !k.sweeper.armed.Load() && k.sweeper.armed.CompareAndSwap(false, true) {
		k.sweepAfter(sweepEvery)
	}
}

func (k *Keyed[K]) sweepAfter(d time.Duration) {
	w := weak.Make(k)
	time.AfterFunc(d, func() {
		if k := w.Value(); k != nil {
			k.sweepIdle()
		}
	})
}

// sweepIdle drops the keys that have been idle, and sees to it that it is called again as long as
// there are others. The timer goes by the real time, whatever clock the buckets go by: it is about
// memory.
func (k *Keyed[K]) sweepIdle() {
	start := time.Now()
	k.sweep(k.source.now() - int64(sweepEvery))
	if k.table.Len() > 0 {
		k.sweepAfter(max(sweepEvery, sweepShare*time.Since(start)))
		return
	}
	k.sweeper.armed.Store(false)
	if k.table.Len() > 0 { // one came in between, and found the timer still armed
		k.arm()
	}
}

// Evict drops all keys whose buckets are full, and returns how many. It need not be called: see
// [Keyed].
func (k *Keyed[K]) Evict() int {
	k.mustBeMade()
	return k.sweep(k.source.now())
}

// sweep drops the keys whose buckets have been full since the instant at, and makes the table as
// small as the rest allows.
func (k *Keyed[K]) sweep(at int64) int {
	dropped := 0
	k.table.Walk(func(g *guard[K]) bool {
		n, busy := k.evictAll(g, at)
		dropped += n
		for _, key := range busy {
			if k.evictBusy(key, at) {
				dropped++
			}
		}
		return true
	})
	k.table.Shrink()
	return dropped
}

// evictAll drops the keys of a segment whose buckets have been full since the instant at, and
// unlocks it. It returns how many, and the keys that it could not judge because their words belong
// to a queue.
func (k *Keyed[K]) evictAll(g *guard[K], at int64) (n int, busy []K) {
	defer g.Unlock()
	g.Each(func(slot hashtable.Slot) {
		if slot.Word().Load() >= engine.Queued {
			busy = append(busy, g.Key(slot))
		} else if k.evict(g, slot, at) {
			n++
		}
	})
	return n, busy
}

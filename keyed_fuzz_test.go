package tokenbucket

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestKeyedInsertOnce has many goroutines bring the same new keys at once: each key gives its only
// token once.
func TestKeyedInsertOnce(t *testing.T) {
	const goroutines, keys = 8, 3000
	k := NewKeyed[int](Rate{}, 1)
	var grants [keys]atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range goroutines {
		wg.Go(func() {
			<-start
			for key := range keys {
				if k.Allow(key) {
					grants[key].Add(1)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	for key := range keys {
		if grants[key].Load() != 1 {
			t.Fatalf("key %d gave %d tokens of 1", key, grants[key].Load())
		}
	}
	if k.Len() != keys {
		t.Errorf("Len = %d, want %d", k.Len(), keys)
	}
	checkKeyed(t, k)
}

// TestKeyedChurn puts, removes, shrinks and folds from several goroutines, each with keys of its
// own.
func TestKeyedChurn(t *testing.T) {
	k := NewKeyed[int](Rate{}, 1)
	rounds := 40
	if !thorough() {
		rounds = 8
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			key := func(i int) int { return i%1600*4 + g } // no two goroutines share one
			there := make(map[int]bool)
			for range rounds {
				first, n := r.IntN(1600), r.IntN(1200)
				for i := first; i < first+n; i++ {
					if k.Allow(key(i)) == there[key(i)] {
						t.Errorf("key %d: Allow = %v", key(i), there[key(i)])
					}
					there[key(i)] = true
				}
				first, n = r.IntN(1600), r.IntN(1200)
				for i := first; i < first+n; i++ {
					k.Delete(key(i))
					delete(there, key(i))
				}
				if r.IntN(3) == 0 {
					k.Evict()
				}
			}
			for key := range there {
				k.Delete(key)
			}
		})
	}
	wg.Wait()
	if n := k.Evict(); n != 0 || k.Len() != 0 {
		t.Errorf("Evict = %d, Len = %d, want nothing left", n, k.Len())
	}
	checkKeyed(t, k)
}

// A twinWait is a Wait for both buckets of a twin, in goroutines of their own.
type twinWait struct {
	cancel context.CancelFunc
	errs   [2]atomic.Pointer[string] // nil while it waits
}

func (d *keyedTwin) wait(key, n int) *twinWait {
	ctx, cancel := context.WithCancel(context.Background())
	w := &twinWait{cancel: cancel}
	b := d.bucket(key)
	for i, f := range []func() error{
		func() error { return d.k.WaitN(ctx, key, n) }, func() error { return b.WaitN(ctx, n) },
	} {
		go func() {
			err := fmt.Sprint(f())
			w.errs[i].Store(&err)
		}()
	}
	return w
}

func (w *twinWait) text(i int) string {
	if err := w.errs[i].Load(); err != nil {
		return *err
	}
	return "waiting"
}

func (d *keyedTwin) setLimit(l Limit) {
	for _, b := range d.plain {
		b.SetLimit(l)
	}
	d.k.SetLimit(l)
}

// twinLimits have quanta that fill whole nanoseconds, so that a change of limit rounds the same in
// both.
var twinLimits = []Limit{
	{Per(1, 1<<10), 3}, {Per(1, 1<<12), 1}, {Per(1, 1<<20), 2}, {Rate{}, 4}, {Inf(), 2}, {Per(1, 1<<24), 5},
}

// FuzzKeyed does the same to keys and to buckets that are never dropped. Each three bytes are an
// operation, its key, its number.
func FuzzKeyed(f *testing.F) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { synctest.Test(t, func(t *testing.T) { fuzzKeyed(t, data) }) })
}

func fuzzKeyed(t *testing.T, data []byte) {
	d := newKeyedTwin(NewKeyed[int](twinLimits[0].Rate, twinLimits[0].Burst))
	var waits []*twinWait
	defer func() {
		for _, w := range waits {
			w.cancel()
		}
		synctest.Wait()
	}()
	for i := 0; len(data) >= 3; i++ {
		op, key, n := int(data[0]%24), int(data[1]%3), int(data[2]%4)
		switch {
		case op < 12:
			if got, want := d.do(op, key, n); got != want {
				t.Fatalf("step %d: operation %d of %d on key %d: %v, want %v", i, op, n, key, got, want)
			}
		case op < 16:
			waits = append(waits, d.wait(key, n))
		case op < 18 && len(waits) > 0:
			waits[int(data[2])%len(waits)].cancel()
		case op < 21:
			time.Sleep(time.Duration(data[2]%16) << (10 + data[1]/8%20))
		case op == 21:
			d.k.Evict()
		case op == 22:
			d.setLimit(twinLimits[int(data[2])%len(twinLimits)])
		default:
			for key := range 2 * int(data[2]) {
				d.k.Take(-1-key, 0)
			}
		}
		synctest.Wait()
		for j, w := range waits {
			if got, want := w.text(0), w.text(1); got != want {
				t.Fatalf("step %d: Wait %d: %v, want %v", i, j, got, want)
			}
		}
		data = data[3:]
	}
	for _, w := range waits {
		w.cancel()
	}
	synctest.Wait()
	d.k.SetLimit(Limit{Inf(), 1})
	d.k.Evict()
	checkKeyed(t, d.k)
}

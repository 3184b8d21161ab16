package tokenbucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
	"go.uber.org/goleak"
)

// goWait runs a Wait for n tokens of key, and tells when it returned, in time since start, and with
// what.
func goWait[K comparable](t *testing.T, k *Keyed[K], key K, n int) func() (time.Duration, error) {
	start := time.Now()
	var took time.Duration
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = k.WaitN(t.Context(), key, n)
		took = time.Since(start)
	}()
	synctest.Wait()
	return func() (time.Duration, error) { <-done; return took, err }
}

// wantWait checks when a Wait returned, and with what.
func wantWait(t *testing.T, what string, wait func() (time.Duration, error), at time.Duration, err error) {
	t.Helper()
	if took, got := wait(); took != at || !errors.Is(got, err) {
		t.Errorf("%s: Wait returned %v after %v, want %v after %v", what, got, took, err, at)
	}
}

func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestKeyedWait(t *testing.T) {
	inBubble(t, "a queue for each key", func(t *testing.T) {
		k := NewKeyed[string](PerSecond(1), 2, WithMaxWaiters(2))
		k.Charge("a", 2)
		k.Charge("b", 3)
		a1, b1, a2 := goWait(t, k, "a", 2), goWait(t, k, "b", 1), goWait(t, k, "a", 1)
		if k.Waiting("a") != 2 || k.Waiting("b") != 1 || k.Waiting("c") != 0 || k.Tokens("a") != -3 || k.Allow("a") || !k.Allow("c") {
			t.Errorf("Waiting = %d, %d, %d", k.Waiting("a"), k.Waiting("b"), k.Waiting("c"))
		}
		wantWait(t, "third at a", goWait(t, k, "a", 1), 0, ErrQueueFull)
		ctx, cancel := context.WithTimeout(t.Context(), s1)
		wantWait(t, "more than the burst", goWait(t, k, "b", 3), 0, ErrExceedsBurst)
		if err := k.WaitN(ctx, "b", 2); !errors.Is(err, ErrDeadline) {
			t.Errorf("Wait with a deadline too early: %v", err)
		}
		cancel()
		if err := k.Wait(ctx, "never seen"); !errors.Is(err, context.Canceled) || k.Len() != 3 {
			t.Errorf("Wait with an ended context: %v, Len = %d", err, k.Len())
		}
		wantWait(t, "a, first", a1, 2*s1, nil)
		wantWait(t, "a, second", a2, 3*s1, nil)
		wantWait(t, "b", b1, 2*s1, nil)
		checkKeyed(t, k)
	})
	inBubble(t, "a change of limit", func(t *testing.T) {
		k := NewKeyed[string](Rate{}, 2)
		k.Charge("a", 2)
		k.Charge("b", 1)
		a, b, c := goWait(t, k, "a", 1), goWait(t, k, "b", 2), goWait(t, k, "b", 1)
		time.Sleep(10 * s1)
		k.SetLimit(Limit{PerSecond(1), 1})
		wantWait(t, "a", a, 11*s1, nil)
		wantWait(t, "b, more than the new burst", b, 10*s1, ErrExceedsBurst)
		wantWait(t, "b, behind", c, 10*s1, nil)
		k.SetLimit(Limit{Rate{}, 1})
		a = goWait(t, k, "a", 1)
		k.SetLimit(Limit{Inf(), 1})
		wantWait(t, "a, without limit", a, 0, nil)
		checkKeyed(t, k)
	})
	inBubble(t, "Refresh", func(t *testing.T) {
		rate := Every(time.Hour)
		k := NewKeyedFunc(func(string) Limit { return Limit{rate, 1} })
		k.Allow("a")
		a := goWait(t, k, "a", 1)
		rate = Every(s1)
		k.Refresh()
		wantWait(t, "a", a, s1, nil)
	})
	inBubble(t, "Delete, Refund, Charge", func(t *testing.T) {
		k := NewKeyed[string](Every(s1), 2)
		k.Charge("a", 100)
		a, b := goWait(t, k, "a", 2), goWait(t, k, "a", 1)
		k.Delete("a")
		wantWait(t, "first", a, 0, nil)
		if k.Waiting("a") != 1 {
			t.Errorf("Waiting = %d, want the second", k.Waiting("a"))
		}
		k.Charge("a", 5)
		c := goWait(t, k, "a", 1)
		k.Refund("a", 5)
		wantWait(t, "second", b, s1, nil)
		wantWait(t, "third", c, 2*s1, nil)
	})
	inBubble(t, "eviction while somebody waits", func(t *testing.T) {
		k := NewKeyed[string](Every(s1), 1)
		k.Allow("a")
		a := goWait(t, k, "a", 1)
		if k.Evict() != 0 || k.Len() != 1 {
			t.Errorf("Evict dropped a key that somebody waits for")
		}
		wantWait(t, "a", a, s1, nil)
		time.Sleep(s1)
		if k.Evict() != 1 || k.Len() != 0 {
			t.Errorf("Evict left a full key")
		}
	})
}

// plainBucket returns a bucket of k's limit that no map drops.
func plainBucket[K comparable](k *Keyed[K]) *Bucket {
	b := new(Bucket)
	b.init(k.limit.Load(), k.source, k.maxWaiters)
	return b
}

// keyedTwin uses keys that nobody else uses, and for each a plain bucket in the same way.
type keyedTwin struct {
	k      *Keyed[int]
	plain  map[int]*Bucket
	booked map[int][][2]*Reservation
}

func newKeyedTwin(k *Keyed[int]) *keyedTwin {
	return &keyedTwin{k: k, plain: make(map[int]*Bucket), booked: make(map[int][][2]*Reservation)}
}

func (d *keyedTwin) bucket(key int) *Bucket {
	b := d.plain[key]
	if b == nil {
		b = plainBucket(d.k)
		d.plain[key] = b
	}
	return b
}

// do does one thing to both, and returns what the keyed and the plain bucket said.
func (d *keyedTwin) do(op, key, n int) (got, want any) {
	k, b := d.k, d.bucket(key)
	switch op {
	case 0:
		return k.AllowN(key, n), b.AllowN(n)
	case 1:
		return k.TakeAvailable(key, n), b.TakeAvailable(n)
	case 2:
		k.Refund(key, n)
		b.Refund(n)
	case 3:
		k.Charge(key, n)
		b.Charge(n)
	case 4, 5:
		return d.reserve(key, n)
	case 6:
		if all := d.booked[key]; len(all) > 0 {
			r := all[n%len(all)]
			r[0].Cancel()
			r[1].Cancel()
			return r[0].Delay(), r[1].Delay()
		}
	case 7:
		if all := d.booked[key]; len(all) > 0 {
			r := all[n%len(all)]
			return r[0].Delay(), r[1].Delay()
		}
	case 8:
		full := float64(k.Limit(key).Burst)
		if k.Waiting(key) == 0 && len(d.booked[key]) == 0 && k.Tokens(math.MaxInt) == full { // and new keys are full
			k.Delete(key)
			delete(d.plain, key)
			return k.Tokens(key), full
		}
	case 9:
		return k.Tokens(key), b.Tokens()
	}
	return k.Take(key, n), b.Take(n)
}

func (d *keyedTwin) reserve(key, n int) (got, want any) {
	r, err := d.k.ReserveN(key, n)
	s, other := d.bucket(key).ReserveN(n)
	if err != nil || other != nil {
		return fmt.Sprint(err), fmt.Sprint(other)
	}
	all := append(d.booked[key], [2]*Reservation{r, s})
	d.booked[key] = all[max(0, len(all)-3):]
	return r.Delay(), s.Delay()
}

// TestKeyedEvictionIsInvisible takes, reserves and cancels while other goroutines evict without
// pause and bring new keys: every answer is the one of a bucket that is never evicted.
func TestKeyedEvictionIsInvisible(t *testing.T) {
	c := new(handClock)
	k := NewKeyed[int](PerSecond(7), 3, WithClock(c))
	const workers, keys = 4, 40
	rounds := 200
	if !thorough() {
		rounds = 40
	}
	var evictors sync.WaitGroup
	var stop atomic.Bool
	var dropped atomic.Int64
	for g := range 2 {
		evictors.Go(func() {
			for i := 0; !stop.Load(); i++ {
				dropped.Add(int64(k.Evict()))
				k.Take(-1-g-2*(i%1000), 0)
			}
		})
	}
	var twins [workers]*keyedTwin
	for g := range twins {
		twins[g] = newKeyedTwin(k)
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for g, d := range twins {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				for range 150 {
					op, key, n := r.IntN(12), g+workers*r.IntN(keys), r.IntN(4)
					if got, want := d.do(op, key, n); got != want {
						t.Errorf("round %d: operation %d of %d on key %d: %v, want %v", round, op, n, key, got, want)
						return
					}
				}
			})
		}
		wg.Wait()
		c.add(time.Duration(round*round%700) * ms)
	}
	stop.Store(true)
	evictors.Wait()
	c.add(time.Hour)
	k.Evict()
	if k.Len() != 0 {
		t.Errorf("%d keys are left", k.Len())
	}
	checkKeyed(t, k)
	t.Logf("%d keys dropped", dropped.Load())
}

// TestKeyedHeldUp holds a caller up between its look-up and its decision, while the bucket that it
// found is dropped or replaced and somebody else takes all there is.
func TestKeyedHeldUp(t *testing.T) {
	const burst = 2
	for name, interfere := range map[string]func(k *Keyed[int]){
		"Evict":    func(k *Keyed[int]) { k.Evict() },
		"Delete":   func(k *Keyed[int]) { k.Delete(1) },
		"SetLimit": func(k *Keyed[int]) { k.SetLimit(Limit{PerSecond(1), burst}) },
		"Inf": func(k *Keyed[int]) {
			k.SetLimit(Limit{Inf(), burst})
			k.SetLimit(Limit{Rate{}, burst})
		},
		"none": func(*Keyed[int]) {},
	} {
		for op, take := range map[string]func(k *Keyed[int]) int{
			"TakeAvailable": func(k *Keyed[int]) int { return k.TakeAvailable(1, burst) },
			"Take": func(k *Keyed[int]) int {
				if k.Take(1, burst).Allowed {
					return burst
				}
				return 0
			},
			"Charge": func(k *Keyed[int]) int { k.Charge(1, 1); return 1 },
			"Reserve": func(k *Keyed[int]) int {
				if r, err := k.Reserve(1); err == nil {
					r.Cancel()
				}
				return 0
			},
		} {
			c := new(hookClock)
			k := NewKeyed[int](Rate{}, burst, WithClock(c))
			k.Take(1, 0)
			others := 0
			hook := func() {
				interfere(k)
				others = k.TakeAvailable(1, burst)
			}
			c.hook.Store(&hook)
			own := take(k)
			if left := k.Tokens(1); others != burst || float64(others+own)+left != burst {
				t.Errorf("%s, held up for %s: took %d, others %d, and %v are left of %d", op, name, own, others, left, burst)
			}
			checkKeyed(t, k)
		}
	}
}

// TestKeyedTokensOnce: at a fixed time, no more than the burst is granted for a key, and no less,
// whatever is evicted.
func TestKeyedTokensOnce(t *testing.T) {
	const goroutines, keys, burst = 8, 400, 5
	k := NewKeyed[int](PerSecond(1000), burst, WithClock(new(handClock)))
	var granted [keys]atomic.Int32
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range 3 * keys {
				key := (i*7 + g) % keys
				switch (i + g) % 5 {
				case 0:
					granted[key].Add(int32(k.TakeAvailable(key, 2)))
				case 1:
					if k.Take(key, 1).Allowed {
						granted[key].Add(1)
					}
				case 2:
					k.Take(-i, 0) // to be evicted, and to make the table grow
				case 3:
					if i%50 == 0 {
						k.SetLimit(Limit{PerSecond(1000 + i%400), burst})
					}
				default:
					k.Evict()
				}
			}
		})
	}
	wg.Wait()
	for key := range granted {
		granted[key].Add(int32(k.TakeAvailable(key, burst)))
		if n := granted[key].Load(); n != burst {
			t.Errorf("key %d gave %d tokens, want %d", key, n, burst)
		}
	}
	checkKeyed(t, k)
}

// TestKeyedBound checks the bound over all windows, while the clock moves, keys are taken from by
// all and dropped by some.
func TestKeyedBound(t *testing.T) {
	const burst, keys = 5, 6
	type grant struct{ n, before, after int64 }
	c := new(handClock)
	k := NewKeyed[int](Every(time.Microsecond), burst, WithClock(c))
	var takers sync.WaitGroup
	var dropped atomic.Int64
	var logs [3][keys][]grant
	for g := range logs {
		takers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 9))
			for i := range 5000 {
				key := (i/32 + r.IntN(2)) % keys // the others fill up meanwhile
				before := c.ns.Load()
				if n := k.TakeAvailable(key, 1+r.IntN(burst)); n > 0 {
					logs[g][key] = append(logs[g][key], grant{int64(n), before, c.ns.Load()})
				}
				c.add(time.Duration(r.IntN(r.IntN(4000) + 1)))
				if i%16 == 0 {
					dropped.Add(int64(k.Evict()))
				}
			}
		})
	}
	takers.Wait()
	total := int64(0)
	for key := range keys {
		all := slices.Concat(logs[0][key], logs[1][key], logs[2][key])
		slices.SortFunc(all, func(a, b grant) int { return cmp.Compare(a.after, b.after) })
		for _, first := range all {
			total += first.n
			sum := int64(0)
			for _, g := range all {
				if g.before >= first.before {
					if sum += g.n; (sum-burst)*1000 > g.after-first.before+1 {
						t.Fatalf("key %d: %d tokens from %d to %d ns", key, sum, first.before, g.after)
					}
				}
			}
		}
	}
	t.Logf("%d tokens granted in %v, %d keys dropped", total, time.Duration(c.ns.Load()), dropped.Load())
}

// TestKeyedStress does everything at once. Nothing of it is left afterwards.
func TestKeyedStress(t *testing.T) {
	old := goleak.IgnoreCurrent()
	limits := []Limit{{PerSecond(100_000), 2}, {PerSecond(1_000_000), 5}, {Rate{}, 3}, {Inf(), 1}, {PerSecond(20_000), 1}}
	var now atomic.Int64
	byKey := NewKeyedFunc(func(key int) Limit { return limits[(int64(key)+now.Load())%5] })
	fixed := NewKeyed[int](limits[0].Rate, limits[0].Burst, WithMaxKeys(10))
	for name, k := range map[string]*Keyed[int]{"fixed": fixed, "by key": byKey} {
		t.Run(name, func(t *testing.T) {
			change := func(l Limit) { k.SetLimit(l) }
			if k == byKey {
				change = func(Limit) { now.Add(1); k.Refresh() }
			}
			var wg sync.WaitGroup
			for g := range 6 {
				wg.Go(func() { stressKeyed(k, rand.New(rand.NewPCG(uint64(g), 3)), func(i int) { change(limits[i%5]) }) })
			}
			wg.Wait()
			if k == fixed {
				change(limits[3])
			} else {
				for key := range 16 {
					k.Delete(key)
				}
			}
			for i := 0; k.Len() > 0 && i < 10; i++ {
				time.Sleep(10 * time.Millisecond) // what was granted late is remembered for as long
				k.Evict()
			}
			if k.Len() != 0 {
				t.Errorf("Len = %d", k.Len())
			}
			checkKeyed(t, k)
		})
	}
	if err := goleak.Find(old); err != nil {
		t.Error(err)
	}
}

func stressKeyed(k *Keyed[int], r *rand.Rand, change func(i int)) {
	var booked []*Reservation
	for range 1500 {
		key, n := r.IntN(16), 1+r.IntN(2)
		switch op := r.IntN(100); {
		case op < 20:
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Duration(r.IntN(200))*time.Microsecond, cancel)
			_ = k.WaitN(ctx, key, n) // it may well be cancelled
			cancel()
		case op < 40:
			if res, err := k.ReserveN(key, n); err == nil {
				booked = append(booked, res)
			}
		case op < 60 && len(booked) > 0:
			i := r.IntN(len(booked))
			booked[i].Delay()
			booked[i].Cancel()
			booked = slices.Delete(booked, i, i+1)
		case op < 70:
			k.Evict()
		case op < 72:
			change(r.IntN(5))
		case op < 76:
			k.Delete(key)
		case op < 80:
			k.Charge(key, n)
			k.Refund(key, n)
		case op < 82:
			for key := range k.All() {
				k.Waiting(key)
			}
		default:
			k.Take(key, n)
			k.Tokens(key)
		}
	}
	for _, res := range booked {
		res.Cancel()
	}
}

// TestKeyedLimitsAtOnce: changes of limit that come at once leave all keys with the same one, that
// of the last.
func TestKeyedLimitsAtOnce(t *testing.T) {
	for round := range 30 {
		k := NewKeyed[int](Rate{}, 10)
		for key := range 2000 {
			k.Allow(key)
		}
		var wg sync.WaitGroup
		for g := range 3 {
			wg.Go(func() { k.SetLimit(Limit{PerSecond(1), 20 + g}) })
		}
		wg.Wait()
		for key := range 2000 {
			if got, want := k.Limit(key), k.Limit(-1); got != want {
				t.Fatalf("round %d: key %d has the limit %v, new ones %v", round, key, got, want)
			}
		}
	}
}

// TestKeyedRefreshBeforeInsert runs a whole Refresh between the func's answer for a new key and its
// insertion.
func TestKeyedRefreshBeforeInsert(t *testing.T) {
	var k *Keyed[int]
	var calls int
	k = NewKeyedFunc(func(int) Limit {
		if calls++; calls > 1 {
			return Limit{PerSecond(1), 30}
		}
		done := make(chan struct{})
		go func() { k.Refresh(); close(done) }()
		<-done
		return Limit{PerSecond(1), 10}
	})
	if k.Allow(1); k.Limit(1).Burst != 30 {
		t.Errorf("the key has a burst of %d, since the Refresh the func says 30", k.Limit(1).Burst)
	}
}

// TestKeyedLineIsGone: what is done with a line that was left has no effect on the key, nor on its
// next line.
func TestKeyedLineIsGone(t *testing.T) {
	k := NewKeyed[int](Rate{}, 5)
	k.Allow(1)
	h := k.hash(1)
	old := k.open(h, 1)
	if k.open(h, 1) != old || !k.AllowN(1, 2) || old.Tokens() != 2 {
		t.Errorf("opened twice, the line has %v tokens", old.Tokens())
	}
	k.leave(h, old)
	if k.Allow(1); old.Tokens() != 1 {
		t.Errorf("left once, the line has %v tokens", old.Tokens())
	}
	k.leave(h, old)
	old.ring()
	(&Reservation{b: &old.Bucket, x: new(engine.Node)}).Cancel()
	old.Refund(3)
	b := k.open(h, 1)
	if old.ring(); b == old || b.Tokens() != 1 {
		t.Errorf("opened again, the line has %v tokens, want 1", b.Tokens())
	}
	k.leave(h, b)
	checkKeyed(t, k)
}

// TestKeyedRefreshAtOnce holds the first Refresh up in the func, while the func's answer changes
// and a second one begins.
func TestKeyedRefreshAtOnce(t *testing.T) {
	var burst, calls atomic.Int64
	held, release := make(chan struct{}), make(chan struct{})
	burst.Store(10)
	k := NewKeyedFunc(func(int) Limit {
		l := Limit{PerSecond(1), int(burst.Load())}
		if calls.Add(1) == 2 {
			close(held)
			<-release
		}
		return l
	})
	k.Allow(1)
	var wg sync.WaitGroup
	wg.Go(k.Refresh)
	<-held
	burst.Store(30)
	var second atomic.Bool
	wg.Go(func() { k.Refresh(); second.Store(true) })
	for i := 0; i < 10_000 && !second.Load(); i++ { // it may, or may not, have to wait for the first
		runtime.Gosched()
	}
	close(release)
	if wg.Wait(); k.Limit(1).Burst != 30 {
		t.Errorf("the key has a burst of %d, the func said 30 when the last Refresh began", k.Limit(1).Burst)
	}
}

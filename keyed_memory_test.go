package tokenbucket

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// flood takes all that n new names get, beginning with number first, and returns how much that is.
func flood(k *Keyed[int], first, n int) (total int) {
	for key := first; key < first+n; key++ {
		total += k.TakeAvailable(key, math.MaxInt)
	}
	return total
}

// crowded returns a map that is full of keys, 1 to n, whose buckets are a thousand tokens in debt.
func crowded(c Clock, l Limit, n int) *Keyed[int] {
	k := NewKeyed[int](l.Rate, l.Burst, WithClock(c), WithMaxKeys(n))
	for key := 1; key <= n; key++ {
		k.Charge(key, l.Burst+1000)
	}
	return k
}

func TestKeyedOverflow(t *testing.T) {
	c := new(handClock)
	k := crowded(c, Limit{PerSecond(1), 3}, 50)
	for key := 1; key <= 25; key++ {
		k.Refund(key, 1001)
	}
	if n := flood(k, 100, 20_000); n != overflowBuckets*3 {
		t.Errorf("the flood took %d tokens, want those of the overflow buckets, %d", n, overflowBuckets*3)
	}
	c.set(s1)
	if n := flood(k, 50_000, 20_000); n != overflowBuckets {
		t.Errorf("a second later, with other names, it took %d, want %d", n, overflowBuckets)
	}
	if got := k.Take(-1, 1); got.Allowed || got.RetryAfter != s1 || k.Tokens(-1) != 0 || k.Len() != 50 {
		t.Errorf("one more: %+v, Tokens = %v, Len = %d", got, k.Tokens(-1), k.Len())
	}
	k.Charge(-1, 2)
	if k.Refund(-1, 1); k.Tokens(-1) != -1 || k.Waiting(-1) != 0 {
		t.Errorf("charged 2, refunded 1: Tokens = %v, Waiting = %d", k.Tokens(-1), k.Waiting(-1))
	}
	for key := 1; key <= 50; key++ {
		if n, want := k.TakeAvailable(key, 9), 2*(1-key/26); n != want {
			t.Errorf("key %d, which was there, took %d tokens, want %d", key, n, want)
		}
	}
	// A key that gets a bucket of its own begins with what the one that it shared has.
	if k.Delete(1); k.TakeAvailable(-2, 9) != 0 || k.Len() != 50 || k.TakeAvailable(-3, 9) != 0 {
		t.Errorf("one key was deleted: Tokens = %v, %v, Len = %d", k.Tokens(-2), k.Tokens(-3), k.Len())
	}
	c.set(1100 * s1)
	if n := k.Evict(); n != 50 {
		t.Errorf("Evict = %d", n)
	}
	if n := flood(k, 100, 50); n != 50*3 || k.Len() != 50 {
		t.Errorf("with room again, 50 new keys took %d tokens, want 150", n)
	}
	c.set(1200 * s1) // all are full: others can have their places, though not each that happens to come
	if n := flood(k, 200, 50); n < 50*2 || k.Len() > 50 || !slices.ContainsFunc(slices.Collect(maps.Keys(maps.Collect(k.All()))),
		func(key int) bool { return key >= 200 }) {
		t.Errorf("with full ones to be dropped, 50 new keys took %d tokens, Len = %d", n, k.Len())
	}
	checkKeyed(t, k)
}

// TestKeyedOverflowQueue: those who share a bucket wait for it in one queue.
func TestKeyedOverflowQueue(t *testing.T) {
	inBubble(t, "wait", func(t *testing.T) {
		k := NewKeyed[string](PerSecond(0), 1, WithMaxKeys(1), WithMaxWaiters(2))
		k.Allow("there")
		k.Allow("a")
		a := goWait(t, k, "a", 1)
		r, err := k.Reserve("there")
		if !errors.Is(err, ErrNever) {
			t.Errorf("Reserve at a rate of zero: %v, %v", r, err)
		}
		if k.Waiting("a") != 1 || k.Waiting("there") != 0 || k.Tokens("a") != -1 {
			t.Errorf("Waiting = %d, Tokens = %v", k.Waiting("a"), k.Tokens("a"))
		}
		k.SetLimit(Limit{Every(s1), 2})
		r, err = k.Reserve("a")
		if err != nil || r.Delay() != 2*s1 {
			t.Errorf("Reserve: %v", err)
		}
		wantWait(t, "one too many", goWait(t, k, "a", 1), 0, ErrQueueFull)
		wantWait(t, "a", a, s1, nil)
		if r.Cancel(); k.Tokens("a") != 0 || k.Limit("a") != (Limit{Every(s1), 2}) {
			t.Errorf("after Cancel: Tokens = %v, Limit = %v", k.Tokens("a"), k.Limit("a"))
		}
	})
}

// TestKeyedOverflowTiers: keys of different limits do not share, up to a number of limits.
func TestKeyedOverflowTiers(t *testing.T) {
	k := NewKeyedFunc(func(key int) Limit { return Limit{PerSecond(key % 1000), 1 + key%1000} },
		WithClock(new(handClock)), WithMaxKeys(1))
	k.Allow(999)
	all := func(rest int) (total int) { // what all keys of a limit get
		for i := 1; i <= 3000; i++ {
			total += k.TakeAvailable(1000*i+rest, math.MaxInt)
		}
		return total
	}
	for rest := 20; rest > 20-overflowTiers; rest-- {
		if n, want := all(rest), overflowBuckets*(1+rest); n != want {
			t.Errorf("keys of the limit %d took %d tokens, want %d", rest, n, want)
		}
	}
	for _, rest := range []int{20, 0, 500} {
		if n := all(rest); n != 0 || k.Limit(rest).Burst != 1+rest {
			t.Errorf("keys of the limit %d took %d tokens more", rest, n)
		}
	}
	if b := k.overflow.find(0, Limit{PerSecond(500), 501}.plain()); b == nil || b.Limit().Burst != 501 {
		t.Errorf("keys of one limit too many share %v, want a bucket that was given their limit", b)
	}
	if k.Len() != 1 || len(*k.overflow.tiers.Load()) != overflowTiers {
		t.Errorf("Len = %d, %d tiers", k.Len(), len(*k.overflow.tiers.Load()))
	}
}

// TestKeyedMaxKeys: there are never more keys than the most, nor does the count drift, whoever comes and goes.
func TestKeyedMaxKeys(t *testing.T) {
	const most = 100
	c := new(handClock)
	k := NewKeyed[int](Every(time.Microsecond), 2, WithClock(c), WithMaxKeys(most))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				k.Allow(4*i + g)
				if i%100 == 0 {
					c.add(3 * time.Microsecond)
				}
				if i%500 == g {
					k.Evict()
				}
				if i%7 == 0 {
					k.Delete(4*i + g)
				}
			}
		})
	}
	wg.Wait()
	if n := k.Len(); n > most {
		t.Errorf("Len = %d, want at most %d", n, most)
	}
	checkKeyed(t, k)
	c.add(s1)
	if k.Evict(); k.Len() != 0 {
		t.Errorf("Len = %d after all are full", k.Len())
	}
}

// A hookClock calls a func, once, when it is read.
type hookClock struct {
	handClock
	hook atomic.Pointer[func()]
}

func (c *hookClock) Now() time.Time {
	if f := c.hook.Swap(nil); f != nil {
		(*f)()
	}
	return c.handClock.Now()
}

// TestKeyedOverflowSetLimit changes the limit while the first key is on its way to the overflow buckets.
func TestKeyedOverflowSetLimit(t *testing.T) {
	c := new(hookClock)
	k := NewKeyed[int](Rate{}, 1, WithClock(c), WithMaxKeys(1))
	k.Allow(1)
	var wg sync.WaitGroup
	hook := func() { // it looks for room
		wg.Go(func() { k.SetLimit(Limit{Inf(), 1}) })
		for i := 0; i < 10_000; i++ {
			runtime.Gosched()
		}
	}
	c.hook.Store(&hook)
	k.Allow(2)
	wg.Wait()
	if n := k.TakeAvailable(2, 100); n != 100 {
		t.Errorf("after SetLimit took the limit away, an overflow bucket gave %d tokens of 100", n)
	}
}

// thorough reports whether tests may take their time. What the race detector makes ten times slower,
// it need not see in full.
func thorough() bool {
	race := debug.BuildSetting{Key: "-race", Value: "true"}
	info, ok := debug.ReadBuildInfo()
	return !testing.Short() && (!ok || !slices.Contains(info.Settings, race))
}

// alone reports whether the process runs no other test than t. If it does, alone runs t in a process
// of its own, whose result is that of t. Tests that measure the heap need it: the heap of a process in
// which others have run still holds their timers, pools and goroutines, which go away meanwhile.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "TOKENBUCKET_TEST_ALONE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	args := []string{"-test.v", "-test.run=^" + t.Name() + "$", "-test.short=" + strconv.FormatBool(testing.Short())}
	child := exec.CommandContext(t.Context(), os.Args[0], args...)
	child.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
		return false
	}
	t.Logf("\n%s", out)
	return false
}

// heap returns the bytes in use after collecting garbage.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // frees what the first collection ran finalizers and cleanups for
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestKeyedFloodMemory checks that ten million names take no more memory than the most keys do.
func TestKeyedFloodMemory(t *testing.T) {
	if !alone(t) {
		return
	}
	t.Run("int", func(t *testing.T) { floodMemory(t, 6<<20, func(i int) int { return i }) })
	t.Run("string", func(t *testing.T) {
		floodMemory(t, 8<<20, func(i int) string { return "user:" + strconv.Itoa(i) })
	})
}

func floodMemory[K comparable](t *testing.T, most int64, name func(i int) K) {
	const keys, there = 100_000, 50_000
	n := 200_000
	if thorough() {
		n = 10_000_000
	}
	before := heap()
	c := new(handClock)
	k := NewKeyed[K](PerSecond(1), 5, WithClock(c), WithMaxKeys(keys))
	for i := range there {
		k.AllowN(name(-1-i), 3)
	}
	for i := range n {
		k.Allow(name(i))
	}
	if used := heap() - before; used > most || k.Len() > keys {
		t.Errorf("%d keys use %d bytes, want at most %d", k.Len(), used, most)
	} else {
		t.Logf("%d names: %d keys use %d bytes", n, k.Len(), used)
	}
	for i := range there {
		if res := k.Take(name(-1-i), 2); !res.Allowed || res.Remaining != 0 {
			t.Fatalf("key %v, which was there, had %d tokens, want 2", name(-1-i), res.Remaining)
		}
	}
	checkKeyed(t, k)
}

// TestKeyedBytesPerKey compares with a plain map. Both include the bytes of the names, which nobody
// else keeps.
func TestKeyedBytesPerKey(t *testing.T) {
	if !alone(t) {
		return
	}
	n := 100_000
	if thorough() {
		n = 1_000_000
	}
	name := func(i int) string { return "user:" + strconv.Itoa(i) }
	before := heap()
	m := make(map[string]uint64)
	for i := range n {
		m[name(i)] = 1
	}
	plain := float64(heap()-before) / float64(n)
	before = heap()
	k := NewKeyed[string](Rate{}, 1)
	slowest := time.Duration(0)
	for i := range n {
		start := time.Now()
		k.Allow(name(i))
		slowest = max(slowest, time.Since(start))
	}
	keyed := float64(heap()-before) / float64(n)
	t.Logf("%.1f bytes a key, %.1f in a map; the slowest new key took %v", keyed, plain, slowest)
	if keyed > 80 || keyed > 1.5*plain {
		t.Errorf("%.1f bytes a key, want at most 80, and 1.5 times those of a map: %.1f", keyed, plain)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(k)
}

// TestKeyedIdleMemory checks that all memory is back half a minute after the last key is full, with no
// further call.
func TestKeyedIdleMemory(t *testing.T) {
	if !alone(t) {
		return
	}
	inBubble(t, "idle", func(t *testing.T) {
		k := NewKeyed[int](Every(s1), 1)
		before := heap()
		const n = 100_000
		for key := range n {
			k.Allow(key)
		}
		for key := range 10 {
			goWait(t, k, key, 1)
			if _, err := k.Reserve(key); err != nil {
				t.Fatal(err)
			}
		}
		full := heap()
		time.Sleep(3 * s1) // now the last reservation is past, and its bucket full again
		if k.Len() != n {
			t.Errorf("Len = %d, want %d", k.Len(), n)
		}
		time.Sleep(30 * s1)
		if used := heap() - before; used > 32<<10 || k.Len() != 0 {
			t.Errorf("half a minute later %d keys use %d bytes; when there were %d it was %d", k.Len(), used, n, full-before)
		}
		checkKeyed(t, k)
		k.Allow(1)
		time.Sleep(31 * s1)
		if k.Len() != 0 {
			t.Error("the second time, a key is not dropped")
		}
	})
	inBubble(t, "in use", func(t *testing.T) { // a key that is used every few seconds keeps its place
		k := NewKeyed[int](Every(ms), 1)
		k.Allow(1)
		word, _ := k.find(k.hash(1), 1)
		for range 100 {
			time.Sleep(9 * s1)
			k.Allow(1)
			if now, _ := k.find(k.hash(1), 1); now != word {
				t.Fatal("the key was dropped")
			}
		}
	})
	inBubble(t, "in a line", func(t *testing.T) { // it is dropped when the line is left
		k := NewKeyed[int](Every(ms), 1)
		k.Allow(1)
		b := k.open(k.hash(1), 1)
		time.Sleep(time.Minute)
		if k.Len() != 1 || b.Tokens() != 1 {
			t.Errorf("while its line is open, the key has %v tokens", b.Tokens())
		}
		k.leave(k.hash(1), b)
		time.Sleep(time.Minute)
		if k.Len() != 0 {
			t.Error("the key is still there")
		}
	})
}

// TestKeyedAbandoned: neither the timer nor anything else keeps an abandoned map alive.
func TestKeyedAbandoned(t *testing.T) {
	old := goleak.IgnoreCurrent()
	collected := make(chan struct{})
	func() {
		k := NewKeyed[int](Rate{}, 1)
		runtime.AddCleanup(k, func(c chan struct{}) { close(c) }, collected)
		for key := range 1000 {
			k.Allow(key)
		}
		k.Charge(1, 5)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		sinkBool = k.Wait(ctx, 1) == nil
		if !k.sweeper.armed.Load() {
			t.Error("no timer for idle keys")
		}
	}()
	for range 1000 {
		runtime.GC()
		select {
		case <-collected:
			if err := goleak.Find(old); err != nil {
				t.Error(err)
			}
			return
		case <-time.After(ms):
		}
	}
	t.Error("the map is not collected")
}

func TestKeyedAllocs(t *testing.T) {
	type user struct {
		id   int
		name string
	}
	testKeyedAllocs(t, "a key", "another key")
	testKeyedAllocs(t, 1<<40>>20, 7)
	testKeyedAllocs(t, [16]byte{1}, [16]byte{2})
	testKeyedAllocs(t, user{1, "a"}, user{1, "b"})
}

func testKeyedAllocs[K comparable](t *testing.T, rich, poor K) {
	k := NewKeyedFunc(func(key K) Limit {
		if key == rich {
			return Limit{PerSecond(1), 1 << 30}
		}
		return Limit{Rate{}, 1}
	})
	k.Allow(rich)
	k.Allow(poor)
	ctx := t.Context()
	for name, f := range map[string]func() bool{
		"Allow":                 func() bool { return k.Allow(rich) },
		"Allow, denied":         func() bool { return !k.Allow(poor) },
		"Take":                  func() bool { return k.Take(rich, 2).Allowed },
		"Take, denied":          func() bool { return !k.Take(poor, 1).Allowed },
		"TakeAvailable":         func() bool { return k.TakeAvailable(rich, 2) == 2 },
		"TakeAvailable, denied": func() bool { return k.TakeAvailable(poor, 2) == 0 },
		"Wait":                  func() bool { return k.Wait(ctx, rich) == nil },
		"Charge and Refund":     func() bool { k.Charge(rich, 1); k.Refund(rich, 1); return true },
		"Tokens":                func() bool { return k.Tokens(rich) > 1<<20 && k.Tokens(poor) == 0 },
		"Limit":                 func() bool { return k.Limit(rich).Burst == 1<<30 },
	} {
		failed := 0
		n := testing.AllocsPerRun(100, func() {
			if !f() {
				failed++
			}
		})
		if n != 0 || failed > 0 {
			t.Errorf("%T key, %s: %v allocations, %d failed", rich, name, n, failed)
		}
	}
}

// TestKeyedOverflowManyLimits: with more limits than tiers, no key gets more at once than its own burst, and
// limits whose keys are gone do not stand in the way of new ones.
func TestKeyedOverflowManyLimits(t *testing.T) {
	c := new(handClock)
	limits := map[int]Limit{}
	k := NewKeyedFunc(func(key int) Limit { return limits[key] }, WithClock(c), WithMaxKeys(1))
	limits[0] = Limit{PerSecond(1), 1}
	k.Allow(0)
	for i := range overflowTiers {
		limits[1+i] = Limit{Per(i, time.Hour), 10_000}
		k.Take(1+i, 1)
	}
	limits[100], limits[200] = Limit{PerSecond(1000), 5}, Limit{PerSecond(10), 20}
	if n := k.TakeAvailable(100, math.MaxInt); n > 5 {
		t.Errorf("a key with a burst of 5 got %d tokens at once", n)
	}
	for range 3 { // two limits take turns in one tier, and nothing is minted
		k.TakeAvailable(100, math.MaxInt)
		k.TakeAvailable(200, math.MaxInt)
	}
	if n := k.TakeAvailable(100, math.MaxInt) + k.TakeAvailable(200, math.MaxInt); n != 0 {
		t.Errorf("%d tokens were minted", n)
	}
	c.set(time.Second)
	if n := k.TakeAvailable(200, math.MaxInt); n < 10 {
		t.Errorf("a key at 10/s got %d tokens after a second", n)
	}
}

// TestKeyedLeavesOverflow: a key that gets a bucket of its own gets no second burst.
func TestKeyedLeavesOverflow(t *testing.T) {
	c := new(handClock)
	k := NewKeyed[string](PerHour(1), 10, WithClock(c), WithMaxKeys(1))
	k.Allow("there")
	if n := k.TakeAvailable("new", 100); n != 10 {
		t.Fatalf("%d tokens from the overflow", n)
	}
	k.Delete("there")
	if n := k.TakeAvailable("new", 100); n != 0 || k.Len() != 1 {
		t.Errorf("%d tokens more in a bucket of its own, Len = %d", n, k.Len())
	}
}

// TestKeyedOverflowHeldUp: a call that was on its way to the overflow while its key got a bucket of its own
// puts back what it took there.
func TestKeyedOverflowHeldUp(t *testing.T) {
	k := NewKeyed[string](PerHour(1), 10, WithClock(new(handClock)), WithMaxKeys(1))
	k.Allow("there")
	h := k.hash("new")
	_, _, b := k.entry(h, "new")
	var d decision
	b.take(engine.Want{Least: 4, Most: 4}, &d)
	if !k.mayShare(h, "new", b, &d) || b.Tokens() != 6 {
		t.Errorf("a key without a bucket of its own may not share, or was refunded: %v tokens", b.Tokens())
	}
	k.Delete("there")
	k.Charge("new", 1)
	if k.mayShare(h, "new", b, &d) || b.Tokens() != 10 {
		t.Errorf("a key with a bucket of its own may share, or was not refunded: %v tokens", b.Tokens())
	}
}

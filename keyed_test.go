package tokenbucket

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A handClock stands still until it is set. It has no timers: whoever waits by it is only woken by
// others.
type handClock struct{ ns atomic.Int64 }

func (c *handClock) Now() time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(c.ns.Load()))
}
func (c *handClock) After(time.Duration) <-chan time.Time { return nil }
func (c *handClock) set(at time.Duration)                 { c.ns.Store(int64(at)) }
func (c *handClock) add(d time.Duration)                  { c.ns.Add(int64(d)) }

// panicOf returns what f panics with, as text.
func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

// keyedStep is one call at an instant, and what it returns; for calls that return nothing, what
// Tokens returns then.
type keyedStep struct {
	at   time.Duration
	op   string
	key  string
	n    int
	want any
}

func (s keyedStep) do(k *Keyed[string]) any {
	switch s.op {
	case "allow":
		return k.AllowN(s.key, s.n)
	case "take":
		return k.Take(s.key, s.n)
	case "available":
		return k.TakeAvailable(s.key, s.n)
	case "wait":
		return k.WaitN(context.Background(), s.key, s.n)
	case "reserve":
		r, err := k.ReserveN(s.key, s.n)
		if err != nil {
			return err.(*WaitError).Err
		}
		return r.Delay()
	case "charge":
		k.Charge(s.key, s.n)
	case "refund":
		k.Refund(s.key, s.n)
	case "delete":
		k.Delete(s.key)
	case "evict":
		return k.Evict()
	case "len":
		return k.Len()
	case "all":
		return fmt.Sprint(maps.Collect(k.All()))
	}
	return k.Tokens(s.key)
}

const (
	ms = time.Millisecond
	s1 = time.Second
)

func TestKeyedSteps(t *testing.T) {
	lim := Limit{PerSecond(10), 2}
	for name, steps := range map[string][]keyedStep{
		"allow": {
			{0, "allow", "a", 1, true}, {0, "allow", "a", 1, true}, {0, "allow", "a", 1, false}, {0, "allow", "b", 1, true},
			{100*ms - 1, "allow", "a", 1, false}, {100 * ms, "allow", "a", 1, true}, {100 * ms, "allow", "a", 0, true},
			{300 * ms, "allow", "a", 2, true}, {300 * ms, "allow", "b", 3, false}, {300 * ms, "len", "", 0, 2},
			{300 * ms, "allow", "b", math.MaxInt, false}, {300 * ms, "tokens", "b", 0, 2.0},
		},
		"take": {
			{0, "take", "a", 2, Result{true, 0, 0, 200 * ms, lim}},
			{50 * ms, "take", "a", 1, Result{false, 0, 50 * ms, 150 * ms, lim}},
			{50 * ms, "take", "b", 3, Result{false, 2, Never, 0, lim}},
			{50 * ms, "take", "c", 0, Result{true, 2, 0, 0, lim}},
		},
		"take available": {
			{0, "available", "a", 5, 2}, {0, "available", "a", 5, 0}, {150 * ms, "available", "a", 5, 1},
			{150 * ms, "available", "b", 0, 0}, {150 * ms, "available", "b", math.MaxInt, 2},
		},
		"charge and refund": {
			{0, "charge", "a", 3, -1.0}, {0, "tokens", "b", 0, 2.0}, {0, "refund", "b", 5, 2.0}, {100 * ms, "allow", "a", 1, false},
			{200 * ms, "allow", "a", 1, true}, {200 * ms, "refund", "a", 1, 1.0}, {200 * ms, "refund", "a", math.MaxInt, 2.0},
			{200 * ms, "charge", "c", 0, 2.0}, {200 * ms, "refund", "never seen", 1, 2.0}, {200 * ms, "len", "", 0, 2},
		},
		"evict": {
			{0, "evict", "", 0, 0}, {0, "charge", "a", 1, 1.0}, {0, "charge", "b", 2, 0.0}, {100*ms - 1, "evict", "", 0, 0},
			{100 * ms, "evict", "", 0, 1}, {100 * ms, "len", "", 0, 1}, {200 * ms, "evict", "", 0, 1},
			{200 * ms, "evict", "", 0, 0}, {200 * ms, "tokens", "a", 0, 2.0},
		},
		"delete": {
			{0, "charge", "a", 9, -7.0}, {0, "delete", "a", 0, 2.0}, {0, "len", "", 0, 0}, {0, "delete", "a", 0, 2.0},
			{0, "allow", "a", 2, true}, {0, "allow", "a", 1, false}, {0, "len", "", 0, 1},
		},
		"wait and reserve": {
			{0, "wait", "a", 2, error(nil)}, {0, "wait", "a", 0, error(nil)}, {0, "reserve", "a", 1, 100 * ms},
			{0, "reserve", "a", 2, 300 * ms}, {0, "reserve", "b", 2, 0 * ms}, {0, "reserve", "b", 0, 0 * ms},
			{0, "reserve", "b", 3, ErrExceedsBurst}, {0, "tokens", "a", 0, -3.0},
			{0, "take", "a", 1, Result{false, 0, 400 * ms, 500 * ms, lim}}, {0, "allow", "a", 1, false}, {0, "len", "", 0, 2},
			{400 * ms, "allow", "a", 1, true}, {600 * ms, "evict", "", 0, 2}, {600 * ms, "len", "", 0, 0},
		},
		"all": {
			{0, "all", "", 0, "map[]"}, {0, "charge", "a", 3, -1.0}, {0, "available", "b", 0, 0}, {0, "all", "", 0, "map[a:-1 b:2]"},
			{50 * ms, "all", "", 0, "map[a:-0.5 b:2]"},
		},
		"clock before its beginning": {
			{-100 * s1, "allow", "a", 1, true}, {-100 * s1, "evict", "", 0, 0}, {-90 * s1, "available", "a", 9, 1},
			{0, "available", "a", 9, 0}, {200 * ms, "evict", "", 0, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(handClock)
			k := NewKeyed[string](lim.Rate, lim.Burst, WithClock(c))
			for i, step := range steps {
				c.set(step.at)
				if got := step.do(k); got != step.want {
					t.Errorf("step %d, %v %s %s %d: got %v, want %v", i, step.at, step.op, step.key, step.n, got, step.want)
				}
			}
			checkKeyed(t, k)
		})
	}
}

// TestKeyedSetLimit: each key keeps the tokens that it has; a new one is like one that was full.
func TestKeyedSetLimit(t *testing.T) {
	c := new(handClock)
	k := NewKeyed[string](PerSecond(10), 4, WithClock(c))
	k.Charge("some", 3)
	k.Charge("debt", 14)
	for i, step := range []struct {
		limit           Limit
		after           time.Duration
		some, debt, new float64
	}{
		{Limit{PerSecond(1), 10}, 0, 1, -10, 4},
		{Limit{PerSecond(1), 10}, s1, 2, -9, 5},
		{Limit{PerSecond(2), 1}, 0, 1, -9, 1},
		{Limit{PerSecond(2), 5}, s1, 3, -7, 3},
		{Limit{Rate{}, 5}, time.Hour, 3, -7, 3},
		{Limit{PerSecond(1), 1 << 30}, s1, 4, -6, 4},
		{Limit{Inf(), 6}, s1, 6, 6, 6},
		{Limit{PerSecond(1), 4}, 0, 4, 4, 4}, // without limit they were full
	} {
		if k.SetLimit(step.limit); k.Limit("some") != step.limit || k.Limit("new") != step.limit {
			t.Errorf("step %d: limits %v, %v", i, k.Limit("some"), k.Limit("new"))
		}
		c.add(step.after)
		if a, b, n := k.Tokens("some"), k.Tokens("debt"), k.Tokens("new"); a != step.some || b != step.debt || n != step.new {
			t.Errorf("step %d: some %v, debt %v, new %v; want %v", i, a, b, n, step)
		}
		if n := k.Take(fmt.Sprint("new", i), 0).Remaining; n != int(step.new) {
			t.Errorf("step %d: a new key has %d tokens, want %v", i, n, step.new)
		}
	}
	if k.Len() != 10 || k.Evict() != 10 {
		t.Errorf("Len = %d", k.Len())
	}
}

// checkKeyed checks that nothing is left of the queues of k, which nobody uses at the moment, and
// that all keys are found.
func checkKeyed[K comparable](t testing.TB, k *Keyed[K]) {
	t.Helper()
	keys := 0
	k.table.Walk(func(g *guard[K]) bool {
		for _, key := range keysOf(g, nil) {
			if keys++; !k.has(key) {
				t.Errorf("key %v is not found", key)
			}
		}
		return true
	})
	if keys != k.Len() {
		t.Errorf("Len = %d, there are %d keys", k.Len(), keys)
	}
	for i := range k.stripes {
		for key, l := range k.stripes[i].lines {
			t.Errorf("a line is left of key %v, open %d times, with %d in its queue", key, l.open, l.room.queue.Len())
		}
	}
}

// has reports whether a look-up of key succeeds.
func (k *Keyed[K]) has(key K) bool {
	word, _ := k.table.Find(k.table.Hash(key), key)
	return word != nil
}

func TestKeyedPanics(t *testing.T) {
	k := NewKeyed[string](PerSecond(1), 1)
	byKey := NewKeyedFunc(func(key string) Limit { return Limit{PerSecond(1), len(key)} })
	ctx := context.Background()
	for want, f := range map[string]func(){
		"tokenbucket: NewKeyed: burst is 0,":             func() { NewKeyed[string](PerSecond(1), 0) },
		"tokenbucket: NewKeyedFunc: the func is nil":     func() { NewKeyedFunc[string](nil) },
		"tokenbucket: WithMaxKeys: n is 0,":              func() { WithMaxKeys(0) },
		"tokenbucket: SetLimit: burst is -1,":            func() { k.SetLimit(Limit{PerSecond(1), -1}) },
		"tokenbucket: SetLimit: the limits come from":    func() { byKey.SetLimit(Limit{PerSecond(1), 1}) },
		"tokenbucket: AllowN: n is -1,":                  func() { k.AllowN("a", -1) },
		"tokenbucket: Take: n is -2,":                    func() { k.Take("a", -2) },
		"tokenbucket: TakeAvailable: n is -3,":           func() { k.TakeAvailable("a", -3) },
		"tokenbucket: WaitN: n is -4,":                   func() { _ = k.WaitN(ctx, "a", -4) },
		"tokenbucket: ReserveN: n is -5,":                func() { _, _ = k.ReserveN("a", -5) },
		"tokenbucket: Charge: n is -6,":                  func() { k.Charge("a", -6) },
		"tokenbucket: Refund: n is -7,":                  func() { k.Refund("a", -7) },
		"tokenbucket: NewKeyedFunc: the burst for key  ": func() { byKey.Allow("") },
		"tokenbucket: the key [1] holds a value of a":    func() { NewKeyed[any](PerSecond(1), 1).Allow([]int{1}) },
		"tokenbucket: the key [[1]] holds a value of a":  func() { NewKeyed[[1]any](PerSecond(1), 1).Limit([1]any{[]int{1}}) },
		"tokenbucket: the key {map[]} holds a value of ": func() { NewKeyed[struct{ v any }](PerSecond(1), 1).Delete(struct{ v any }{map[int]int{}}) },
	} {
		if got := panicOf(f); !strings.HasPrefix(got, want) {
			t.Errorf("panics with %q, want %q...", got, want)
		}
	}
	if k.Len() != 0 || byKey.Len() != 0 {
		t.Errorf("the calls that panicked left %d and %d keys", k.Len(), byKey.Len())
	}
	if _, ok := WithMaxKeys(1).(Option); ok {
		t.Error("WithMaxKeys would compile for New")
	}
}

// testKeys checks that a and b are two keys, and same another spelling of a.
func testKeys[K comparable](t *testing.T, a, same, b K) {
	t.Run(fmt.Sprintf("%T", a), func(t *testing.T) {
		k := NewKeyed[K](Rate{}, 2)
		for i, step := range []struct {
			key  K
			want bool
		}{{a, true}, {b, true}, {same, true}, {a, false}, {same, false}, {b, true}, {b, false}} {
			if got := k.Allow(step.key); got != step.want {
				t.Errorf("step %d: Allow(%v) = %v", i, step.key, got)
			}
		}
		if k.Len() != 2 {
			t.Errorf("Len = %d, want 2", k.Len())
		}
		k.Delete(same)
		if !k.Allow(a) || k.Allow(b) || k.Limit(a) != k.Limit(b) {
			t.Errorf("after Delete(%v): Tokens(%v) = %v, Tokens(%v) = %v", same, a, k.Tokens(a), b, k.Tokens(b))
		}
	})
}

func TestKeyedKeyTypes(t *testing.T) {
	type user struct {
		name string
		id   int
		v    any
		_    [2]any
	}
	x, y := 1, 1
	testKeys(t, "a", strings.Repeat("a", 1), "b")
	testKeys(t, 1, 1, 2)
	testKeys(t, [16]byte{1}, [16]byte{1}, [16]byte{15: 1})
	testKeys(t, user{"a", 1, 7, [2]any{}}, user{strings.Repeat("a", 1), 1, 7, [2]any{}}, user{"a", 1, int64(7), [2]any{}})
	testKeys[any](t, 1, 1, int8(1))
	testKeys[any](t, nil, nil, 0)
	testKeys[fmt.Stringer](t, time.Second, time.Second, time.Minute)
	testKeys(t, 0.0, math.Copysign(0, -1), 1)
	testKeys(t, complex(0, 1), complex(math.Copysign(0, -1), 1), 2)
	testKeys(t, &x, &x, &y)
	testKeys(t, true, true, false)
}

// TestKeyedNaN: keys that are not equal to themselves share one bucket, whatever is done with them,
// and leave nothing.
func TestKeyedNaN(t *testing.T) {
	nan := math.NaN()
	k := NewKeyed[any](Rate{}, 5)
	for i, f := range []func() bool{
		func() bool { return k.Allow(nan) && k.Take(struct{ f float64 }{nan}, 1).Remaining == 3 },
		func() bool { return k.TakeAvailable([1]any{nan}, 2) == 2 && k.Wait(t.Context(), -nan) == nil },
		func() bool { return !k.Allow(math.Float64frombits(0x7ff8_0000_dead_beef)) && k.Tokens(nan) == 0 },
		func() bool { k.Refund(nan, 2); k.Charge(nan, 1); return k.Tokens(nan) == 1 },
		func() bool { r, err := k.Reserve(nan); return err == nil && r.Delay() == 0 && k.Waiting(nan) == 0 },
		func() bool { k.Delete(nan); return k.Limit(nan) == Limit{Rate{}, 5} && !k.Allow(nan) },
		func() bool { k.SetLimit(Limit{Inf(), 1}); return k.Allow(nan) && k.Evict() == 0 && k.Len() == 0 },
	} {
		if !f() {
			t.Errorf("case %d: Tokens = %v, Len = %d", i, k.Tokens(nan), k.Len())
		}
	}
	for range k.All() {
		t.Error("All yields a key, want none")
	}
	byKey := NewKeyedFunc(func(f float64) Limit { return Limit{Rate{}, 3} })
	if n := byKey.TakeAvailable(nan, 2) + byKey.TakeAvailable(nan, 2); n != 3 {
		t.Errorf("NaN took %d of 3 tokens", n)
	}
	if byKey.Refresh(); byKey.Len() != 0 || byKey.Tokens(nan) != 0 {
		t.Errorf("Len = %d, Tokens = %v", byKey.Len(), byKey.Tokens(nan))
	}
	checkKeyed(t, k)
}

func TestKeyedFunc(t *testing.T) {
	calls, double := 0, 1
	k := NewKeyedFunc(func(key int) Limit {
		calls++
		return Limit{PerSecond(key), key * double}
	}, WithClock(new(handClock)))
	for key := 1; key < 2000; key++ { // more than the limits that are remembered
		if got := k.TakeAvailable(key, 5000); got != key {
			t.Fatalf("key %d took %d tokens", key, got)
		}
		if got, want := k.Limit(key), (Limit{PerSecond(key), key}); got != want {
			t.Fatalf("key %d has the limit %v, want %v", key, got, want)
		}
	}
	if calls != 1999 {
		t.Errorf("the func was called %d times for 1999 new keys", calls)
	}
	k.Refund(10, 4)
	double = 2
	if got := k.Limit(10); got.Burst != 10 {
		t.Errorf("before Refresh: %v", got)
	}
	k.Refresh()
	if got := k.Take(10, 0); got.Remaining != 4 || got.Limit != (Limit{PerSecond(10), 20}) {
		t.Errorf("Refresh: %+v, want the 4 tokens there were and a burst of 20", got)
	}
	if k.Len() != 1999 || k.Tokens(5000) != 10000 {
		t.Errorf("Len = %d, Tokens of a new key = %v", k.Len(), k.Tokens(5000))
	}
	double = 0
	if got := panicOf(k.Refresh); !strings.HasPrefix(got, "tokenbucket: NewKeyedFunc: the burst for key ") {
		t.Errorf("Refresh panics with %q", got)
	}
	if k.Allow(10); k.Tokens(10) != 3 { // nothing is locked
		t.Errorf("Tokens = %v, want 3", k.Tokens(10))
	}
	fixed := NewKeyed[int](PerSecond(1), 1)
	if fixed.Refresh(); fixed.Limit(1) != (Limit{PerSecond(1), 1}) {
		t.Errorf("Refresh of a NewKeyed map: %v", fixed.Limit(1))
	}
}

// TestKeyedSetLimitThenDrop: where new keys begin with less than the burst, a full one can be told
// from them.
func TestKeyedSetLimitThenDrop(t *testing.T) {
	c := new(handClock)
	k := NewKeyed[string](Every(s1), 1, WithClock(c))
	k.Allow("evicted")
	k.Allow("deleted")
	k.SetLimit(Limit{Every(s1), 100})
	k.Refund("evicted", 100)
	k.Refund("deleted", 50)
	k.Evict()
	k.Delete("deleted")
	if a, b, n := k.Tokens("evicted"), k.Tokens("deleted"), k.Tokens("new"); a != 100 || b != 100 || n != 1 {
		t.Errorf("full, then evicted: %v tokens; deleted: %v; new: %v", a, b, n)
	}
	c.set(100 * s1)
	if k.Evict(); k.Len() != 0 {
		t.Errorf("when new keys are full again, %d keys are left", k.Len())
	}
}

// TestKeyedStepBack: a clock that steps back after an eviction earns nothing.
func TestKeyedStepBack(t *testing.T) {
	for _, evict := range []bool{false, true} {
		c := new(handClock)
		k := NewKeyed[int](PerSecond(1), 10, WithClock(c))
		got := 0
		for cycle := range 5 {
			c.set(20 * time.Second)
			for key := range 1000 { // splits the segment, so that what it remembers has to be handed on
				if n := k.TakeAvailable(key, 10); key == 7 {
					got += n
				}
			}
			c.set(30 * time.Second) // all are full
			if evict && k.Evict() != 1000 && cycle == 0 {
				t.Fatalf("%d keys are left", k.Len())
			}
			c.set(time.Duration(cycle) * time.Second)
			got += k.TakeAvailable(7, 10)
		}
		// Between 0 and 30 s the clock earned 30 tokens, however often it was there.
		if got > 10+30 {
			t.Errorf("evict %v: %d tokens granted, want at most 40", evict, got)
		}
	}
}

// TestKeyedEvictsFull: a bucket that lacks a quantum is not full.
func TestKeyedEvictsFull(t *testing.T) {
	c := new(handClock)
	k := NewKeyed[int](PerSecond(3), 2, WithClock(c))
	k.Allow(1)
	word, p := k.find(k.hash(1), 1)
	c.set(time.Hour)
	full := p.FullLevel(int64(time.Hour))
	for _, step := range []struct {
		level uint64
		want  int
	}{{full + 1, 0}, {full, 1}} {
		if word.Store(step.level); k.Evict() != step.want {
			t.Errorf("at the level of a full bucket and %d quanta, Evict is not %d", step.level-full, step.want)
		}
	}
}

// TestKeyedAllOnce: a key is seen once, also if the segments that it was in are joined meanwhile.
func TestKeyedAllOnce(t *testing.T) {
	k := NewKeyed[int](Rate{}, 1)
	for key := range 5000 {
		k.Allow(key)
	}
	seen, n := make(map[int]int), 0
	for key := range k.All() {
		seen[key]++
		if n++; n == 2500 {
			for other := range 5000 {
				if other%50 != 0 {
					k.Delete(other)
				}
			}
			k.Evict()
		}
	}
	for key := 0; key < 5000; key += 50 {
		if seen[key] != 1 {
			t.Errorf("key %d was seen %d times", key, seen[key])
		}
	}
}

func TestKeyedAll(t *testing.T) {
	k := NewKeyed[int](Rate{}, 3)
	for key := range 5000 {
		k.Charge(key, 1+key%3)
	}
	for n := range 3 {
		for range k.All() {
			if n--; n < 0 {
				break
			}
		}
	}
	seen := make(map[int]float64)
	all := k.All()
	for range 2 { // an iterator can be used again
		for key, tokens := range all {
			if seen[key] += 1 + tokens; key%2 == 0 {
				k.Delete(key + 1) // what is seen is not what was there at the beginning
			}
			k.Take(-key, 0)
		}
	}
	for key := 0; key < 5000; key += 2 {
		if want := 2 * float64(3-key%3); seen[key] != want {
			t.Fatalf("key %d: seen %v, want %v", key, seen[key], want)
		}
	}
	k.Evict()
	for key := range 5000 {
		k.Delete(key)
	}
	for key := range k.All() {
		t.Errorf("All yields %d of an empty map", key)
	}
	checkKeyed(t, k)
}

func TestKeyedReserve(t *testing.T) {
	inBubble(t, "appointments of a key", func(t *testing.T) {
		k := NewKeyed[string](Every(s1), 2, WithMaxWaiters(3))
		var booked []*Reservation
		for _, n := range []int{2, 2, 1, 1} {
			r, err := k.ReserveN("a", n)
			if err != nil {
				t.Fatal(err)
			}
			booked = append(booked, r)
		}
		if _, err := k.Reserve("a"); !errors.Is(err, ErrQueueFull) {
			t.Errorf("one too many: %v", err)
		}
		for i, at := range []time.Duration{0, 2 * s1, 3 * s1, 4 * s1} {
			if got := booked[i].Delay(); got != at {
				t.Errorf("reservation %d is due in %v, want %v", i, got, at)
			}
		}
		booked[1].Cancel()
		wantWait(t, "in the place that was given up", goWait(t, k, "a", 1), s1, nil)
		time.Sleep(3 * s1)
		if n := k.Evict(); n != 0 || k.Tokens("a") != 1 || len(k.stripe(k.hash("a")).lines) != 0 {
			t.Errorf("Evict = %d, Tokens = %v", n, k.Tokens("a"))
		}
		for _, r := range booked {
			if r.Cancel(); r == booked[1] && r.Delay() != Never || r != booked[1] && r.Delay() != 0 {
				t.Errorf("afterwards a reservation is due in %v", r.Delay())
			}
		}
		if got := k.Tokens("a"); got != 1 { // too late to cancel
			t.Errorf("Tokens = %v, want 1", got)
		}
		checkKeyed(t, k)
	})
	inBubble(t, "nobody looks any more", func(t *testing.T) {
		k := NewKeyed[string](Every(s1), 2)
		k.Charge("a", 2)
		r, err := k.ReserveN("a", 2)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if r.Delay() != 0 || k.Len() != 0 {
			t.Errorf("Delay = %v, Len = %d", r.Delay(), k.Len())
		}
		r.Cancel()
		checkKeyed(t, k)
	})
	inBubble(t, "Delete", func(t *testing.T) {
		k := NewKeyed[string](Every(s1), 2)
		k.Charge("a", 10)
		r, _ := k.ReserveN("a", 2)
		before := r.Delay()
		k.Delete("a")
		if d := r.Delay(); d > before || k.Tokens("a") != 0 || k.Allow("a") {
			t.Errorf("Delay = %v, Tokens = %v", d, k.Tokens("a"))
		}
		r.Cancel()
		if k.Tokens("a") != 2 || k.Allow("a") != true {
			t.Errorf("after Cancel: Tokens = %v, want 2", k.Tokens("a"))
		}
		checkKeyed(t, k)
	})
}

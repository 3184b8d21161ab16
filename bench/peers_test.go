package main

import (
	"context"
	"slices"
	"testing"
	"time"
)

// Every peer really limits: it grants the burst and no more, if it can be asked without sleeping.
func TestBucketPeersLimit(t *testing.T) {
	for _, p := range bucketPeers {
		t.Run(p.who, func(t *testing.T) {
			if got := p.make(plenty)(1000); got != 1000 {
				t.Errorf("of plenty %d of 1000 calls were granted, want all", got)
			}
			if p.can != allowDeny {
				return
			}
			if got := p.make(limit{every: time.Hour, burst: 10})(1000); got != 10 {
				t.Errorf("%d of 1000 calls were granted, want the burst of 10", got)
			}
			if got := denier(p)(1000); got != 0 {
				t.Errorf("%d of 1000 calls of an empty bucket were granted, want none", got)
			}
			if got := mixer(p)(1000); got < 400 || got > 600 {
				t.Errorf("%d of 1000 mixed calls were granted, want about half", got)
			}
		})
	}
}

// Every peer limits each key for itself.
func TestKeyedPeersLimit(t *testing.T) {
	testKeyed(t, stringKind)
	testKeyed(t, uint64Kind)
	testKeyed(t, arrayKind)
	testKeyed(t, structKind)
}

func testKeyed[K comparable](t *testing.T, kind keyKind[K]) {
	keys := kind.make(100, sequential)
	for _, p := range kind.peers {
		t.Run(kind.name+"/"+p.who, func(t *testing.T) {
			const burst = 3
			limiter := filled(p, limit{every: 100 * time.Hour, burst: burst}, keys)
			granted := len(keys)
			for range burst + 2 {
				granted += limiter.call(keys)
			}
			want := burst * len(keys)
			if p.who == floorMap {
				want = (burst + 3) * len(keys)
			}
			if granted != want {
				t.Errorf("%d calls were granted, want %d", granted, want)
			}
			if limiter.evict != nil {
				limiter.evict()
				if got := limiter.call(keys); got != 0 {
					t.Errorf("after eviction %d keys have tokens again, want none", got)
				}
			}
		})
	}
}

// What can be dropped is dropped, or at least not remembered as used.
func TestKeyedPeersEvict(t *testing.T) {
	keys := stringKeys(100, sequential)
	for _, p := range keyedPeers[string]() {
		limiter := filled(p, limit{every: time.Nanosecond, burst: 1}, keys)
		if limiter.evict == nil {
			continue
		}
		limiter.evict()
		if got := limiter.call(keys); got != len(keys) {
			t.Errorf("%s: after eviction %d of %d keys were granted, want all", p.who, got, len(keys))
		}
	}
}

// Every peer makes its callers wait.
func TestWaitPeersLimit(t *testing.T) {
	for _, p := range waitPeers {
		t.Run(p.who, func(t *testing.T) {
			const perSecond, calls = 1000, 30
			wait := p.make(perSecond, 1)
			start := time.Now()
			for range calls {
				if err := wait(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			// uber may have given its slack of ten on the way.
			if took := time.Since(start); took < (calls-12)*time.Second/perSecond {
				t.Errorf("%d calls at %d/s took %v", calls, perSecond, took)
			}
			if !p.cancel {
				return
			}
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(10*time.Millisecond, cancel)
			wait = p.make(1, 1)
			if first, second := wait(ctx), wait(ctx); first != nil || second == nil {
				t.Errorf("at 1/s the errors of a first and a cancelled second wait are %v and %v", first, second)
			}
		})
	}
}

func TestLateness(t *testing.T) {
	ms := func(all ...time.Duration) []time.Duration {
		for i := range all {
			all[i] *= time.Millisecond
		}
		return all
	}
	for _, x := range []struct{ served, late []time.Duration }{
		{ms(100, 110, 120, 130), ms(0, 0, 0, 0)},
		{ms(100, 115, 120, 137), ms(0, 0, 5, 7)},
		{ms(105, 110, 120, 150), ms(0, 0, 5, 20)}, // the first was late
	} {
		if got := lateness(x.served, 100); !slices.Equal(got, x.late) {
			t.Errorf("lateness(%v) = %v, want %v", x.served, got, x.late)
		}
	}
}

func TestDistributions(t *testing.T) {
	for name, draw := range map[string]func(int) func(int) int{"uniform": uniform, "zipf": zipf} {
		number, count := draw(1000), make([]int, 1000)
		for i := range 100_000 {
			count[number(i)]++
		}
		most := slices.Max(count)
		if zipfian := name == "zipf"; zipfian != (most > 5000) {
			t.Errorf("%s: the most frequent of 1000 numbers came %d times in 100000", name, most)
		}
	}
}

func TestCellsAreFound(t *testing.T) {
	all := cells(size{maxKeys: tenMillion, procs: procsOf(4)})
	for _, table := range []string{"bucket", "keyed", "fill", "churn", "pause", "wait", "cancel"} {
		if !slices.ContainsFunc(all, func(c cell) bool { return c.table == table && c.who == us }) {
			t.Errorf("there is no cell of the table %s", table)
		}
	}
	for _, c := range cells(size{maxKeys: 1000, procs: procsOf(1)}) {
		if c.table == "fill" || c.table == "pause" {
			t.Errorf("%s is there in spite of -max-keys 1000", c.name())
		}
	}
	if got, want := procsOf(6), []int{1, 2, 4, 6}; !slices.Equal(got, want) {
		t.Errorf("procsOf(6) = %v, want %v", got, want)
	}
}

// The keys that are drawn are among those that are there.
func TestKeys(t *testing.T) {
	testKeys(t, stringKind)
	testKeys(t, uint64Kind)
	testKeys(t, arrayKind)
	testKeys(t, structKind)
}

func testKeys[K comparable](t *testing.T, kind keyKind[K]) {
	const n = 1000
	there := make(map[K]bool)
	for _, key := range kind.make(n, sequential) {
		there[key] = true
	}
	for _, key := range kind.make(n, uniform(n)) {
		if !there[key] {
			t.Fatalf("%s: the key %v was drawn, but is not among the first %d", kind.name, key, n)
		}
	}
	if len(there) != n {
		t.Errorf("%s: %d keys are different, want %d", kind.name, len(there), n)
	}
}

package scenarios

import (
	"fmt"
	"testing"
	"time"
)

// ten is how often a Keyed looks for idle keys.
const ten = 10 * time.Second

var evictions = []scenario{
	{
		name: "a new key, thrice", limit: slow2,
		lines: [][]op{{allow(1)}, {allow(1), allow(1)}, {take(1)}},
	},
	{
		name: "a new key waited for", limit: slow1,
		lines: [][]op{{wait(1)}, {wait(1)}, {reserve(1, 0)}}, bound: 2,
	},
	{
		name: "Evict beside Allow", limit: slow2, before: []op{allow(2), step(2 * tick)},
		lines: [][]op{{allow(2)}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict beside Evict", limit: slow2, before: []op{allow(1), step(tick)},
		lines: [][]op{{evict(), allow(2)}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict on time", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{evict(), allow(1)}, {step(tick)}, {allow(1)}},
	},
	{
		name: "Evict beside Take", limit: slow2, before: []op{allow(2), step(2 * tick)},
		lines: [][]op{{take(1), take(2)}, {evict()}, {step(tick)}},
	},
	{
		name: "Evict beside TakeAvailable", limit: slow2, before: []op{allow(1), step(tick)},
		lines: [][]op{{available(2)}, {evict()}, {available(2)}},
	},
	{
		name: "Evict beside Refund", limit: slow2, before: []op{allow(1)},
		lines: [][]op{{refund(1), allow(2)}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict beside Charge", limit: slow2, before: []op{allow(1), step(tick)},
		lines: [][]op{{charge(3)}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict beside Tokens and Waiting", limit: slow2, before: []op{allow(1), step(tick)},
		lines: [][]op{{tokens(), howMany()}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict beside SetLimit", limit: slow2, before: []op{allow(1), step(tick)},
		lines: [][]op{{limit(slow3), allow(3)}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict beside SetLimit, to and fro", limit: slow3, before: []op{allow(1), step(tick)},
		lines: [][]op{{limit(slow1), limit(slow3)}, {evict()}, {allow(1)}}, bound: 2,
	},
	{
		name: "Evict beside Wait", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{wait(1)}, {step(tick), evict()}, {allow(1)}},
	},
	{
		name: "Evict beside Wait and cancel", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{waitCtx(1, 1)}, {cancel(1), evict()}, {step(tick)}},
	},
	{
		name: "Evict of a key that is full beside Wait", limit: slow2, before: []op{allow(1), step(tick)},
		lines: [][]op{{wait(2)}, {evict()}, {wait(1)}},
	},
	{
		name: "Evict beside Reserve and Cancel", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{reserve(1, 0), unreserve(0)}, {step(tick), evict()}, {allow(1)}},
	},
	{
		name: "Evict of a reservation that is over", limit: slow1, before: []op{allow(1), reserve(1, 0), step(3 * tick)},
		lines: [][]op{{delay(0)}, {evict()}, {allow(1)}},
	},
	{
		name: "Evict of what a late waiter left", limit: fast2, before: []op{allow(2)},
		lines: [][]op{{wait(1)}, {step(4 * quick), evict()}, {wait(1)}}, bound: 2,
	},
	{
		name: "sweeping beside Allow", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{allow(1), allow(2)}, {step(2*ten + 2*tick)}},
	},
	{
		name: "sweeping beside Wait", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{wait(2)}, {step(ten)}, {step(ten)}}, bound: 2,
	},
}

var deletions = []scenario{
	{
		name: "Delete beside Allow", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{forget()}, {allow(1), allow(1)}, {allow(1)}},
	},
	{
		name: "Delete beside Delete", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{forget()}, {forget(), allow(2)}, {allow(1)}},
	},
	{
		name: "Delete beside Take and TakeAvailable", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{forget()}, {take(2)}, {available(2)}},
	},
	{
		name: "Delete beside Refund and Charge", limit: slow2, before: []op{charge(3)},
		lines: [][]op{{forget()}, {refund(1)}, {charge(1)}},
	},
	{
		name: "Delete beside Evict", limit: slow2, before: []op{allow(1)},
		lines: [][]op{{forget(), allow(1)}, {evict()}, {allow(2)}},
	},
	{
		name: "Delete beside Wait", limit: slow1, before: []op{charge(3)},
		lines: [][]op{{wait(1)}, {forget()}, {wait(1)}},
	},
	{
		name: "Delete beside Wait and cancel", limit: slow1, before: []op{charge(3)},
		lines: [][]op{{waitCtx(1, 1)}, {forget()}, {cancel(1)}},
	},
	{
		name: "Delete beside Reserve", limit: slow1, before: []op{charge(3)},
		lines: [][]op{{reserve(1, 0)}, {forget()}, {allow(1)}},
	},
	{
		name: "Delete beside SetLimit", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{forget()}, {limit(slow1)}, {allow(1)}},
	},
}

var refreshes = []scenario{
	{
		name: "Refresh beside Allow", limit: slow2, before: []op{charge(1)}, variants: onFunc,
		lines: [][]op{{limit(slow3)}, {allow(1), allow(1)}, {step(tick)}},
	},
	{
		name: "Refresh beside Take", limit: slow3, before: []op{charge(1)}, variants: onFunc,
		lines: [][]op{{limit(slow2)}, {take(1), take(2)}},
	},
	{
		name: "Refresh beside Refresh", limit: slow2, before: []op{charge(1)}, variants: onFunc,
		lines: [][]op{{limit(slow3)}, {limit(slower)}, {allow(1)}}, bound: 2,
	},
	{
		name: "Refresh beside Wait", limit: slow2, before: []op{charge(2)}, variants: onFunc,
		lines: [][]op{{wait(2)}, {limit(slow1)}, {wait(1)}},
	},
	{
		name: "Refresh beside Wait and cancel", limit: slow2, before: []op{charge(2)}, variants: onFunc,
		lines: [][]op{{waitCtx(1, 1)}, {limit(inf2)}, {cancel(1)}},
	},
	{
		name: "Refresh beside Reserve", limit: slow2, before: []op{charge(2)}, variants: onFunc,
		lines: [][]op{{reserve(1, 0), delay(0)}, {limit(slower)}, {refund(1)}},
	},
	{
		name: "Refresh beside Evict and Delete", limit: slow2, before: []op{charge(1)}, variants: onFunc,
		lines: [][]op{{limit(slower)}, {evict()}, {tokens()}},
	},
}

// spend drains keys first to last, so that they are not evicted.
func spend(first, last uint64) (ops []op) {
	for key := first; key <= last; key++ {
		ops = append(ops, charge(2).of(key))
	}
	return ops
}

// high has the first bit set by which the table tells apart the two halves of what it splits.
const high = uint64(1) << 63

// The table holds 7 keys a group, and is split at 13, since the test builds it with two groups to a
// segment.
var tables = []scenario{
	{
		name: "two keys", limit: slow1, keys: []uint64{1, 2},
		lines: [][]op{{allow(1).of(1), allow(1).of(2)}, {allow(1).of(2), allow(1).of(1)}, {evict()}},
	},
	{
		name: "two keys of one hash tag", limit: slow1, keys: []uint64{1, 1 + 1<<20},
		lines: [][]op{{allow(1).of(1), evict()}, {allow(1).of(1 + 1<<20), allow(1).of(1)}},
	},
	{
		name: "growing beside Allow", limit: slow1, keys: []uint64{1, 7, 8}, before: spend(1, 6),
		lines: [][]op{{allow(1).of(7)}, {allow(1).of(8)}, {refund(2).of(1), allow(1).of(1)}}, bound: 2,
	},
	{
		name: "growing beside Wait", limit: slow1, keys: []uint64{1, 8}, before: spend(1, 7),
		lines: [][]op{{wait(1).of(1)}, {allow(1).of(8)}, {allow(1).of(8)}}, bound: 2,
	},
	{
		name: "growing beside Delete and Evict", limit: slow1, keys: []uint64{1, 8}, before: spend(1, 7),
		lines: [][]op{{forget().of(1), allow(1).of(1)}, {allow(1).of(8)}, {evict()}}, bound: 2,
	},
	{
		name: "growing beside SetLimit", limit: slow2, keys: []uint64{1, 8}, before: spend(1, 7),
		lines: [][]op{{limit(slow1)}, {allow(1).of(8)}, {allow(1).of(1)}}, bound: 1,
	},
	{
		name: "splitting beside Allow", limit: slow1, keys: []uint64{1, high + 1, 14},
		before: append(spend(1, 6), spend(high+1, high+7)...),
		lines:  [][]op{{allow(1).of(14)}, {refund(2).of(high + 1), allow(1).of(high + 1)}, {allow(1).of(high + 9)}}, bound: 2,
	},
	{
		name: "splitting beside splitting", limit: slow1, keys: []uint64{14, high + 14},
		before: append(spend(1, 6), spend(high+1, high+7)...),
		lines:  [][]op{{allow(1).of(14)}, {allow(1).of(high + 14)}, {allow(1).of(14)}}, bound: 2,
	},
	{
		name: "splitting beside Evict", limit: slow1, keys: []uint64{1, 14},
		before: append(spend(1, 6), spend(high+1, high+7)...),
		lines:  [][]op{{allow(1).of(14)}, {evict()}, {refund(2).of(1), allow(1).of(1)}}, bound: 1,
	},
	{
		name: "folding beside Allow", limit: slow1, keys: []uint64{1, 14, high + 1},
		before: append(append(spend(1, 6), spend(high+1, high+7)...), allow(1).of(14), step(4*tick)),
		lines:  [][]op{{evict()}, {allow(1).of(1), allow(1).of(14)}, {allow(1).of(high + 1)}}, bound: 2,
	},
	{
		name: "folding beside folding", limit: slow1, keys: []uint64{1, 14},
		before: append(append(spend(1, 6), spend(high+1, high+7)...), allow(1).of(14), step(4*tick)),
		lines:  [][]op{{evict()}, {evict()}, {allow(1).of(1)}}, bound: 1,
	},
	{
		name: "folding beside Wait and SetLimit", limit: slow1, keys: []uint64{1},
		before: append(append(spend(1, 6), spend(high+1, high+7)...), allow(1).of(14), step(4*tick), charge(1).of(1)),
		lines:  [][]op{{evict()}, {wait(1).of(1)}, {limit(slower)}}, bound: 1,
	},
}

var overflows = []scenario{
	{
		name: "MaxKeys, both keys new", limit: slow1, keys: []uint64{1, 2}, maxKeys: 1, after: fewKeys,
		lines: [][]op{{allow(1).of(1), allow(1).of(1)}, {allow(1).of(2), allow(1).of(2)}},
	},
	{
		name: "MaxKeys, three keys new", limit: slow1, keys: []uint64{1, 2, 3}, maxKeys: 2, after: fewKeys,
		lines: [][]op{{allow(1).of(1)}, {allow(1).of(2)}, {allow(1).of(3)}}, bound: 2,
	},
	{
		name: "MaxKeys, a key in the overflow waits", limit: slow1, keys: []uint64{1, 2}, maxKeys: 1, after: fewKeys,
		before: []op{charge(2).of(1), allow(1).of(2)},
		lines:  [][]op{{wait(1).of(2)}, {allow(1).of(2)}, {tokens().of(2), howMany().of(2)}},
	},
	{
		name: "MaxKeys, SetLimit beside the overflow", limit: slow2, keys: []uint64{1, 2}, maxKeys: 1, after: fewKeys,
		before: []op{charge(3).of(1), allow(2).of(2)},
		lines:  [][]op{{limit(slow1)}, {allow(1).of(2)}, {refund(1).of(2)}}, bound: 2,
	},
	{
		name: "MaxKeys, a key leaves the overflow", limit: slow2, known: "a call on its way to the overflow while its key gets a bucket of its own may be denied a token that is there", keys: []uint64{1, 2}, maxKeys: 1, after: fewKeys,
		before: []op{charge(1).of(1), allow(1).of(2)},
		lines:  [][]op{{refund(1).of(1)}, {allow(1).of(2)}, {allow(1).of(2)}}, bound: 2,
	},
	{
		name: "MaxKeys, the first tier", limit: slow1, keys: []uint64{1, 2}, maxKeys: 1, after: fewKeys,
		before: []op{charge(2).of(1)},
		lines:  [][]op{{allow(1).of(2)}, {allow(1).of(2)}, {wait(1).of(2)}}, bound: 2,
	},
}

// fewKeys checks that no more keys have buckets of their own than MaxKeys says.
func fewKeys(g *stage, _ *history) error {
	if n := g.keyed.Len(); n > g.maxKeys {
		return fmt.Errorf("%d keys, want at most %d", n, g.maxKeys)
	}
	return nil
}

func TestEvictions(t *testing.T) { exploreAll(t, onKeys(evictions)) }
func TestDeletions(t *testing.T) { exploreAll(t, onKeys(deletions)) }
func TestRefreshes(t *testing.T) { exploreAll(t, refreshes) }
func TestTables(t *testing.T)    { exploreAll(t, onKeys(tables)) }
func TestOverflows(t *testing.T) { exploreAll(t, onKeys(overflows)) }

// onKeys returns the scenarios, to be run on a Keyed alone.
func onKeys(scenarios []scenario) []scenario {
	for i := range scenarios {
		scenarios[i].variants = onKeyed
	}
	return scenarios
}

package faults

import "github.com/go-tokenbucket/tokenbucket/internal/explore/overlay"

// change is the patch of a fault that is one piece of source.
func change(from, to string) []overlay.Patch { return []overlay.Patch{{Old: from, New: to}} }

var faults = []fault{
	// The word.
	{
		"a denial without its proof, in Grant",
		change("if w == first {\n\t\t\t\treturn Denied\n\t\t\t}\n\t\t\treturn Busy", "return Denied"),
		"TestDecisions/Allow_held_up",
	},
	{
		"a denial without its proof, in Take",
		change("if w != first && (want.Exact || n < want.Most) {", "if false {"),
		"TestDecisions",
	},
	{
		"figures of two states of the word",
		change("(want.Exact || n < want.Most)", "n < want.Most"),
		"TestDecisions/Take_held_up",
	},
	{
		"Dry without its proof",
		change("case w == first && r+p.burst <", "case r+p.burst <"),
		"TestWaits/Allow_held_up",
	},
	{
		"a store instead of a compare-and-swap, in Grant",
		change("if word.CompareAndSwap(w, v) {\n\t\t\treturn Granted", "word.Store(v)\n\t\tif true {\n\t\t\treturn Granted"),
		"TestDecisions/Allow_beside_Allow",
	},
	{
		"a store instead of a compare-and-swap, in Take",
		change("if word.CompareAndSwap(w, v) {\n\t\t\treturn n,", "word.Store(v)\n\t\tif true {\n\t\t\treturn n,"),
		"TestDecisions/Take_beside_Take",
	},
	{
		"a store instead of a compare-and-swap, in Refund and Charge",
		change("if !word.CompareAndSwap(first, to(p, max(first, r), r, n)) {", "word.Store(to(p, max(first, r), r, n))\n\tif false {"),
		"TestDecisions/Charge_beside",
	},
	{
		"a store instead of a compare-and-swap, in Seize",
		change("if w >= Queued || word.CompareAndSwap(w, w|Queued) {", "if w < Queued {\n\t\t\tword.Store(w | Queued)\n\t\t}\n\t\tif true {"),
		"TestWaits/Wait_beside_Allow",
	},
	{
		"Look without its second load",
		change("case first != word.Load():", "case false:"),
		"TestDecisions/Tokens_beside_all",
	},
	{
		"the clock before the word, in a decision",
		change("first := c.Word.Load() // before the clock: a denial is proved by it\n\t\tt, shown := s.read()",
			"t, shown := s.read()\n\t\tfirst := c.Word.Load()"),
		"TestDecisions/(Allow|Take)_held_up",
	},
	{
		"the clock before the word, in a hold",
		change("c, w := b.seizeLocked()\n\tt, shown := b.readLocked(c, w) // after",
			"t, shown := b.source.read()\n\tc, w := b.seizeLocked() // after"),
		"TestWaits|TestDecisions",
	},
	{
		"the clock before the word, in Tokens",
		change("first := c.Word.Load()\n\t\tm, how := c.Timeline.Look(&c.Word, first, s.now())",
			"t := s.now()\n\t\tfirst := c.Word.Load()\n\t\tm, how := c.Timeline.Look(&c.Word, first, t)"),
		"TestDecisions/Tokens_beside_all",
	},

	// The hold and the queue.
	{
		"a cell that is replaced and can still be used",
		change("h.cell.Word.Store(engine.Sealed)", "h.cell.Word.Store(h.Word() &^ engine.Queued)"),
		"TestDecisions/SetLimit_beside_Allow",
	},
	{
		"the word is stored after the lock is released",
		change("b.setAlarm(h)\n", "b.setAlarm(h)\n\tb.room.mu.Unlock()\n\tb.room.mu.Lock()\n"),
		"TestWaits",
	},
	{
		"a waiter that is served and not woken",
		change("x.Owner.(*waiter).notify()", ""),
		"TestWaits/Wait,_Refund",
	},
	{
		"a grant is lost to an ended context",
		change("if delay, left := b.leave(x); left {", "if delay, _ := b.leave(x); true {"),
		"TestWaits/Wait,_cancel$",
	},
	{
		"leaving the queue twice",
		change("if x.State() != Waiting {\n\t\treturn false\n\t}", ""),
		"TestWaits/Wait,_cancel$|TestReservations",
	},
	{
		"the alarm of a waiter who has left counts as set",
		change("if a.owner != nil && a.owner != front {", "if false {"),
		"TestWaits/(Wait_beside_Wait|Wait,_Wait,_cancel)",
	},
	{
		"the alarm is not set again when it has rung",
		change("a.set = false // release sets the timer", ""),
		"TestWaits",
	},
	{
		"the queue's timer is not set again",
		change("b.room.alarm.set = false\n\t\th.release()", "h.release()"),
		"TestWaits/one_timer",
	},
	{
		"an injected clock is not asked again after After",
		change("case now >= t:\n\t\t\treturn past\n\t\tcase after-before <= clockDrift:", "case now >= t && false:\n\t\tcase after-before <= clockDrift || true:"),
		"TestWaits",
	},

	// Keys.
	{
		"an eviction in two steps",
		change("|| !e.Word.CompareAndSwap(w, engine.Sealed) {\n\t\treturn false\n\t}", "{\n\t\treturn false\n\t}\n\te.Word.Store(engine.Sealed)"),
		"TestEvictions/Evict_beside_Allow",
	},
	{
		"an eviction that does not seal",
		change("|| !e.Word.CompareAndSwap(w, engine.Sealed) {\n\t\treturn false\n\t}", "{\n\t\treturn false\n\t}"),
		"TestEvictions/Evict_beside_Allow",
	},
	{
		"a deletion in two steps",
		change("} else if e.Word.CompareAndSwap(w, engine.Sealed) {", "} else if e.Word.Store(engine.Sealed); true {"),
		"TestDeletions",
	},
	{
		"a change of a key's limit in two steps",
		change("if e.Word.CompareAndSwap(w, engine.Sealed) {\n\t\t\tto :=", "if e.Word.Store(engine.Sealed); true {\n\t\t\tto :="),
		"TestDecisions/SetLimit_beside_Allow/keyed",
	},
	{
		"a new key of an old limit",
		change("if gen != k.gen.Load() || k.limitOf == nil && p != k.limit.Load() {", "if false {"),
		"TestEvictions|TestDeletions|TestDecisions",
	},
	{
		"a key is inserted without a look",
		change("if e, _, _ := s.find(h, key); e != nil {\n\t\treturn e, false\n\t}", ""),
		"TestEvictions/a_new_key,_thrice",
	},
	{
		"a segment that was replaced is locked",
		change("if !s.dead {", "if true {"),
		"TestTables",
	},
	{
		"a miss is believed without the lock",
		change("e, b := k.entry(h, key)\n\t\tif b != nil {\n\t\t\tb.take(want, d)", "e, b := k.entry(h, key)\n\t\tif k.table.get(h, key) == nil {\n\t\t\te = k.table.newEntry(e.Timeline, key)\n\t\t}\n\t\tif b != nil {\n\t\t\tb.take(want, d)"),
		"TestEvictions|TestDeletions",
	},
	{
		"a line is entered that is gone",
		change("if s.m[b.key] != b {\n\t\treturn false\n\t}", "if s.m == nil {\n\t\ts.m = make(map[K]*line[K])\n\t}"),
		"TestReservations|TestEvictions",
	},
	{
		"a line is dropped while somebody queues",
		change("if b.open > 0 || !b.room.queue.Empty() {", "if b.open > 0 {"),
		"TestReservations",
	},
	{
		"the limit for new keys is set after the visit of the old ones",
		[]overlay.Patch{
			{Old: "k.limit.Store(p)\n\tk.overflow.setLimit(l)\n", New: "k.overflow.setLimit(l)\n"},
			{Old: "k.each(func(h uint64, key K) { k.setLimit(h, key, p) })\n", New: "k.each(func(h uint64, key K) { k.setLimit(h, key, p) })\n\tk.limit.Store(p)\n"},
		},
		"TestDecisions/SetLimit|TestEvictions|TestDeletions",
	},
	{
		"a key that comes during the last sweep finds no timer",
		change("if k.table.count.Load() > 0 { // one came in between", "if false { // one came in between"),
		"TestSweeping",
	},

	// The coarse clock and the groups of pace.
	{
		"a reading of the coarse clock is published twice",
		change("defer c.mu.Unlock()\n\tif r := c.reading.Load(); r != nil {\n\t\treturn r.at\n\t}", "defer c.mu.Unlock()"),
		"TestCoarseClock",
	},
	{
		"a job that fails does not end its group",
		change("c.failure = err\n\t\tc.cancel(err)", "c.failure = err"),
		"TestGroups/Go_that_waits",
	},
}

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
		change("first := word.Load() // before the clock: a denial is proved by it\n\t\tt, shown := s.read()",
			"t, shown := s.read()\n\t\tfirst := word.Load()"),
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
		change("first := word.Load()\n\t\tm, how := p.Look(word, first, s.now())",
			"t := s.now()\n\t\tfirst := word.Load()\n\t\tm, how := p.Look(word, first, t)"),
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
		change("if x.state != Waiting {\n\t\treturn false\n\t}", ""),
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
		change("b.room.alarm.set = false\n\th.release()", "h.release()"),
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
		change("if !at.Word().CompareAndSwap(w, Sealed) {\n\t\treturn false\n\t}\n\tg.s.bury", "at.Word().Store(Sealed)\n\tg.s.bury"),
		"TestEvictions/Evict_beside_Allow",
	},
	{
		"an eviction that does not seal",
		change("if !at.Word().CompareAndSwap(w, Sealed) {\n\t\treturn false\n\t}\n\tg.s.bury", "g.s.bury"),
		"TestEvictions/Evict_beside_Allow",
	},
	{
		"a deletion of a key that somebody waits for",
		change("if w >= engine.Queued {\n\t\t\treturn false\n\t\t}\n\t\tif k.bornFull(t) {", "if k.bornFull(t) {"),
		"TestDeletions",
	},
	{
		"a key is moved in two steps",
		change("head.words[slot].Swap(Sealed)", "head.words[slot].Load()\n\t\t\thead.words[slot].Store(Sealed)"),
		"TestDecisions/SetLimit_beside_Allow/keyed",
	},
	{
		"a new key of an old limit",
		change("if gen != k.gen.Load() || k.limitOf == nil && p != k.limit.Load() {", "if false {"),
		"TestEvictions|TestDeletions|TestDecisions",
	},
	{
		"a key is inserted without a look",
		change("if at, ok := g.Find(h, key); ok {\n\t\treturn at.Word(), g.Kind(at), false\n\t}", ""),
		"TestEvictions/a_new_key,_thrice",
	},
	{
		"a segment that was replaced is locked",
		change("if !s.replaced {", "if true {"),
		"TestTables",
	},
	{
		"a change of limit by a time read before the words",
		[]overlay.Patch{
			{Old: "\told := false\n", New: "\told, early := false, k.source.now()\n"},
			{Old: "return p, p.Adopt(old, w, k.source.reached())", New: "return p, p.Adopt(old, w, early)"},
		},
		"TestWaits/Wait,_cancel,_SetLimit,_step",
	},
	{
		"a line is put back while somebody queues",
		change("if !b.room.queue.Empty() {\n\t\treturn false\n\t}", ""),
		"TestReservations",
	},
	{
		"a line is put back while others have it open",
		change("if b.open--; b.open > 0 || !k.putBack(h, b) {", "if b.open--; !k.putBack(h, b) {"),
		"TestReservations|TestWaits",
	},
	{
		"the word of a key that gets a line is left in the table",
		change("b.first.Word.Store(at.Word().Swap(inLine))", "b.first.Word.Store(at.Word().Load())"),
		"TestWaits",
	},
	{
		"the limit for new keys is set after the visit of the old ones",
		[]overlay.Patch{
			{Old: "k.limit.Store(p)\n\tk.overflow.setLimit(l)\n", New: "k.overflow.setLimit(l)\n"},
			{Old: "\t})\n}\n\n// convert puts", New: "\t})\n\tk.limit.Store(p)\n}\n\n// convert puts"},
		},
		"TestDecisions/SetLimit|TestEvictions|TestDeletions",
	},
	{
		"a key that comes during the last sweep finds no timer",
		change("if k.table.Len() > 0 { // one came in between", "if false { // one came in between"),
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
		change("r.failure = err\n\t\tr.cancel(err)", "r.failure = err"),
		"TestGroups/Go_that_waits",
	},
}

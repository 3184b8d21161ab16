package scenarios

import "testing"

// wokenEarly is a known fault.
const wokenEarly = "a waiter is woken before the word that it was served by is stored"

// Each is explored for a Bucket and for a key of a Keyed, by the default clock and by an injected one.
var decisions = []scenario{
	{
		name: "Allow beside Allow", limit: slow2,
		lines: [][]op{{allow(1), allow(1)}, {allow(1), allow(2)}, {step(tick)}},
	},
	{
		name: "Allow on time", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{allow(1)}, {step(tick), allow(1)}, {step(tick / 2)}},
	},
	{
		name: "Allow beside Take", limit: slow2,
		lines: [][]op{{allow(1), allow(1)}, {take(1), take(2)}, {step(tick / 2)}},
	},
	{
		name: "Take beside Take", limit: slow3,
		lines: [][]op{{take(2), take(2)}, {take(1)}, {step(tick)}},
	},
	{
		name: "TakeAvailable beside TakeAvailable", limit: slow3,
		lines: [][]op{{available(2), available(2)}, {available(2)}, {step(tick)}},
	},
	{
		name: "TakeAvailable beside Allow", limit: slow3, before: []op{allow(2)},
		lines: [][]op{{available(3)}, {allow(1), allow(1)}, {step(tick)}},
	},
	{
		name: "Refund beside Allow", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{refund(1)}, {allow(1), allow(1)}, {step(tick / 2)}},
	},
	{
		name: "Refund above the burst", limit: slow2, before: []op{allow(1)},
		lines: [][]op{{refund(2)}, {refund(1), allow(2)}, {step(tick)}},
	},
	{
		name: "Charge beside Allow", limit: slow2,
		lines: [][]op{{charge(3)}, {allow(1), allow(1)}, {step(tick * 2)}},
	},
	{
		name: "Charge beside Refund", limit: slow2,
		lines: [][]op{{charge(3)}, {refund(2)}, {available(2)}},
	},
	{
		name: "Tokens beside all", limit: slow2,
		lines: [][]op{{tokens(), tokens()}, {allow(1), charge(2)}, {step(tick / 2)}},
	},
	{
		name: "SetLimit beside Allow", limit: slow2,
		lines: [][]op{{limit(slow3)}, {allow(1), allow(2)}, {step(tick)}},
	},
	{
		name: "SetLimit beside Take", limit: slow3,
		lines: [][]op{{limit(slow1), limit(slow3)}, {take(1), take(1)}},
	},
	{
		name: "SetLimit beside SetLimit", limit: slow2, before: []op{allow(1)},
		lines: [][]op{{limit(slower)}, {limit(slow3)}, {allow(1), allow(1)}},
	},
	{
		name: "SetLimit beside TakeAvailable", limit: slow3,
		lines: [][]op{{limit(slow2)}, {available(3)}, {step(tick), available(1)}},
	},
	{
		name: "SetLimit beside Refund, Charge and Tokens", limit: slow3,
		lines: [][]op{{limit(slow2)}, {charge(2), tokens()}, {refund(1)}},
	},
	{
		name: "no limit, then one", limit: inf2,
		lines: [][]op{{limit(slow2)}, {allow(2), allow(2)}, {take(1)}},
	},
	{
		name: "a limit, then none", limit: slow1, known: wokenEarly, before: []op{allow(1)},
		lines: [][]op{{limit(inf2)}, {allow(1), allow(2)}, {wait(1)}},
	},
}

var waits = []scenario{
	{
		name: "Wait beside Wait", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{wait(1)}, {wait(1)}, {wait(1)}},
	},
	{
		name: "Wait beside Wait, both in bulk", limit: slow3, before: []op{allow(2)},
		lines: [][]op{{wait(3), wait(1)}, {wait(2)}},
	},
	{
		name: "Wait beside Allow", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{wait(1)}, {allow(1), allow(1)}, {step(tick)}},
	},
	{
		name: "Wait beside Take", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{wait(2)}, {take(1)}, {step(tick), take(1)}},
	},
	{
		name: "Wait beside TakeAvailable", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{wait(1)}, {available(2)}, {step(tick)}},
	},
	{
		name: "Wait beside Tokens and Waiting", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{wait(1)}, {tokens(), howMany()}, {howMany()}},
	},
	{
		name: "Wait, cancel", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{waitCtx(1, 1)}, {cancel(1)}, {step(tick)}},
	},
	{
		name: "Wait, Wait, cancel", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{waitCtx(2, 1)}, {wait(1)}, {cancel(1)}},
	},
	{
		name: "Wait, cancel, Refund", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{waitCtx(2, 1)}, {wait(1)}, {cancel(1)}, {refund(1)}}, bound: 2,
	},
	{
		name: "Wait, cancel, SetLimit", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{waitCtx(2, 1)}, {cancel(1)}, {limit(slow1)}},
	},
	{
		name: "Wait, cancel, SetLimit, step", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{waitCtx(1, 1)}, {cancel(1)}, {limit(slower)}, {step(tick)}}, bound: 2,
	},
	{
		name: "Wait, Refund", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{wait(2)}, {refund(1), refund(1)}},
	},
	{
		name: "Wait, Refund, Allow", limit: slow2, known: wokenEarly, before: []op{allow(2)},
		lines: [][]op{{wait(1), allow(1)}, {refund(2)}, {allow(1)}},
	},
	{
		name: "Wait, Refund at a rate of zero", limit: fixed2, before: []op{allow(2)},
		lines: [][]op{{wait(1)}, {wait(1)}, {refund(2)}},
	},
	{
		name: "Wait, SetLimit at a rate of zero", limit: fixed2, before: []op{allow(2)},
		lines: [][]op{{wait(2)}, {limit(slow2)}, {allow(1)}},
	},
	{
		name: "Wait, SetLimit to less than it asks for", limit: slow3, before: []op{allow(3)},
		lines: [][]op{{wait(3)}, {wait(1)}, {limit(slow2)}},
	},
	{
		name: "Wait, SetLimit to faster", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{wait(1)}, {wait(1)}, {limit(fast2)}},
	},
	{
		name: "Wait, SetLimit to none", limit: slow2, before: []op{charge(4)},
		lines: [][]op{{wait(1)}, {wait(2)}, {limit(inf2)}},
	},
	{
		name: "Wait, Charge", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{wait(1)}, {charge(1)}, {step(tick)}},
	},
	{
		name: "Wait with a deadline", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{within(1, tick+tick/2)}, {within(1, tick+tick/2)}, {charge(1)}},
	},
	{
		name: "Wait with a deadline, Refund", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{within(1, tick/2)}, {refund(1)}, {step(tick / 2)}},
	},
	{
		name: "a queue of one", limit: slow1, before: []op{allow(1)}, queue: 2,
		lines: [][]op{{wait(1)}, {waitCtx(1, 1)}, {cancel(1)}},
	},
	{
		name: "a queue of none", limit: slow1, before: []op{allow(1)}, queue: 1,
		lines: [][]op{{wait(1)}, {reserve(1, 0)}, {step(tick)}},
	},
	{
		name: "a late grant", limit: fast2, before: []op{allow(2)},
		lines: [][]op{{wait(1), wait(1)}, {step(3 * quick)}, {wait(2)}},
	},
	{
		name: "credit left and taken", limit: fast2, before: []op{allow(2)},
		lines: [][]op{{wait(1), allow(1)}, {step(5 * quick), wait(1)}},
	},
	{
		name: "credit left and dropped", limit: fast2, before: []op{allow(2)},
		lines: [][]op{{wait(1), refund(1)}, {step(4 * quick), charge(1)}},
	},
	{
		name: "credit and a change of limit", limit: fast2, before: []op{allow(2)},
		lines: [][]op{{wait(1)}, {step(4 * quick), wait(2)}, {limit(slow2)}},
	},
	{
		name: "a stall of a minute", limit: fast2, before: []op{allow(2)},
		lines: [][]op{{wait(1), wait(2)}, {step(1000 * quick)}, {allow(1)}},
	},
}

var reservations = []scenario{
	{
		name: "Reserve beside Reserve", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{reserve(1, 0), delay(0)}, {reserve(1, 1), delay(1)}, {step(tick)}},
	},
	{
		name: "Reserve, Cancel, Wait", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{reserve(1, 0), unreserve(0)}, {wait(1)}},
	},
	{
		name: "Reserve, Cancel, step, Wait", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{reserve(1, 0)}, {unreserve(0)}, {wait(1)}, {step(tick)}}, bound: 2,
	},
	{
		name: "Reserve, Cancel beside Cancel", limit: slow1, before: []op{allow(1), reserve(1, 0)},
		lines: [][]op{{unreserve(0)}, {unreserve(0)}, {reserve(1, 1)}},
	},
	{
		name: "Reserve, Reserve, Cancel, Reserve", limit: slow2, before: []op{allow(2), reserve(2, 0), reserve(2, 1)},
		lines: [][]op{{unreserve(0), reserve(2, 2)}, {delay(1)}, {step(tick)}},
	},
	{
		name: "Wait before Reserve", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{waitCtx(1, 1)}, {reserve(1, 0), wait(1)}, {cancel(1)}},
	},
	{
		name: "Reserve beside Allow and Take", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{reserve(1, 0)}, {allow(1), take(1)}, {step(tick)}},
	},
	{
		name: "Reserve, Refund, Charge", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{reserve(1, 0), delay(0)}, {refund(1)}, {charge(2)}},
	},
	{
		name: "Reserve, SetLimit", limit: slow2, before: []op{allow(2), reserve(2, 0)},
		lines: [][]op{{delay(0)}, {limit(slow1)}, {wait(1)}},
	},
	{
		name: "Reserve in a queue of one", limit: slow1, before: []op{allow(1)}, queue: 2,
		lines: [][]op{{reserve(1, 0), unreserve(0)}, {wait(1)}},
	},
}

func TestDecisions(t *testing.T)    { exploreAll(t, decisions) }
func TestWaits(t *testing.T)        { exploreAll(t, waits) }
func TestReservations(t *testing.T) { exploreAll(t, reservations) }

func exploreAll(t *testing.T, scenarios []scenario) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for _, v := range sc.on() {
				t.Run(v.name, func(t *testing.T) {
					search(t, sc.most(), sc.known, sc.setup(v, &verdicts{known: make(map[string]error)}))
				})
			}
		})
	}
}

package scenarios

import "testing"

// Each is explored for a Bucket and for a key of a Keyed, by the default clock and by an injected one.
var bucketScenarios = []scenario{
	{
		name: "Allow, Allow", limit: slow2,
		lines: [][]op{{allow(1), allow(1)}, {allow(1), allow(2)}, {step(tick)}},
	},
	{
		name: "wait, wait", limit: slow1, before: []op{allow(1)},
		lines: [][]op{{wait(1)}, {wait(1)}},
	},
	{
		name: "wait, cancel, refund", limit: slow2, before: []op{allow(2)},
		lines: [][]op{{waitCtx(2, 1)}, {wait(1)}, {cancel(1)}, {refund(1)}},
	},
}

func TestBucket(t *testing.T) {
	for _, sc := range bucketScenarios {
		t.Run(sc.name, func(t *testing.T) {
			for _, v := range sc.on() {
				t.Run(v.name, func(t *testing.T) {
					search(t, 3, sc.setup(v, &verdicts{known: make(map[string]error)}))
				})
			}
		})
	}
}

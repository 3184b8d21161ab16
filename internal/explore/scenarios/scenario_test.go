package scenarios

import (
	"fmt"
	"math"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/context"
)

// A scenario is a few goroutines that make calls of one bucket, or of the keys of a Keyed. Every
// run of it is checked against the model: there must be an explanation for all replies, nobody may
// be asleep who is due, and at the end the bucket has to hold exactly what the model's holds.
type scenario struct {
	name     string
	limit    int    // a number of tariffs
	before   []op   // done before the goroutines start
	lines    [][]op // what the goroutines do
	queue    int    // WithMaxWaiters(queue-1), unless it is 0
	maxKeys  int    // WithMaxKeys, unless it is 0
	keys     []uint64
	variants []variant // all of them, unless it says otherwise
	bound    int       // the preemptions to which it is explored, if not the usual number
	known    string    // the fault that it shows, if that is not mended yet

	// after, if it is not nil, makes further checks.
	after func(g *stage, h *history) error
}

// A variant is what a scenario is run on.
type variant struct {
	name            string
	keyed, injected bool
	byFunc          bool // NewKeyedFunc
}

var (
	plain         = variant{name: "bucket"}
	injected      = variant{name: "bucket, clock injected", injected: true}
	keyed         = variant{name: "keyed", keyed: true}
	keyedInjected = variant{name: "keyed, clock injected", keyed: true, injected: true}
)

var (
	allVariants = []variant{plain, injected, keyed, keyedInjected}
	onKeyed     = []variant{keyed, keyedInjected}
	onFunc      = []variant{{name: "keyed by func", keyed: true, byFunc: true}, {name: "keyed by func, clock injected", keyed: true, injected: true, byFunc: true}}
)

func (sc *scenario) on() []variant {
	if sc.variants == nil {
		return allVariants
	}
	return sc.variants
}

// most returns the preemptions to which the scenario is explored at most.
func (sc *scenario) most() int {
	if sc.bound == 0 {
		return 3
	}
	return sc.bound
}

func (sc *scenario) maxQueue() int { return sc.queue - 1 }

func (sc *scenario) stage(v variant) *stage {
	g := &stage{maxKeys: sc.maxKeys}
	l := tariffs[sc.limit].Limit
	var opts []tokenbucket.Option
	if v.injected {
		opts = append(opts, tokenbucket.WithClock(clock{}))
	}
	if sc.queue > 0 {
		opts = append(opts, tokenbucket.WithMaxWaiters(sc.maxQueue()))
	}
	if !v.keyed {
		g.bucket = tokenbucket.New(l.Rate, l.Burst, opts...)
	} else {
		var keyedOpts []tokenbucket.KeyedOption
		for _, o := range opts {
			keyedOpts = append(keyedOpts, o)
		}
		if sc.maxKeys > 0 {
			keyedOpts = append(keyedOpts, tokenbucket.WithMaxKeys(sc.maxKeys))
		}
		if v.byFunc {
			g.limit.Store(int64(sc.limit))
			g.byFunc = true
			limit := func(uint64) tokenbucket.Limit { return tariffs[g.limit.Load()].Limit }
			g.keyed = tokenbucket.NewKeyedFunc(limit, keyedOpts...)
		} else {
			g.keyed = tokenbucket.NewKeyed[uint64](l.Rate, l.Burst, keyedOpts...)
		}
	}
	return g
}

// usesCtx reports whether a call of the scenario is given context i.
func (sc *scenario) usesCtx(i int) bool {
	for _, line := range sc.lines {
		for _, o := range line {
			if o.ctx == i+1 {
				return true
			}
		}
	}
	return false
}

// verdicts remembers the histories of a scenario that have been checked, since many schedules lead
// to the same one.
type verdicts struct {
	known map[string]error
	buf   []byte
}

// setup returns what a search runs.
func (sc *scenario) setup(v variant, known *verdicts) func(x *explore.Execution) {
	return func(x *explore.Execution) {
		g, h := sc.stage(v), &history{}
		for i := range g.ctxs {
			if sc.usesCtx(i) {
				g.ctxs[i], g.cancels[i] = context.WithCancel(context.Background())
			}
		}
		for _, o := range sc.before {
			g.call(h, o)
		}
		for i, line := range sc.lines {
			x.Go(fmt.Sprintf("goroutine %d", i), func() {
				for _, o := range line {
					g.call(h, o)
				}
			})
		}
		x.AtRest = h.rest
		x.Check = func() error {
			for _, key := range sc.allKeys() {
				g.inventory(h, key)
			}
			if sc.after != nil {
				if err := sc.after(g, h); err != nil {
					return fmt.Errorf("%w\n%v", err, h)
				}
			}
			return known.check(sc, v, h)
		}
	}
}

func (sc *scenario) allKeys() []uint64 {
	if sc.keys == nil {
		return []uint64{0}
	}
	return sc.keys
}

// call makes a call and notes it.
func (g *stage) call(h *history, o op) {
	explore.Call(opNames[o.kind])
	i := h.begin(o, explore.Elapsed())
	ctx, stop := g.context(o)
	defer stop()
	r := g.perform(o, ctx)
	explore.Return()
	h.end(i, r, explore.Elapsed())
}

// inventory finds out what is left for a key: now, and when it is full.
func (g *stage) inventory(h *history, key uint64) {
	g.call(h, tokens().of(key))
	g.call(h, howMany().of(key))
	g.call(h, available(math.MaxInt32).of(key))
	g.call(h, tokens().of(key))
}

// check checks a history, unless the same one has been checked before.
func (k *verdicts) check(sc *scenario, v variant, h *history) error {
	k.buf = h.fingerprint(k.buf[:0])
	if err, ok := k.known[string(k.buf)]; ok {
		return err
	}
	var err error
	for _, key := range sc.allKeys() {
		if err = newChecker(h.of(key), sc.limit, sc.maxQueue(), v.injected).check(); err != nil {
			break
		}
	}
	k.known[string(k.buf)] = err
	return err
}

package explore

import (
	"fmt"
	"math"
	"time"
)

// A Search runs a scenario under one schedule after the other. The zero Search explores all schedules without a preemption.
type Search struct {
	Preemptions int           // how many preemptions a schedule may have; -1 for any number
	MaxRuns     int           // gives up after so many schedules; 0 for any number
	MaxSteps    int           // more steps than these in one schedule are a livelock; 0 for 20 000
	Horizon     time.Duration // waiting for a later instant than this is a deadlock; 0 for an hour

	// Reduce leaves out schedules that lead to a state that another has led to. Two schedules lead to the same state if
	// their happens-before order is the same, which is known by a hash (the happens-before cache of Musuvathi, Qadeer: Partial
	// -order reduction for context-bounded state exploration, 2007). It is known together with the preemptions left, so the bound keeps
	// its meaning. Besides, a place in the code is a point only if it has been seen to touch something that two goroutines
	// contend for. The search is repeated until it finds no more such places.
	Reduce bool

	path      []choice
	contended map[site]bool
	learned   map[site]bool
	visited   map[uint64]int
	idle      []*worker
	stats     Stats
}

// Stats says how much a search has done.
type Stats struct {
	Runs     int  // schedules run to the end
	Pruned   int  // schedules left where they came to a known state
	Passes   int  // times that the search began anew
	Points   int  // places in the code that were points at last
	Complete bool // nothing within the bound is left
	Steps    int
}

func (s Stats) String() string {
	all := "all"
	if !s.Complete {
		all = "not all"
	}
	return fmt.Sprintf("%s: %d schedules, %d cut short, %d passes, %d points", all, s.Runs, s.Pruned, s.Passes, s.Points)
}

// A choice is one of n, the taken-th.
type choice struct{ n, taken int }

// An Execution is one run, to its scenario.
type Execution struct {
	goroutines []goroutine
	AtRest     func(now time.Duration) // called whenever nobody can go on, before the time moves
	Check      func() error            // called at the end
}

type goroutine struct {
	name string
	f    func()
}

// Go adds a goroutine to the scenario.
func (x *Execution) Go(name string, f func()) {
	x.goroutines = append(x.goroutines, goroutine{name, f})
}

func (s *Search) maxSteps() int {
	if s.MaxSteps == 0 {
		return 20_000
	}
	return s.MaxSteps
}

func (s *Search) horizon() time.Duration {
	if s.Horizon == 0 {
		return time.Hour
	}
	return s.Horizon
}

// worker returns a coroutine that is free.
func (s *Search) worker() *worker {
	if n := len(s.idle); n > 0 {
		w := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return w
	}
	return newWorker()
}

func (s *Search) close() {
	for _, w := range s.idle {
		w.stop()
	}
	s.idle = nil
}

// runs numbers the runs of the process, so that an Object knows which one it belongs to.
var runs uint64

// execute runs the scenario once, along the path and then by first choices.
func (s *Search) execute(setup func(x *Execution), p *replay) *run {
	runs++
	r := &run{search: s, number: runs, budget: s.Preemptions, replay: p}
	if r.budget < 0 || p != nil && p.path == nil {
		r.budget = math.MaxInt
	}
	active = r
	defer func() { active = nil }()
	var x Execution
	setup(&x)
	r.atRest = x.AtRest
	for _, g := range x.goroutines {
		r.spawn(g.name, &r.outside, g.f)
	}
	r.loop()
	s.stats.Steps += r.steps
	if r.failed == "" && !r.pruned && x.Check != nil {
		if err := x.Check(); err != nil {
			r.failed = err.Error()
		}
	}
	return r
}

// choice returns the next choice of a run, of n. It ends the run if its state is known.
func (s *Search) choice(r *run, n int, fingerprint uint64) int {
	d := r.depth
	r.depth++
	if d < len(s.path) {
		if s.path[d].n != n {
			r.fail(fmt.Sprintf("the scenario is not deterministic: choice %d is one of %d, and was one of %d", d, n, s.path[d].n))
		}
		return s.path[d].taken
	}
	if s.Reduce {
		if left, known := s.visited[fingerprint]; known && left >= r.budget {
			r.over, r.pruned = true, true
			return 0
		}
		s.visited[fingerprint] = r.budget
	}
	s.path = append(s.path, choice{n: n})
	return 0
}

// next moves the path on to the next schedule, and reports whether there is one.
func (s *Search) next() bool {
	for len(s.path) > 0 {
		last := &s.path[len(s.path)-1]
		if last.taken+1 < last.n {
			last.taken++
			return true
		}
		s.path = s.path[:len(s.path)-1]
	}
	return false
}

// Run searches for a schedule under which the scenario fails, and returns the first, or nil. setup is called before each run and
// says what it consists of; it must do the same each time.
func (s *Search) Run(setup func(x *Execution)) (Stats, *Failure) {
	defer s.close()
	s.stats = Stats{}
	s.contended = make(map[site]bool)
	s.learned = make(map[site]bool)
	most := s.Preemptions
	defer func() { s.Preemptions = most }()
	for s.Preemptions = s.first(); ; {
		s.stats.Passes++
		if f := s.pass(setup); f != nil {
			return s.stats, f
		}
		switch {
		case len(s.learned) > 0:
			for at := range s.learned {
				s.contended[at] = true
			}
			clear(s.learned)
		case s.Preemptions == most:
			s.stats.Points = len(s.contended)
			return s.stats, nil
		default:
			s.Preemptions++
			if most < 0 {
				s.Preemptions = most
			}
		}
	}
}

// first returns the bound to begin with. With few preemptions the points are found soon, and a failure has a short schedule.
func (s *Search) first() int {
	if s.Reduce {
		return 0
	}
	return s.Preemptions
}

// soon is how many schedules a pass tries before it is worth finishing although it has found new points.
const soon = 100

// pass is Run with fixed points.
func (s *Search) pass(setup func(x *Execution)) *Failure {
	s.stats.Runs, s.stats.Pruned, s.stats.Complete = 0, 0, false
	s.path = s.path[:0]
	s.visited = make(map[uint64]int)
	for {
		r := s.execute(setup, nil)
		if r.failed != "" {
			return s.explain(setup, r)
		}
		if r.pruned {
			s.stats.Pruned++
		} else {
			s.stats.Runs++
		}
		tried := s.stats.Runs + s.stats.Pruned
		if !s.next() {
			s.stats.Complete = true
			return nil
		}
		if len(s.learned) > 0 && tried < soon || s.MaxRuns > 0 && tried >= s.MaxRuns {
			return nil
		}
	}
}

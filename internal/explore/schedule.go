package explore

import (
	"fmt"
	"strconv"
	"strings"
)

// A Schedule is the choices of one run that differ from the first one of each place, in order. A run comes to a place wherever it does
// something that another goroutine could observe, if another one could go on then. There choice 0 is to let the goroutine go on that
// was running. The choices after it are the others that can go on, in the order in which they were started. At a select of which
// several cases are ready, the choices are these cases.
type Schedule []Switch

// A Switch is the choice taken at the place-th place of a run.
type Switch struct{ Place, Choice int }

// String prints a schedule as ParseSchedule reads it: place:choice, separated by commas, or "first" if there is none.
func (s Schedule) String() string {
	if len(s) == 0 {
		return "first"
	}
	words := make([]string, len(s))
	for i, x := range s {
		words[i] = fmt.Sprintf("%d:%d", x.Place, x.Choice)
	}
	return strings.Join(words, ",")
}

// ParseSchedule reads what [Schedule.String] has printed.
func ParseSchedule(text string) (Schedule, error) {
	if text == "first" {
		return Schedule{}, nil
	}
	var schedule Schedule
	for _, word := range strings.Split(text, ",") {
		place, taken, _ := strings.Cut(word, ":")
		p, err1 := strconv.Atoi(place)
		n, err2 := strconv.Atoi(taken)
		if err1 != nil || err2 != nil || p < 0 || n < 0 {
			return nil, fmt.Errorf("explore: schedule %q: %q is not place:choice", text, word)
		}
		schedule = append(schedule, Switch{p, n})
	}
	return schedule, nil
}

// A Failure is a schedule under which a scenario fails.
type Failure struct {
	Schedule Schedule
	Reason   string
	Trace    string // the steps, one a line
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s\nschedule: %v\n%s", f.Reason, f.Schedule, f.Trace)
}

// A replay is a run whose choices are known. Every place counts in it, whatever the search has learned, so that a
// schedule means the same without the search that found it.
type replay struct {
	place  int
	wanted map[int]int
	path   []choice // of the search, if it is being translated
	taken  Schedule
	trace  strings.Builder
}

// choose returns the choice at the next place, of n. quiet says that the search had no choice there.
func (p *replay) choose(r *run, n int, quiet bool) int {
	i := 0
	switch {
	case p.path == nil:
		i = p.wanted[p.place]
	case !quiet:
		if r.depth < len(p.path) {
			i = p.path[r.depth].taken
		}
		r.depth++
	}
	if i >= n {
		r.fail(fmt.Sprintf("the schedule does not fit: choice %d of %d at place %d", i, n, p.place))
		return 0
	}
	if i > 0 {
		p.taken = append(p.taken, Switch{p.place, i})
	}
	p.place++
	return i
}

// explain repeats the run that has failed, with all its places, and notes its steps.
func (s *Search) explain(setup func(x *Execution), failed *run) *Failure {
	p := &replay{path: s.path[:min(failed.depth, len(s.path))]}
	if len(p.path) == 0 {
		p.path = []choice{{}}
	}
	r := s.execute(setup, p)
	return &Failure{Schedule: p.taken, Reason: failed.failed, Trace: p.trace.String() + s.mismatch(failed, r)}
}

func (s *Search) mismatch(failed, again *run) string {
	if failed.failed == again.failed {
		return ""
	}
	return fmt.Sprintf("  replayed, it ended differently: %q\n", again.failed)
}

// Replay runs the scenario once, under schedule. The Failure's Reason is empty if it did not fail.
func (s *Search) Replay(setup func(x *Execution), schedule Schedule) *Failure {
	defer s.close()
	p := &replay{wanted: make(map[int]int)}
	for _, x := range schedule {
		p.wanted[x.Place] = x.Choice
	}
	r := s.execute(setup, p)
	return &Failure{Schedule: schedule, Reason: r.failed, Trace: p.trace.String()}
}

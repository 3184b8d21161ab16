package plan

import "time"

// maxSpread is how many events of one second are kept to be spread.
const maxSpread = 1 << 17

// spreader spreads the events of each second evenly within it, in their order: the i-th of n comes
// i/n seconds after its begin. A log that has its times in whole seconds seems to have all requests
// of a second at one instant. The zero spreader is ready to use.
//
// Of a second with more than maxSpread events, each maxSpread events share half of what is left of
// it.
type spreader struct {
	events []event // of one second
	begin  int64   // ns, where the next of them may be put
}

// add takes the next event, and passes on those whose place is known.
func (s *spreader) add(e event, pass func(event)) {
	const second = int64(time.Second)
	switch at := e.t / second * second; {
	case len(s.events) == 0:
		s.begin = max(s.begin, at)
	case s.events[0].t/second != e.t/second:
		s.flush(pass)
		s.begin = at
	case len(s.events) == maxSpread:
		end := s.events[0].t/second*second + second
		s.pass(s.begin+(end-s.begin)/2, pass)
	}
	s.events = append(s.events, e)
}

// flush passes on all events.
func (s *spreader) flush(pass func(event)) {
	if len(s.events) > 0 {
		s.pass(s.events[0].t/int64(time.Second)*int64(time.Second)+int64(time.Second), pass)
	}
}

// pass spreads the events over the time up to end.
func (s *spreader) pass(end int64, pass func(event)) {
	n := int64(len(s.events))
	for i, e := range s.events {
		e.t = s.begin + (end-s.begin)/n*int64(i) + (end-s.begin)%n*int64(i)/n
		pass(e)
	}
	s.begin, s.events = end, s.events[:0]
}

package tokenbucket

import (
	"sync"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// plain returns the limit as the engine has it.
func (l Limit) plain() engine.Limit {
	r := l.Rate
	return engine.Limit{Tokens: r.tokens, PerHi: r.perHi, PerLo: r.perLo, Burst: l.Burst}
}

// limitOf is the inverse of [Limit.plain].
func limitOf(l engine.Limit) Limit {
	return Limit{Rate: Rate{tokens: l.Tokens, perHi: l.PerHi, perLo: l.PerLo}, Burst: l.Burst}
}

// newTimeline returns the timeline of a valid limit that begins with the epoch.
func newTimeline(l Limit) *engine.Timeline { return engine.NewTimeline(l.plain(), 0) }

// timelines holds one timeline for each limit, since keys by the million share a few. Its size is
// bounded: a limit that was dropped merely gets another timeline.
type timelines struct {
	mu sync.Mutex
	m  map[Limit]*engine.Timeline
}

func (ts *timelines) of(l Limit) *engine.Timeline {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	p := ts.m[l]
	if p == nil {
		if ts.m == nil || len(ts.m) >= 1024 {
			ts.m = make(map[Limit]*engine.Timeline)
		}
		p = newTimeline(l)
		ts.m[l] = p
	}
	return p
}

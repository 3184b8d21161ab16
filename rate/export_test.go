package rate

import "github.com/go-tokenbucket/tokenbucket/internal/engine"

// WordQueued reports whether decisions have to go by the lock.
func (lim *Limiter) WordQueued() bool { return lim.cell.Load().Word.Load() >= engine.Queued }

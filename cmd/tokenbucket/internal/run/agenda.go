package run

import "time"

// agenda is a heap of values by their time, the earliest first, for package container/heap. The
// zero agenda is empty.
type agenda[T any] []entry[T]

type entry[T any] struct {
	at    time.Time
	value T
}

func (a agenda[T]) Len() int           { return len(a) }
func (a agenda[T]) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda[T]) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda[T]) Push(x any)        { *a = append(*a, x.(entry[T])) }

func (a *agenda[T]) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = entry[T]{} // for the garbage collector
	*a = old[:len(old)-1]
	return last
}

// isDue reports whether the earliest value is due.
func (a agenda[T]) isDue(now time.Time) bool { return len(a) > 0 && !a[0].at.After(now) }

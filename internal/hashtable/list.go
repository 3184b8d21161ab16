package hashtable

import "sync/atomic"

// A list is an array that grows at its end. One goroutine at a time may add to it; others may read
// an element if the adding happened before.
type list[T any] struct {
	items atomic.Pointer[[]T]
	n     int // of the one who adds
}

func (l *list[T]) at(i int) T { return (*l.items.Load())[i] }

// add appends x and returns its index.
func (l *list[T]) add(x T) int {
	items := l.items.Load()
	if items == nil || l.n == len(*items) {
		grown := make([]T, max(3, 2*l.n))
		if items != nil {
			copy(grown, *items)
		}
		items = &grown
	}
	(*items)[l.n] = x
	l.items.Store(items)
	l.n++
	return l.n - 1
}

package plan

// event is a request in the replay.
type event struct {
	t    int64     // ns since 1970
	seq  int64     // of its line; events at one instant stay in this order
	hash keyHash   // of its key
	key  *followed // nil beyond -maxkeys
}

func (e event) before(f event) bool { return e.t < f.t || e.t == f.t && e.seq < f.seq }

// reorderAhead is how many lines late a line may be. Servers write a line when a request ends, and
// some write the time at which it began, so lines are out of order by seconds.
const reorderAhead = 1 << 16

// reorder sorts events in constant memory: it is a heap of the latest ones. The zero reorder is
// empty. It does not use container/heap, which allocates for each event.
type reorder struct {
	heap  []event
	ahead int // how many it holds; 0 is reorderAhead
}

// push adds e. If the heap is full, push returns the earliest event, whose place is then final.
func (r *reorder) push(e event) (earliest event, full bool) {
	if r.ahead == 0 {
		r.ahead = reorderAhead
	}
	if len(r.heap) < r.ahead {
		r.heap = append(r.heap, e)
		r.up(len(r.heap) - 1)
		return event{}, false
	}
	if e.before(r.heap[0]) {
		return e, true
	}
	earliest, r.heap[0] = r.heap[0], e
	r.down(0)
	return earliest, true
}

// pop returns the earliest event, if there is one.
func (r *reorder) pop() (earliest event, ok bool) {
	if len(r.heap) == 0 {
		return event{}, false
	}
	earliest = r.heap[0]
	last := len(r.heap) - 1
	r.heap[0] = r.heap[last]
	r.heap = r.heap[:last]
	r.down(0)
	return earliest, true
}

func (r *reorder) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !r.heap[i].before(r.heap[parent]) {
			return
		}
		r.heap[i], r.heap[parent] = r.heap[parent], r.heap[i]
		i = parent
	}
}

func (r *reorder) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(r.heap); child++ {
			if r.heap[child].before(r.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		r.heap[i], r.heap[least] = r.heap[least], r.heap[i]
		i = least
	}
}

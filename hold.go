package tokenbucket

// A hold is a bucket in the hands of somebody who has its lock and has set queued in its word: the word is theirs alone,
// and stands in v until they release it. Whoever gets a hold finds all served that were due.
type hold struct {
	*Bucket
	c *cell
	p *timeline
	t int64  // the instant of this hold
	r uint64 // the refill until t
	v uint64 // the level

	// credit tells that v, where it is below r, is so because the last waiter was served late: what has been refilled
	// beyond the burst since its turn is still there for other waiters, within catchUp.
	credit bool
}

// hold takes the lock and the word, and serves who is due.
func (b *Bucket) hold() hold {
	b.mu.Lock()
	c, lingering := b.seize()
	h := hold{Bucket: b, c: c, p: c.p}
	h.t = b.source.now() // after the word was seized, so that nobody took a token later than t
	h.v = c.word.Load() &^ queued
	if h.p.spent(h.t) {
		h.replace(h.p.limit)
	}
	h.r = h.p.refillAt(h.t)
	h.credit = lingering && h.queue.head == nil && h.v < h.r && h.r-h.v <= h.p.slack
	h.settle()
	return h
}

// seize sets queued in the word of the bucket's cell, so that it belongs to the holder of the lock, and tells whether it
// was set before.
func (b *Bucket) seize() (c *cell, before bool) {
	for {
		c := b.cell.Load()
		if c == nil { // a zero Bucket comes to life; the cell denies everything
			b.source = newSource(nil)
			c = &cell{p: &timeline{span: maxRefill}}
			c.word.Store(queued)
			b.cell.Store(c)
			return c, true
		}
		switch w := c.word.Load(); {
		case w == sealed: // only a Keyed evicts cells behind the back of the lock
			b.cell.Store(b.home.renew())
		case w >= queued:
			return c, true
		case c.word.CompareAndSwap(w, w|queued):
			return c, false
		}
	}
}

// release gives the word back and unlocks. The word stays with the lock while somebody queues or has left credit.
func (h *hold) release() {
	q := &h.queue
	if q.lead != nil {
		if due := h.due(); due < q.armed {
			h.arm(due)
		}
	} else {
		q.disarm()
	}
	w := h.v
	if q.head != nil || h.credit && h.v < h.r {
		w |= queued
	}
	h.c.word.Store(w)
	h.mu.Unlock()
}

// replace puts the limit l in force from the instant of the hold on, in a new cell that keeps the balance.
func (h *hold) replace(l Limit) {
	p := newTimeline(l, max(h.t, h.p.base)) // what a clock that stepped back goes through again is not earned again
	h.v = p.adopt(h.p, h.v, h.t)
	var c *cell
	if h.home == nil {
		c = &cell{p: p}
		c.word.Store(h.v | queued)
	} else {
		c = h.home.install(p, h.v|queued)
	}
	h.cell.Store(c)
	h.c.word.Store(sealed)
	h.c, h.p, h.r = c, p, 0
	h.disturbPlan()
}

// setLimit is SetLimit. Who asks for more than the new burst can't be served any more.
func (h *hold) setLimit(l Limit) {
	if l == h.p.limit {
		return
	}
	h.replace(l)
	h.credit = false
	h.disturb()
	if h.p.span != 0 {
		for x := h.queue.head; x != nil; {
			next := x.next
			if x.wake != nil && x.n > h.p.most() {
				h.queue.remove(x, oversized)
			}
			x = next
		}
	}
	h.settle()
}

// take is cell.take for the holder: nobody overtakes those who queue.
func (h *hold) take(least, most uint64) (uint64, moment, outcome) {
	how := granted
	switch {
	case h.p.span == 0:
		return most, h.moment(), granted
	case h.queue.head != nil:
		if least > 0 {
			how = denied
		}
		return 0, h.moment(), how
	}
	v := max(h.v, h.r)
	n := min(most, h.p.tokens(h.r, v))
	if n < least {
		return 0, h.moment(), denied
	}
	if n > 0 {
		h.v, h.credit = v+n<<h.p.frac, false
	}
	return n, h.moment(), granted
}

// add puts n tokens back, or charges them.
func (h *hold) add(n uint64, charge bool) {
	if h.p.span == 0 {
		return
	}
	h.v, h.credit = h.p.moved(max(h.v, h.r), h.r, n, charge), false
	h.disturb()
	h.settle()
}

// disturb notes that appointments may have to be kept later than was foreseen.
func (h *hold) disturb() {
	h.disturbPlan()
	h.queue.disturbed = h.queue.booked > 0
}

// disturbPlan notes that the level after the last one in the queue has to be foreseen anew.
func (h *hold) disturbPlan() { h.queue.planned, h.queue.loose = false, h.queue.booked > 0 }

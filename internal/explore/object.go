package explore

// An Object is what the scheduler knows of a shared variable: an atomic, a lock, a channel, the clock. The zero Object is
// ready for use, and so is one that an earlier run left behind.
//
// Two steps are dependent if they touch the same object and one of them writes it. The hashes below identify the happens-before
// order of all steps so far: every step's hash covers the steps of its own goroutine and those that it depends on.
type Object struct {
	run      uint64 // the run that the rest belongs to
	written  uint64 // the hash of the last write
	read     uint64 // the sum of the hashes of the readings since
	writers  uint64 // a bit for each goroutine that has written
	readers  uint64
	quiet    []site // the sites that touched the object without being points
	contends bool   // two goroutines have touched it, and one of them wrote
}

// renew forgets what an earlier run knew of o.
func (r *run) renew(o *Object) {
	if o.run != r.number {
		*o = Object{run: r.number, quiet: o.quiet[:0]}
	}
}

// touch notes that thread t reads or writes o, at its last site.
func (r *run) touch(t *thread, o *Object, write bool) {
	r.renew(o)
	bit := uint64(1) << (t.id & 63)
	if write {
		t.hash = mix(mix(t.hash, o.written), o.read+1)
		o.written, o.read = t.hash, 0
		o.writers |= bit
	} else {
		t.hash = mix(t.hash, o.written+2)
		o.read += mix(t.hash, 3)
		o.readers |= bit
	}
	if r.search.Reduce {
		r.learn(t, o)
	}
}

// learn sees to it that all sites that touch a contended object are points in the next pass.
func (r *run) learn(t *thread, o *Object) {
	if !t.pointed && t.site != 0 {
		o.quiet = appendNew(o.quiet, t.site)
	}
	if !o.contends {
		all := o.writers | o.readers
		o.contends = o.writers != 0 && all&(all-1) != 0
	}
	if o.contends && len(o.quiet) > 0 {
		for _, at := range o.quiet {
			r.search.learned[at] = true
		}
		o.quiet = o.quiet[:0]
	}
}

func appendNew(s []site, x site) []site {
	for _, y := range s {
		if x == y {
			return s
		}
	}
	return append(s, x)
}

// mix returns a hash of a and b in which their order matters. It is the finalizer of splitmix64 (Steele, Lea, Flood, 2014).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

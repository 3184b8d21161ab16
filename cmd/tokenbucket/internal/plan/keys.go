package plan

import (
	"hash/maphash"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// keyHash stands for a key, which may be long: 128 bits, of which two different keys share all with
// a chance of 2^-128. The seeds are random, so a log cannot be made to have such keys.
type keyHash [2]uint64

type hasher [2]maphash.Seed

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hasher) of(key []byte) keyHash {
	return keyHash{maphash.Bytes(h[0], key), maphash.Bytes(h[1], key)}
}

// maxName is how much of a key's name is kept for the report, in bytes.
const maxName = 120

// followed is a key with figures of its own.
type followed struct {
	name            string // its first maxName bytes
	allowed, denied int64
	demand          demand
	hull            hull
}

func newFollowed(key []byte) *followed {
	name, cut := terminal.Clip(string(key[:min(len(key), maxName+1)]), maxName)
	if cut {
		name += "..."
	}
	return &followed{name: name}
}

func (k *followed) requests() int64 { return k.allowed + k.denied }

// maxOthers is how many keys beyond -maxkeys have a bucket at once: about 20 MB of them.
const maxOthers = 1 << 16

// others are the buckets of the keys that are not followed, at most max at once. A full bucket can
// be dropped: a new one is the same.
type others struct {
	limit   tokenbucket.Limit
	clock   tokenbucket.Clock
	max     int
	buckets map[keyHash]*tokenbucket.Bucket
	refused int // keys that had no room since the last sweep
}

// bucket returns the bucket of a key, or nil if there is no room for another one.
func (o *others) bucket(h keyHash) *tokenbucket.Bucket {
	if b := o.buckets[h]; b != nil {
		return b
	}
	if len(o.buckets) >= o.max && !o.sweep() {
		return nil
	}
	b := tokenbucket.New(o.limit.Rate, o.limit.Burst, tokenbucket.WithClock(o.clock))
	o.buckets[h] = b
	return b
}

// sweep drops the full buckets and reports whether there were any. A sweep that has dropped less
// than half is not repeated until as many keys have been refused, so that sweeps cost a constant
// time a request.
func (o *others) sweep() bool {
	if o.refused > 0 {
		o.refused--
		return false
	}
	for h, b := range o.buckets {
		if b.Tokens() >= float64(o.limit.Burst) {
			delete(o.buckets, h)
		}
	}
	if len(o.buckets) > o.max/2 {
		o.refused = o.max / 2
	}
	return len(o.buckets) < o.max
}

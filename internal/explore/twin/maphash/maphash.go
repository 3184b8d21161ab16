// Package maphash is the twin of hash/maphash: its hashes are the same in every run, and a scenario can choose them. An integer is its own
// hash.
package maphash

import (
	"fmt"
	"hash/fnv"
)

// A Seed makes no difference.
type Seed struct{ _ int }

// MakeSeed returns the Seed.
func MakeSeed() Seed { return Seed{} }

// Comparable returns the hash of v.
func Comparable[T comparable](_ Seed, v T) uint64 {
	switch v := any(v).(type) {
	case uint64:
		return v
	case int:
		return uint64(v)
	case string:
		return String(Seed{}, v)
	}
	return String(Seed{}, fmt.Sprint(v))
}

// String returns the hash of s.
func String(_ Seed, s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

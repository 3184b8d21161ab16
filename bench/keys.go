package main

import (
	"encoding/binary"
	"math/rand"
	"strconv"
)

// An account is a key of several fields.
type account struct {
	Tenant, Region uint32
	User           uint64
}

// scramble makes of 0, 1, 2 ... numbers that look random, each a different one.
func scramble(i int) uint64 {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x ^= x >> 32
	return x * 0xd6e8feb86659fd93
}

// stringKeys returns the keys of the given numbers, which share no memory with those of another call: a key that comes from
// outside is never the very string that a limiter keeps, which would save it the comparison.
// keySize is how long the string keys are, and copiedText what tokenbucket sets aside for the bytes
// of its copy: a segment of its table has room for a quarter more text.
const (
	keySize    = len("client-") + 10
	copiedText = 1.25 * float64(keySize)
)

func stringKeys(n int, number func(i int) int) []string {
	const size = keySize
	block := make([]byte, 0, n*size)
	for i := range n {
		block = append(block, "client-"...)
		block = strconv.AppendInt(block, int64(1_000_000_000+number(i)), 10)
	}
	all, keys := string(block), make([]string, n)
	for i := range keys {
		keys[i] = all[i*size : (i+1)*size]
	}
	return keys
}

func uint64Keys(n int, number func(i int) int) []uint64 {
	keys := make([]uint64, n)
	for i := range keys {
		keys[i] = scramble(number(i))
	}
	return keys
}

func arrayKeys(n int, number func(i int) int) [][16]byte {
	keys := make([][16]byte, n)
	for i := range keys {
		x := number(i)
		binary.LittleEndian.PutUint64(keys[i][:], scramble(x))
		binary.LittleEndian.PutUint64(keys[i][8:], uint64(x))
	}
	return keys
}

func structKeys(n int, number func(i int) int) []account {
	keys := make([]account, n)
	for i := range keys {
		x := number(i)
		keys[i] = account{Tenant: uint32(x % 1000), Region: 7, User: scramble(x)}
	}
	return keys
}

func sequential(i int) int { return i }

// uniform returns numbers below n, all equally frequent.
func uniform(n int) func(int) int {
	random := rand.New(rand.NewSource(1))
	return func(int) int { return random.Intn(n) }
}

// zipf returns numbers below n, few of them frequent: the most frequent of a million is every tenth.
func zipf(n int) func(int) int {
	random := rand.NewZipf(rand.New(rand.NewSource(1)), 1.1, 1, uint64(n-1))
	return func(int) int { return int(random.Uint64()) }
}

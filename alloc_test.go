package tokenbucket

import (
	"context"
	"math/bits"
	"testing"
	"unsafe"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
)

// TestAllocs counts allocations of what nobody waits for.
func TestAllocs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rich := New(PerSecond(1), 1<<30)
	poor := New(Rate{}, 1)
	poor.Allow()
	var sink any
	for name, f := range map[string]func() bool{
		"Allow":         func() bool { return rich.Allow() },
		"Allow, denied": func() bool { return !poor.Allow() },
		"AllowN":        func() bool { return rich.AllowN(3) },
		"Take":          func() bool { return rich.Take(2).Allowed },
		"Take, denied":  func() bool { return !poor.Take(1).Allowed },
		"TakeAvailable": func() bool { return rich.TakeAvailable(2) == 2 },
		"TakeAvailable, denied": func() bool {
			return poor.TakeAvailable(2) == 0
		},
		"Wait":    func() bool { return rich.Wait(ctx) == nil },
		"WaitN":   func() bool { return rich.WaitN(ctx, 5) == nil },
		"Refund":  func() bool { rich.Refund(1); return true },
		"Charge":  func() bool { rich.Charge(1); return true },
		"Tokens":  func() bool { return rich.Tokens() > 0 },
		"Limit":   func() bool { return rich.Limit().Burst == 1<<30 },
		"Waiting": func() bool { return rich.Waiting() == 0 },
	} {
		failed := 0
		n := testing.AllocsPerRun(100, func() {
			if !f() {
				failed++
			}
		})
		if n != 0 || failed > 0 {
			t.Errorf("%s: %v allocations, %d failed", name, n, failed)
		}
	}
	_ = sink
}

// TestSizes pins what a bucket costs. A Bucket fills four cache lines, so that no two of them share one; a Keyed has a
// cell for each key, in front of it.
func TestSizes(t *testing.T) {
	type sizes struct{ bucket, cell uintptr }
	want := map[int]sizes{64: {256, 16}, 32: {200, 16}}[bits.UintSize]
	if got := (sizes{unsafe.Sizeof(Bucket{}), unsafe.Sizeof(engine.Cell{})}); got != want {
		t.Errorf("a Bucket and a cell have %d bytes, want %d", got, want)
	}
}

package tokenbucket

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

type named string

// A string key is kept as a copy, and is found again whatever becomes of the caller's.
func TestKeyedCopiesStrings(t *testing.T) {
	k := NewKeyed[named](Rate{}, 2)
	for _, n := range []int{0, 1, 15, 16, 17, 100, 1024, 1025, 5000} {
		bytes := []byte(strings.Repeat("x", n))
		key := named(unsafe.String(unsafe.SliceData(bytes), n))
		if !k.Allow(key) {
			t.Fatalf("a new key of %d bytes was denied", n)
		}
		for i := range bytes {
			bytes[i] = 'y' // as no caller may, to tell a copy from the caller's
		}
		again := named(strings.Repeat("x", n))
		if got := k.Tokens(again); got != 1 {
			t.Errorf("a key of %d bytes has %v tokens, want 1", n, got)
		}
		if k.SetLimit(Limit{Burst: 3 + n}); k.Tokens(again) != 1 {
			t.Errorf("a key of %d bytes was lost with the limit's change", n)
		}
		k.SetLimit(Limit{Burst: 2})
	}
	runtime.GC()
	for key, tokens := range k.All() {
		if strings.Trim(string(key), "x") != "" || tokens != 1 {
			t.Errorf("key %q has %v tokens after a collection", key, tokens)
		}
	}
	if k.Len() != 9 {
		t.Errorf("%d keys, want 9", k.Len())
	}
}

// A key that was cut out of something large does not keep it in memory.
func TestKeyedKeepsNoParents(t *testing.T) {
	k := NewKeyed[string](PerHour(1), 2)
	freed := make(chan bool)
	large := new([1 << 20]byte)
	runtime.AddCleanup(large, func(struct{}) { close(freed) }, struct{}{})
	k.Allow(unsafe.String(&large[1000], 100))
	large = nil
	for range 10 {
		runtime.GC()
	}
	<-freed
	runtime.KeepAlive(k)
}

// The zero Keyed is a mistake in the program, and says so.
func TestZeroKeyed(t *testing.T) {
	for name, op := range map[string]func(k *Keyed[int]){
		"Allow":    func(k *Keyed[int]) { k.Allow(1) },
		"Take":     func(k *Keyed[int]) { k.Take(1, 1) },
		"Evict":    func(k *Keyed[int]) { k.Evict() },
		"Wait":     func(k *Keyed[int]) { _ = k.Wait(t.Context(), 1) },
		"All":      func(k *Keyed[int]) { k.All() },
		"SetLimit": func(k *Keyed[int]) { k.SetLimit(Limit{Burst: 1}) },
	} {
		if got := panicOf(func() { op(new(Keyed[int])) }); !strings.HasPrefix(got, "tokenbucket: ") {
			t.Errorf("%s panics with %q", name, got)
		}
	}
}

package tokenbucket

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

type named string

// A string key is kept as a copy, next to its bucket if it is not too long, and is found again whatever becomes of the caller's.
func TestKeyedCopiesStrings(t *testing.T) {
	k := NewKeyed[named](Rate{}, 2)
	for _, n := range []int{0, 1, 15, 16, 17, 32, 33, 48, 49, 64, 65, 1000} {
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
		e := k.table.get(k.hash(again), again)
		if e == nil {
			t.Fatalf("there is no entry of %d bytes", n)
		}
		at := uintptr(unsafe.Pointer(unsafe.StringData(string(e.key)))) - uintptr(unsafe.Pointer(e))
		if inside := at < 64+unsafe.Sizeof(*e); n > 0 && inside != (n <= 64) {
			t.Errorf("the %d bytes of a key are %d after its entry", n, at)
		}
	}
	runtime.GC()
	for key, tokens := range k.All() {
		if strings.Trim(string(key), "x") != "" || tokens != 1 {
			t.Errorf("key %q has %v tokens after a collection", key, tokens)
		}
	}
	if k.Len() != 12 {
		t.Errorf("%d keys, want 12", k.Len())
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

// Package atomic is the instrumented twin of sync/atomic.
package atomic

import "github.com/go-tokenbucket/tokenbucket/internal/explore"

// A variable is what all types of this package have in common. Its methods must not be inlined, so that their callers are places in the
// code under test.
type variable[T comparable] struct {
	_      noCopy
	object explore.Object
	value  T
}

type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Load returns the value.
//
//go:noinline
func (x *variable[T]) Load() T {
	explore.Before("Load", nil)
	explore.After(&x.object, false)
	return x.value
}

// Store sets the value.
//
//go:noinline
func (x *variable[T]) Store(v T) {
	explore.Before("Store", nil)
	explore.After(&x.object, true)
	x.value = v
}

// Swap sets the value and returns the one before.
//
//go:noinline
func (x *variable[T]) Swap(v T) T {
	explore.Before("Swap", nil)
	explore.After(&x.object, true)
	old := x.value
	x.value = v
	return old
}

// CompareAndSwap sets the value if it was old, and reports whether it was.
//
//go:noinline
func (x *variable[T]) CompareAndSwap(old, v T) bool {
	explore.Before("CompareAndSwap", nil)
	explore.After(&x.object, x.value == old)
	if x.value != old {
		return false
	}
	x.value = v
	return true
}

type integer interface {
	int32 | int64 | uint32 | uint64 | uintptr
}

// A number is a variable that can be counted with.
type number[T integer] struct{ variable[T] }

// Add adds d and returns the sum.
//
//go:noinline
func (x *number[T]) Add(d T) T {
	explore.Before("Add", nil)
	explore.After(&x.object, true)
	x.value += d
	return x.value
}

// And keeps the bits of mask and returns the value before.
//
//go:noinline
func (x *number[T]) And(mask T) T {
	explore.Before("And", nil)
	explore.After(&x.object, true)
	old := x.value
	x.value &= mask
	return old
}

// Or sets the bits of mask and returns the value before.
//
//go:noinline
func (x *number[T]) Or(mask T) T {
	explore.Before("Or", nil)
	explore.After(&x.object, true)
	old := x.value
	x.value |= mask
	return old
}

// The types of sync/atomic.
type (
	Bool    struct{ variable[bool] }
	Int32   struct{ number[int32] }
	Int64   struct{ number[int64] }
	Uint32  struct{ number[uint32] }
	Uint64  struct{ number[uint64] }
	Uintptr struct{ number[uintptr] }

	Pointer[T any] struct{ variable[*T] }
	Value          struct{ variable[any] }
)

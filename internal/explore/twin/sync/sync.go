// Package sync is the instrumented twin of sync.
package sync

import (
	"sync"

	"github.com/go-tokenbucket/tokenbucket/internal/explore"
)

// Locker is that of the real package.
type Locker = sync.Locker

// A Mutex is a lock.
type Mutex struct {
	object explore.Object
	locked bool
}

// Ready reports whether the lock is free.
func (m *Mutex) Ready() bool { return !m.locked }

// Lock takes the lock.
//
//go:noinline
func (m *Mutex) Lock() {
	explore.Before("Lock", m)
	explore.After(&m.object, true)
	m.locked = true
}

// TryLock takes the lock if it is free.
//
//go:noinline
func (m *Mutex) TryLock() bool {
	explore.Before("TryLock", nil)
	explore.After(&m.object, true)
	if m.locked {
		return false
	}
	m.locked = true
	return true
}

// Unlock lets the lock go. It panics if it is free.
func (m *Mutex) Unlock() {
	explore.Note(&m.object)
	if !m.locked {
		panic("sync: unlock of unlocked mutex")
	}
	m.locked = false
}

// A RWMutex is a lock that readers share.
type RWMutex struct {
	object  explore.Object
	writing bool
	readers int
}

type writer RWMutex

func (m *writer) Ready() bool { return !m.writing && m.readers == 0 }

type reader RWMutex

func (m *reader) Ready() bool { return !m.writing }

// Lock takes the lock for writing.
//
//go:noinline
func (m *RWMutex) Lock() {
	explore.Before("Lock", (*writer)(m))
	explore.After(&m.object, true)
	m.writing = true
}

// Unlock lets the lock for writing go.
func (m *RWMutex) Unlock() {
	explore.Note(&m.object)
	if !m.writing {
		panic("sync: Unlock of unlocked RWMutex")
	}
	m.writing = false
}

// RLock takes the lock for reading.
//
//go:noinline
func (m *RWMutex) RLock() {
	explore.Before("RLock", (*reader)(m))
	explore.After(&m.object, true)
	m.readers++
}

// RUnlock lets the lock for reading go.
func (m *RWMutex) RUnlock() {
	explore.Note(&m.object)
	if m.readers == 0 {
		panic("sync: RUnlock of unlocked RWMutex")
	}
	m.readers--
}

// A Once does something once.
type Once struct {
	object  explore.Object
	running bool
	done    bool
}

// Ready reports whether nobody is at it.
func (o *Once) Ready() bool { return !o.running }

// Do calls f if nobody has before. It returns when f has been called.
//
//go:noinline
func (o *Once) Do(f func()) {
	explore.Before("Once.Do", o)
	explore.After(&o.object, !o.done)
	if o.done {
		return
	}
	o.running = true
	defer func() {
		o.running, o.done = false, true
		explore.Note(&o.object)
	}()
	f()
}

// OnceFunc returns a func that calls f once.
func OnceFunc(f func()) func() {
	var once Once
	return func() { once.Do(f) }
}

// OnceValue returns a func that calls f once and returns what that returned.
func OnceValue[T any](f func() T) func() T {
	var once Once
	var v T
	return func() T {
		once.Do(func() { v = f() })
		return v
	}
}

// A WaitGroup waits for a number of goroutines.
type WaitGroup struct {
	object explore.Object
	n      int
}

// Ready reports whether there is nothing to wait for.
func (g *WaitGroup) Ready() bool { return g.n == 0 }

// Add adds n to the number of goroutines.
//
//go:noinline
func (g *WaitGroup) Add(n int) {
	explore.Before("WaitGroup.Add", nil)
	explore.After(&g.object, true)
	if g.n += n; g.n < 0 {
		panic("sync: negative WaitGroup counter")
	}
}

// Done takes one off the number.
//
//go:noinline
func (g *WaitGroup) Done() { g.Add(-1) }

// Wait waits until the number is 0.
//
//go:noinline
func (g *WaitGroup) Wait() {
	explore.Before("WaitGroup.Wait", g)
	explore.After(&g.object, false)
}

// Go starts f as one of the goroutines.
func (g *WaitGroup) Go(f func()) {
	g.Add(1)
	explore.Go(func() {
		defer g.Done()
		f()
	})
}

// A Pool keeps nothing: New makes all that is asked for.
type Pool struct{ New func() any }

// Get returns a new value.
func (p *Pool) Get() any {
	if p.New == nil {
		return nil
	}
	return p.New()
}

// Put drops a value.
func (*Pool) Put(any) {}

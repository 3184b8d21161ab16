package main

import (
	"runtime"
	"sync"
	"testing"
)

// BenchmarkCell is all cells. The program runs each of them in a process of its own; by hand it is
//
//	go test -bench 'Cell/bucket/allow,serial' -benchtime 100ms .
func BenchmarkCell(b *testing.B) {
	for _, c := range cells(size{quick: testing.Short(), maxKeys: tenMillion, procs: procsOf(runtime.GOMAXPROCS(0))}) {
		prepare := sync.OnceValue(c.prepare)
		b.Run(c.name(), func(b *testing.B) {
			bench := prepare()
			b.ResetTimer()
			bench(b)
		})
	}
}

package tokenbucket

import (
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"
)

// What is measured is written where the compiler can't see that nobody reads it.
var (
	sinkBool     bool
	sinkDuration time.Duration
)

// plenty is a limit that a benchmark never exhausts, and that no refill fills up again while it runs.
var plenty = Limit{Rate: PerSecond(1_000_000), Burst: 1 << 30}

// BenchmarkFloor is what nothing that looks at the time can be faster than; see the ratios in BenchmarkRatio.
func BenchmarkFloor(b *testing.B) {
	epoch := time.Now()
	b.Run("since", func(b *testing.B) {
		for b.Loop() {
			sinkDuration = time.Since(epoch)
		}
	})
	keys := benchKeys(1000)
	m := make(map[string]uint64)
	for i, key := range keys {
		m[key] = uint64(i)
	}
	b.Run("since+map", func(b *testing.B) {
		i := 0
		for b.Loop() {
			sinkDuration = time.Since(epoch) + time.Duration(m[keys[i]])
			if i++; i == len(keys) {
				i = 0
			}
		}
	})
}

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("client-%d", i)
	}
	rand.New(rand.NewSource(1)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func BenchmarkBucket(b *testing.B) {
	full := New(plenty.Rate, plenty.Burst)
	empty := New(PerHour(1), 1)
	empty.Allow()
	ctx := context.Background()
	for _, bench := range []struct {
		name string
		do   func()
	}{
		{"Allow", func() { sinkBool = full.Allow() }},
		{"AllowDenied", func() { sinkBool = empty.Allow() }},
		{"Take", func() { sinkBool = full.Take(1).Allowed }},
		{"TakeDenied", func() { sinkBool = empty.Take(1).Allowed }},
		{"Wait", func() { sinkBool = full.Wait(ctx) == nil }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.do()
			}
		})
	}
}

func BenchmarkBucketHot(b *testing.B) {
	full := New(plenty.Rate, plenty.Burst)
	empty := New(PerHour(1), 1)
	empty.Allow()
	for name, bucket := range map[string]*Bucket{"Allow": full, "AllowDenied": empty} {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bucket.Allow()
				}
			})
		})
	}
}

func BenchmarkKeyed(b *testing.B) {
	keys := benchKeys(1000)
	k := NewKeyed[string](plenty.Rate, plenty.Burst)
	for _, key := range keys {
		k.AllowN(key, plenty.Burst/2)
	}
	b.Run("Allow", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			sinkBool = k.Allow(keys[i])
			if i++; i == len(keys) {
				i = 0
			}
		}
	})
	b.Run("AllowParallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.Intn(len(keys)); pb.Next(); i++ {
				k.Allow(keys[i%len(keys)])
			}
		})
	})
	b.Run("New", func(b *testing.B) {
		k := NewKeyed[int](PerHour(1), 1)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			sinkBool = k.Allow(i)
		}
	})
}

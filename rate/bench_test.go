package rate_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/rate"
)

const plenty = 1 << 30

// BenchmarkAllow compares with the native Bucket, by its own clock. Run it with -count and take the
// medians.
func BenchmarkAllow(b *testing.B) {
	bucket, empty := tokenbucket.New(tokenbucket.PerSecond(1_000_000), plenty), tokenbucket.New(tokenbucket.PerHour(1), 1)
	lim, dry := rate.NewLimiter(1_000_000, plenty), rate.NewLimiter(rate.Every(time.Hour), 1)
	empty.Allow()
	dry.Allow()
	// Each loop calls directly, as a user would: a func value would cost as much as what is compared.
	b.Run("allow/native", func(b *testing.B) {
		for b.Loop() {
			bucket.Allow()
		}
	})
	b.Run("allow/rate", func(b *testing.B) {
		for b.Loop() {
			lim.Allow()
		}
	})
	b.Run("deny/native", func(b *testing.B) {
		for b.Loop() {
			empty.Allow()
		}
	})
	b.Run("deny/rate", func(b *testing.B) {
		for b.Loop() {
			dry.Allow()
		}
	})
	now := time.Now()
	b.Run("AllowN/rate", func(b *testing.B) {
		for b.Loop() {
			lim.AllowN(now, 1)
		}
	})
}

// BenchmarkWait compares a wait for tokens that are there, and one that sleeps.
func BenchmarkWait(b *testing.B) {
	ctx := context.Background()
	bucket, lim := tokenbucket.New(tokenbucket.PerSecond(1_000_000), plenty), rate.NewLimiter(1_000_000, plenty)
	b.Run("there/native", func(b *testing.B) {
		for b.Loop() {
			_ = bucket.Wait(ctx)
		}
	})
	b.Run("there/rate", func(b *testing.B) {
		for b.Loop() {
			_ = lim.Wait(ctx)
		}
	})
	slow, late := tokenbucket.New(tokenbucket.PerSecond(1_000_000), 1), rate.NewLimiter(1_000_000, 1)
	b.Run("saturated/native", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = slow.Wait(ctx)
			}
		})
	})
	b.Run("saturated/rate", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = late.Wait(ctx)
			}
		})
	})
}

// BenchmarkReserve reserves tokens that are there, and cancels.
func BenchmarkReserve(b *testing.B) {
	lim, now := rate.NewLimiter(1_000_000, plenty), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		lim.ReserveN(now, 1).CancelAt(now)
	}
}

package tokenbucket_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// TestDefaultClockInABubble makes buckets inside of a bubble, at its beginning and later.
func TestDefaultClockInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			start := time.Now()
			var zero tokenbucket.Bucket
			b := tokenbucket.New(tokenbucket.PerSecond(10), 1)
			zero.SetLimit(b.Limit())
			for k := range 10 {
				if err := b.Wait(t.Context()); err != nil || time.Since(start) != time.Duration(k)*100*ms {
					t.Errorf("token %d after %v: %v", k, time.Since(start), err)
				}
			}
			time.Sleep(100*ms - 1)
			if b.Allow() {
				t.Error("a token too soon")
			}
			if time.Sleep(time.Nanosecond); !b.Allow() || !zero.Allow() {
				t.Error("no token at its time")
			}
			time.Sleep(year)
		}
	})
}

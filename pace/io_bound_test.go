package pace

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// In every window of time a stream moves at most the burst, the refill of the window, and the fraction
// of a token that is not charged for a chunk that was held: however its source pauses, and however many
// bytes it returns.
func TestStreamBound(t *testing.T) {
	for seed := range uint64(100) {
		bubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			rate, burst := 1+random.IntN(5000), 1+random.IntN(300)
			type moved struct {
				at    time.Duration
				bytes int
			}
			var all []moved
			begun := time.Now()
			r := NewReader(context.Background(), readerFunc(func(p []byte) (int, error) {
				if random.IntN(4) == 0 {
					time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
				}
				n := 1 + random.IntN(len(p))
				all = append(all, moved{time.Since(begun), n})
				if len(all) == 200 {
					return n, io.EOF
				}
				return n, nil
			}), tokenbucket.New(tokenbucket.PerSecond(rate), burst))
			for err := error(nil); err == nil; _, err = r.Read(make([]byte, 1+random.IntN(500))) {
			}
			for i := range all {
				sum := 0
				for _, m := range all[i:] {
					sum += m.bytes
					if most := float64(burst) + float64(rate)*(m.at-all[i].at).Seconds() + 1; float64(sum) > most {
						t.Fatalf("seed %d: %d bytes from %v to %v, want at most %v", seed, sum, all[i].at, m.at, most)
					}
				}
			}
		})
	}
}

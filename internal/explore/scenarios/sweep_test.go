package scenarios

import (
	"fmt"
	"testing"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/internal/explore"
)

// Idle keys are dropped by a timer, without any further call, however their arrival and the last
// sweep before it fall together.
func TestSweeping(t *testing.T) {
	exploreCustom(t, []custom{
		{"a key comes during a sweep", 3, sweeping},
	})
}

func sweeping(x *explore.Execution) {
	k := tokenbucket.NewKeyed[uint64](tariffs[slow1].Rate, 1)
	k.Allow(0)
	x.Go("caller", func() {
		explore.Step(2 * ten)
		k.Allow(1)
		explore.Sleep(3 * ten)
	})
	x.Check = func() error {
		if n := k.Len(); n != 0 {
			return fmt.Errorf("%d keys are there that have been full for half a minute", n)
		}
		return nil
	}
}

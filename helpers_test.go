package tokenbucket

import (
	"testing"

	"github.com/go-tokenbucket/tokenbucket/internal/engine"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Word returns what b's word says, for tests outside of the package: two buckets with equal words on the same timeline are
// in the same state.
func (b *Bucket) Word() (level uint64, inQueue bool) {
	w := b.cell.Load().Word.Load()
	return w &^ engine.Queued, w >= engine.Queued
}

// PlainLimit and LimitOf convert limits, for tests outside of the package that drive the engine.
func PlainLimit(l Limit) engine.Limit { return l.plain() }
func LimitOf(l engine.Limit) Limit    { return limitOf(l) }

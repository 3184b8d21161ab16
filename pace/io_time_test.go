package pace

import (
	"bytes"
	"context"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// After the burst, bytes flow evenly: in chunks of 10 ms of refill, whatever the size of the
// buffer.
var timings = []struct {
	name   string
	rate   tokenbucket.Rate
	burst  int
	size   int
	buffer int // for reading
	want   string
	end    time.Duration // when a Read finds the end: after the tokens of one more chunk
}{
	{"burst 1", tokenbucket.PerSecond(10), 1, 4, 100, "1@0s 1@100ms 1@200ms 1@300ms", 400 * time.Millisecond},
	{"burst, then chunks", tokenbucket.PerSecond(1000), 30, 55, 100, "30@0s 10@10ms 10@20ms 5@25ms", 35 * time.Millisecond},
	{"chunk larger than burst", tokenbucket.PerSecond(1000), 4, 12, 100, "4@0s 4@4ms 4@8ms", 12 * time.Millisecond},
	{"all within burst", tokenbucket.PerSecond(1), 1 << 20, 1000, 1000, "1000@0s", 0},
	{"largest chunk", tokenbucket.PerSecond(1 << 30), 1 << 30, 100_000, 1 << 20, "65536@0s 34464@0s", 0},
	{"huge burst", tokenbucket.PerHour(1), math.MaxInt, 1000, 400, "400@0s 400@0s 200@0s", 0},
	{"no limit", tokenbucket.Inf(), 1, 1 << 20, 1 << 20, "1048576@0s", 0},
	{"a byte an hour", tokenbucket.PerHour(1), 1, 2, 2, "1@0s 1@1h0m0s", 2 * time.Hour},
}

func TestReaderTimes(t *testing.T) {
	for _, c := range timings {
		if c.name == "burst, then chunks" { // a Read does not know that less than a chunk is left
			c.want, c.end = "30@0s 10@10ms 10@20ms 5@30ms", 35*time.Millisecond
		}
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, data := newMeter(), pattern(c.size)
				r := NewReader(context.Background(), m.reading(bytes.NewReader(data)), tokenbucket.New(c.rate, c.burst))
				buf := make([]byte, c.buffer)
				for {
					if _, err := r.Read(buf); err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
				elapsed(t, m.begun, c.end)
				m.want(t, data, c.want)
			})
		})
	}
}

func TestWriterTimes(t *testing.T) {
	for _, c := range timings {
		if c.name == "huge burst" {
			c.want = "1000@0s"
		}
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, data := newMeter(), pattern(c.size)
				w := NewWriter(context.Background(), m, tokenbucket.New(c.rate, c.burst))
				if n, err := w.Write(data); n != len(data) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
				m.want(t, data, c.want)
			})
		})
	}
}

// A source that was idle does not add its chunk to the burst: the tokens that are held while a Read
// blocks do not count beside a bucket that has filled up.
func TestReaderIdleSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, b := newMeter(), tokenbucket.New(tokenbucket.PerSecond(1000), 20)
		data, idle := pattern(60), true
		source := bytes.NewReader(data)
		r := NewReader(context.Background(), m.reading(readerFunc(func(p []byte) (int, error) {
			if idle {
				time.Sleep(time.Minute)
				idle = false
			}
			return source.Read(p)
		})), b)
		if _, err := io.ReadFull(r, make([]byte, 60)); err != nil {
			t.Error(err)
		}
		m.want(t, data, "20@1m0s 10@1m0.01s 10@1m0.02s 10@1m0.03s 10@1m0.04s")
	})
}

// A limit that is changed while a chunk waits is in force for it.
func TestSetLimitWhileWaiting(t *testing.T) {
	const kilo = 1000
	for _, c := range []struct {
		name     string
		from, to tokenbucket.Limit
		at       time.Duration
		size     int
		want     string
	}{
		{"faster", tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 1}, tokenbucket.Limit{Rate: tokenbucket.PerSecond(20), Burst: 1},
			50 * time.Millisecond, 4, "1@0s 1@75ms 1@125ms 1@175ms"},
		{"chunk beyond the new burst", tokenbucket.Limit{Rate: tokenbucket.PerSecond(10 * kilo), Burst: 100}, tokenbucket.Limit{Rate: tokenbucket.PerSecond(10), Burst: 41},
			4 * time.Millisecond, 142, "100@0s 40@4ms 1@104ms 1@204ms"},
		{"no limit", tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 1}, tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: 1},
			50 * time.Millisecond, kilo, "1@0s 1@50ms 998@50ms"},
		{"from zero", tokenbucket.Limit{Burst: 1}, tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: 1},
			50 * time.Millisecond, 3, "1@0s 1@1.05s 1@2.05s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, data, b := newMeter(), pattern(c.size), tokenbucket.New(c.from.Rate, c.from.Burst)
				time.AfterFunc(c.at, func() { b.SetLimit(c.to) })
				if n, err := NewWriter(context.Background(), m, b).Write(data); n != c.size || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
				m.want(t, data, c.want)
			})
		})
	}
}

// A chunk that was sized for a fast limit is made smaller within a second of a slow one.
func TestSlowerLimitWhileWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, b := newMeter(), drained(tokenbucket.PerSecond(1_000_000), 100_000)
		b.Charge(100_000) // a tenth of a second
		done := make(chan error, 1)
		go func() {
			_, err := NewWriter(context.Background(), m, b).Write(pattern(10_000))
			done <- err
		}()
		synctest.Wait()
		b.SetLimit(tokenbucket.Limit{Rate: tokenbucket.PerSecond(100_000), Burst: 100_000})
		if err := <-done; err != nil {
			t.Error(err)
		}
		elapsed(t, m.begun, 1100*time.Millisecond) // 110 000 tokens
		if m.calls[0] != "1000@1.01s" {
			t.Errorf("the first chunk was %s, want 10 ms of the new rate, once the debt was paid", m.calls[0])
		}
	})
}

// Streams that share a bucket take turns, however large the buffers of one are.
func TestStreamsShareFairly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := drained(tokenbucket.PerSecond(10_000), 1000)
		var meters [3]*meter
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for i, buffer := range []int{1 << 20, 1000, 100} {
			m := newMeter()
			meters[i] = m
			go func() {
				w := NewWriter(ctx, m, b)
				for {
					if _, err := w.Write(pattern(buffer)); err != nil {
						return
					}
				}
			}()
		}
		time.Sleep(30*time.Second + time.Millisecond)
		cancel()
		synctest.Wait()
		for i, m := range meters {
			if got := m.moved.Len(); got != 100_000 {
				t.Errorf("stream %d wrote %d bytes in 30 s, want a third of 300 000", i, got)
			}
		}
		if got := b.Tokens(); got != 10 {
			t.Errorf("%v tokens are left, want those of the last millisecond", got)
		}
	})
}

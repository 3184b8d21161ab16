package pace

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// pattern returns n bytes that do not repeat within 251, so that lost and repeated ones show.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

// A meter is a reader or a writer that records how many bytes were moved when, and which.
type meter struct {
	begun time.Time
	err   error // returned in place of moving anything
	short int   // a Write accepts at most as many bytes; 0 means all

	mu    sync.Mutex
	moved bytes.Buffer
	calls []string
}

func newMeter() *meter { return &meter{begun: time.Now()} }

func (m *meter) record(p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved.Write(p)
	m.calls = append(m.calls, fmt.Sprintf("%d@%v", len(p), time.Since(m.begun)))
}

func (m *meter) Write(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.short > 0 {
		p = p[:min(len(p), m.short)]
	}
	m.record(p)
	return len(p), nil
}

// reading returns a reader of r that records in m.
func (m *meter) reading(r io.Reader) io.Reader { return meteredReader{m, r} }

type meteredReader struct {
	*meter
	source io.Reader
}

func (r meteredReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if n > 0 {
		r.record(p[:n])
	}
	return n, err
}

// want fails unless exactly these bytes were moved, at these times.
func (m *meter) want(t *testing.T, data []byte, calls string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := strings.Join(m.calls, " "); got != calls {
		t.Errorf("moved %s, want %s", got, calls)
	}
	if !bytes.Equal(m.moved.Bytes(), data) {
		t.Errorf("moved %d bytes, not the %d that were meant", m.moved.Len(), len(data))
	}
}

// readerFunc and writerFunc are a Read and a Write.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

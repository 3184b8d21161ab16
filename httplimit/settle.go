package httplimit

import (
	"io"
	"net/http"
	"sync"
)

// settleAtEnd makes Settle be called when the body of resp has ended.
func (t *Transport) settleAtEnd(resp *http.Response, ds []demand) {
	if t.Settle == nil || len(ds) == 0 {
		return
	}
	settle := func(body []byte) { t.settle(resp, body, ds) }
	if resp.StatusCode == http.StatusSwitchingProtocols {
		settle(nil) // the body is a connection that can be written to, and has to stay one
		return
	}
	most := orDefault(t.SettleBytes, defaultSettleBytes)
	resp.Body = &recordedBody{ReadCloser: resp.Body, max: most, atEnd: settle}
}

// settle corrects the cost of each limit. Limits that share a bucket are corrected one by one.
func (t *Transport) settle(resp *http.Response, body []byte, ds []demand) {
	for i := range ds {
		l := ds[i].Limit
		cost := max(t.Settle(resp, body, l), 0)
		taker{}.correct(resp.Request.Context(), l.Limiter, l.Key, l.Cost-cost)
	}
}

// recordedBody is a response's body that calls atEnd with its last max bytes when it ends.
type recordedBody struct {
	io.ReadCloser
	max int

	mu    sync.Mutex // Close may be called during a Read
	tail  []byte     // up to twice max, so that it is seldom moved
	atEnd func([]byte)
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	if b.atEnd != nil {
		b.recordLocked(p[:n])
	}
	b.mu.Unlock()
	if err != nil {
		b.end()
	}
	return n, err
}

// recordLocked appends p to the tail. The caller must hold mu.
func (b *recordedBody) recordLocked(p []byte) {
	if len(p) >= b.max {
		b.tail = append(b.tail[:0], p[len(p)-b.max:]...)
		return
	}
	if len(b.tail)+len(p) > 2*b.max {
		n := copy(b.tail, b.tail[len(b.tail)-b.max:])
		b.tail = b.tail[:n]
	}
	b.tail = append(b.tail, p...)
}

func (b *recordedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *recordedBody) end() {
	b.mu.Lock()
	atEnd, tail := b.atEnd, b.tail
	b.atEnd, b.tail = nil, nil
	b.mu.Unlock()
	if atEnd != nil {
		atEnd(tail[max(len(tail)-b.max, 0):])
	}
}

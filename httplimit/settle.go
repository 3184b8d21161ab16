package httplimit

import (
	"io"
	"net/http"
	"sync"
)

// settleLater calls Settle once the body of resp has ended.
func (t *Transport) settleLater(resp *http.Response, cs []claim) {
	if t.Settle == nil || len(cs) == 0 {
		return
	}
	settle := func(body []byte) { t.settle(resp, body, cs) }
	if resp.StatusCode == http.StatusSwitchingProtocols {
		settle(nil) // the body is a connection that can be written to, and has to stay one
		return
	}
	resp.Body = &settledBody{ReadCloser: resp.Body, max: orDefault(t.SettleBytes, defaultSettleBytes), settle: settle}
}

func (t *Transport) settle(resp *http.Response, body []byte, cs []claim) {
	limits := make([]Limit, len(cs))
	for i := range cs {
		limits[i] = cs[i].Limit
	}
	t.Settle(resp, body, limits)
	for i := range cs {
		asker{}.adjust(resp.Request.Context(), &cs[i], cs[i].Cost-max(limits[i].Cost, 0))
	}
}

// settledBody is a response's body that settles when it ends.
type settledBody struct {
	io.ReadCloser
	max int

	mu     sync.Mutex // Close may be called during a Read
	tail   []byte     // up to twice max, so that it is seldom moved
	settle func([]byte)
}

func (b *settledBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	if b.settle != nil {
		b.keep(p[:n])
	}
	b.mu.Unlock()
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *settledBody) keep(p []byte) {
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

func (b *settledBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *settledBody) end() {
	b.mu.Lock()
	settle, tail := b.settle, b.tail
	b.settle, b.tail = nil, nil
	b.mu.Unlock()
	if settle != nil {
		settle(tail[max(len(tail)-b.max, 0):])
	}
}

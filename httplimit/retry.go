package httplimit

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

const (
	firstBackoff = time.Second
	mostBackoff  = 30 * time.Second

	// A response that is retried is read up to keepBytes, for up to keepTime, so that its
	// connection can be used again and the response can still be returned. A longer body costs
	// the connection: a new one is cheaper.
	keepBytes = 64 << 10
	keepTime  = time.Second
)

// isRefusal reports whether status is that of a request that can be retried later.
func isRefusal(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// again heeds what resp says, and reports whether the call is to be tried again. Then c.body is the
// body of the next attempt.
//
// Only what the server asks for pauses other requests. The backoff after an attempt that failed
// without such a wish is the call's own: a path that always answers 503 slows no other down.
func (c *call) again(resp *http.Response) bool {
	now := time.Now()
	a := c.t.heed(resp, now)
	c.obey(a, now)
	if !isRefusal(resp.StatusCode) || c.attempt >= c.t.MaxRetries || !c.t.mayRetry(c.req) {
		return false
	}
	wait := a.pause
	if wait <= 0 {
		wait = min(firstBackoff<<min(c.attempt, 10), mostBackoff, c.t.maxPause())
	}
	if c.until.IsZero() {
		c.until = now.Add(orDefault(c.t.MaxRetryWait, defaultMaxRetryWait))
	}
	next := now.Add(wait)
	deadline, ok := c.ctx.Deadline()
	if next.After(c.until) || ok && next.After(deadline) || !c.rewind() {
		return false
	}
	c.notBefore = time.Time{}
	if a.pause <= 0 {
		c.notBefore = next
	}
	return true
}

// obey puts an advice in force for all requests with the call's pause key.
func (c *call) obey(a advice, now time.Time) {
	p := &c.t.pauses
	p.hold(c.pauseKey, a.pause, now)
	switch {
	case a.every > 0:
		p.pace(c.pauseKey, a.every, c.sent, now)
	case a.pause <= 0:
		p.unpace(c.pauseKey)
	}
}

// rewind gets the body of the next attempt, and reports whether it could.
func (c *call) rewind() bool {
	if c.req.Body == nil || c.req.Body == http.NoBody {
		c.body = c.req.Body
		return true
	}
	if c.req.GetBody == nil {
		return false
	}
	body, err := c.req.GetBody()
	c.body = body
	return err == nil
}

func (t *Transport) mayRetry(req *http.Request) bool {
	if t.Retryable != nil {
		return t.Retryable(req)
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != ""
}

// keep reads the body of resp, closes it, and puts what was read in its place.
func keep(resp *http.Response) *http.Response {
	body := resp.Body
	stop := time.AfterFunc(keepTime, func() { body.Close() })
	b, err := io.ReadAll(io.LimitReader(body, keepBytes))
	if err == nil && len(b) == keepBytes {
		err = io.ErrUnexpectedEOF // a body that ends exactly there is called cut off too
	}
	stop.Stop()
	body.Close()
	resp.Body = &keptBody{bytes.NewReader(b), err}
	return resp
}

// keptBody is the part of a response's body that was read before.
type keptBody struct {
	r   *bytes.Reader
	err error // how the reading ended; nil at the end of the body
}

func (k *keptBody) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err == io.EOF && k.err != nil {
		err = k.err
	}
	return n, err
}

func (k *keptBody) Close() error { return nil }

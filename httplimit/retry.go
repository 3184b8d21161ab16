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

	// A response that is retried is read up to keepBytes, for up to keepTime, so that its connection can be used again
	// and it can still be returned. If there is more, the connection is given up: a new one is cheaper than a long body.
	keepBytes = 64 << 10
	keepTime  = time.Second
)

// again heeds what resp says, and reports whether the call is to be tried again. Then c.body is ready, and c.notBefore is
// the earliest time of the next attempt.
//
// Only what the server asks for pauses other requests. The backoff after an attempt that failed without such a wish is this
// call's own: one path that always answers 503 does not slow the others down.
func (c *call) again(resp *http.Response) bool {
	now := time.Now()
	a := c.t.heed(resp, now)
	c.obey(a, now)
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable ||
		c.attempt >= c.t.MaxRetries || !c.t.mayRetry(c.req) {
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
	if deadline, ok := c.req.Context().Deadline(); next.After(c.until) || ok && next.After(deadline) || !c.rewind() {
		return false
	}
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

func (t *Transport) maxPause() time.Duration { return orDefault(t.MaxPause, defaultMaxPause) }

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// rewind gets the body of the next attempt.
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
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != ""
}

// keep ends the body of resp and puts what was read of it in its place.
func keep(resp *http.Response) *http.Response {
	body := resp.Body
	stop := time.AfterFunc(keepTime, func() { body.Close() })
	b, err := io.ReadAll(io.LimitReader(body, keepBytes))
	if err == nil && len(b) == keepBytes {
		err = io.ErrUnexpectedEOF // it may have ended exactly there; nobody is harmed
	}
	stop.Stop()
	body.Close()
	resp.Body = &kept{bytes.NewReader(b), err}
	return resp
}

// kept is the body of a response that was read before, as far as it was.
type kept struct {
	r   *bytes.Reader
	err error // how the reading ended; nil: with the body
}

func (k *kept) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err == io.EOF && k.err != nil {
		err = k.err
	}
	return n, err
}

func (k *kept) Close() error { return nil }

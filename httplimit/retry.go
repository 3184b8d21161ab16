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

// again notes what resp says about the host, and tells whether the call is to be tried again. Then c.body is ready.
func (c *call) again(resp *http.Response) bool {
	now := time.Now()
	pause, told := c.t.heed(resp, now)
	if told {
		c.t.pauses.extend(c.host, pause, now)
	}
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable ||
		c.attempt >= c.t.MaxRetries || !c.t.mayRetry(c.req) {
		return false
	}
	if !told {
		pause = min(firstBackoff<<min(c.attempt, 10), mostBackoff, c.t.maxPause())
	}
	if c.until.IsZero() {
		c.until = now.Add(orDefault(c.t.MaxRetryWait, defaultMaxRetryWait))
	}
	next := now.Add(pause)
	if deadline, ok := c.req.Context().Deadline(); next.After(c.until) || ok && next.After(deadline) || !c.rewind() {
		return false
	}
	if !told {
		c.t.pauses.extend(c.host, pause, now)
	}
	return true
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

package httplimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A call is a request on its way, with all its attempts.
type call struct {
	t         *Transport
	req       *http.Request
	ctx       context.Context // of the waits; it ends with the context of req and with its Cancel
	host      string
	pauseKey  pauseKey
	attempt   int            // from 0
	sent      time.Time      // when the last attempt was sent
	body      io.ReadCloser  // of the next attempt
	last      *http.Response // of the last attempt if it is to be retried, held in memory
	until     time.Time      // when the last retry must have been sent; zero before the first
	notBefore time.Time      // the end of the backoff after the last attempt; zero if there is none
}

func (c *call) run() (*http.Response, error) {
	for {
		ds, err := c.admit()
		if err != nil {
			return c.giveUp(err)
		}
		resp, err := c.send(ds)
		if err != nil {
			return nil, err
		}
		if !c.again(resp) {
			return resp, nil
		}
		c.last = keep(resp)
		c.attempt++
	}
}

// giveUp ends a call whose next attempt is not sent. If that attempt would be too late, the last
// response is returned.
func (c *call) giveUp(err error) (*http.Response, error) {
	if c.body != nil {
		c.body.Close()
	}
	if c.last != nil && c.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return c.last, nil
	}
	return nil, err
}

// admit waits until an attempt may be sent, and returns what was taken for it.
func (c *call) admit() ([]demand, error) {
	ctx := c.ctx
	if c.attempt > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.until)
		defer cancel()
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	source := c.t.source()
	ds, err := source.demands(c.req, nil)
	if err != nil {
		return nil, err
	}
	if c.pauseKey, err = c.findPauseKey(ds); err != nil {
		return nil, err
	}
	if err := c.backOff(ctx); err != nil {
		return nil, err
	}
	for {
		// The pause comes first: tokens taken before it would all be spent at its end, at once.
		if err := c.pause(ctx); err != nil {
			return nil, err
		}
		if err := c.take(ctx, ds); err != nil {
			return nil, err
		}
		now := time.Now()
		if c.t.pauses.enter(c.pauseKey, now) {
			c.sent = now
			return ds, nil
		}
		taker{}.release(ctx, ds)
	}
}

// take waits until all demands have their tokens.
func (c *call) take(ctx context.Context, ds []demand) error {
	i, err := taker{}.wait(ctx, ctx, ds, func(d *demand) bool {
		c.t.counters.waited.Add(1)
		c.report(Event{Reason: ReasonLimit, Limit: d.Name, Key: d.Key, Wait: d.result.RetryAfter})
		return true
	})
	if err == nil {
		err = ended(ctx) // nothing is sent for a request that is over
	}
	if err == nil {
		return nil
	}
	taker{}.release(ctx, ds)
	if i < 0 {
		return err
	}
	// The key is left out because it may be a secret.
	return &waitError{fmt.Sprintf("limit %q, for %s", ds[i].Name, c.host), err}
}

// findPauseKey returns what the pauses of the call apply to.
func (c *call) findPauseKey(ds []demand) (pauseKey, error) {
	if c.t.PauseKey != nil {
		key, err := c.t.PauseKey(c.req)
		if err != nil || key == "" {
			return pauseKey{}, noKey(err)
		}
		return pauseKey{key: bounded(key)}, nil
	}
	k := pauseKey{host: bounded(c.host)}
	if len(ds) > 0 {
		k.key = ds[0].Key
	}
	return k, nil
}

// backOff waits for the end of the backoff after the last attempt.
func (c *call) backOff(ctx context.Context) error {
	d := time.Until(c.notBefore)
	if c.notBefore.IsZero() || d <= 0 {
		return nil
	}
	c.report(Event{Reason: ReasonBackoff, Key: c.host, Wait: d})
	if err := sleep(ctx, d+c.t.jitter(ctx, d)); err != nil {
		return &waitError{"the next attempt at " + c.host, err}
	}
	return nil
}

// pause waits until no pause is in force.
func (c *call) pause(ctx context.Context) error {
	for {
		d, jitter := c.t.pauses.left(c.pauseKey, time.Now())
		if d <= 0 {
			return nil
		}
		c.t.counters.paused.Add(1)
		c.report(Event{Reason: ReasonPause, Key: c.pauseKey.String(), Wait: d})
		if jitter {
			d += c.t.jitter(ctx, d)
		}
		if err := sleep(ctx, d); err != nil {
			return &waitError{"the pause of " + c.host, err}
		}
	}
}

// send makes an attempt. The tokens of a request that never got a connection are refunded.
func (c *call) send(ds []demand) (*http.Response, error) {
	var sought, wrote atomic.Bool
	ctx := httptrace.WithClientTrace(c.req.Context(), &httptrace.ClientTrace{
		GetConn:      func(string) { sought.Store(true) },
		WroteHeaders: func() { wrote.Store(true) },
	})
	req := c.req.WithContext(ctx)
	req.Body = c.body
	c.t.counters.sent.Add(1)
	if c.attempt > 0 {
		c.t.counters.retried.Add(1)
	}
	resp, err := c.t.base().RoundTrip(req)
	c.body = nil
	if err != nil {
		_, traces := c.t.base().(*http.Transport)
		if (traces || sought.Load()) && !wrote.Load() {
			taker{}.release(ctx, ds)
		}
		return nil, err
	}
	if resp == nil {
		return nil, fmt.Errorf("httplimit: %T returned neither a response nor an error", c.t.base())
	}
	if resp.Body == nil { // http.Transport never does that, but those of tests do
		resp.Body = http.NoBody
	}
	if isRefusal(resp.StatusCode) {
		c.t.counters.refused.Add(1)
	}
	resp.Request = c.req
	c.t.settleAtEnd(resp, ds)
	c.adapt(resp, ds)
	return resp, nil
}

// A waitError is the error of a request that waited in vain.
type waitError struct {
	what string
	err  error
}

func (e *waitError) Error() string { return "httplimit: waiting for " + e.what + ": " + plain(e.err) }
func (e *waitError) Unwrap() error { return e.err }

// Timeout makes the Timeout of the *url.Error true in which an http.Client wraps e.
func (e *waitError) Timeout() bool { return errors.Is(e.err, context.DeadlineExceeded) }

package httplimit

import (
	"log/slog"
	"net/http"
	"time"
)

// A Reason is why a request waits.
type Reason string

const (
	ReasonLimit   Reason = "limit"   // a limit of the Transport has no tokens for it
	ReasonPause   Reason = "pause"   // the server asked for a pause
	ReasonBackoff Reason = "backoff" // an attempt failed, and the server did not say how long to wait
)

// An Event tells that a request of a [Transport] has to wait. It is a plain value, for log/slog among others.
type Event struct {
	Request *http.Request
	Attempt int           // 1 is the first
	Reason  Reason        // why it waits
	Limit   string        // the name of the limit, if that is the reason
	Key     string        // whose tokens are waited for, or the host that is paused
	Wait    time.Duration // how long it will be at least, as far as is known; tokenbucket.Never if it is not
}

// LogValue implements slog.LogValuer. Of the URL it tells the host alone, for the rest may hold secrets; so may Key, which
// it leaves out.
func (e Event) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("reason", string(e.Reason)),
		slog.Duration("wait", e.Wait),
		slog.Int("attempt", e.Attempt),
		slog.String("method", e.Request.Method),
		slog.String("host", e.Request.URL.Host),
	}
	if e.Limit != "" {
		attrs = append(attrs, slog.String("limit", e.Limit))
	}
	return slog.GroupValue(attrs...)
}

func (c *call) tell(e Event) {
	if c.t.OnWait != nil {
		e.Request, e.Attempt = c.req, c.attempt+1
		c.t.OnWait(e)
	}
}

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
	ReasonBackoff Reason = "backoff" // an attempt failed, and the server asked for no pause
)

// An Event describes a wait of a request of a [Transport]. It is a plain value, and a
// slog.LogValuer.
type Event struct {
	Request *http.Request
	Attempt int           // 1 is the first
	Reason  Reason        // why it waits
	Limit   string        // the name of the limit, if that is the reason
	Key     string        // the key of the limit or of the pause, or the host of a backoff
	Wait    time.Duration // the least time to wait, as far as it is known, or tokenbucket.Never
}

// LogValue implements slog.LogValuer. It leaves out the URL except for its host, and Key, because
// they may hold secrets.
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

// report calls OnWait.
func (c *call) report(e Event) {
	if c.t.OnWait != nil {
		e.Request, e.Attempt = c.req, c.attempt+1
		c.t.OnWait(e)
	}
}

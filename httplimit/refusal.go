package httplimit

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/go-tokenbucket/tokenbucket"
)

// A Refusal says why a request is not served.
type Refusal struct {
	// Status is the status code of the answer: 429 for a request that is too many; 400 if it has no
	// key or a negative cost; 499 if its client gave up before the decision; 503 if its deadline
	// passed before that, or if a limiter failed and [WithOnError] decided not to serve.
	Status int

	// Policy is the name of the limit that refused.
	Policy string

	// Result is the result of that limit.
	Result tokenbucket.Result

	// Err is the reason if it is not a limit. It can name hosts and must not be shown to clients.
	Err error
}

// statusClientClosed is the status that nginx writes to its log in this case; HTTP has none. Only a
// client that has closed no more than its own half of the connection can read it.
const statusClientClosed = 499

// quotaExceeded is the problem type of draft-ietf-httpapi-ratelimit-headers for a request that is
// too many.
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// problem is RFC 9457, with the extension of the draft.
type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Violated []string `json:"violated-policies,omitempty"`
}

// Refuse answers a request that is not served with its status and the reason: as
// application/problem+json if the client prefers that, and as text otherwise.
func Refuse(w http.ResponseWriter, r *http.Request, why Refusal) {
	l := newLines()
	defer l.free()
	h := w.Header()
	h["Vary"] = joined(h["Vary"], l.line("Accept"))
	h["X-Content-Type-Options"] = l.line("nosniff")
	if prefersProblem(r.Header["Accept"]) {
		h["Content-Type"] = l.line("application/problem+json")
		l.buf = why.appendProblem(l.buf[:0])
	} else {
		h["Content-Type"] = l.line("text/plain; charset=utf-8")
		l.buf = append(append(l.buf[:0], why.title()...), ". "...)
		l.buf = append(why.appendDetail(l.buf), '\n')
	}
	w.WriteHeader(why.Status)
	_, _ = w.Write(l.buf)
}

func (f Refusal) appendProblem(b []byte) []byte {
	p := problem{Type: "about:blank", Title: f.title(), Status: f.Status, Detail: string(f.appendDetail(nil))}
	if f.Status == http.StatusTooManyRequests {
		p.Type, p.Title = quotaExceeded, "Request cannot be satisfied as assigned quota has been exceeded"
		p.Violated = []string{f.Policy}
	}
	text, _ := json.Marshal(p) // of strings and an int: it cannot fail
	return append(append(b, text...), '\n')
}

// title returns the text of the status.
func (f Refusal) title() string {
	if f.Status == statusClientClosed {
		return "Client Closed Request"
	}
	return http.StatusText(f.Status)
}

// appendDetail appends a sentence for the client.
func (f Refusal) appendDetail(b []byte) []byte {
	if f.Status != http.StatusTooManyRequests {
		return append(b, f.reason()...)
	}
	switch s := retrySeconds(f.Result); s {
	case 0:
		return append(b, "The request is larger than its limit can ever allow."...)
	case 1:
		return append(b, "Try again in 1 second."...)
	default:
		b = append(b, "Try again in "...)
		return append(strconv.AppendInt(b, s, 10), " seconds."...)
	}
}

// reason returns why there was no decision, in words for the client.
func (f Refusal) reason() string {
	switch {
	case errors.Is(f.Err, ErrNoKey):
		return "The request does not tell who it comes from."
	case errors.Is(f.Err, ErrCost):
		return "The request does not tell how large it is."
	case errors.As(f.Err, new(*endedError)):
		return "The request ended before it was decided."
	}
	return "The service cannot tell at the moment whether the request is within its limit."
}

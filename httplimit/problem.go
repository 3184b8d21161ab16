package httplimit

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// quotaExceeded is the problem type of draft-ietf-httpapi-ratelimit-headers for a request that is too many.
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// problem is RFC 9457, with the extension of the draft.
type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Violated []string `json:"violated-policies,omitempty"`
}

// Refuse answers a request that is not served: the status, and why, as application/problem+json if the client accepts that,
// by name or as JSON, otherwise as text.
func Refuse(w http.ResponseWriter, r *http.Request, why Refusal) {
	h := w.Header()
	h.Add("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	if !prefersProblem(r.Header["Accept"]) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(why.Status)
		_, _ = w.Write([]byte(why.title() + ". " + why.detail() + "\n"))
		return
	}
	p := problem{Type: "about:blank", Title: why.title(), Status: why.Status, Detail: why.detail()}
	if why.Status == http.StatusTooManyRequests {
		p.Type, p.Title = quotaExceeded, "Request cannot be satisfied as assigned quota has been exceeded"
		p.Violated = []string{why.Policy}
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(why.Status)
	b, _ := json.Marshal(p) // of strings and an int: it cannot fail
	_, _ = w.Write(append(b, '\n'))
}

// maxAccept is how much of Accept is looked at. A refusal is to cost the server next to nothing, whatever the client sends.
const maxAccept = 1024

// prefersProblem tells whether Accept ranks application/problem+json above text/plain, by weight, then by how specific it
// is. Whoever takes JSON takes it too; to */* alone the answer is text.
func prefersProblem(accept []string) bool {
	var json, text preference
	left := maxAccept
	for _, line := range accept {
		if len(line) > left {
			break
		}
		left -= len(line)
		for e := range strings.SplitSeq(line, ",") {
			mediaType, q := mediaRange(e)
			switch mediaType {
			case "application/problem+json":
				json.set(q, 4)
			case "application/json":
				json.set(q, 3)
			case "application/*":
				json.set(q, 2)
			case "text/plain":
				text.set(q, 3)
			case "text/*":
				text.set(q, 2)
			case "*/*":
				json.set(q, 1)
				text.set(q, 1)
			}
		}
	}
	return json.q > text.q || json.q == text.q && json.q > 0 && json.specific > text.specific
}

// A preference is a weight, and how specific the media range is that it comes from.
type preference struct {
	q        float64
	specific int
}

// set makes the weight that of the most specific range that matches.
func (p *preference) set(q float64, specific int) {
	if specific > p.specific {
		*p = preference{q: q, specific: specific}
	}
}

// mediaRange reads an element of Accept. A weight that is not one makes it unacceptable.
func mediaRange(s string) (mediaType string, q float64) {
	mediaType, params, _ := strings.Cut(s, ";")
	q = 1
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			var err error
			if q, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
		}
	}
	return strings.ToLower(strings.TrimSpace(mediaType)), q
}

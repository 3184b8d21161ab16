package httplimit

import (
	"strconv"
	"strings"
)

// maxAccept is how many bytes of Accept are read: a refusal has to be cheap, whatever is in it.
const maxAccept = 1024

// prefersProblem reports whether Accept ranks application/problem+json above text/plain, by weight
// and then by how specific the media range is. application/json counts as problem+json. For */*
// alone it returns false.
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

// A preference is a weight, and how specific its media range is.
type preference struct {
	q        float64
	specific int
}

// set takes the weight of a media range if it is the most specific one so far.
func (p *preference) set(q float64, specific int) {
	if specific > p.specific {
		*p = preference{q: q, specific: specific}
	}
}

// mediaRange reads an element of Accept. If its weight cannot be read, q is 0: not acceptable.
func mediaRange(s string) (mediaType string, q float64) {
	mediaType, params, _ := strings.Cut(s, ";")
	q = 1
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			var err error
			q, err = strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
		}
	}
	return strings.ToLower(strings.TrimSpace(mediaType)), q
}

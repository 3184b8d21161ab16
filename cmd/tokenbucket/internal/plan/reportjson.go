package plan

import (
	"bytes"
	"encoding/json"
	"math/big"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// jsonReport is the report of -json. Times are RFC 3339, durations are in seconds, rates are text
// that -rate accepts.
type jsonReport struct {
	Rate    string `json:"rate"`
	Burst   int    `json:"burst"`
	First   string `json:"first"` // time of the first request
	Last    string `json:"last"`
	Spread  bool   `json:"spread"`   // the requests of each second were spread within it
	LeftOut int64  `json:"left_out"` // lines

	jsonFigures
	SmallestRate jsonRate  `json:"smallest_rate"`
	Keys         *jsonKeys `json:"keys,omitempty"` // with -key
}

// jsonFigures are what the limit did to a key, or to all requests.
type jsonFigures struct {
	Requests    int64    `json:"requests"`
	Allowed     int64    `json:"allowed"`
	Denied      int64    `json:"denied"`
	LongestWait float64  `json:"longest_wait_seconds"`
	Burst       *big.Int `json:"burst_needed"`
}

// jsonRate is the smallest rate that denies nothing.
type jsonRate struct {
	Rate       string `json:"rate"`                  // "inf" if no rate is enough, "0" if the burst is
	Exact      string `json:"exact,omitempty"`       // if Rate was rounded
	LowerBound bool   `json:"lower_bound,omitempty"` // the smallest rate is at least this
}

type jsonKeys struct {
	Followed int       `json:"followed"`        // keys with figures of their own
	Worst    []jsonKey `json:"worst"`           // with the most denials, at most -top
	Others   int64     `json:"other_requests"`  // of keys beyond -maxkeys; not in the waits and needs
	Assumed  int64     `json:"assumed_allowed"` // of those: they had no bucket and count as allowed
}

type jsonKey struct {
	Key string `json:"key"` // its beginning, if it is long
	jsonFigures
}

func (p *plan) writeJSON(b *bytes.Buffer) {
	r, total := p.replay, newSummary(p.replay)
	report := jsonReport{
		Rate: r.limit.Rate.String(), Burst: r.limit.Burst, First: p.showTime(r.first), Last: p.showTime(r.last),
		Spread: r.spread != nil, LeftOut: p.leftOut.Count,
		jsonFigures:  figures(total.allowed, total.denied, total.wait, total.burst),
		SmallestRate: newJSONRate(r.steepest),
	}
	if p.key.isSet() {
		report.Keys = &jsonKeys{Followed: len(r.keys), Worst: []jsonKey{}, Others: r.rest.requests(), Assumed: r.assumed}
		keys := r.worstFirst()
		for _, k := range keys[:min(p.top, len(keys))] {
			f := figures(k.allowed, k.denied, k.demand.wait(r.scale), k.demand.burst(r.scale))
			report.Keys.Worst = append(report.Keys.Worst, jsonKey{k.name, f})
		}
	}
	e := json.NewEncoder(b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(report) // a buffer takes it, and every value has a form in JSON
}

func figures(allowed, denied int64, wait time.Duration, burst *big.Int) jsonFigures {
	return jsonFigures{allowed + denied, allowed, denied, wait.Seconds(), burst}
}

func newJSONRate(s steepest) jsonRate {
	switch {
	case s.ns == 0:
		return jsonRate{Rate: tokenbucket.Inf().String()}
	case s.tokens == 0:
		return jsonRate{Rate: "0"}
	}
	text, rounded := roundUp(s.slope)
	r := jsonRate{Rate: text, LowerBound: s.thinned}
	if rounded {
		r.Exact = s.rate().String()
	}
	return r
}

package scenarios

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
)

// A history is what could be seen of one run, in order.
type history struct {
	ops     []op
	replies []reply
	events  []event
}

type event struct {
	kind eventKind
	op   int   // that began or ended
	at   int64 // the virtual time then
}

type eventKind int8

const (
	began eventKind = iota
	returned
	rested // nobody could go on, and the time was about to move
	moved  // the time, while others could go on
)

func (h *history) begin(o op, at time.Duration) int {
	h.ops = append(h.ops, o)
	h.replies = append(h.replies, reply{})
	h.events = append(h.events, event{began, len(h.ops) - 1, int64(at)})
	return len(h.ops) - 1
}

func (h *history) end(i int, r reply, at time.Duration) {
	h.replies[i] = r
	h.events = append(h.events, event{returned, i, int64(at)})
}

func (h *history) rest(at time.Duration) { h.events = append(h.events, event{rested, -1, int64(at)}) }

// of returns the part of the history that concerns one key.
func (h *history) of(key uint64) *history {
	part := &history{}
	number := make(map[int]int)
	for _, e := range h.events {
		if e.op >= 0 {
			if o := h.ops[e.op]; o.key != key && !o.everyKey() {
				continue
			}
			if e.kind == began {
				number[e.op] = len(part.ops)
				part.ops = append(part.ops, h.ops[e.op])
				part.replies = append(part.replies, h.replies[e.op])
			}
			e.op = number[e.op]
		}
		part.events = append(part.events, e)
	}
	return part
}

// fingerprint returns a text that differs for different histories.
func (h *history) fingerprint(buf []byte) []byte {
	for _, e := range h.events {
		buf = append(buf, byte(e.kind), byte(e.op))
		buf = binary.AppendVarint(buf, e.at)
		switch e.kind {
		case began:
			o := h.ops[e.op]
			buf = append(buf, byte(o.kind), byte(o.n), byte(o.slot), byte(o.ctx), byte(o.key))
			buf = binary.AppendVarint(buf, int64(o.d))
		case returned:
			buf = h.replies[e.op].append(buf)
		}
	}
	return buf
}

func (r reply) append(buf []byte) []byte {
	buf = append(buf, byte(r.err))
	for _, x := range []int64{int64(r.n), int64(r.d), int64(r.result.Remaining), int64(r.result.RetryAfter),
		int64(r.result.ResetAfter), int64(r.result.Limit.Burst), int64(math.Float64bits(r.f))} {
		buf = binary.AppendVarint(buf, x)
	}
	if r.result.Allowed {
		return append(buf, 1)
	}
	return append(buf, 0)
}

func (h *history) String() string {
	var b strings.Builder
	for _, e := range h.events {
		at := time.Duration(e.at)
		switch e.kind {
		case began:
			fmt.Fprintf(&b, "  %12v  #%d %v\n", at, e.op, h.ops[e.op])
		case returned:
			fmt.Fprintf(&b, "  %12v  #%d %v = %+v\n", at, e.op, h.ops[e.op], h.replies[e.op])
		default:
			fmt.Fprintf(&b, "  %12v  nobody can go on\n", at)
		}
	}
	return b.String()
}

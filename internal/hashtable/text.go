package hashtable

import (
	"strings"
	"unsafe"
)

// The strings of a segment lie behind each other in one array of bytes. It grows at its end: what a
// span refers to stays where it is in the array and in all that come after it, so a look-up may use
// any that is not older than the span. Long strings, whose moving would take too long, stay apart
// from it.

// A span is a string in the array: the offset and the number of its bytes. With a length of isLong,
// it is the string of that number in the list of long ones.
type span struct{ offset, length uint32 }

const (
	isLong  = ^uint32(0)
	maxText = 1 << 10 // bytes of a string in the array; a segment of the longest takes 0.9 MB
)

// view returns the string of a span. It shares its bytes with the segment, which never change.
func (s *segment[K, V]) view(at span) string {
	if at.length == isLong {
		return s.long.at(int(at.offset))
	}
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(s.text.Load()), at.offset)), at.length)
}

// addText copies text into the segment. The lock is held, or the segment not yet public.
func (s *segment[K, V]) addText(text string) span {
	switch {
	case len(text) > maxText:
		return span{uint32(s.long.add(strings.Clone(text))), isLong}
	case text == "":
		return span{} // an offset at the end of the array would point behind it
	}
	if len(text) > cap(s.bytes)-len(s.bytes) {
		s.reserve(len(text))
	}
	at := span{uint32(len(s.bytes)), uint32(len(text))}
	s.bytes = append(s.bytes, text...)
	return at
}

// reserve makes room for n more bytes.
func (s *segment[K, V]) reserve(n int) {
	if n > 0 {
		s.bytes = append(s.bytes, make([]byte, n)...)[:len(s.bytes)]
		s.text.Store(unsafe.SliceData(s.bytes))
	}
}

// findText is find for a table of strings.
func (s *segment[K, V]) findText(h uint64, key string) (*head, int, int) {
	n, tag := len(s.texts), tagOf(h)
	i := int(uint64(uint32(h>>8)) * uint64(n) >> 32)
	for range n {
		g := &s.texts[i]
		tags := g.tags.Load()
		for m := match(tags, tag); m != 0; m &= m - 1 {
			if slot := slotOf(m); s.view(g.keys[slot]) == key {
				return &g.head, i, slot
			}
		}
		if tags < passed {
			break
		}
		if i++; i == n {
			i = 0
		}
	}
	return nil, 0, 0
}

package tokenbucket

import (
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

var (
	_ fmt.Stringer             = Limit{}
	_ encoding.TextMarshaler   = Limit{}
	_ encoding.TextUnmarshaler = (*Limit)(nil)
	_ json.Marshaler           = Limit{}
	_ json.Unmarshaler         = (*Limit)(nil)
)

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		limit     Limit
		text, err string
	}{
		{Limit{PerSecond(10), 20}, "10/s burst 20", ""},
		{Limit{Inf(), 1}, "inf burst 1", ""},
		{Limit{Rate{}, math.MaxInt}, fmt.Sprintf("0 burst %d", math.MaxInt), ""},
		{Limit{}, "0 burst 0", "tokenbucket: Limit: Burst is 0, want 1 to math.MaxInt"},
		{Limit{PerSecond(1), -1}, "1/s burst -1", "tokenbucket: Limit: Burst is -1, want 1 to math.MaxInt"},
		{Limit{Inf(), 0}, "inf burst 0", "tokenbucket: Limit: Burst is 0, want 1 to math.MaxInt"},
	} {
		if got := c.limit.String(); got != c.text {
			t.Errorf("prints %q, want %q", got, c.text)
		}
		if err := c.limit.Validate(); (err == nil) != (c.err == "") || (err != nil && err.Error() != c.err) {
			t.Errorf("%v: %v, want %q", c.limit, err, c.err)
		}
	}
	if (Limit{PerSecond(1), 2}) != (Limit{PerMinute(60), 2}) {
		t.Error("equal limits are not equal")
	}
}

func TestLimitText(t *testing.T) {
	for text, want := range map[string]Limit{
		"10/s burst 20":     {PerSecond(10), 20},
		"10/min burst 5":    {PerMinute(10), 5},
		"inf burst 1":       {Inf(), 1},
		"0 burst 3":         {Rate{}, 3},
		"0 burst 0":         {},
		"1/24h burst 00007": {Every(24 * time.Hour), 7},
	} {
		got := Limit{PerSecond(1), 1}
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q reads as %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestLimitTextRejects(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `tokenbucket: limit "": want a rate and a burst, such as "10/s burst 20"`,
		"10/s":                   `tokenbucket: limit "10/s": want a rate and a burst, such as "10/s burst 20"`,
		"10/s Burst 20":          `tokenbucket: limit "10/s Burst 20": want a rate and a burst, such as "10/s burst 20"`,
		"10/x burst 20":          `tokenbucket: limit "10/x burst 20": tokenbucket: rate "10/x": period is "x", want `,
		"10/s burst ":            `tokenbucket: limit "10/s burst ": burst is "", want 1 to math.MaxInt`,
		"10/s burst two":         `tokenbucket: limit "10/s burst two": burst is "two", want 1 to math.MaxInt`,
		"10/s burst +2":          `tokenbucket: limit "10/s burst +2": burst is "+2", want 1 to math.MaxInt`,
		"10/s burst -2":          `tokenbucket: limit "10/s burst -2": burst is "-2", want 1 to math.MaxInt`,
		"10/s burst 2.5":         `tokenbucket: limit "10/s burst 2.5": burst is "2.5", want 1 to math.MaxInt`,
		"10/s burst  2":          `tokenbucket: limit "10/s burst  2": burst is " 2", want 1 to math.MaxInt`,
		"1/s burst 2\n":          `tokenbucket: limit "1/s burst 2\n": burst is "2\n", want 1 to math.MaxInt`,
		"1/s burst 0":            `tokenbucket: Limit: Burst is 0, want 1 to math.MaxInt`,
		"1/s burst " + tooMuch:   `tokenbucket: limit "1/s burst ` + tooMuch + `": burst is "` + tooMuch + `", want `,
		strings.Repeat("1", 1e6): `tokenbucket: limit "1111111111111111"... has 1000000 bytes, want at most 91`,
	} {
		got := Limit{PerSecond(1), 1}
		err := got.UnmarshalText([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || got != (Limit{PerSecond(1), 1}) {
			t.Errorf("%.40q reads as %v, %v\nwant %s", text, got, err, want)
		}
	}
}

const tooMuch = "9223372036854775808" // 2^63

func TestLimitJSON(t *testing.T) {
	type config struct {
		Default Limit
		ByName  map[string]Limit
		Unset   Limit
		None    *Limit
	}
	in := config{Default: Limit{PerMinute(100), 20}, ByName: map[string]Limit{"a": {Every(7 * time.Microsecond), math.MaxInt}}}
	text, err := json.Marshal(in)
	want := fmt.Sprintf(`{"Default":{"rate":"100/m","burst":20},"ByName":{"a":{"rate":"1/7µs","burst":%d}},`+
		`"Unset":{"rate":"0","burst":0},"None":null}`, math.MaxInt)
	if err != nil || string(text) != want {
		t.Fatalf("%s, %v, want %s", text, err, want)
	}
	var out config
	if err := json.Unmarshal(text, &out); err != nil || fmt.Sprint(out) != fmt.Sprint(in) {
		t.Errorf("reads back %+v, %v, want %+v", out, err, in)
	}
	for text, want := range map[string]Limit{
		`{"burst": 3, "rate": "1/day", "note": ["more"]}`: {Every(24 * time.Hour), 3},
		`{"Rate":"inf","Burst":1}`:                        {Inf(), 1},
		` "10/s burst 20" `:                               {PerSecond(10), 20},
		`null`:                                            {PerSecond(1), 1},
	} {
		got := Limit{PerSecond(1), 1}
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s reads as %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestLimitJSONRejects(t *testing.T) {
	for text, want := range map[string]string{
		`{"rate":"10/x","burst":5}`:   `tokenbucket: limit: tokenbucket: rate "10/x": period is "x", want `,
		`{"rate":10,"burst":5}`:       `tokenbucket: limit: json: cannot unmarshal `,
		`{"rate":"10/s"}`:             `tokenbucket: limit: burst is missing, want {"rate":"10/s","burst":20}`,
		`{"brust":5,"rate":"10/s"}`:   `tokenbucket: limit: burst is missing, want {"rate":"10/s","burst":20}`,
		`{"rte":"10/s","burst":5}`:    `tokenbucket: limit: rate is missing, want {"rate":"10/s","burst":20}`,
		`{"rate":null,"burst":5}`:     `tokenbucket: limit: rate is missing, want {"rate":"10/s","burst":20}`,
		`{}`:                          `tokenbucket: limit: rate is missing, want {"rate":"10/s","burst":20}`,
		`{"rate":"1/s","burst":0}`:    `tokenbucket: Limit: Burst is 0, want 1 to math.MaxInt`,
		`{"rate":"1/s","burst":-5}`:   `tokenbucket: Limit: Burst is -5, want 1 to math.MaxInt`,
		`{"rate":"1/s","burst":1.5}`:  `tokenbucket: limit: json: cannot unmarshal `,
		`{"rate":"1/s","burst":1e99}`: `tokenbucket: limit: json: cannot unmarshal `,
		`"10/s"`:                      `tokenbucket: limit "10/s": want a rate and a burst`,
		`7`:                           `tokenbucket: limit: json: cannot unmarshal `,
		`[]`:                          `tokenbucket: limit: json: cannot unmarshal `,
	} {
		got := Limit{PerSecond(1), 1}
		err := json.Unmarshal([]byte(text), &got)
		if err == nil || !strings.HasPrefix(err.Error(), want) || got != (Limit{PerSecond(1), 1}) {
			t.Errorf("%s reads as %v, %v\nwant %s", text, got, err, want)
		}
	}
}

// What cannot be read is not written.
func TestLimitWritesOnlyWhatReads(t *testing.T) {
	for _, l := range []Limit{{PerSecond(1), 0}, {PerSecond(1), -1}, {Rate{}, -1}} {
		want := l.Validate()
		if text, err := l.MarshalText(); err == nil || err.Error() != want.Error() {
			t.Errorf("%v: text %q, %v, want %v", l, text, err, want)
		}
		if text, err := l.MarshalJSON(); err == nil || err.Error() != want.Error() {
			t.Errorf("%v: JSON %q, %v, want %v", l, text, err, want)
		}
	}
}

func TestLimitFlag(t *testing.T) {
	var l Limit
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.TextVar(&l, "limit", Limit{PerSecond(7), 9}, "the limit")
	if got := fs.Lookup("limit").DefValue; got != "7/s burst 9" {
		t.Errorf("the default is %q", got)
	}
	if err := fs.Parse([]string{"-limit", "10/min burst 3"}); err != nil || l != (Limit{PerMinute(10), 3}) {
		t.Errorf("the flag gives %v, %v", l, err)
	}
}

func mustReadBackLimit(t *testing.T, l Limit) {
	t.Helper()
	text, err := l.MarshalText()
	var back Limit
	if err2 := back.UnmarshalText(text); err != nil || err2 != nil || back != l || string(text) != l.String() {
		t.Errorf("%v is the text %q, %v, reads back %v, %v", l, text, err, back, err2)
	}
	text, err = json.Marshal(l)
	back = Limit{}
	if err2 := json.Unmarshal(text, &back); err != nil || err2 != nil || back != l {
		t.Errorf("%v is the JSON %s, %v, reads back %v, %v", l, text, err, back, err2)
	}
}

func FuzzLimitText(f *testing.F) {
	for _, c := range texts {
		f.Add(c.text + " burst 20")
	}
	f.Add("0 burst 0")
	f.Add("10/s burst " + tooMuch)
	f.Fuzz(func(t *testing.T, s string) {
		var l Limit
		if err := l.UnmarshalText([]byte(s)); err != nil {
			if l != (Limit{}) || !strings.HasPrefix(err.Error(), "tokenbucket: ") || len(err.Error()) > 2000 {
				t.Errorf("%q reads as %v, %v", s, l, err)
			}
			return
		}
		mustReadBackLimit(t, l)
	})
}

func FuzzLimitJSON(f *testing.F) {
	for _, c := range texts {
		f.Add(`{"rate":"` + c.text + `","burst":20}`)
	}
	f.Add(`"10/s burst 20"`)
	f.Add(`{"rate":"10/s","burst":1e3}`)
	f.Fuzz(func(t *testing.T, s string) {
		var l Limit
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			if l != (Limit{}) {
				t.Errorf("%q reads as %v, %v", s, l, err)
			}
			return
		}
		mustReadBackLimit(t, l)
	})
}

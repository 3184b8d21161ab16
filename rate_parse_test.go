package tokenbucket

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	hour := uint64(time.Hour)
	for _, c := range []struct {
		text string
		want Rate
	}{
		{"10/s", Rate{1, 0, 100e6}},
		{"100/m", Rate{1, 0, 600e6}},
		{"1000/h", Rate{1, 0, 3600e6}},
		{"5/250ms", Rate{1, 0, 50e6}},
		{"0.3/s", Rate{3, 0, 10e9}},
		{".3/s", Rate{3, 0, 10e9}},
		{"3./s", Rate{3, 0, 1e9}},
		{"1/24h", Rate{1, 0, 24 * hour}},
		{"1e6/s", Rate{1, 0, 1000}},
		{"1E+6/s", Rate{1, 0, 1000}},
		{"1.5e-3/s", Rate{3, 0, 2000e9}},
		{"1e27/s", Rate{1e18, 0, 1}},
		{"0010/s", Rate{1, 0, 100e6}},
		{"1/1h30m", Rate{1, 0, hour * 3 / 2}},
		{"1/1.5s", Rate{1, 0, 1500e6}},
		{"1/.5s", Rate{1, 0, 500e6}},
		{"1/1.s", Rate{1, 0, 1e9}},
		{"1/30m1h", Rate{1, 0, hour * 3 / 2}},
		{"1/0.5ns0.5ns", Rate{1, 0, 1}},
		{"1/0s1ns", Rate{1, 0, 1}},
		{"1/ns", Rate{1, 0, 1}},
		{"1/us", Rate{1, 0, 1e3}},
		{"1/µs", Rate{1, 0, 1e3}},
		{"1/\u03bcs", Rate{1, 0, 1e3}},
		{"1/ms", Rate{1, 0, 1e6}},
		{"1/7us", Rate{1, 0, 7e3}},
		{"10/sec", PerSecond(10)},
		{"10/secs", PerSecond(10)},
		{"10/second", PerSecond(10)},
		{"10/seconds", PerSecond(10)},
		{"10/min", PerMinute(10)},
		{"10/mins", PerMinute(10)},
		{"10/minute", PerMinute(10)},
		{"10/minutes", PerMinute(10)},
		{"10/hr", PerHour(10)},
		{"10/hrs", PerHour(10)},
		{"10/hour", PerHour(10)},
		{"10/hours", PerHour(10)},
		{"10/d", Per(10, 24*time.Hour)},
		{"10/day", Per(10, 24*time.Hour)},
		{"10/days", Per(10, 24*time.Hour)},
		{"10/1day", Per(10, 24*time.Hour)},
		{"1/2days12hours", Every(60 * time.Hour)},
		{"1/1.5d", Every(36 * time.Hour)},
		{"0/s", Rate{}},
		{"0.000/1h30m", Rate{}},
		{"0e400/s", Rate{}},
		{"inf", Inf()},
		{"0", Rate{}},
		{"1/10000000000h", Rate{1, 1951, 10402312192664797184}}, // beyond a time.Duration
	} {
		got, err := ParseRate(c.text)
		if err != nil || got != c.want {
			t.Errorf("ParseRate(%q) = %#v, %v, want %#v", c.text, got, err, c.want)
		}
		mustReadBack(t, got)
	}
	for _, c := range texts {
		if got, err := ParseRate(c.text); err != nil || got != c.value {
			t.Errorf("ParseRate(%q) = %#v, %v, want %#v", c.text, got, err, c.value)
		}
	}
}

func TestParseRateRejects(t *testing.T) {
	for _, c := range []struct {
		why   string // %q is the part before or after the slash
		texts []string
	}{
		{`want tokens/period, such as "10/s" or "5/250ms", or "inf", or "0"`, []string{
			"", "10", "-0", "0.0", "Inf", "+inf", "NaN", " 10", "10 per s",
		}},
		{`tokens are %q, want a decimal of 0 or more, with an exponent of at most 400`, []string{
			"/s", "./s", "1.2.3/s", "-1/s", "-0/s", "+1/s", "NaN/s", "inf/s", "Inf/s", "1,5/s", " 10/s", "10 /s", "١/s", "1\xff/s",
			"0x10/s", "0x1p3/s", "0b1/s", "0o7/s", "1p3/s", "1_000/s", "1e/s", "e3/s", "1e1.5/s", "1e3e3/s", "1e+-3/s", "1e1_0/s",
			"1e401/s", "1e-401/s", "0e401/s", "1e999999999/s", "1e99999999999999999999/s",
		}},
		{`period is %q, want a duration such as "s", "250ms" or "1h30m"`, []string{
			"10/", "10/x", "10/S", "10/D", "10/w", "10/mo", "10/secon", "10/minutess", "10/1 day", "10/dd", "10/0", "10/5", "10/ s", "10/s ", "10/1 s", "10/s/s", "10/-1s", "10/+1s",
			"10/1h-1m", "10/hm", "10/s1", "10/1s1", "10/.s", "10/1.2.3s", "10/1e3s", "10/0x1s", "10/1_0s", "10/inf",
		}},
		{`period is %q, want a whole number of nanoseconds, 1 or more`, []string{
			"10/0s", "0/0s", "10/0h0m0.0s", "10/0.5ns", "10/1.5ns", "10/0.0000000001s",
		}},
		{`out of range, want less than 2^64 tokens per less than 2^128ns, in lowest terms`, []string{
			"1e400/s", "1e-400/s", "18446744073709551616/ns", "1/340282366920938463463374607431768211456ns",
			"0.33333333333333333333/s", // 20 digits
		}},
	} {
		for _, text := range c.texts {
			why := c.why
			if tokens, period, _ := strings.Cut(text, "/"); strings.HasPrefix(why, "tokens are") {
				why = fmt.Sprintf(why, tokens)
			} else if strings.HasPrefix(why, "period is") {
				why = fmt.Sprintf(why, period)
			}
			got, err := ParseRate(text)
			want := fmt.Sprintf("tokenbucket: rate %q: %s", text, why)
			if err == nil || err.Error() != want || got != (Rate{}) {
				t.Errorf("ParseRate(%q) = %#v, %v\nwant %s", text, got, err, want)
			}
		}
	}
}

func TestParseRateLength(t *testing.T) {
	if got, err := ParseRate(strings.Repeat("0", 61) + "1/s"); err != nil || got != PerSecond(1) {
		t.Errorf("64 bytes: %v, %v", got, err)
	}
	for text, want := range map[string]string{
		strings.Repeat("0", 62) + "1/s":    `tokenbucket: rate "0000000000000000"... has 65 bytes, want at most 64`,
		strings.Repeat("9", 1<<20) + "/s":  `tokenbucket: rate "9999999999999999"... has 1048578 bytes, want at most 64`,
		"1/" + strings.Repeat("1h", 1<<19): `tokenbucket: rate "1/1h1h1h1h1h1h1h"... has 1048578 bytes, want at most 64`,
		strings.Repeat("\xff", 1e6):        `tokenbucket: rate "` + strings.Repeat(`\xff`, 16) + `"... has 1000000 bytes, want at most 64`,
	} {
		if got, err := ParseRate(text); err == nil || err.Error() != want || got != (Rate{}) {
			t.Errorf("%d bytes: %#v, %v, want %s", len(text), got, err, want)
		}
	}
}

func TestMustParseRate(t *testing.T) {
	if got := MustParseRate("10/min"); got != PerMinute(10) {
		t.Errorf("10/min: %v", got)
	}
	defer func() {
		if got, want := recover(), `tokenbucket: rate "ten": want tokens/period, `; !strings.HasPrefix(fmt.Sprint(got), want) {
			t.Errorf("panics with %v, want %s...", got, want)
		}
	}()
	MustParseRate("ten")
}

func TestRateJSON(t *testing.T) {
	type config struct {
		Rates map[Rate]Rate
		None  *Rate
	}
	in := config{Rates: map[Rate]Rate{Inf(): {}, PerSecond(1): Every(24 * time.Hour)}}
	text, err := json.Marshal(in)
	want := `{"Rates":{"1/s":"1/24h","inf":"0"},"None":null}`
	if err != nil || string(text) != want {
		t.Fatalf("%s, %v, want %s", text, err, want)
	}
	var out config
	if err := json.Unmarshal(text, &out); err != nil || !reflect.DeepEqual(out, in) {
		t.Errorf("reads back %+v, %v, want %+v", out, err, in)
	}
	r := PerSecond(3)
	err = json.Unmarshal([]byte(`"10/x"`), &r)
	if err == nil || !strings.Contains(err.Error(), `tokenbucket: rate "10/x": period is "x", want `) || r != PerSecond(3) {
		t.Errorf("bad rate: %v, %v", r, err)
	}
	if err := json.Unmarshal([]byte(`10`), &r); err == nil {
		t.Errorf("a number was taken for a rate: %v", r)
	}
}

func TestRateFlag(t *testing.T) {
	var r Rate
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.TextVar(&r, "rate", PerSecond(7), "the rate")
	if r != PerSecond(7) || fs.Lookup("rate").DefValue != "7/s" {
		t.Errorf("the default is %v, %q", r, fs.Lookup("rate").DefValue)
	}
	if err := fs.Parse([]string{"-rate", "5/250ms"}); err != nil || r != PerSecond(20) {
		t.Errorf("-rate 5/250ms gives %v, %v", r, err)
	}
	if err := fs.Parse([]string{"-rate", "5"}); err == nil || r != PerSecond(20) {
		t.Errorf("-rate 5 gives %v, %v", r, err)
	}
}

// Whatever parses means what time.ParseDuration and big.Rat say, if they understand it, prints, and reads back equal.
func FuzzParseRate(f *testing.F) {
	for _, c := range texts {
		f.Add(c.text)
	}
	for _, s := range []string{
		"", "/", "-1/s", "0.3/s", "1e6/s", "1e999999999/s", "1/1.5ns", "1/0s", "1/1h30m", "1/.5s", "1/us", "10/s/s", "0x1p3/s",
		"1e-29/s", "0.3333333333333333/s", "18446744073709551616/ns", "1/2562047h47m16.854775808s",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			if r != (Rate{}) || !strings.HasPrefix(err.Error(), "tokenbucket: rate ") || len(err.Error()) > 1000 {
				t.Errorf("ParseRate(%q) = %#v, %v", s, r, err)
			}
			return
		}
		mustReadBack(t, r)
		tokens, period, ok := strings.Cut(s, "/")
		d, err := time.ParseDuration(period)
		if !ok || err != nil || strings.Contains(period, ".") { // where it is exact
			return
		}
		n, ok := new(big.Rat).SetString(tokens)
		if !ok || n.Quo(n, ratOf(d)).Cmp(r.perNano()) != 0 {
			t.Errorf("ParseRate(%q) = %v, want %v per ns", s, r, n)
		}
	})
}

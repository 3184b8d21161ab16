package httplimit

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestFields(t *testing.T) {
	r := func(allowed bool, remaining int, retry, full time.Duration, l tokenbucket.Limit) tokenbucket.Result {
		return tokenbucket.Result{Allowed: allowed, Remaining: remaining, RetryAfter: retry, ResetAfter: full, Limit: l}
	}
	lim := func(rate tokenbucket.Rate, burst int) tokenbucket.Limit {
		return tokenbucket.Limit{Rate: rate, Burst: burst}
	}
	ps := tokenbucket.PerSecond
	const never = tokenbucket.Never
	for _, c := range []struct {
		res           tokenbucket.Result
		policy, state string
	}{
		{r(true, 7, 0, 1300*time.Millisecond, lim(ps(10), 20)), `"n";q=20;w=2`, `"n";r=7;t=1`},
		{r(true, 20, 0, 0, lim(ps(10), 20)), `"n";q=20;w=2`, `"n";r=20;t=0`},
		{r(true, 2, 0, 8*time.Second+1, lim(tokenbucket.Every(4*time.Second), 4)), `"n";q=4;w=16`, `"n";r=2;t=4`},
		{r(true, 2, 0, 5*time.Second, lim(tokenbucket.Every(4*time.Second), 4)), `"n";q=4;w=16`, `"n";r=2;t=1`},
		{r(true, 0, 0, 10*time.Hour, lim(tokenbucket.PerHour(1), 10)), `"n";q=10;w=36000`, `"n";r=0;t=3600`},
		{r(true, 2, 0, 10*time.Second/3, lim(tokenbucket.Per(3, 10*time.Second), 3)), `"n";q=3;w=10`, `"n";r=2;t=4`},
		{r(true, 5, 0, 7*time.Millisecond, lim(ps(1000), 12)), `"n";q=1000;w=1`, `"n";r=5;t=1`},
		{r(false, 0, 1, time.Second, lim(ps(10), 10)), `"n";q=10;w=1`, `"n";r=0;t=1`},
		{r(false, 0, 1000000001, time.Second, lim(ps(10), 10)), `"n";q=10;w=1`, `"n";r=0;t=2`},
		{r(false, 3, never, time.Second, lim(ps(10), 10)), `"n";q=10;w=1`, `"n";r=3`},
		{r(true, 3, 0, never, lim(tokenbucket.Rate{}, 10)), `"n";q=10`, `"n";r=3`},
		{r(true, 1<<31-1, 0, 0, lim(ps(1), 1<<31-1)), `"n";q=2147483647;w=2147483647`, `"n";r=2147483647;t=0`},
		{r(false, 0, never-1, never-1, lim(tokenbucket.Per(1, never), 1<<31-1)), `"n";q=2147483647;w=999999999999999`, `"n";r=0;t=9223372037`},
		{r(true, 10, 0, 0, lim(tokenbucket.Inf(), 10)), "", ""},
		{tokenbucket.Result{Allowed: true}, "", ""},
	} {
		p := New(buckets(tokenbucket.PerSecond(1), 1), WithName("n"))
		d := Decision{refused: -1, Allowed: c.res.Allowed, policy: p, Result: c.res}
		d.demands = []demand{{Limit: Limit{Name: "n"}, result: c.res, held: c.res.Allowed}}
		if !c.res.Allowed {
			d.refused = 0
		}
		h := http.Header{}
		d.SetHeader(h)
		policy, state := h.Get("RateLimit-Policy"), h.Get("RateLimit")
		if policy != c.policy || state != c.state {
			t.Errorf("%+v:\n%s, want %s\n%s, want %s", c.res, policy, c.policy, state, c.state)
		}
	}
}

// TestQuota: the quota is at least the burst, and quota/window is the rate or, where it can't be,
// at most 1 % below.
func TestQuota(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		rate          tokenbucket.Rate
		burst         int
		quota, window int64
	}{
		{tokenbucket.PerSecond(100), 1, 100, 1},
		{tokenbucket.PerSecond(1000), 10, 1000, 1},
		{tokenbucket.PerSecond(10), 20, 20, 2},
		{tokenbucket.PerSecond(10), 21, 30, 3},
		{tokenbucket.PerSecond(999983), 1e7, 10999813, 11},
		{tokenbucket.Per(1, 3*time.Millisecond), 1, 1000, 3},
		{tokenbucket.Per(7, 33*time.Millisecond), 1, 7000, 33},
		{tokenbucket.Per(3, 10*time.Second), 4, 6, 20},
		{tokenbucket.PerHour(7), 1, 7, 3600},
		{tokenbucket.Per(997, 24*time.Hour), 5, 997, 86400},
		{tokenbucket.Per(1, year), 3, 3, 94608000},
		{tokenbucket.Per(1, 1234567891), 1, 100, 124},            // no whole window of a day or less
		{tokenbucket.Per(2, 86403*time.Second), 1, 100, 4320150}, // nor here
		{tokenbucket.Rate{}, 5, 5, 0},
	} {
		q, w := quotaOf(c.rate.TokensPerSecond(), float64(c.burst))
		if q != c.quota || w != c.window {
			t.Errorf("%v burst %d: q=%d;w=%d, want q=%d;w=%d", c.rate, c.burst, q, w, c.quota, c.window)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		rate := math.Exp(random.Float64()*40 - 20)
		if random.IntN(2) == 0 {
			rate = float64(1+random.IntN(100_000)) / float64(1+random.IntN(longWindow))
		}
		burst := math.Floor(math.Exp(random.Float64() * 20))
		q, w := quotaOf(rate, burst)
		if w == maxInteger {
			continue // 30 million years
		}
		if ratio := float64(q) / float64(w) / rate; float64(q) < burst || w < 1 || ratio > 1+1e-9 || ratio < 0.99 {
			t.Errorf("%v burst %v: q=%d;w=%d is %v of the rate", rate, burst, q, w, ratio)
		}
	}
}

// TestStructuredFields reads what is written with a parser of its own, one that shares nothing
// with the package's.
func TestStructuredFields(t *testing.T) {
	for _, name := range []string{"default", "", `a"b\c`, "höchst\n", "\x00\xff", strings.Repeat("x", 300), ", ;=()"} {
		res := tokenbucket.Result{Remaining: 3, RetryAfter: 90 * time.Second, Limit: tokenbucket.Limit{Rate: tokenbucket.PerMinute(1), Burst: 7}}
		for what, b := range map[string][]byte{
			`q=7;w=420`: []byte(newQuota(name, res.Limit).policy),
			`r=3;t=90`:  newQuota(name, res.Limit).appendState(nil, res),
		} {
			gotName, params, err := readItem(string(b))
			if err != nil || params != what || len(gotName) == 0 != (name == "") {
				t.Errorf("%q: name %q, params %s, %v; want %s", b, gotName, params, err, what)
			}
			if !strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) && gotName != name {
				t.Errorf("the name %q reads as %q", name, gotName)
			}
		}
	}
}

// readItem reads an item that is a string with integers for parameters, by the grammar of RFC 9651.
func readItem(s string) (name, params string, err error) {
	if s == "" || s[0] != '"' {
		return "", "", errors.New("no string")
	}
	i := 1
	for ; ; i++ {
		if i >= len(s) || s[i] < 0x20 || s[i] > 0x7e {
			return "", "", fmt.Errorf("bad string at %d", i)
		}
		if s[i] == '"' {
			break
		}
		if s[i] == '\\' {
			if i++; i >= len(s) || s[i] != '"' && s[i] != '\\' {
				return "", "", fmt.Errorf("bad escape at %d", i)
			}
		}
		name += string(s[i])
	}
	for _, p := range strings.Split(s[i+1:], ";")[1:] {
		k, v, _ := strings.Cut(p, "=")
		if len(k) != 1 || len(v) == 0 || len(v) > 15 || strings.Trim(v, "0123456789") != "" {
			return "", "", fmt.Errorf("bad parameter %s", p)
		}
	}
	return name, strings.TrimPrefix(s[i+1:], ";"), nil
}

func TestQuotas(t *testing.T) {
	var known quotas
	for range 2 {
		for i := range maxQuotas + 10 {
			l := tokenbucket.Limit{Rate: tokenbucket.PerSecond(1), Burst: i + 1}
			if got, want := known.of("n", l), newQuota("n", l); *got != *want {
				t.Errorf("%v, want %v", got, want)
			}
		}
	}
	if n := len(*known.m.Load()); n != maxQuotas {
		t.Errorf("%d are remembered, want %d", n, maxQuotas)
	}
}

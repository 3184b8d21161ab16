package redisbucket_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

var nasty = []string{
	"", "a", ":", "#", "{", "}", "{}", "}{", "%", "%7B", "%7D", "%25", "%257B", "}b{:a", "a}", "{a}", "\x00", "\r\n", "*\r\n$1",
	"é", "\xff", strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("}", 256),
}

func TestKeysAreApart(t *testing.T) {
	seen := map[string][2]string{}
	for _, prefix := range []string{"", "a", "a:", ":", "%7B"} {
		for _, key := range nasty {
			n := redisbucket.Name(prefix, key)
			if other, ok := seen[n]; ok {
				t.Errorf("%q has the name of %q", [2]string{prefix, key}, other)
			}
			seen[n] = [2]string{prefix, key}
		}
	}
	l := limiterOf(t, tokenbucket.Rate{}, 1)
	for _, key := range nasty {
		for _, want := range []bool{true, false} {
			if ok, err := l.Allow(t.Context(), key); err != nil || ok != want {
				t.Errorf("key %q: %v, %v, want %v", key, ok, err, want)
			}
		}
	}
}

// slotted is what a Cluster hashes of a name: what is between the first brace and the first
// closing one after it.
func slotted(name string) string {
	if _, rest, ok := strings.Cut(name, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			return tag
		}
	}
	return name
}

func FuzzName(f *testing.F) {
	for i, key := range nasty {
		f.Add("p", key, nasty[len(nasty)-1-i])
	}
	f.Fuzz(func(t *testing.T, prefix, a, b string) {
		if strings.ContainsAny(prefix, "{}") {
			t.Skip()
		}
		x, y := redisbucket.Name(prefix, a), redisbucket.Name(prefix, b)
		if (x == y) != (a == b) {
			t.Errorf("%q and %q have the names %q and %q", a, b, x, y)
		}
		if other := redisbucket.Name(prefix+"2", a); other == x || slotted(other) != slotted(x) {
			t.Errorf("%q and %q: want different names in one slot", x, other)
		}
		if strings.Count(x, "{") != 1 || !strings.HasSuffix(x, "}") || len(x) > len(prefix)+3*256+3 {
			t.Errorf("the name of %q is %q", a, x)
		}
	})
}

// A rate is held exactly if it fits, and else as less, by as little as the doc says.
func FuzzHeld(f *testing.F) {
	f.Add(int64(10), int64(time.Second), int64(1), 20)
	f.Add(int64(999_983), int64(time.Second), int64(1), 1_000_000)
	f.Add(int64(7), int64(11), int64(1), 1<<30)
	f.Add(int64(1), int64(time.Hour), int64(400_000), 5)
	c := patientClient(f, shared)
	f.Fuzz(func(t *testing.T, n, per, times int64, burst int) {
		if n < 1 || n > 1<<31-1 || per < 1 || times < 1 || burst < 1 || per > 1<<62/times {
			t.Skip()
		}
		rate := tokenbucket.Per(int(n), time.Duration(per*times))
		a, b, held := redisbucket.Held(redisbucket.New(c, tokenbucket.Limit{Rate: rate, Burst: burst}))
		want := big.NewRat(n*1000, per*times)
		if all := big.NewRat(held, 1); want.Cmp(all) > 0 {
			want = all
		}
		off := new(big.Rat).Sub(want, big.NewRat(a, b))
		most := new(big.Rat).Mul(want, big.NewRat(held, 1<<51))
		if off.Sign() < 0 || off.Cmp(most) > 0 || held*b > 1<<52 || held > int64(burst) {
			t.Errorf("%v burst %d is held as %d/%d burst %d", rate, burst, a, b, held)
		}
	})
}

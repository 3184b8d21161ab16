package progress

import (
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestBeside(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		asked     tokenbucket.Rate
		want      string
	}{
		{9.84, tokenbucket.PerSecond(10), "9.84/s of 10/s"},
		{1.64, tokenbucket.PerMinute(100), "98.4/m of 100/m"},
		{0, tokenbucket.PerHour(1000), "0/h of 1000/h"},
		{1, tokenbucket.Every(24 * time.Hour), "86400/24h of 1/24h"},
		{1234.5, tokenbucket.Inf(), "1234/s"},
	} {
		if got := Beside(c.perSecond, c.asked); got != c.want {
			t.Errorf("%v beside %v is %q, want %q", c.perSecond, c.asked, got, c.want)
		}
	}
}

func TestMeterForgetsTheBurst(t *testing.T) {
	var m Meter
	at := time.Unix(0, 0)
	count := int64(1000) // at once
	for range 200 {
		at = at.Add(200 * time.Millisecond)
		count += 2
		m.PerSecond(at, count)
	}
	if got := m.PerSecond(at.Add(200*time.Millisecond), count+2); got < 9.99 || got > 10.01 {
		t.Errorf("%v a second, want 10", got)
	}
}

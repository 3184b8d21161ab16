package pipe

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
)

// byteUnits has the number of bytes of each unit.
var byteUnits = map[string]int64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

const wantUnit = "B, kB, MB, GB, KiB, MiB or GiB"

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([A-Za-z]*)$`)

// unitError is a number with an unknown unit.
type unitError struct{ unit string }

func (e unitError) Error() string {
	return fmt.Sprintf("%q is no unit of bytes, want %s", e.unit, wantUnit)
}

// parseSize reads a number, with or without a unit of bytes, exactly.
func parseSize(s string) (n *big.Rat, unit string, err error) {
	parts := sizePattern.FindStringSubmatch(s)
	if parts == nil {
		return nil, "", fmt.Errorf("%q is not a number of bytes, as 100, 64KiB or 1.5MiB", s)
	}
	n, _ = new(big.Rat).SetString(parts[1])
	if unit = parts[2]; unit == "" {
		return n, "", nil
	}
	factor, ok := byteUnits[unit]
	if !ok {
		return nil, "", unitError{unit}
	}
	return n.Mul(n, new(big.Rat).SetInt64(factor)), unit, nil
}

// byteRate is a rate that may be in bytes, as 64KiB/s. A rate without a unit is read by
// tokenbucket.ParseRate.
type byteRate struct {
	tokenbucket.Rate
	text string // as given
	unit string // of bytes; empty if there was none
}

// Set reads a rate.
func (r *byteRate) Set(s string) error {
	size, period, found := strings.Cut(s, "/")
	if n, unit, err := parseSize(size); found && err == nil && unit != "" {
		// A decimal times a whole number has no more decimals than before.
		rate, err := flags.ParseRate(n.FloatString(decimals(size)) + "/" + period)
		*r = byteRate{rate, s, unit}
		return err
	} else if found && errors.As(err, new(unitError)) {
		return err
	}
	rate, err := flags.ParseRate(s)
	*r = byteRate{Rate: rate, text: s}
	return err
}

func decimals(s string) int {
	_, after, _ := strings.Cut(s, ".")
	return len(after)
}

func (r *byteRate) String() string { return r.text }

// byteSize is a whole number that may be in bytes, as 64KiB.
type byteSize struct {
	n    int // 0 if not given
	text string
	unit string
}

// Set reads a size.
func (b *byteSize) Set(s string) error {
	n, unit, err := parseSize(s)
	if err != nil {
		return err
	}
	if !n.IsInt() || n.Sign() == 0 || n.Cmp(new(big.Rat).SetInt64(math.MaxInt)) > 0 {
		return errors.New("want a whole number, 1 or more")
	}
	*b = byteSize{int(n.Num().Int64()), s, unit}
	return nil
}

func (b *byteSize) String() string { return b.text }

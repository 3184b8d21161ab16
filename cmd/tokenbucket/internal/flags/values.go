package flags

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// Int is a flag's whole number of at least Min.
type Int struct {
	P   *int
	Min int
}

// IntVar defines a flag for a whole number of at least min.
func IntVar(fs *flag.FlagSet, p *int, name string, value, min int, usage string) {
	*p = value
	fs.Var(Int{p, min}, name, usage)
}

func (v Int) String() string {
	if v.P == nil { // package flag asks the zero value for its text
		return "0"
	}
	return strconv.Itoa(*v.P)
}

// Set sets the number from its decimal digits.
func (v Int) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.Min {
		return fmt.Errorf("want a whole number, %d or more", v.Min)
	}
	*v.P = n
	return nil
}

// rateValue is a rate of tokens.
type rateValue struct{ p *tokenbucket.Rate }

// RateVar defines a flag for a rate, as tokenbucket.ParseRate reads it. It is 0 by default.
func RateVar(fs *flag.FlagSet, p *tokenbucket.Rate, name, usage string) {
	fs.Var(rateValue{p}, name, usage)
}

func (v rateValue) String() string {
	if v.p == nil {
		return "0"
	}
	return v.p.String()
}

func (v rateValue) Set(s string) error {
	r, err := ParseRate(s)
	*v.p = r
	return err
}

// ParseRate is tokenbucket.ParseRate with an error that fits behind the names of the flag and of
// its value.
func ParseRate(s string) (tokenbucket.Rate, error) {
	r, err := tokenbucket.ParseRate(s)
	if err == nil {
		return r, nil
	}
	text := strings.TrimPrefix(err.Error(), "tokenbucket: ")
	text = strings.TrimPrefix(text, fmt.Sprintf("rate %q: ", s))
	return r, errors.New(text)
}

// durationValue is a duration of more than 0.
type durationValue struct{ p *time.Duration }

// DurationVar defines a flag for a duration of more than 0.
func DurationVar(fs *flag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	fs.Var(durationValue{p}, name, usage)
}

func (v durationValue) String() string {
	if v.p == nil {
		return "0s"
	}
	return v.p.String()
}

func (v durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("want a duration of more than 0, as 500ms, 30s or 1h30m")
	}
	*v.p = d
	return nil
}

// boolValue is like that of flag.Bool, with an error that says what was expected.
type boolValue struct{ p *bool }

// BoolVar defines a flag that is true or false, and false by default.
func BoolVar(fs *flag.FlagSet, p *bool, name, usage string) { fs.Var(boolValue{p}, name, usage) }

func (v boolValue) String() string   { return strconv.FormatBool(v.p != nil && *v.p) }
func (v boolValue) IsBoolFlag() bool { return true }

func (v boolValue) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("want true or false")
	}
	*v.p = b
	return nil
}

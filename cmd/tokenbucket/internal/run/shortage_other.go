//go:build !unix

package run

import "math"

func maxOpenFiles() uint64 { return math.MaxInt32 }

func isShortage(error) bool { return false }

//go:build !amd64 && !arm64

package explore

import "runtime"

// callerSite returns the place in the code under test that called the function that called Before, which called before.
func callerSite() site {
	var pc [1]uintptr
	runtime.Callers(5, pc[:])
	return site(pc[0])
}

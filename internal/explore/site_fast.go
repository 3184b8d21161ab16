//go:build amd64 || arm64

package explore

// returnTo returns the address to which the function returns that called Before, which called before, which calls returnTo. It follows
// the frame pointers: runtime.Callers would take half of a search's time.
func returnTo() uintptr

func callerSite() site { return site(returnTo()) }

//go:build !unix && !windows

package run

import "os"

// lock does nothing: these systems run one process.
func lock(*os.File) error { return nil }

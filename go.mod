module github.com/go-tokenbucket/tokenbucket

go 1.26.0

require (
	github.com/benbjohnson/clock v1.3.5
	github.com/rogpeppe/go-internal v1.16.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sync v0.24.0
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
)

require golang.org/x/tools v0.26.0 // indirect

module github.com/go-tokenbucket/tokenbucket/tests

go 1.26.0

replace github.com/go-tokenbucket/tokenbucket => ../

require (
	github.com/go-tokenbucket/tokenbucket v0.1.0
	golang.org/x/time v0.16.0
	golang.org/x/tools v0.51.0
)

require (
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

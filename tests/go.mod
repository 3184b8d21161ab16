module github.com/go-tokenbucket/tokenbucket/tests

go 1.26.0

replace github.com/go-tokenbucket/tokenbucket => ../

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/benbjohnson/clock v1.3.5
	github.com/go-tokenbucket/tokenbucket v0.1.0
	github.com/jonboulle/clockwork v0.5.0
	golang.org/x/mod v0.42.0
	golang.org/x/time v0.16.0
	golang.org/x/tools v0.51.0
	k8s.io/utils v0.0.0-20261023123148-ca04ba58ecab
)

require golang.org/x/sync v0.24.0 // indirect

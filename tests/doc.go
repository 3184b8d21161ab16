// Package tests holds the tests of tokenbucket that need other people's packages: a checker of
// linearizability, fake clocks, and the tools to make a release of the modules and install it. It is a
// module of its own, so that none of these stands in the go.mod of a user. No user imports it.
package tests

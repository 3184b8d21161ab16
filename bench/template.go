package main

import _ "embed"

// template is the document that the tables are put into the first time.
//
//go:embed template.md
var template []byte

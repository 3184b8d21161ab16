package redisbucket

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// longest is how many bytes of a key are sent to the server; one that is longer is held as its SHA-256.
const longest = 256

var escaper = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// name returns the name of key's bucket on the server: prefix{:key}. Different keys have different names, also under
// different prefixes, because neither a prefix nor an escaped key holds a brace. What is between the braces decides the slot
// of a Cluster, so buckets of one key lie together, whatever their prefix; the colon is there because a Cluster ignores
// empty braces.
func name(prefix, key string) string {
	if len(key) > longest {
		sum := sha256.Sum256([]byte(key))
		return prefix + "{#" + hex.EncodeToString(sum[:]) + "}"
	}
	return prefix + "{:" + escaper.Replace(key) + "}"
}

// name returns the name of key's bucket on the server.
func (l *Limiter) name(key string) string { return name(l.prefix, key) }

// listName returns the name of the list of those who wait for key. It ends otherwise than the name
// of any bucket, and lies in the same slot.
func (l *Limiter) listName(key string) string { return l.name(key) + "w" }

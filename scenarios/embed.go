// Package scenarios has the bundled scenarios. Each file tells one story, with its reasons in comments; a file that is
// added to a folder here is part of the program.
package scenarios

import "embed"

// Files has every bundled scenario file: "basics/myservice.yaml".
//
//go:embed */*.yaml
var Files embed.FS

// Known is the list of known disagreements of foreign proxies with the oracle.
//
//go:embed known.yaml
var Known []byte

// KnownFile is how reports name it.
const KnownFile = "scenarios/known.yaml"

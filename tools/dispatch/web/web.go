// A dispatcher looks at one page all shift: it is written in TypeScript beside this file, bundled into dist and carried inside
// the program, so that neither Node nor the network is needed to build or to serve it. The bundler stands in the package's
// test, which fails when dist is not what the sources give:
//
//	go test ./tools/dispatch/web -run TestDistIsCurrent -update
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Pages is index.html and what it loads.
func Pages() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

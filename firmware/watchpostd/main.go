// A station runs one agent, and this is its entry point: flags and signals, nothing else. What the agent does is in
// firmware/station.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"watchpost/firmware/station"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	code := station.Main(ctx, os.Args[1:], os.Stdout, os.Stderr, station.Edition{Version: version})
	stop()
	os.Exit(code)
}

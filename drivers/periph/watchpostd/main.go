// A station on a board that periph knows better than the kernel runs this agent: the same one, with periph's back ends.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"watchpost/drivers/periph"
	"watchpost/firmware/station"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	buses, err := periph.Buses()
	if err != nil {
		fmt.Fprintln(os.Stderr, "watchpostd:", err)
		os.Exit(1)
	}
	code := station.Main(ctx, os.Args[1:], os.Stdout, os.Stderr, station.Edition{Version: version, Buses: buses})
	stop()
	os.Exit(code)
}

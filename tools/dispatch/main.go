// A centre of one or more jurisdictions is one program: dispatch keeps the keys, runs the broker, stores what the stations
// tell, answers with receipts and shows the open alarms to the people on duty.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"watchpost/tools/cli"
)

// commands is the whole command line.
type commands struct {
	Init  initCommand  `cmd:"" help:"Make a new centre: its certificate authority, keys and ledger."`
	Enrol enrolCommand `cmd:"" help:"Put a station into the roster and write its certificate. Works while serve is running."`
	User  userCommand  `cmd:"" help:"Let a person log in, or set a new password. Works while serve is running."`
	Serve serveCommand `cmd:"" help:"Run the centre: broker, intake and console."`
}

// deps are what a command may touch besides its directory.
type deps struct {
	stdout io.Writer
	log    *slog.Logger
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "dispatch:", err)
		stop()
		os.Exit(1)
	}
}

// run is the program without its process: it parses args and runs one command.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c commands
	k, err := cli.Parse(ctx, "dispatch", "The centre: broker, store and console of Watchpost.\n\n"+
		"A new centre: dispatch init --dir D, dispatch user --dir D NAME, dispatch enrol --dir D …, dispatch serve --dir D.", &c, args, stdout, stderr)
	if err != nil {
		return err
	}
	if k == nil {
		return nil
	}
	return k.Run(deps{stdout: stdout, log: slog.New(slog.NewTextHandler(stderr, nil))})
}

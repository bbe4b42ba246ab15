package station

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"watchpost/firmware/config"
)

// Exit codes of Main.
const (
	exitOK     = 0
	exitFailed = 1 // the station could not start or stop in good order
	exitUsage  = 2 // wrong flags or a configuration with mistakes
)

// memoryLimit keeps the collector ahead of a small box: Badger alone doubles its memory without it. Each camera's ring may
// hold 12 MiB; a limit below what is in use would make the collector run without end.
func memoryLimit(c *config.Config) int64 {
	const station, camera = 64 << 20, 16 << 20
	return station + int64(len(c.Cameras))*camera
}

// Edition is what one build of the agent differs in from another.
type Edition struct {
	Version string // as the linker was told
	Buses   Buses  // back ends beyond the built-in ones
}

// Main is the agent: it reads its arguments, runs one station until ctx ends and answers the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer, edition Edition) int {
	flags := flag.NewFlagSet("watchpostd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "run the station that `FILE` describes")
	check := flags.String("check", "", "explain every mistake in `FILE`, and run nothing")
	reference := flags.Bool("reference", false, "print the annotated reference configuration")
	version := flags.Bool("version", false, "print the version")
	debugLog := flags.Bool("debug", false, "log what engineers want to know, too")
	flags.Usage = func() {
		fmt.Fprint(stderr, "watchpostd is the agent of one Watchpost station.\n\nusage: watchpostd -config FILE\n\n")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "watchpostd: %q is not understood; see watchpostd -help\n", flags.Arg(0))
		return exitUsage
	case *version:
		fmt.Fprintln(stdout, "watchpostd", edition.Version)
		return exitOK
	case *reference:
		fmt.Fprint(stdout, config.Reference)
		return exitOK
	case *check != "":
		if _, err := config.Load(*check); err != nil {
			fmt.Fprintln(stderr, err)
			return exitUsage
		}
		fmt.Fprintln(stdout, *check+": good")
		return exitOK
	case *path == "":
		flags.Usage()
		return exitUsage
	}
	level := slog.LevelInfo
	if *debugLog {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	return run(ctx, *path, edition, stdout, stderr, log)
}

func run(ctx context.Context, path string, edition Edition, stdout, stderr io.Writer, log *slog.Logger) int {
	c, err := config.Load(path)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	debug.SetMemoryLimit(memoryLimit(c))
	s, err := New(Options{Config: c, Edition: edition, Log: log})
	if err != nil {
		log.Error("the station cannot start", "err", err)
		return exitFailed
	}
	fmt.Fprintln(stdout, "ready")
	if err := s.Run(ctx); err != nil {
		log.Error("the station did not stop in good order", "err", err)
		return exitFailed
	}
	return exitOK
}

package linesock

import (
	"log/slog"
	"time"
)

// Options say where an I/O box listens and how patient the station is with it. The zero value of a duration is its default.
type Options struct {
	// Socket is the path of the box's Unix socket.
	Socket string
	// Ping is the time between two pings, 5 s by default; three of them without a word are a dead wire.
	Ping time.Duration
	// BackOffMin is the pause before the first attempt to connect again, 100 ms by default; it doubles up to BackOffMax.
	BackOffMin time.Duration
	// BackOffMax is the longest pause between two attempts to connect, 5 s by default.
	BackOffMax time.Duration
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
}

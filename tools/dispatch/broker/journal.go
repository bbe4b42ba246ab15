package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// journal passes the broker's words on to the program's log. Its notices are of interest to engineers only.
type journal struct {
	log *slog.Logger

	mu    sync.Mutex // guards the fields below
	fault string
	quiet bool // the broker is being stopped: what it says of that is of no interest
}

var _ server.Logger = (*journal)(nil)

// Noticef is for engineers.
func (j *journal) Noticef(format string, v ...any) { j.log.Debug(say(format, v), "from", "broker") }

// Warnf passes a warning on.
func (j *journal) Warnf(format string, v ...any) { j.tell(slog.LevelWarn, say(format, v)) }

// Errorf passes an error on. A client that breaks off during the TLS handshake is none of ours.
func (j *journal) Errorf(format string, v ...any) {
	level, line := slog.LevelError, say(format, v)
	if strings.Contains(line, "TLS handshake error") || strings.Contains(line, "read error") {
		level = slog.LevelWarn
	}
	j.tell(level, line)
}

// Fatalf is the broker's last word.
func (j *journal) Fatalf(format string, v ...any) { j.tell(slog.LevelError, say(format, v)) }

// Debugf is left out.
func (j *journal) Debugf(string, ...any) {}

// Tracef is left out.
func (j *journal) Tracef(string, ...any) {}

func (j *journal) tell(level slog.Level, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.quiet {
		return
	}
	j.fault = line
	j.log.Log(context.Background(), level, line, "from", "broker")
}

func (j *journal) hush() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.quiet = true
}

// last is the latest warning or error.
func (j *journal) last() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fault == "" {
		return "it gave no reason"
	}
	return j.fault
}

func say(format string, v []any) string { return fmt.Sprintf(format, v...) }

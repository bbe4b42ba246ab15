package contact

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/linesock"
	"watchpost/sim/board"
)

// TestOverWire has contacts on a simulated I/O box behind its socket: a press is told, also one while the box was cut off.
func TestOverWire(t *testing.T) {
	box, err := board.New("door", "panic")
	must(t, err)
	must(t, box.Set("door", true))
	path := filepath.Join(t.TempDir(), "box")
	serve := func() func() {
		ln, err := net.Listen("unix", path)
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var group errgroup.Group
		group.Go(func() error { return box.Serve(ctx, ln) })
		return func() {
			cancel()
			must(t, group.Wait())
		}
	}
	cut := serve()
	lines, err := linesock.New(linesock.Options{Socket: path, BackOffMin: time.Millisecond})
	must(t, err)
	s := &store{}
	d, stop := run(t, lines, s)
	wait := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(10 * time.Second); !holds(); <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("no %s; states %+v, told %q", what, d.Snapshot(), s.told())
			}
		}
	}
	state := func(door, panic string) {
		t.Helper()
		wait("door "+door+", panic "+panic, func() bool {
			r := d.Snapshot()
			return r[0].State == door && r[1].State == panic
		})
	}
	state("normal", "normal")
	must(t, box.Set("panic", true))
	state("normal", "active")
	must(t, box.Set("panic", false))
	state("normal", "normal")
	cut()
	state("missing", "missing")
	must(t, box.Set("panic", true))
	must(t, box.Set("panic", false))
	cut = serve()
	state("normal", "normal")
	wait("second press", func() bool {
		alarms := 0
		for _, line := range s.told() {
			if line == "hold-up normal>active alarm" || line == "hold-up missing>active alarm" {
				alarms++
			}
		}
		return alarms == 2
	})
	stop()
	cut()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

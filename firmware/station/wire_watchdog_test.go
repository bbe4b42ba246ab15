package station

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"watchpost/drivers"
	"watchpost/firmware/config"
)

const petted = `
station: {id: cs-one, jurisdiction: changshan}
log: {reserve: 16MiB}
boards: [{id: main, socket: board.sock}]
zones: [{id: door, board: main, line: door}]
watchdog: {device: no-such-watchdog}
`

// The watchdog starts before all it watches. A box whose device is not there, or is another's, works on without it.
func TestAWatchdogThatIsNotThere(t *testing.T) {
	c, err := config.Parse(filepath.Join(t.TempDir(), "s.yaml"), []byte(petted))
	must(t, err)
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	if tasks := s.tasks(); tasks[0].Name != "watchdog" {
		t.Errorf("the first task is %s", tasks[0].Name)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { cancel(); run.Wait() }()
	(&wiredStation{Station: s}).come(t, settle, map[string]string{"door": "missing"})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(settle); s.sup.Faults()["watchdog"] == 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("nobody has missed the watchdog")
		}
	}
}

// locked is a driver whose lock somebody holds, until it is let go.
type locked struct{ letGo chan struct{} }

func (l locked) Run(context.Context, drivers.Sink) error { return errors.New("not run") }
func (l locked) String() string                          { return "locked" }
func (l locked) Snapshot() []drivers.Reading             { <-l.letGo; return nil }

// silent is a driver that says nothing of itself.
type silent struct{}

func (silent) Run(context.Context, drivers.Sink) error { return errors.New("not run") }
func (silent) String() string                          { return "silent" }

func TestADriverIsWellWhenItAnswers(t *testing.T) {
	if well(silent{}) != nil {
		t.Error("a driver that cannot be asked is asked")
	}
	l := locked{make(chan struct{})}
	answered := make(chan error, 1)
	var asking sync.WaitGroup
	asking.Go(func() { answered <- well(l)(t.Context()) })
	select {
	case err := <-answered:
		t.Errorf("it answers %v with its lock held", err)
	default:
	}
	close(l.letGo)
	asking.Wait()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

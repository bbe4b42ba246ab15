package station

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"watchpost/firmware/config"
	"watchpost/storage/event"
	"watchpost/storage/storagetest"
)

const centreAlone = `
station: {id: %s, jurisdiction: changshan, name: 草坪村}
centres:
  - {id: changshan, broker: "tls://127.0.0.1:1", ca: ca.pem, certificate: own.pem, key: own.key, command_key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}
`

// A simulator runs a thousand stations in one process: each must cost little where it has no devices.
func TestManyStationsInOneProcess(t *testing.T) {
	const stations, goroutines, bytes = 200, 16, 192 << 10
	var logs []*storagetest.MemLog
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); wg.Wait() }()
	heap, routines := weigh()
	dir := t.TempDir()
	for i := range stations {
		id := fmt.Sprintf("cs-%d", i)
		c, err := config.Parse(filepath.Join(dir, "station.yaml"), fmt.Appendf(nil, centreAlone, id))
		if err != nil {
			t.Fatal(err)
		}
		log := storagetest.NewMemLog(id)
		s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler), Events: log, NoDoor: true})
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, log)
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for _, log := range logs { // the centre's files are not there, which the log is told last
		awaitIn(t, log, event.LaneMain, func(e event.Event) bool { return e.Kind == event.KindCentreLink })
	}
	heapNow, routinesNow := weigh()
	perHeap, perRoutines := (heapNow-heap)/stations, (routinesNow-routines)/stations
	t.Logf("a station costs %d goroutines and %d bytes of heap", perRoutines, perHeap)
	if perRoutines > goroutines || perHeap > bytes {
		t.Errorf("want at most %d and %d", goroutines, bytes)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) > 0 {
		t.Errorf("a station with its log in memory left %v, %v", files, err)
	}
}

// weigh is how much heap is in use and how many goroutines there are.
func weigh() (heap, goroutines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}

// awaitIn reads a lane until an event fits.
func awaitIn(t *testing.T, log EventLog, lane event.Lane, fits func(event.Event) bool) event.Event {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		wake := log.Wake()
		all, err := log.Read(lane, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if fits(e) {
				return e
			}
		}
		select {
		case <-wake:
		case <-deadline.C:
			t.Fatalf("no such event in lane %s: %v", lane, all)
		}
	}
}

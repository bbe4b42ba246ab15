package fleet

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/topic"
)

// enrolled is a folder with the configuration of stations whose broker is away.
func enrolled(t *testing.T, ids ...string) Options {
	t.Helper()
	o := Options{Dir: t.TempDir()}
	for _, id := range ids {
		o.Stations = append(o.Stations, topic.Address{Jurisdiction: "changshan", Station: id})
		dir := filepath.Join(o.Dir, id)
		yaml := "centres: [{id: changshan, broker: tls://127.0.0.1:1, ca: ca.pem, certificate: c.pem, key: k.pem, command_key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}]\n"
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "centre.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// A fleet without a broker keeps what it is told, says that it is not connected, and stops in good order.
func TestAFleetOnItsOwn(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := enrolled(t, "cs-1", "cs-2", "cs-3")
	o.Pace = 1000
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for range 4 {
		if err := f.Tell(t.Context(), 1, event.SeverityAlarm); err != nil {
			t.Fatal(err)
		}
	}
	limit, tick := time.NewTimer(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for told := 0; told < f.Len(); { // each notes by itself that it has no link
		select {
		case <-limit.C:
			t.Fatalf("links %+v", f.Links())
		case <-tick.C:
		}
		told = 0
		for _, l := range f.Links() {
			if !l.Since.IsZero() && !l.Up {
				told++
			}
		}
	}
	p := f.Progress("changshan")
	if p.Stations != 3 || p.Connected != 0 || p.Events < 4+3*3 || p.Backlog != p.Events {
		t.Errorf("progress %+v", p)
	}
	h := f.History()
	if len(h.Sources) != 3 || len(h.Sources[1].Facts) != 4 || h.Sources[1].Facts[3].Lane != event.LaneAlarm || len(h.Heads) != 4 {
		t.Errorf("history %+v", h)
	}
	h.Centres = []storagetest.Centre{{ID: "changshan"}}
	if v := storagetest.Check(h); v.Acked != 4 || v.Lost != 4 {
		t.Errorf("nothing is at the centre, and the checker says: %s", v)
	}
	cancel()
	running.Wait()
	if err := f.Tell(t.Context(), 0, event.SeverityNotice); err == nil {
		t.Error("a station that has stopped was told something")
	}
}

func TestAStationThatIsNotEnrolled(t *testing.T) {
	o := enrolled(t, "cs-1")
	o.Stations = append(o.Stations, topic.Address{Jurisdiction: "changshan", Station: "cs-2"})
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "cs-2") || !strings.Contains(err.Error(), "dispatch enrol") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "cs-1", "centre.yaml"), []byte("centres: [{broker: 7}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "centre") {
		t.Errorf("%v", err)
	}
}

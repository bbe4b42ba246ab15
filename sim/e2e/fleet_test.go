package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/sim/fleet"
	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/tools/dispatch/authority"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// fleetJurisdiction is the centre of all stations of a fleet.
const fleetJurisdiction = "changshan"

// stations is a running fleet of a test.
type stations struct {
	*fleet.Fleet
	t    testing.TB
	c    *centre
	stop func()
}

// stationName is the id of the i-th station of a fleet.
func stationName(i int) string { return fmt.Sprintf("cs-%04d", i) }

// newFleet enrols n stations at a centre and runs them in this process. broker is what they call it; "" = the centre's.
func newFleet(t testing.TB, c *centre, broker string, n int) *stations {
	t.Helper()
	if broker == "" {
		broker = c.broker
	}
	o := fleet.Options{Dir: t.TempDir()}
	if n > 1000 {
		o.Pace = 200 // two processors do not take more at once; the storm comes later
	}
	for i := range n {
		o.Stations = append(o.Stations, topic.Address{Jurisdiction: fleetJurisdiction, Station: stationName(i)})
	}
	enrolAll(t, c.dir, o, broker)
	f, err := fleet.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Errorf("the fleet: %v", err)
		}
	})
	s := &stations{Fleet: f, t: t, c: c, stop: sync.OnceFunc(func() { cancel(); running.Wait() })}
	t.Cleanup(s.stop)
	return s
}

// enrolAll does what `dispatch enrol` does, for so many stations that a process for each would take minutes.
func enrolAll(t testing.TB, centre string, o fleet.Options, broker string) {
	t.Helper()
	a, err := authority.Open(centre)
	if err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(t.Context(), centre)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(8)
	for _, s := range o.Stations {
		g.Go(func() error {
			dir := filepath.Join(o.Dir, s.Station)
			yaml := fmt.Sprintf("centres: [{id: %s, broker: %s, ca: ca.pem, certificate: %s, key: %s, command_key: %s}]\n",
				s.Jurisdiction, broker, authority.StationFile, authority.StationKeyFile, a.CommandPub())
			if err := a.Enrol(dir, authority.Name{Jurisdiction: s.Jurisdiction, Station: s.Station}, time.Now()); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, "centre.yaml"), []byte(yaml), 0o600); err != nil {
				return err
			}
			return book.Enrol(ctx, ledger.Station{Address: s, Name: s.Station, Enrolled: time.Now()})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// tell has every station store n facts, every third an alarm.
func (s *stations) tell(n int) {
	s.t.Helper()
	severities := []event.Severity{event.SeverityNotice, event.SeverityTrace, event.SeverityAlarm}
	for i := range s.Len() {
		for k := range n {
			if err := s.Tell(s.t.Context(), i, severities[k%len(severities)]); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// up waits until every station has a link that began after since, and answers when the last one of them did.
func (s *stations) up(limit time.Duration, since time.Time) (last time.Time) {
	s.t.Helper()
	rested := rest(100 * time.Millisecond)
	within(s.t, limit, "every station's link", func() error {
		rested()
		n := 0
		last = time.Time{}
		for _, l := range s.Links() {
			if l.Up && l.Since.After(since) {
				n++
				if l.Since.After(last) {
					last = l.Since
				}
			}
		}
		if n < s.Len() {
			return fmt.Errorf("%d of %d stations are connected", n, s.Len())
		}
		return nil
	})
	return last
}

// rest answers a function that takes so long, but for the first time: asking thousands of stations again and again would keep
// them from working.
func rest(pause time.Duration) func() {
	var timer *time.Timer
	return func() {
		if timer == nil {
			timer = time.NewTimer(0)
		}
		<-timer.C
		timer.Reset(pause)
	}
}

// drained waits until the centre has given receipts for all that the stations have.
func (s *stations) drained(limit time.Duration) {
	s.t.Helper()
	rested := rest(100 * time.Millisecond)
	within(s.t, limit, "receipts for everything", func() error {
		rested()
		if p := s.Progress(fleetJurisdiction); p.Backlog > 0 {
			return fmt.Errorf("%d of %d events wait for a receipt, %d of %d stations are connected", p.Backlog, p.Events, p.Connected, p.Stations)
		}
		return nil
	})
}

// judge holds what the centre stored against what the stations' sources were acknowledged.
func (s *stations) judge() storagetest.Verdict {
	s.t.Helper()
	h := s.History()
	h.Centres = []storagetest.Centre{{ID: fleetJurisdiction, Stored: storagetest.FromEvents(s.c.rows(""), fleet.KeyOf)}}
	v := storagetest.Check(h)
	s.t.Log(v)
	if err := v.Err(); err != nil {
		s.t.Error(err)
	}
	return v
}

// resident is this process's memory in bytes, garbage collected before.
func resident(t testing.TB) int64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no RssAnon in /proc/self/status")
	return 0
}

// manyFiles raises this process's limit of open files to what n connections and some more need.
func manyFiles(t testing.TB, n int) {
	t.Helper()
	want := uint64(2*n + 1000)
	var limit unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= want {
		return
	}
	limit.Cur, limit.Max = want, max(limit.Max, want)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("%d open files are needed, the limit cannot be raised to it: %v; ulimit -n %d", want, err, want)
	}
}

// fleetSize is how many stations a storm has: FLEETSTATIONS of them, if that is set.
func fleetSize(t testing.TB, usual int) int {
	text := os.Getenv("FLEETSTATIONS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FLEETSTATIONS=%q: want a number of stations", text)
	}
	return n
}

// TestFaultFleetStorm: the broker of a thousand stations is killed together with the centre that it is a part of, stays away for
// long enough that they try only now and then, and comes back: within half a minute all are back, and nothing is lost, doubled
// or out of order.
func TestFaultFleetStorm(t *testing.T) {
	c := newCentre(t)
	n := fleetSize(t, 1000)
	each := outage(t, c, n, "fleet", c.kill, c.serve)
	figure(fmt.Sprintf("fleet/%d/memory-per-station", n), each, "KiB", 400)
}

// TestFaultFleetStormMosquitto is the same for a broker of another make, which dies alone.
func TestFaultFleetStormMosquitto(t *testing.T) {
	t.Parallel()
	var broker *mosquittoBroker
	c := newCentreOn(t, func(t testing.TB, dir string) string {
		broker = newMosquitto(t, dir, nil)
		return broker.url()
	})
	outage(t, c, fleetSize(t, 300), "fleet-mosquitto", func() { broker.kill() }, broker.serve)
}

// outage runs n stations through an outage of their broker, and answers the memory of each in KiB, if no other test runs.
func outage(t *testing.T, c *centre, n int, name string, kill, revive func()) (each float64) {
	const away, goal = 20 * time.Second, 30 * time.Second
	limit := 4*time.Minute + time.Duration(max(0, n-1000))*200*time.Millisecond
	manyFiles(t, n)
	before := resident(t)
	s := newFleet(t, c, "", n)
	began := time.Now()
	s.up(limit, time.Time{})
	t.Logf("all connected after %s; waits: %v", age(began), tenths(s.Links(), began))
	s.tell(3)
	s.drained(limit)
	each = float64(resident(t)-before) / float64(n) / 1024

	kill()
	fell := time.Now()
	s.tell(4)
	pause := time.NewTimer(away / 2)
	<-pause.C
	s.tell(5) // while they are known to be away
	pause.Reset(time.Until(fell.Add(away)))
	<-pause.C
	revive()
	ready := time.Now()
	back := s.up(limit, fell).Sub(ready)
	s.drained(limit)
	stored := age(ready)
	s.tell(1)
	s.drained(time.Minute)
	v := s.judge()
	if want := n * (3 + 4 + 5 + 1); v.Acked != want {
		t.Errorf("%d facts are acknowledged, want %d", v.Acked, want)
	}
	t.Logf("all connected %s and everything stored %s after the broker was ready; waits: %v", back.Round(time.Millisecond), stored, tenths(s.Links(), ready))
	figure(fmt.Sprintf("%s/%d/back", name, n), back.Seconds(), "s", goal.Seconds())
	figure(fmt.Sprintf("%s/%d/stored", name, n), stored.Seconds(), "s", 60)
	if back > goal {
		t.Errorf("the last station was back after %s, want %s at most", back, goal)
	}
	return each
}

// tenths are the times after which a tenth, two tenths, … of the links were up.
func tenths(links []fleet.Link, since time.Time) []string {
	var waits []time.Duration
	for _, l := range links {
		waits = append(waits, l.Since.Sub(since))
	}
	slices.Sort(waits)
	var text []string
	for i := 1; i <= 10; i++ {
		text = append(text, waits[len(waits)*i/10-1].Round(100*time.Millisecond).String())
	}
	return text
}

// TestE2EFleetCommand runs a few stations against a centre the way a developer does, twice: the second time they are known.
func TestE2EFleetCommand(t *testing.T) {
	c := newCentre(t)
	dir := t.TempDir()
	for range 2 {
		p := start(t, "simctl", "fleet", "--centre", c.dir, "--broker", c.broker, "--stations", "3", "--dir", dir, "--rate", "30", "--bin", bin(t))
		p.line("ready")
		p.line("connected 3 of 3")
		before := len(c.stored("sim-0001"))
		eventually(t, "events of a station", func() error {
			if n := len(c.stored("sim-0001")); n < before+8 {
				return fmt.Errorf("%d are stored, %d were before", n, before)
			}
			return nil
		})
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d: %s", code, p.tail(5))
		}
	}
	checkOnce(t, c.stored("sim-0001"))
}

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/sim/disk"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) {
	if disk.Serve() {
		return
	}
	m.Run()
}

// onDisk puts the village's data directory onto a disk that loses what was not synced.
func (v *village) onDisk(opt disk.Options) *disk.Disk {
	v.t.Helper()
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") == "" {
			v.t.Skip("a disk is mounted by root over /dev/fuse, which is not to be had here")
		}
		v.t.Fatal("CI has no /dev/fuse, or is not root: ", err)
	}
	opt.Mount = filepath.Join(v.dir, "data")
	d, err := disk.Start(v.t.Context(), opt)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			v.t.Error(err)
		}
	})
	return d
}

// lose takes the power away from the station, and gives it back.
func (v *village) lose(d *disk.Disk, torn bool) {
	v.t.Helper()
	if err := d.Off(torn); err != nil {
		v.t.Fatal(err)
	}
	v.agent.kill()
	if err := d.On(); err != nil {
		v.t.Fatal(err)
	}
}

func setMode(t testing.TB, d *disk.Disk, m disk.Mode) {
	t.Helper()
	if err := d.Set(m); err != nil {
		t.Fatal(err)
	}
}

func diskStats(t testing.TB, d *disk.Disk) disk.Stats {
	t.Helper()
	s, err := d.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// storm is a panel that sends many frames, several in flight, and writes down what it was acknowledged.
type storm struct {
	*process
	file   string
	frames int
}

func (v *village) storm(frames, window int) *storm {
	v.t.Helper()
	s := &storm{file: filepath.Join(v.t.TempDir(), "panel.log"), frames: frames}
	s.process = start(v.t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--codes", "BA,BR", "--count", fmt.Sprint(frames),
		"--window", fmt.Sprint(window), "--log", s.file)
	return s
}

// until waits until so many frames are acknowledged.
func (s *storm) until(acked int) record {
	s.t.Helper()
	within(s.t, time.Minute, "the panel's progress", func() error {
		if n := len(readRecord(s.t, s.file).acked); n < acked {
			return fmt.Errorf("%d of %d frames are acknowledged", n, acked)
		}
		return nil
	})
	return readRecord(s.t, s.file)
}

// ends waits for the panel's end and holds what the centre has stored against what the panel was acknowledged.
func (s *storm) ends(c *centre, v *village) {
	s.t.Helper()
	s.until(s.frames)
	if code := s.wait(); code != 0 {
		s.t.Fatalf("panel: exit code %d:\n%s", code, s.tail(10))
	}
	v.drained()
	all := c.stored(v.id)
	checkOnce(s.t, all)
	checkMarks(s.t, all, 1, s.frames)
	epochs := map[event.Epoch]bool{}
	for _, lane := range event.Lanes() {
		var of []event.Event
		for _, e := range all {
			epochs[e.Epoch] = true
			if e.Lane == lane {
				of = append(of, e)
			}
		}
		if !slices.IsSorted(panelMarks(of)) {
			s.t.Errorf("lane %s: the reports are out of the panel's order", lane)
		}
	}
	if len(epochs) != 1 {
		s.t.Errorf("%d epochs: the disk cost the log", len(epochs))
	}
}

// TestFaultPowerCut takes the power away from a station at random moments while a panel sends thousands of frames. Whatever the
// panel was acknowledged is at the centre in the end, once and in order, and nobody had to help the station to start.
func TestFaultPowerCut(t *testing.T) {
	const frames, cuts, window = 3000, 6, 32
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	c := newCentre(t)
	v := caoping(c).build(t)
	d := v.onDisk(disk.Options{Seed: seed})
	v.start()
	s := v.storm(frames, window)
	hit := 0
	for i := range cuts {
		s.until(frames*i/cuts + random.IntN(frames/cuts))
		delay := time.NewTimer(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		<-delay.C
		torn := random.IntN(2) == 0
		v.lose(d, torn)
		r := readRecord(t, s.file)
		if r.inFlight() > 0 {
			hit++
		}
		t.Logf("cut %d: acked %4d, in flight %2d, torn: %t", i+1, len(r.acked), r.inFlight(), torn)
		v.start()
	}
	if hit < cuts/2 {
		t.Errorf("%d of %d cuts hit unacknowledged frames, want at least half", hit, cuts)
	}
	s.ends(c, v)
	st := diskStats(t, d)
	if st.LostPages == 0 {
		t.Errorf("the cuts lost nothing: %+v", st)
	}
	t.Logf("%d of %d cuts hit unacknowledged frames; %d pages and %d changes of names lost, %d pages torn", hit, cuts, st.LostPages, st.LostNames, st.Torn)
	stopsWell(t, v.agent)
}

// TestFaultPowerCutAtStart takes the power away while the agent starts, again and again.
func TestFaultPowerCutAtStart(t *testing.T) {
	const cuts = 6
	c := newCentre(t)
	v := caoping(c).build(t)
	d := v.onDisk(disk.Options{Seed: 1})
	v.start()
	must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", "200", "--window", "16")
	v.lose(d, true)
	for i := range cuts {
		before := diskStats(t, d)
		v.agent = start(t, "watchpostd", "-config", v.config)
		within(t, patience, "the agent's start", func() error {
			if now := diskStats(t, d); now.Syncs+now.DirSyncs < before.Syncs+before.DirSyncs+2*i {
				return fmt.Errorf("%+v", now)
			}
			return nil
		})
		v.lose(d, i%2 == 0)
	}
	v.start()
	must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--first", "201", "--count", "50", "--window", "16")
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	checkMarks(t, all, 1, 250)
	stopsWell(t, v.agent)
}

// TestFaultSlowDisk: on a disk that takes a tenth of a second for each sync, frames get their ACK, alarms arrive, and the local door
// answers at once.
func TestFaultSlowDisk(t *testing.T) {
	const frames, window = 60, 16
	c := newCentre(t)
	v := caoping(c).build(t)
	d := v.onDisk(disk.Options{})
	v.start()
	v.online()
	before := diskStats(t, d).Syncs
	setMode(t, d, disk.Mode{SyncDelay: 100 * time.Millisecond, BytesPerSecond: 1 << 20})
	s := v.storm(frames, window)
	s.until(1)
	v.set("door", 1)
	begun := time.Now()
	if _, err := v.door(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the local door answered after %s", took)
	}
	c.awaitStored(v.id, "the door", zoneActive("door"))
	if n := len(readRecord(t, s.file).acked); n == frames {
		t.Error("the alarm came after all of the panel's frames")
	}
	s.until(frames)
	t.Logf("%d frames, an alarm and their receipts took %d syncs of a slow disk", frames, diskStats(t, d).Syncs-before)
	s.ends(c, v)
	stopsWell(t, v.agent)
}

// TestFaultDiskEIO: when a sync or a write of the log fails, the agent says so and ends, since nobody knows what the disk holds; started
// again, it has all that it acknowledged. A page of the log that cannot be read at a start costs nothing either.
func TestFaultDiskEIO(t *testing.T) {
	const frames, window = 1500, 16
	c := newCentre(t)
	v := caoping(c).build(t)
	d := v.onDisk(disk.Options{})
	v.start()
	s := v.storm(frames, window)
	for i, fault := range []disk.Fault{
		{Op: disk.OpSync, Name: "*.mem", Count: 1},
		{Op: disk.OpWrite, Name: "*.mem", Count: 1},
	} {
		s.until(frames * (i + 1) / 4)
		setMode(t, d, disk.Mode{Faults: []disk.Fault{fault}})
		if code := v.agent.wait(); code != 1 {
			t.Errorf("%s: exit code %d after a failed write, want 1:\n%s", fault.Op, code, v.agent.tail(20))
		}
		holdsAll(t, "the agent", v.agent.stderr(), "write failed", "input/output error")
		if diskStats(t, d).Refused != i+1 {
			t.Errorf("%s: %+v", fault.Op, diskStats(t, d))
		}
		v.start()
	}
	s.ends(c, v)
	stopsWell(t, v.agent)                // makes a table of the memtable
	if err := d.Cut(false); err != nil { // and the kernel forgets what it had read
		t.Fatal(err)
	}
	setMode(t, d, disk.Mode{Faults: []disk.Fault{{Op: disk.OpRead, Name: "*.sst"}}})
	_, stderr, code := run(t, "watchpostd", "-config", v.config)
	if code == 0 || !strings.Contains(stderr, "input/output error") {
		t.Errorf("exit code %d over a table that cannot be read:\n%s", code, stderr)
	}
	setMode(t, d, disk.Mode{})
	v.start()
	must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--first", fmt.Sprint(frames+1), "--count", "20", "--window", "8")
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	checkMarks(t, all, 1, frames+20)
	stopsWell(t, v.agent)
}

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/firmware/config"
	"watchpost/firmware/station"
	"watchpost/sim/board/box"
	"watchpost/sim/board/modbus"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

// feel is a station and its box in this process: lines over the box's socket, chips and serial lines as the box has them.
type feel struct {
	box *box.Box
	log *seenLog
}

// feelOptions say what is different from one measurement to another.
type feelOptions struct {
	box    string           // description of the box
	config string           // the station's, without its head
	log    station.EventLog // nil = one on disk
	now    func() time.Time
}

// seenLog is a log that says what it has stored, and when.
type seenLog struct {
	station.EventLog

	mu   sync.Mutex // guards the field below
	tell func(event.Draft, time.Time)
}

// Append implements station.EventLog.
func (l *seenLog) Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error) {
	got, err := l.EventLog.Append(ctx, drafts...)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.tell != nil {
		for _, d := range drafts {
			l.tell(d, now)
		}
	}
	return got, err
}

// told calls tell with each event from now on, one after the other.
func (l *seenLog) told(tell func(event.Draft, time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell = tell
}

// newFeel builds both and runs them until the test ends. LINK in either text is the path of the serial line. Each I2C bus of the
// box is one of the back end periph, under the same name.
func newFeel(t testing.TB, o feelOptions) *feel {
	t.Helper()
	dir := t.TempDir()
	place := strings.NewReplacer("LINK", filepath.Join(dir, "line"))
	plan, err := box.Parse([]byte(place.Replace(o.box)))
	if err != nil {
		t.Fatal(err)
	}
	f := &feel{}
	if f.box, err = box.Build(plan, nil); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "board.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ports, err := f.box.Open()
	if err != nil {
		t.Fatal(err)
	}
	text := "station: {id: cs-one, jurisdiction: changshan, name: 草坪村}\nboards: [{id: main, socket: board.sock}]\n" + o.config
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), []byte(place.Replace(text)))
	if err != nil {
		t.Fatal(err)
	}
	if o.log == nil {
		if o.log, err = eventlog.Open(eventlog.Options{Dir: filepath.Join(dir, "log"), Station: c.Station.ID, ReserveBytes: 16 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	f.log = &seenLog{EventLog: o.log}
	options := station.Options{Config: c, Log: slog.New(slog.DiscardHandler), Events: f.log, NoDoor: true, Now: o.now}
	inProcess(&options.Edition.Buses.I2C, func(id string) any { return f.box.I2C[id] })
	s, err := station.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return f.box.Serve(ctx, listener, ports) })
	group.Go(func() error { return s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// inProcess makes the back end periph one of buses in memory. B is the interface that drivers know a bus by.
func inProcess[B any](opens *map[string]func(config.Bus, *slog.Logger) (B, error), find func(id string) any) {
	*opens = map[string]func(config.Bus, *slog.Logger) (B, error){
		config.BackendPeriph: func(b config.Bus, _ *slog.Logger) (B, error) {
			bus, ok := find(b.ID).(B)
			if !ok {
				return bus, fmt.Errorf("the box has no bus %s", b.ID)
			}
			return bus, nil
		},
	}
}

// zonesOfLines are contacts on the lines l0, l1, … without debouncing.
func zonesOfLines(n int) string {
	return "zones:\n" + numbered(n, "  - {id: l%[1]d, board: main, line: l%[1]d, rest: open, debounce: 0s}\n", "")
}

// linesOfBox are the lines themselves.
func linesOfBox(n int) string { return "lines: [" + numbered(n, "l%d", ", ") + "]\n" }

// normal waits until n zones were told as normal.
func (f *feel) normal(t testing.TB, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d zones are normal", n), func() error {
		found := map[string]bool{}
		for after := uint64(0); ; {
			got, err := f.log.Read(event.LaneMain, after, 500)
			if err != nil || len(got) == 0 {
				if err == nil && len(found) < n {
					err = fmt.Errorf("%d are", len(found))
				}
				return err
			}
			for _, e := range got {
				if state, _ := e.Body.Text(event.TagState); e.Kind == event.KindZoneChanged && state == "normal" {
					found[e.Zone] = true
				}
				after = e.Seq
			}
		}
	})
}

// TestBenchFeelIdle measures a station with 64 zones to which nothing happens: 32 lines, and 32 loops on eleven converters that
// have three beside their reference each. What the simulated chips take of the processor counts, too.
func TestBenchFeelIdle(t *testing.T) {
	const lines, loops = 32, 32
	var boxBuses, buses, adcs, boxLoops, zones strings.Builder
	for i := range (loops + 2) / 3 {
		bus, address := i/4, 0x48+i%4
		if i%4 == 0 {
			fmt.Fprintf(&boxBuses, "  - name: chips-%d\n    kind: i2c\n    chips:\n", bus)
			fmt.Fprintf(&buses, "  - {id: chips-%d, kind: i2c, backend: periph, device: box}\n", bus)
		}
		fmt.Fprintf(&boxBuses, "      - {name: adc-%d, chip: ads1115, address: %#x}\n", i, address)
		fmt.Fprintf(&adcs, "  - {id: adc-%d, chip: ads1115, bus: chips-%d, address: %#x}\n", i, bus, address)
	}
	for i := range loops {
		fmt.Fprintf(&boxLoops, "  - {name: loop-%d, adc: adc-%d, channel: %d, scheme: 4k7-dual}\n", i, i/3, i%3)
		fmt.Fprintf(&zones, "  - {id: loop-%d, loop: {adc: adc-%d, channel: %d, scheme: 4k7-dual}}\n", i, i/3, i%3)
	}
	const window = 20 * time.Second
	for _, c := range []struct {
		name   string
		zones  int
		box    string
		config string
	}{
		{"32-lines", lines, linesOfBox(lines), zonesOfLines(lines)},
		{"64-zones", lines + loops, linesOfBox(lines) + "buses:\n" + boxBuses.String() + "loops:\n" + boxLoops.String(),
			zonesOfLines(lines) + zones.String() + "buses:\n" + buses.String() + "adcs:\n" + adcs.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeel(t, feelOptions{box: c.box, config: c.config})
			f.normal(t, c.zones)
			settle(2 * time.Second)
			before, err := cpuSeconds()
			if err != nil {
				t.Fatal(err)
			}
			settle(window)
			after, err := cpuSeconds()
			if err != nil {
				t.Fatal(err)
			}
			figure("feel/idle-cpu-"+c.name, 1e3*(after-before)/window.Seconds(), "ms/s", 2)
		})
	}
}

// forgetting is a log that counts and keeps nothing.
type forgetting struct {
	*storagetest.MemLog
	count atomic.Uint64
}

// Append implements station.EventLog.
func (l *forgetting) Append(_ context.Context, drafts ...event.Draft) ([]eventlog.Appended, error) {
	got := make([]eventlog.Appended, len(drafts))
	for i, d := range drafts {
		got[i] = eventlog.Appended{Seq: l.count.Add(1), Lane: event.LaneOf(d.Kind, d.Severity)}
	}
	return got, nil
}

// TestBenchFeelGoroutines counts them before and after a million events of 32 contacts. The station's clock runs so fast that no
// contact chatters, and its log forgets: what a log holds is measured elsewhere.
func TestBenchFeelGoroutines(t *testing.T) {
	const lines, events, ahead = 32, 1_000_000, 2000
	var ticks atomic.Int64
	begun := time.Now()
	log := &forgetting{MemLog: storagetest.NewMemLog("cs-one")}
	f := newFeel(t, feelOptions{box: linesOfBox(lines), config: zonesOfLines(lines), log: log,
		now: func() time.Time { return begun.Add(time.Duration(ticks.Add(1)) * 10 * time.Second) }})
	move := func(upto uint64) {
		t.Helper()
		for n := log.count.Load(); n < upto; {
			for i := range ahead { // each line moves as often
				if err := f.box.Storm(t.Context(), fmt.Sprintf("l%d", i%lines), 1, 0); err != nil {
					t.Fatal(err)
				}
			}
			within(t, time.Minute, "the events of what was moved", func() error {
				now := log.count.Load()
				if now < n+ahead {
					return fmt.Errorf("%d of %d", now-n, ahead)
				}
				n = now
				return nil
			})
		}
	}
	within(t, patience, "the contacts", func() error {
		if n := log.count.Load(); n < lines {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	move(5000)
	before := runtime.NumGoroutine()
	move(events)
	figure("feel/goroutines-more-after-1e6-events", float64(runtime.NumGoroutine()-before), "goroutines", 0)
}

// stormy is what a station told of a storm on one of its lines.
type stormy struct {
	lost, events, chatter int       // edges of the other lines; events of the line itself, and those of them that say chatter
	ms                    []float64 // from an edge of another line to the disk
}

// lineStorm moves one of 32 lines a thousand times a second, and the others a few times meanwhile.
func lineStorm(t *testing.T, seconds, moves int) (s stormy) {
	const lines = 32
	f := newFeel(t, feelOptions{box: linesOfBox(lines), config: zonesOfLines(lines)})
	f.normal(t, lines)
	heard := map[string]int{}
	offset := wallOfMonotonic(t)
	f.log.told(func(d event.Draft, at time.Time) {
		if d.Kind != event.KindZoneChanged {
			return
		}
		reason, _ := d.Body.Text(event.TagReason)
		if d.Zone == "l0" {
			s.events++
			if reason == "chatter" {
				s.chatter++
			}
			return
		}
		heard[d.Zone]++
		lost, _ := d.Body.Uint(event.TagLost)
		s.lost += int(lost)
		s.ms = append(s.ms, float64(at.UnixNano())/1e6-float64(d.KernelNS)/1e6-offset)
	})
	var group errgroup.Group
	group.Go(func() error { return f.box.Storm(t.Context(), "l0", 1000*seconds, time.Millisecond) })
	group.Go(func() error {
		pace := time.NewTicker(time.Duration(seconds) * time.Second / time.Duration(moves*(lines-1)))
		defer pace.Stop()
		for range moves {
			for i := 1; i < lines; i++ {
				<-pace.C
				if err := f.box.Storm(t.Context(), fmt.Sprintf("l%d", i), 1, 0); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	settle(time.Second)
	f.log.told(nil)
	for i := 1; i < lines; i++ {
		s.lost += max(0, moves-heard[fmt.Sprintf("l%d", i)])
	}
	return s
}

// beforeChatter is how many changes of a zone are events of their own before the next is chatter.
const beforeChatter = 8

// TestBenchFeelStorm measures what a storm on one line costs the others.
func TestBenchFeelStorm(t *testing.T) {
	s := lineStorm(t, 10, 6)
	figure("feel/storm-edges-lost-of-31-others", float64(s.lost), "edges", 0)
	figure("feel/storm-others-edge-to-disk-p50", percentile(s.ms, 50), "ms", 20)
	figure("feel/storm-others-edge-to-disk-p99", percentile(s.ms, 99), "ms", 20)
	figure("feel/storm-events-of-its-line-behind-8", float64(s.events-beforeChatter), "events", 1)
	fact("feel/storm-chatter-events", float64(s.chatter), "events")
}

// TestFaultLineStorm is a shorter storm: it costs the others no edge, and is one event.
func TestFaultLineStorm(t *testing.T) {
	t.Parallel()
	s := lineStorm(t, 3, 4)
	if s.lost != 0 || s.chatter != 1 || s.events != beforeChatter+1 {
		t.Errorf("%d edges of the others are lost; %d events of the line, %d of them chatter: want 0, %d, 1", s.lost, s.events, s.chatter, beforeChatter+1)
	}
}

// TestBenchFeelDeadSlave measures how much longer the other fifteen slaves of a serial line wait for being asked when one does not
// answer, in the time that one unanswered request takes.
func TestBenchFeelDeadSlave(t *testing.T) {
	const slaves, dead = 16, 7
	var list []string
	zones := "zones:\n"
	for i := range slaves {
		list = append(list, fmt.Sprintf("{unit: %d, discrete: {0: 0}}", i+1))
		zones += fmt.Sprintf("  - {id: m%[1]d, modbus: {bus: rs485, unit: %[1]d, input: 0}, rest: open}\n", i+1)
	}
	f := newFeel(t, feelOptions{
		box:    "lines: [door]\nmodbus: [{name: rs485, link: LINK, slaves: [" + strings.Join(list, ", ") + "]}]\n",
		config: zones + "buses: [{id: rs485, kind: serial, device: LINK, baud: 115200}]\n",
	})
	f.normal(t, slaves)
	settle(3 * time.Second)
	alive := f.widestGap(10*time.Second, dead)
	f.box.Slaves[dead].Behave(modbus.Dead, 0)
	failing := f.widestGap(10*time.Second, dead) // from the first request that is not answered on
	gone := f.widestGap(10*time.Second, dead)
	fact("feel/slave-asked-at-the-latest-all-alive", 1e3*alive.Seconds(), "ms")
	fact("feel/slave-asked-at-the-latest-one-dying", 1e3*failing.Seconds(), "ms")
	fact("feel/slave-asked-at-the-latest-one-dead", 1e3*gone.Seconds(), "ms")
	figure("feel/dead-slave-delay", (max(failing, gone)-alive).Seconds()/pollInterval.Seconds(), "polls", 1)
}

// pollInterval is from one round of a bus to the next.
const pollInterval = 500 * time.Millisecond

// widestGap is the longest time for which a slave but one was not asked, within a window.
func (f *feel) widestGap(window time.Duration, but byte) (widest time.Duration) {
	type mark struct {
		asked int
		at    time.Time
	}
	marks := map[byte]mark{}
	begun := time.Now()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for now := range look.C {
		if now.Sub(begun) > window {
			return widest
		}
		for unit, s := range f.box.Slaves {
			if unit == but {
				continue
			}
			n, m := s.Asked(), marks[unit]
			if n == m.asked {
				continue
			}
			if !m.at.IsZero() {
				widest = max(widest, now.Sub(m.at))
			}
			marks[unit] = mark{n, now}
		}
	}
	return widest
}

package station

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"watchpost/drivers"
	"watchpost/firmware/config"
	"watchpost/sim/board"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/circuit"
	"watchpost/sim/board/modbus"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

// wired is the configuration of a station with one of each thing that hangs on a wire. Every chip is behind the I/O box, the slave
// at the address given.
const wired = `
station: {id: %s, jurisdiction: changshan, name: 草坪村}
log: {reserve: 16MiB}
boards:
  - {id: main, socket: board.sock}
  - {id: attic, backend: mcp23017, bus: chips, interrupt: {board: main, line: int-a}}
buses:
  - {id: chips, kind: i2c, backend: linesock, board: main}
  - {id: wire, kind: onewire, backend: linesock, board: main}
  - {id: plc, kind: tcp, address: "%s"}
adcs: [{id: loops-1, bus: chips}]
zones:
  - {id: door, board: main, line: door, rest: open}
  - {id: roof, board: attic, line: a3, rest: open}
  - {id: window, loop: {adc: loops-1, channel: 0, scheme: 4k7-dual}}
  - {id: cellar, loop: {adc: loops-1, channel: 1, scheme: 4k7-22k-mask}}
  - {id: sluice, modbus: {bus: plc, unit: 3, input: 7}, rest: open}
sensors:
  - {id: air, chip: bme280, bus: chips, every: 1s, report: 0s, high: {temperature: 40, pressure: 1050}}
  - {id: cold-room, chip: ds18b20, bus: wire, rom: 28-0316a2795cff, every: 1s, high: {temperature: 8}}
  - {id: mains, every: 1s, low: {value: 198}, modbus: {bus: plc, unit: 3, register: input 100, scale: 0.1, unit_name: V}}
  - {id: clock, chip: ds3231, bus: chips, every: 1s, report: 10s}
  - {id: solar, chip: ina219, bus: chips, address: 0x44, every: 1s, low: {voltage: 11.4}}
  - {id: river, chip: level, adc: loops-1, channel: 2, span: 5m, every: 1s, high: {level: 3200}}
power: {bus: chips, address: 0x41, mains_after: 10s}
outputs:
  - {id: siren, board: main, line: siren}
tours:
  - {id: round, checkpoints: [{id: gate, bus: wire}], windows: ["00:00-12:00", "12:00-24:00"], roster: [{button: 01-00000fb3a2c1, name: 李}]}
`

// works is what hangs on the wires of one station.
type works struct {
	box    *board.Board
	chips  *wire.I2C
	attic  *chip.MCP23017
	window *circuit.Loop
	slave  *modbus.Slave
	wire   *wire.OneWire
	solar  atomic.Int64 // millivolts
	river  atomic.Int64 // microamperes of the transmitter
	air    *chip.BME280
	cold   *chip.DS18B20
	clock  *chip.DS3231
}

// newWorks puts a village's works behind a box that listens in dir, and a slave that listens at the address it answers.
func newWorks(t *testing.T, dir string) (*works, string) {
	t.Helper()
	box, err := board.New("door", "int-a", "test-loop")
	must(t, err)
	must(t, box.Outputs("siren", "test-out"))
	w := &works{box: box, chips: wire.NewI2C(), attic: chip.NewMCP23017(), slave: modbus.NewSlave()}
	w.attic.Set(3, false) // a closed contact to ground, against the pull-up of the chip
	w.attic.Interrupts(func(level bool) { _ = box.Set("int-a", level) }, nil)
	adc := chip.NewADS1115(nil)
	supply := func() float64 { return 3.3 }
	adc.Wire(3, supply)
	for channel, name := range []string{"4k7-dual", "4k7-22k-mask"} {
		scheme, err := circuit.SchemeOf(name)
		must(t, err)
		loop := circuit.NewLoop(scheme, supply)
		adc.Wire(channel, loop.Volts)
		if channel == 0 {
			w.window = loop
		}
	}
	must(t, w.chips.Put(0x20, w.attic))
	must(t, w.chips.Put(0x48, adc))
	w.air = chip.NewBME280(nil)
	must(t, w.chips.Put(0x76, w.air))
	w.cold = chip.NewDS18B20(false, nil)
	w.cold.SetCelsius(4)
	w.solar.Store(12_600)
	w.river.Store(8_000) // 4 mA are nothing, 20 mA are the span
	const shunt = 120
	adc.Wire(2, func() float64 { return float64(w.river.Load()) * 1e-6 * shunt })
	must(t, w.chips.Put(0x44, chip.NewINA219(0.1, func() (volts, amps float64) { return float64(w.solar.Load()) * 1e-3, 0.5 }, nil)))
	battery := circuit.NewBattery(84, 5, 20, nil)
	must(t, w.chips.Put(0x41, chip.NewINA219(0.1, battery.Terminals, nil)))
	w.clock = chip.NewDS3231(nil)
	w.clock.SetTime(time.Now())
	must(t, w.chips.Put(0x68, w.clock))
	w.wire = wire.NewOneWire()
	w.wire.Put(wire.Code(chip.FamilyDS18B20, 0x0316a2795cff), w.cold)
	must(t, box.CarryI2C("chips", w.chips))
	must(t, box.CarryOneWire("wire", w.wire))
	w.slave.Set(modbus.Discrete, 7, 0)
	w.slave.Set(modbus.Input, 100, 2304)

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var served sync.WaitGroup
	t.Cleanup(func() { cancel(); served.Wait() })
	socket, err := net.Listen("unix", filepath.Join(dir, "board.sock"))
	must(t, err)
	served.Go(func() {
		if err := box.Serve(ctx, socket); err != nil {
			t.Error(err)
		}
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served.Go(func() {
		if err := modbus.ServeTCP(ctx, tcp, map[byte]*modbus.Slave{3: w.slave}); err != nil {
			t.Error(err)
		}
	})
	return w, tcp.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wiredStation is a station whose wires the test holds in its hands.
type wiredStation struct {
	*Station
	*works
}

func startWired(t *testing.T, id string) *wiredStation {
	t.Helper()
	dir := t.TempDir()
	w, slave := newWorks(t, dir)
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), fmt.Appendf(nil, wired, id, slave))
	must(t, err)
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); run.Wait() })
	return &wiredStation{s, w}
}

// states are the states of all points of some drivers, by their names.
func states(list []teller) map[string]string {
	all := map[string]string{}
	for name, r := range readings(list) {
		all[name] = r.State
	}
	return all
}

// come waits until a station's zones stand as said.
func (x *wiredStation) come(t *testing.T, within time.Duration, want map[string]string) {
	t.Helper()
	come(t, x.zones, within, want)
}

// come waits until the points of some drivers stand as said.
func come(t *testing.T, list []teller, within time.Duration, want map[string]string) {
	t.Helper()
	deadline, tick := time.Now().Add(within), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		have, fits := states(list), true
		for zone, state := range want {
			fits = fits && have[zone] == state
		}
		if fits {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("within %s they are %v, want %v", within, have, want)
		}
		<-tick.C
	}
}

// settle is how long a station may take from its start until each wire was read.
const settle = 10 * time.Second

func allZones(state string) map[string]string {
	return map[string]string{"door": state, "roof": state, "window": state, "cellar": state, "sluice": state}
}

func TestEveryWireOfAConfigurationIsFelt(t *testing.T) {
	s := startWired(t, "cs-one")
	s.come(t, settle, allZones("normal"))
	for _, step := range []struct {
		zone, state string
		move        func()
	}{
		{"door", "active", func() { must(t, s.box.Set("door", true)) }},
		{"roof", "active", func() { s.attic.Set(3, true) }},
		{"window", "active", func() { s.window.Set(circuit.Active) }},
		{"window", "short", func() { s.window.Set(circuit.Short) }},
		{"window", "open", func() { s.window.Set(circuit.Cut) }},
		{"sluice", "active", func() { s.slave.Set(modbus.Discrete, 7, 1) }},
	} {
		step.move()
		e := awaitEither(t, s.events, func(e event.Event) bool {
			state, _ := e.Body.Text(event.TagState)
			return e.Kind == event.KindZoneChanged && e.Zone == step.zone && state == step.state
		})
		if e.KernelNS == 0 {
			t.Errorf("%s is %s at no time of the kernel: %+v", step.zone, step.state, e)
		}
	}
}

// awaitEither waits for an event of the alarm or the main lane.
func awaitEither(t *testing.T, log EventLog, fits func(event.Event) bool) event.Event {
	t.Helper()
	deadline, tick := time.Now().Add(settle), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		for _, lane := range []event.Lane{event.LaneAlarm, event.LaneMain} {
			list, err := log.Read(lane, 0, 1000)
			must(t, err)
			if i := slices.IndexFunc(list, fits); i >= 0 {
				return list[i]
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no such event within %s", settle)
		}
	}
}

// A bus that is pulled is told within a second, for itself and for each zone on it, and none of them stays normal; the zones of
// other wires do.
func TestAPulledBusIsNeverNormal(t *testing.T) {
	s := startWired(t, "cs-one")
	s.come(t, settle, allZones("normal"))
	s.chips.Stick(true)
	s.come(t, time.Second, map[string]string{"roof": "missing", "window": "missing", "cellar": "missing", "door": "normal", "sluice": "normal"})
	if got := states(s.buses)["chips"]; got != "stuck" {
		t.Errorf("the bus is %q", got)
	}
	awaitEither(t, s.events, func(e event.Event) bool { return e.Kind == event.KindBusChanged })
	s.chips.Stick(false)
	s.come(t, settle, allZones("normal"))

	s.slave.Behave(modbus.Dead, 0)
	s.come(t, settle, map[string]string{"sluice": "missing", "door": "normal"})
	must(t, s.chips.Pull(0x48))
	s.come(t, time.Second, map[string]string{"window": "missing", "cellar": "missing", "roof": "normal", "door": "normal"})
}

// A sensor's value is told when it leaves its limits, and a sensor that is gone has none.
func TestEverySensorOfAConfigurationIsRead(t *testing.T) {
	s := startWired(t, "cs-one")
	well := map[string]string{
		"air": "normal", "cold-room": "normal", "mains": "normal", "clock": "normal", "solar": "normal", "river": "normal", "power": "mains",
	}
	come(t, s.sensors, settle, well)
	s.air.Set(chip.Air{Celsius: 20, Pascal: 106_000, Percent: 50})
	s.cold.SetCelsius(12.5)
	s.slave.Set(modbus.Input, 100, 1800)
	s.solar.Store(11_200)
	s.river.Store(16_000) // 3.75 m
	come(t, s.sensors, settle, map[string]string{"air": "high", "cold-room": "high", "mains": "low", "solar": "low", "river": "high"})
	for _, sensor := range []string{"air", "cold-room", "mains", "solar", "river"} {
		awaitEither(t, s.events, func(e event.Event) bool {
			state, _ := e.Body.Text(event.TagState)
			return e.Kind == event.KindSensorChanged && e.Zone == sensor && state != "normal"
		})
	}
	must(t, s.chips.Pull(0x76))
	s.slave.Behave(modbus.Dead, 0)
	s.river.Store(0) // the wire is cut
	come(t, s.sensors, settle, map[string]string{"air": "missing", "cold-room": "high", "mains": "missing", "river": "fault", "clock": "normal"})
	s.chips.Stick(true)
	come(t, s.sensors, settle, map[string]string{"clock": "missing", "solar": "missing", "power": "missing", "cold-room": "high"})
}

// A clock chip that has stood still is told, and shown at the door, until somebody has set it.
func TestAClockThatStoodStill(t *testing.T) {
	s := startWired(t, "cs-one")
	come(t, s.sensors, settle, map[string]string{"clock": "normal"})
	s.works.clock.Battery(false)
	must(t, s.chips.BrownOut(0x68))
	told := func(state string, q event.Qualifier) {
		t.Helper()
		awaitEither(t, s.events, func(e event.Event) bool {
			return e.Kind == event.KindSensorChanged && e.Zone == "clock" && text(e, event.TagState) == state && e.Qualifier == q && text(e, event.TagReason) == "oscillator-stopped"
		})
	}
	told("fault", event.QualifierNew)
	shown := false
	for _, g := range s.io(t.Context()).Groups {
		for _, p := range g.Points {
			shown = shown || p.ID == "clock" && p.State == "fault" && p.Text == "no value (oscillator-stopped)"
		}
	}
	if !shown {
		t.Error("the door does not show it")
	}
	s.works.clock.SetTime(time.Now())
	told("normal", event.QualifierRestore)
}

// A guard's button at a checkpoint's reader is a touch of the tour.
func TestATourOfAConfigurationIsWalked(t *testing.T) {
	s := startWired(t, "cs-one")
	come(t, s.tours, settle, map[string]string{"round/gate": "up"})
	s.wire.Put(wire.Code(chip.FamilyDS1990A, 0x00000fb3a2c1), chip.DS1990A{})
	e := awaitEither(t, s.events, func(e event.Event) bool { return e.Kind == event.KindTourChecked })
	if who, _ := e.Body.Text(event.TagWho); who != "李" {
		t.Errorf("touched by %q: %+v", who, e)
	}
}

// What happens at the wires of one station never shows at the other.
func TestTwoStationsOfWiresShareNothing(t *testing.T) {
	one, two := startWired(t, "cs-one"), startWired(t, "cs-two")
	one.come(t, settle, allZones("normal"))
	two.come(t, settle, allZones("normal"))
	one.window.Set(circuit.Cut)
	one.attic.Set(3, true)
	must(t, one.box.Set("door", true))
	one.slave.Set(modbus.Discrete, 7, 1)
	one.come(t, settle, map[string]string{"window": "open", "roof": "active", "door": "active", "sluice": "active", "cellar": "normal"})
	if got, want := fmt.Sprint(states(two.zones)), fmt.Sprint(allZones("normal")); got != want {
		t.Errorf("the other station feels %s", got)
	}
	two.chips.Stick(true)
	two.come(t, time.Second, map[string]string{"window": "missing", "door": "normal"})
	one.come(t, time.Second, map[string]string{"window": "open", "cellar": "normal"})
}

// What the configuration asks for and this build has not is told by name.
func TestABackEndThatIsNotThere(t *testing.T) {
	for says, yaml := range map[string]string{
		"board usb: this watchpostd has no back end periph": "boards: [{id: usb, backend: periph}]",
		"bus chips: this watchpostd has no back end periph": "buses: [{id: chips, kind: i2c, backend: periph, device: I2C1}]",
		"bus wire: this watchpostd has no back end periph":  "buses: [{id: wire, kind: onewire, backend: periph, device: W1}]",
	} {
		c, err := config.Parse(filepath.Join(t.TempDir(), "s.yaml"), []byte("station: {id: cs-one, jurisdiction: changshan}\nlog: {reserve: 16MiB}\n"+yaml+"\n"))
		must(t, err)
		if _, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}

// A bus of the kernel's that is not there is no reason to stop: its zones are missing until it is.
func TestADeviceThatIsNotThereYet(t *testing.T) {
	dir := t.TempDir()
	c, err := config.Parse(filepath.Join(dir, "s.yaml"), []byte(`
station: {id: cs-one, jurisdiction: changshan}
log: {reserve: 16MiB}
boards: [{id: own, backend: host, chip: no-such-chip, lines: {door: "3"}}]
buses:
  - {id: chips, kind: i2c, device: `+filepath.Join(dir, "i2c-9")+`}
  - {id: rs485, kind: serial, device: `+filepath.Join(dir, "ttyUSB9")+`}
adcs: [{id: a, bus: chips}]
zones:
  - {id: door, board: own, line: door}
  - {id: window, loop: {adc: a, channel: 0, scheme: 10k-dual}}
  - {id: sluice, modbus: {bus: rs485, unit: 1, input: 0}}
`))
	must(t, err)
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { cancel(); run.Wait() }()
	(&wiredStation{Station: s}).come(t, settle, map[string]string{"door": "missing", "window": "missing", "sluice": "missing"})
	if o := s.outcome(t.Context(), s.zones[1]); o.State != "failed" || o == drivers.Ready() {
		t.Errorf("the loops start %s", o)
	}
}

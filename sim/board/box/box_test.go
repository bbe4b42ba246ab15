package box

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/sim/board/chip"
	"watchpost/sim/board/modbus"
)

const patience = 10 * time.Second

// village is a box with one of everything.
const village = `
lines: [door, int-a, loop-in]
outputs: [siren, loop-out]
wires: {loop-out: loop-in}
buses:
  - name: chips
    kind: i2c
    chips:
      - {name: loops-1, chip: ads1115}
      - {name: loops-2, chip: ads1115, address: 0x49, reference: 0}
      - {name: attic, chip: mcp23017, interrupt: int-a}
      - {name: ups, chip: ina219}
      - {name: supply, chip: ina219, address: 0x41, volts: 5}
      - {name: air, chip: bme280}
      - {name: clock, chip: ds3231}
  - name: wire
    kind: onewire
    chips:
      - {name: cellar, chip: ds18b20, serial: 7}
      - {name: key, chip: ds1990a, serial: 0x1234}
loops:
  - {name: window, adc: loops-1, channel: 0, scheme: 4k7-dual}
levels:
  - {name: river, adc: loops-1, channel: 2}
battery: {capacity: 100}
modbus:
  - name: rs485
    link: LINK
    slaves:
      - {unit: 3, coils: {0: 1}, discrete: {1: 1}, holding: {2: 3}, input: {4: 5}}
  - name: plc
    listen: 127.0.0.1:0
    slaves: [{unit: 1, input: {0: 42}}]
`

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func build(t testing.TB, text string, now func() time.Time) *Box {
	t.Helper()
	p, err := Parse([]byte(text))
	must(t, err)
	b, err := Build(p, now)
	must(t, err)
	return b
}

// hands works a box by words.
type hands struct {
	t   testing.TB
	box *Box
}

func (h hands) do(line string) string {
	h.t.Helper()
	var out strings.Builder
	if err := h.box.Do(h.t.Context(), &out, strings.Fields(line)); err != nil {
		h.t.Errorf("%q: %v", line, err)
	}
	return out.String()
}

// adc converts one input of the converter at an address, in volts.
func (h hands) adc(address uint16, input byte) (float64, error) {
	bus, r := h.box.I2C["chips"], make([]byte, 2)
	if err := bus.Tx(address, []byte{1, 0x80 | (4+input)<<4 | 1<<1 | 1, 0xE3}, nil); err != nil { // ±4.096 V, single, 860 a second
		return 0, err
	}
	for status := []byte{0, 0}; status[0]&0x80 == 0; {
		if err := bus.Tx(address, []byte{1}, status); err != nil {
			return 0, err
		}
	}
	err := bus.Tx(address, []byte{0}, r)
	return float64(int16(binary.BigEndian.Uint16(r))) * 125e-6, err
}

func TestLoopsAndLevels(t *testing.T) {
	h := hands{t, build(t, village, nil)}
	volts := func(input byte, want float64) {
		t.Helper()
		if got, err := h.adc(0x48, input); err != nil || math.Abs(got-want) > 1e-3 {
			t.Errorf("input %d: %v V, %v; want %v V", input, got, err, want)
		}
	}
	volts(3, 3.3)
	for state, want := range map[string]float64{"cut": 3.3, "short": 0, "active": 2.2, "normal": 1.65, "cable 4700": 2.2} {
		h.do("loop window " + state)
		volts(0, want)
		h.do("loop window normal")
		h.do("loop window cable 0")
	}
	volts(2, 1.44)
	h.do("sensor river 4")
	volts(2, 0.48)
	h.do("sensor river ma=20")
	volts(2, 2.4)
	if got, err := h.adc(0x49, 0); err != nil || math.Abs(got-3.3) > 1e-3 {
		t.Errorf("the other's excitation: %v, %v", got, err)
	}
}

func TestFaultsOfChipsAndBuses(t *testing.T) {
	h := hands{t, build(t, village, nil)}
	fails := func(want string) {
		t.Helper()
		if _, err := h.adc(0x48, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	h.do("chip loops-1 pull")
	fails("no answer")
	h.do("chip loops-1 plug")
	h.do("bus chips stick")
	fails("stuck")
	h.do("bus chips free")
	h.do("chip loops-1 brown-out")
	h.do("chip loops-1 damage 0")
	h.do("bus chips slow 1ms")
	if _, err := h.adc(0x48, 3); err != nil {
		t.Error(err)
	}

	keys := h.box.OneWire["wire"]
	found := func(want ...uint64) {
		t.Helper()
		got, err := keys.Search(t.Context())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("found %x, %v; want %x", got, err, want)
		}
	}
	cellar, key := h.box.Code("cellar"), h.box.Code("key")
	found(cellar)
	h.do("chip key plug")
	found(cellar, key)
	h.do("touch key 1ms")
	found(cellar)
	h.do("chip cellar pull")
	found()
	h.do("chip cellar plug")
	h.do("chip cellar brown-out")
	h.do("chip cellar damage 1")
	if got, err := keys.Search(t.Context()); err != nil || got[0] == cellar {
		t.Errorf("a damaged code: %x, %v", got, err)
	}
	h.do("bus wire slow 1ms")
	h.do("bus wire stick")
	if _, err := keys.Search(t.Context()); err == nil {
		t.Error("a shorted wire finds something")
	}
	h.do("bus wire free")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group errgroup.Group
	const stray = "6d00000056789a01"
	group.Go(func() error { return h.box.Do(ctx, io.Discard, []string{"touch", stray, "1h"}) })
	for n := 1; n < 2; {
		got, err := keys.Search(t.Context())
		must(t, err)
		n = len(got)
	}
	cancel() // ends the touch
	must(t, group.Wait())
	found(cellar)
}

func TestPinsSensorsAndBattery(t *testing.T) {
	now := time.Unix(1e9, 0)
	h := hands{t, build(t, village, func() time.Time { return now })}
	bus, r := h.box.I2C["chips"], make([]byte, 2)
	if got := h.do("level int-a"); got != "level int-a 1\n" {
		t.Errorf("an idle interrupt: %q", got)
	}
	must(t, bus.Tx(0x20, []byte{0x04, 0xFF, 0xFF}, nil)) // GPINTEN
	h.do("pin attic 5 1")
	if got := h.do("level int-a"); got != "level int-a 0\n" {
		t.Errorf("an interrupt: %q", got)
	}
	must(t, bus.Tx(0x20, []byte{0x12}, r))
	if got := h.do("level int-a"); got != "level int-a 1\n" || r[0] != 0x20 {
		t.Errorf("read %x, then %q", r, got)
	}

	h.do("sensor air 30")
	h.do("sensor air humidity=90 pressure=90000")
	if got := h.box.Chip("air").(*chip.BME280).Air(); got != (chip.Air{Celsius: 30, Pascal: 90000, Percent: 90}) {
		t.Errorf("air %+v", got)
	}
	h.do("sensor cellar 4.5")
	h.do("sensor cellar temperature=5")
	h.do("sensor clock 40 drift=1000")
	now = now.Add(1000 * time.Second)
	if got := h.box.Chip("clock").(*chip.DS3231).Time(); got.Sub(now) != time.Second {
		t.Errorf("a fast clock is %s off", got.Sub(now))
	}

	shunt := func(address uint16) int16 {
		must(t, bus.Tx(address, []byte{1}, r))
		return int16(binary.BigEndian.Uint16(r))
	}
	if got := shunt(0x40); got != 0 {
		t.Errorf("a full battery with the mains on gives %d", got)
	}
	h.do("mains off")
	h.do("load 12.8")
	if got := shunt(0x40); got != 10000 { // 1 A over 0.1 Ω in steps of 10 µV
		t.Errorf("1 A is %d", got)
	}
	h.do("battery 50")
	if got := h.do("battery show"); got != "battery 50 % 11.80 V 1.08 A\n" {
		t.Errorf("%q", got)
	}
	h.do("mains on")
	must(t, bus.Tx(0x41, []byte{2}, r))
	if got := binary.BigEndian.Uint16(r) >> 3; got != 1250 || shunt(0x41) != 0 {
		t.Errorf("5 V of the other's own are %d", got)
	}
}

func TestSlaves(t *testing.T) {
	h := hands{t, build(t, village, nil)}
	h.do("slave 3 slow 5ms")
	h.do("slave 3 dead")
	h.do("register 3 holding 2 0x10")
	for table, want := range map[modbus.Table][2]uint16{modbus.Coils: {0, 1}, modbus.Discrete: {1, 1}, modbus.Holding: {2, 16}, modbus.Input: {4, 5}} {
		if got, ok := h.box.Slaves[3].Value(table, want[0]); !ok || got != want[1] {
			t.Errorf("%s %d is %d", modbus.TableNames()[table], want[0], got)
		}
	}
}

func TestWordsForLines(t *testing.T) {
	h := hands{t, build(t, village, nil)}
	h.do("")
	h.do("set door 1")
	h.do("pulse door 1ms")
	h.do("storm door 3 1us")
	if got, err := h.box.Edges("door"); err != nil || got != 6 {
		t.Errorf("%d edges, %v", got, err)
	}
	h.do("wire loop-out -")
	h.do("mute on")
	h.do("mute off")
	h.do("drop 1")
	h.do("disconnect")
	if got := h.do("level door"); got != "level door 0\n" {
		t.Errorf("%q", got)
	}
}

func TestRefusedWords(t *testing.T) {
	b := build(t, village, nil)
	for line, want := range map[string]string{
		"dance":                   "unknown: use battery, bus, chip, disconnect, drop, level, load, loop,",
		"set door":                "set has 2 arguments, see simctl board --help",
		"loop window":             "loop has 2 to 3 arguments",
		"set door open":           `"open": use 0 or 1`,
		"set cat 1":               `no line "cat"`,
		"pulse door soon":         "invalid duration",
		"pulse cat 1s":            `no line "cat"`,
		"pulse siren":             "pulse has 2",
		"storm door x 1ms":        `"x": a number from 1 is needed`,
		"storm door 1 x":          "invalid duration",
		"level cat":               `no line "cat"`,
		"mute maybe":              "use off or on",
		"drop -1":                 "a number from 0 is needed",
		"wire door siren":         "a loop begins at an output",
		"loop cat cut":            `no loop "cat": this box has window`,
		"loop window open":        "normal, active, mask, cut or short",
		"loop window cable x":     "ohms are needed",
		"chip cat pull":           `no chip "cat": this box has air, attic, cellar`,
		"chip air eat":            "use pull, plug, brown-out or damage N",
		"chip air damage x":       "a number from 0 is needed",
		"bus cat stick":           `no bus "cat": this box has chips and wire`,
		"bus chips paint":         "use stick, free or slow",
		"bus chips slow x":        "invalid duration",
		"bus chips slow 3000h":    "0s to 2s",
		"bus chips slow -1s":      "0s to 2s",
		"pin air 0 1":             "an mcp23017 has 0 to 15",
		"pin attic 16 1":          "an mcp23017 has 0 to 15",
		"pin attic 1 2":           "use 0 or 1",
		"sensor cat 1":            `no sensor "cat"`,
		"sensor air x":            "a number is needed",
		"sensor air wind=3":       "use temperature (°C), humidity (%) or pressure (Pa)",
		"sensor cellar wind=3":    `cellar does not feel "wind"`,
		"sensor clock wind=3":     `clock does not feel "wind"`,
		"sensor attic 3":          `attic does not feel ""`,
		"sensor river wind=3":     `no sensor "river"`,
		"mains low":               "use off or on",
		"battery 101":             "0 to 100 per cent",
		"load -1":                 "watts are needed",
		"touch cat":               `no key "cat"`,
		"touch air":               "only a device on 1-wire",
		"touch key soon":          "invalid duration",
		"slave 9 dead":            `no slave "9": this box has [1 3]`,
		"slave 3 moody":           "a slave is alive",
		"slave 3 slow x":          "invalid duration",
		"register 9 holding 0 0":  "no slave",
		"register 3 shelf 0 0":    "a table is coil",
		"register 3 holding -1 0": "an address is 0 to 65535",
		"register 3 holding 0 x":  "a value is 0 to 65535",
	} {
		if err := b.Do(t.Context(), io.Discard, strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func TestRefusedPlans(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":    {"lanes: [door]", "unknown field"},
		"no YAML":        {"lines: [", "reading a box"},
		"too long":       {strings.Repeat("#", maxPlan+1), "at most"},
		"line":           {"lines: [Door]", "line name"},
		"output":         {"lines: [door]\noutputs: [door]", "named twice"},
		"wire":           {"lines: [door]\nwires: {x: door}", `no line "x"`},
		"bus kind":       {"buses: [{name: a, kind: can}]", "use i2c or onewire"},
		"bus name":       {"buses: [{name: A, kind: i2c}]", "bus name"},
		"bus twice":      {"buses: [{name: a, kind: i2c}, {name: a, kind: onewire}]", "named twice"},
		"no chip name":   {"buses: [{name: a, kind: i2c, chips: [{chip: ads1115}]}]", "has no name"},
		"no chip":        {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ds18b20}]}]", "on I2C"},
		"no device":      {"buses: [{name: a, kind: onewire, chips: [{name: x, chip: ads1115}]}]", "on 1-wire"},
		"address":        {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115, address: 0x80}]}]", "0x08 to 0x77"},
		"address twice":  {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115}, {name: y, chip: ads1115}]}]", "that of x"},
		"reference":      {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115, reference: 4}]}]", "0 to 3"},
		"interrupt":      {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: mcp23017, interrupt: b}]}]", `no line "b"`},
		"loop without":   {"loops: [{name: a, adc: b}]", "no such input"},
		"loop scheme":    {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115}]}]\nloops: [{name: b, adc: x, scheme: 1k}]", "scheme"},
		"loop twice":     {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115}]}]\nloops: [{name: b, adc: x, scheme: 4k7-dual}, {name: b, adc: x, scheme: 4k7-dual}]", "twice"},
		"level without":  {"levels: [{name: a, adc: b}]", "no such input"},
		"level channel":  {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115}]}]\nlevels: [{name: b, adc: x, channel: 4}]", "no such input"},
		"level name":     {"buses: [{name: a, kind: i2c, chips: [{name: x, chip: ads1115}]}]\nlevels: [{name: x, adc: x}]", "another part"},
		"modbus nowhere": {"modbus: [{name: a}]", "either a link"},
		"modbus both":    {"modbus: [{name: a, link: b, listen: c}]", "either a link"},
		"unit":           {"modbus: [{name: a, link: b, slaves: [{unit: 0}]}]", "1 to 247"},
		"unit twice":     {"modbus: [{name: a, link: b, slaves: [{unit: 2}, {unit: 2}]}]", "unit 2 is taken: `slave 2 MOOD`"},
	} {
		p, err := Parse([]byte(c.text))
		if err == nil {
			_, err = Build(p, nil)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	b := build(t, "", nil)
	if b.Chip("x") != nil || b.Code("x") != 0 {
		t.Error("an empty box has a chip")
	}
}

// Everything of a box can be reached from another process.
func TestServe(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	defer goleak.VerifyNone(t, leaks)
	dir := t.TempDir()
	link := filepath.Join(dir, "rs485")
	must(t, os.Symlink("nowhere", link)) // of an earlier run
	b := build(t, strings.Replace(village, "LINK", link, 1), nil)
	ln, err := net.Listen("unix", filepath.Join(dir, "box"))
	must(t, err)
	ports, err := b.Open()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return b.Serve(ctx, ln, ports) })

	conn, err := net.Dial("unix", ln.Addr().String())
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	lines := bufio.NewScanner(conn)
	lines.Scan()
	_, err = conn.Write([]byte("i2c chips 76 1 d0\n"))
	must(t, err)
	if lines.Scan(); lines.Text() != "ok i2c chips 60" {
		t.Errorf("the id of a BME280: %q", lines.Text())
	}
	must(t, conn.Close())

	line, err := os.OpenFile(link, os.O_RDWR, 0)
	must(t, err)
	_, err = line.Write([]byte("\x03\x04\x00\x04\x00\x01\x71\xE9"))
	must(t, err)
	got := make([]byte, 7)
	_, err = io.ReadFull(line, got)
	must(t, err)
	if string(got[:5]) != "\x03\x04\x02\x00\x05" {
		t.Errorf("over the serial line % X", got)
	}
	must(t, line.Close())

	plc, err := net.Dial("tcp", ports[1].At)
	must(t, err)
	_, err = plc.Write([]byte("\x00\x01\x00\x00\x00\x06\x01\x04\x00\x00\x00\x01"))
	must(t, err)
	got = make([]byte, 11)
	_, err = io.ReadFull(plc, got)
	must(t, err)
	if got[10] != 42 {
		t.Errorf("over TCP % X", got)
	}
	must(t, plc.Close())
	cancel()
	must(t, group.Wait())
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link is still there")
	}
}

func TestOpenNeedsItsPlaces(t *testing.T) {
	for name, text := range map[string]string{
		"a folder that is not there": "modbus: [{name: ok, listen: 127.0.0.1:0}, {name: a, link: no/such/folder/tty}]",
		"a host that is not here":    "modbus: [{name: a, listen: '192.0.2.1:1'}]",
	} {
		if _, err := build(t, text, nil).Open(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(village))
	f.Add([]byte("lines: [a]\nbuses: [{name: b, kind: onewire, chips: [{name: c, chip: ds1990a}]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if b, err := Build(p, nil); err == nil && b == nil {
			t.Error("no box and no error")
		}
	})
}

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"watchpost/sim/qemu"
	"watchpost/storage/event"
)

// guestPatience is how long an emulated station may take for anything: its seconds are this machine's, shared with others.
const guestPatience = 90 * time.Second

// guestFolder holds what runs inside guests: the kernel, as make deps-qemu left it, and in bin the programs for it.
func guestFolder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("WATCHPOST_GUEST")
	if dir == "" {
		t.Fatal("WATCHPOST_GUEST is not set: run make qemu, or set it to the folder that make deps-qemu and make build-guest fill")
	}
	return dir
}

// guestProgram is a program for the guest's processor as a file of its initramfs.
func guestProgram(t testing.TB, name, as string) qemu.File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(guestFolder(t), "bin", name))
	if err != nil {
		t.Fatalf("run make build-guest: %v", err)
	}
	return qemu.File{Name: as, Mode: 0o755, Data: data}
}

// guest is a station whose processor and kernel are emulated.
type guest struct {
	*qemu.VM
	t testing.TB
}

// guestKernel is what guests boot.
func guestKernel(t testing.TB) qemu.Kernel {
	t.Helper()
	kernel, err := qemu.FindKernel(guestFolder(t))
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return kernel
}

// boot starts a guest with stationinit and some modules.
func boot(t testing.TB, o qemu.Options, modules ...string) guest {
	t.Helper()
	o.Kernel = guestKernel(t)
	if len(modules) > 0 {
		files, err := o.Kernel.Modules(modules...)
		if err != nil {
			t.Fatal(err)
		}
		o.Files = append(o.Files, files...)
	}
	o.Files, o.Dir = append(o.Files, guestProgram(t, "stationinit", "init")), t.TempDir()
	vm, err := qemu.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		vm.Stop()
		if t.Failed() {
			t.Logf("---- the guest's console:\n%s", vm.Console())
		}
	})
	return guest{vm, t}
}

// await waits for a line of the console that holds a text and answers what follows it.
func (g guest) await(text string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), guestPatience)
	defer cancel()
	rest, err := g.Await(ctx, text)
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(rest)
}

// do gives a command to the program in the guest (sim/qemu/guest) and answers what follows the prefix of its answer.
func (g guest) do(prefix, format string, args ...any) string {
	g.t.Helper()
	if err := g.Say(format, args...); err != nil {
		g.t.Fatal(err)
	}
	return g.await("guest " + prefix)
}

// cpu is the processor time that the emulation has taken since it began.
func (g guest) cpu() float64 {
	g.t.Helper()
	d, err := g.CPU()
	if err != nil {
		g.t.Fatal(err)
	}
	return d.Seconds()
}

// ends waits for the guest's own end and checks how it ended.
func (g guest) ends(want string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), guestPatience)
	defer cancel()
	got, err := g.Wait(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	if got != want {
		g.t.Fatalf("the guest ended by %s, not %s", got, want)
	}
}

// newGuestCentre is a centre that guests know by their own name for this machine.
func newGuestCentre(t testing.TB) *centre {
	t.Helper()
	c := &centre{t: t, dir: filepath.Join(t.TempDir(), "centre")}
	must(t, "dispatch", "init", "--dir", c.dir, "--name", "常山县", "--host", qemu.Host)
	c.args = []string{"serve", "--dir", c.dir, "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}
	c.serve()
	return c
}

// guestStation is the configuration of a standard village inside a guest, and the files that it names. The guest reaches the
// centre's broker as a port of the machine that it runs on.
func guestStation(t testing.TB, c *centre, more string) (id string, files []qemu.File) {
	t.Helper()
	p := caoping(c)
	enrolled := c.enrol(p.id, p.jurisdiction, p.name)
	for _, name := range []string{"ca.pem", "station.pem", "station-key.pem", "centre.yaml"} {
		data, err := os.ReadFile(filepath.Join(enrolled, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, qemu.File{Name: "etc/watchpost/" + name, Mode: 0o600, Data: data})
	}
	entry := strings.Replace(string(files[3].Data), "tls://127.0.0.1:", "tls://"+qemu.Host+":", 1)
	text := fmt.Sprintf("station: {id: %s, jurisdiction: %s, name: %s}\ndata: /run/watchpost\nlog: {reserve: 16MiB}\n%s%s", p.id, p.jurisdiction, p.name, more, entry)
	files[3] = qemu.File{Name: "etc/watchpost/station.yaml", Mode: 0o600, Data: []byte(text)}
	files = append(files, guestProgram(t, "watchpostd", "bin/watchpostd"), guestProgram(t, "guest", "bin/guest"))
	return p.id, files
}

// receipted waits until the station in the guest has the centre's receipt for an event.
func (g guest) receipted(e event.Event) {
	g.t.Helper()
	within(g.t, guestPatience, "receipt at the station in the guest", func() error {
		var word doorWord
		if err := json.Unmarshal([]byte(g.do("answer ", "ask /v1/status")), &word); err != nil {
			return err
		}
		if word.Centres[0].Receipts[e.Lane.String()] < e.Seq {
			return errNoReceipt
		}
		return nil
	})
}

// memory is the agent's resident memory in MiB.
func (g guest) memory() float64 {
	g.t.Helper()
	kib, err := strconv.ParseFloat(g.do("memory ", "memory"), 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return kib / 1024
}

// bootStation boots the files of guestStation with their network, and a hand beside the agent.
func bootStation(t testing.TB, o qemu.Options, hand []string, modules ...string) guest {
	t.Helper()
	o.Board, o.Words = qemu.Virt(), []string{"WATCHPOST_ADDRESS=" + qemu.Address, "WATCHPOST_GATEWAY=" + qemu.Host}
	o.Program = append(append([]string{"/bin/guest"}, hand...), "/bin/watchpostd", "-config", "/etc/watchpost/station.yaml")
	return boot(t, o, append(modules, "virtio_pci", "virtio_net")...)
}

// guestFigures are what a boot cost.
type guestFigures struct {
	boot   float64 // processor time of the emulation until the first alarm was receipted, in s
	memory float64 // of the agent then, in MiB
}

// alarmFromGuest boots a station whose door hangs on a simulated chip of its own kernel, and opens the door as soon as somebody
// watches it: the alarm's way from the kernel's interrupt to the receipt is all there is.
func alarmFromGuest(t testing.TB) guestFigures {
	const lines = "boards: [{id: main, backend: host, chip: wires}]\nzones:\n" +
		"  - {id: door, name: 大门, board: main, line: door, rest: open}\n" +
		"  - {id: panic, name: 紧急按钮, kind: panic, board: main, line: panic, rest: open, debounce: 20ms}\n"
	c := newGuestCentre(t)
	id, files := guestStation(t, c, lines)
	g := bootStation(t, qemu.Options{Files: files}, []string{"-chip", "wires:door,panic"}, "gpio-sim")
	g.await("zone=door state=normal")
	g.do("pulled", "pull door 1")
	e := awaitStoredFrom(t, c, id, "door")
	g.receipted(e)
	f := guestFigures{g.cpu(), g.memory()}
	g.do("pulled", "pull panic 1")
	p := awaitStoredFrom(t, c, id, "panic")
	g.receipted(p)
	for _, e := range []event.Event{e, p} {
		seq, _ := e.Body.Uint(event.TagLineSeq)
		if e.KernelNS == 0 || seq == 0 || e.Lane != event.LaneAlarm {
			t.Errorf("%s without the kernel's time and the number of its edge, or in lane %s: %+v", e.Zone, e.Lane, e)
		}
	}
	checkOnce(t, c.stored(id))
	g.do("sent", "signal 15")
	g.ends("guest-shutdown")
	return f
}

// awaitStoredFrom waits for a zone's alarm, as long as an emulated station may take.
func awaitStoredFrom(t testing.TB, c *centre, id, zone string) (found event.Event) {
	t.Helper()
	fits := zoneActive(zone)
	within(t, guestPatience, "alarm of "+zone+" in the centre's store", func() error {
		for _, e := range c.stored(id) {
			if fits(e) {
				found = e
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(c.stored(id)))
	})
	return found
}

// TestGuestAlarm: an edge on a line of the station's own kernel becomes an event that a centre outside has stored.
func TestGuestAlarm(t *testing.T) {
	f := alarmFromGuest(t)
	t.Logf("%.2f s of processor time from power-on to the receipt; the agent has %.1f MiB", f.boot, f.memory)
}

// TestBenchFeelGuest measures what TestGuestAlarm does.
func TestBenchFeelGuest(t *testing.T) {
	f := alarmFromGuest(t)
	figure("feel/guest-boot-to-receipt-cpu", f.boot, "s", 6)
	figure("feel/guest-agent-rss", f.memory, "MiB", 96)
}

// TestGuestPowerButton is the same on a kernel without any module of ours: the button is the machine's own, on its PL061.
func TestGuestPowerButton(t *testing.T) {
	c := newGuestCentre(t)
	id, files := guestStation(t, c, "boards: [{id: main, backend: host, chip: 9030000.pl061, lines: {button: \"3\"}}]\n"+
		"zones: [{id: panic, name: 紧急按钮, kind: panic, board: main, line: button, rest: open, debounce: 20ms}]\n")
	g := bootStation(t, qemu.Options{Files: files}, nil)
	g.await("zone=panic state=normal")
	if err := g.PressPower(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := awaitStoredFrom(t, c, id, "panic")
	g.receipted(e)
	if e.KernelNS == 0 {
		t.Errorf("the button without the kernel's time: %+v", e)
	}
	g.do("sent", "signal 15")
	g.ends("guest-shutdown")
}

// TestGuestHang: an agent that works is left alone for longer than the hardware waits; one that stands still is no station, and
// the hardware starts it anew.
func TestGuestHang(t *testing.T) {
	const timeout = 5 * time.Second
	c := newGuestCentre(t)
	id, files := guestStation(t, c, fmt.Sprintf("watchdog: {device: /dev/watchdog, timeout: %s}\n", timeout))
	g := bootStation(t, qemu.Options{Files: files, Watchdog: true}, nil, "i6300esb")
	g.await("the watchdog waits")
	c.awaitStored(id, "any event", func(event.Event) bool { return true })
	ctx, cancel := context.WithTimeout(t.Context(), 2*timeout)
	defer cancel()
	if reason, err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a working station ended by %q, %v", reason, err)
	}
	g.do("sent", "signal 19")
	g.ends("guest-reset")
	if strings.Contains(g.Console(), "the station ends") {
		t.Error("stationinit ended the station, not the watchdog")
	}
}

// TestGuestStartsAnew: stationinit does without what it cannot have, runs the agent if nothing else is asked for, and an agent that
// is not there is no end of the station: it starts anew.
func TestGuestStartsAnew(t *testing.T) {
	broken := qemu.File{Name: "lib/mods/broken.ko", Mode: 0o644, Data: []byte("no module")}
	list := qemu.File{Name: "lib/mods/order", Mode: 0o644, Data: []byte("broken.ko\nmissing.ko\n")}
	g := boot(t, qemu.Options{Board: qemu.Virt(), Files: []qemu.File{broken, list}, Words: []string{"WATCHPOST_ADDRESS=" + qemu.Address}})
	for _, told := range []string{"broken.ko: exec format error", "network interface for " + qemu.Address, "/bin/watchpostd: no such file"} {
		g.await(told)
	}
	g.ends("guest-reset")
}

// TestGuestHostbus runs the tests of drivers/hostbus whose kernel calls a kernel answers, on a chip of 32 lines. Who counts wake-ups
// has a guest where nobody else is awake. The test that pulls the chip is left out: Linux 6.1 frees what lines that are held still
// point to ("REMOVING GPIOCHIP WITH GPIOS STILL REQUESTED"), and one time in four it is the kernel that falls.
func TestGuestHostbus(t *testing.T) {
	var lines []string
	for i := range 32 {
		lines = append(lines, fmt.Sprint(i))
	}
	for _, tt := range []struct {
		which string
		says  []string
	}{
		{"-test.run=^Test(Simulated(Chip|Edges|Debounce|Storm|Output)|Layouts|Serial.*)$", []string{"PASS: TestSimulatedChip ", "20 of 20 edges with kernel time and sequence", "PASS: TestSimulatedStorm "}},
		{"-test.run=^TestIdle$", []string{"PASS: TestIdle "}},
	} {
		files := []qemu.File{guestProgram(t, "guest", "bin/guest"), guestProgram(t, "hostbus.test", "bin/hostbus.test")}
		program := []string{"/bin/guest", "-chip", "wires:" + strings.Join(lines, ","), "/bin/hostbus.test", "-test.v", tt.which}
		g := boot(t, qemu.Options{Board: qemu.Virt(), Files: files, Program: program}, "gpio-sim")
		g.ends("guest-shutdown")
		for _, want := range tt.says {
			if _, rest, ok := strings.Cut(g.Console(), want); ok {
				rest, _, _ = strings.Cut(rest, "\n")
				t.Log(want + rest)
			} else {
				t.Errorf("with %s the tests in the guest did not say %q", tt.which, want)
			}
		}
	}
}

// TestSabreliteI2C has hostbus talk with a chip that is not of its own making: a TMP105 on the second bus of an i.MX6.
func TestSabreliteI2C(t *testing.T) {
	files := []qemu.File{guestProgram(t, "hostbus.test", "bin/hostbus.test")}
	program := []string{"/bin/hostbus.test", "-test.v", "-test.run=^TestThermometer$"}
	g := boot(t, qemu.Options{Board: qemu.Sabrelite(), Words: []string{"WATCHPOST_TMP105=/dev/i2c-1"}, Files: files, Program: program}, "i2c-imx", "i2c-dev")
	g.await("=== RUN   TestThermometer")
	if err := g.Warm(t.Context(), 42500); err != nil {
		t.Fatal(err)
	}
	t.Logf("the bus measures %s °C, after %.1f s of processor time", g.await("thermometer at "), g.cpu())
	g.await("--- PASS: TestThermometer")
}

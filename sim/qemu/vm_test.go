package qemu

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// emulate starts the emulator without any kernel and stopped before its first instruction: enough to talk to.
func emulate(t *testing.T, ctx context.Context) *VM {
	t.Helper()
	if _, err := exec.LookPath(Virt().Emulator); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no emulator, make deps installs it: %v", err)
	}
	vm, err := start(ctx, Virt().Emulator, append(Virt().machine(), "-S"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.Stop)
	return vm
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestControl talks QMP with the real emulator, from the greeting to the reason of its end.
func TestControl(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx := limited(t)
	vm := emulate(t, ctx)
	if err := vm.PressPower(ctx); err != nil { // its event comes before its answer
		t.Error(err)
	}
	if err := vm.control.ask(ctx, "open_the_pod_bay_doors", nil); err == nil || !strings.Contains(err.Error(), "CommandNotFound") {
		t.Errorf("an unknown command: %v", err)
	}
	cpu, err := vm.CPU()
	if err != nil || cpu <= 0 {
		t.Errorf("%s of processor time, %v", cpu, err)
	}
	if err := vm.control.ask(ctx, "quit", nil); err != nil {
		t.Error(err)
	}
	if reason, err := vm.Wait(ctx); reason != "host-qmp-quit" || err != nil {
		t.Errorf("it ended by %q, %v", reason, err)
	}
	if err := vm.PressPower(ctx); err == nil {
		t.Error("the button of a machine that has ended was pressed")
	}
	if _, err := vm.Await(ctx, "anything"); err == nil || !strings.Contains(err.Error(), "ended before it said") {
		t.Errorf("a word from a machine that has ended: %v", err)
	}
	vm.Stop()
}

// TestStop: the emulation ends with Stop, which may be called again, and with its context; neither is an end of the guest's own.
func TestStop(t *testing.T) {
	defer goleak.VerifyNone(t)
	vm := emulate(t, limited(t))
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := vm.Wait(late); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a guest that stands still ended: %v", err)
	}
	vm.Stop()
	vm.Stop()
	if _, err := vm.CPU(); err == nil {
		t.Error("an emulation that has ended has processor time")
	}
	ctx, end := context.WithCancel(limited(t))
	vm = emulate(t, ctx)
	end()
	if reason, err := vm.Wait(limited(t)); err == nil || reason != "" {
		t.Errorf("ended by its context it says %q, %v", reason, err)
	}
	vm.Stop()
}

func TestStartFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	emulate(t, limited(t)).Stop()
	if _, err := start(limited(t), Virt().Emulator, append(Virt().machine(), "-device", "flux-capacitor")); err == nil || !strings.Contains(err.Error(), "flux-capacitor") {
		t.Errorf("a device that does not exist: %v", err)
	}
	if _, err := Start(limited(t), Options{Files: []File{{Name: "/init"}}, Dir: t.TempDir()}); err == nil {
		t.Error("an archive that cannot be was booted")
	}
	t.Setenv("PATH", "")
	if _, err := start(limited(t), Virt().Emulator, Virt().machine()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without an emulator: %v", err)
	}
}

func TestConsole(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx := limited(t)
	c := newConsole()
	r, w := io.Pipe()
	var reader, waiter sync.WaitGroup
	reader.Go(func() { c.read(r) })
	var first string
	var err error
	waiter.Go(func() { first, err = c.await(ctx, "edge ") })
	say := func(text string) {
		if _, err := io.WriteString(w, text); err != nil {
			t.Error(err)
		}
	}
	say("boot\r\ned")
	say("ge 1 up\r\n[    1.0] edge 2 down\r\n")
	if waiter.Wait(); first != "1 up" || err != nil {
		t.Errorf("the first edge is %q, %v", first, err)
	}
	if rest, err := c.await(ctx, "edge "); rest != "2 down" || err != nil {
		t.Errorf("the second edge is %q, %v", rest, err)
	}
	late, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := c.await(late, "boot"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a line was found again: %v", err)
	}
	say(strings.Repeat("x", MaxLine) + "edge 3\r\nlast words")
	if rest, err := c.await(ctx, "edge "); rest != "3" || err != nil {
		t.Errorf("behind a line that is too long: %q, %v", rest, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	reader.Wait()
	if rest, err := c.await(ctx, "last"); rest != " words" || err != nil {
		t.Errorf("the last line is %q, %v", rest, err)
	}
	if _, err := c.await(ctx, "edge "); err == nil || !strings.Contains(err.Error(), "last words") {
		t.Errorf("after the end: %v", err)
	}
	if all := c.all(); !strings.HasPrefix(all, "boot\nedge 1 up\n[    1.0] edge 2 down\n") {
		t.Errorf("all of it: %.60q", all)
	}
}

// TestConsoleProperties: however the guest's writes are cut, the console is its lines, and each is found once and in order.
func TestConsoleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringMatching(`[a-z ]{0,12}`), 1, 20).Draw(t, "lines")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		text := strings.Join(lines, end) + end
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		c := newConsole()
		c.read(io.MultiReader(strings.NewReader(text[:cut]), strings.NewReader(text[cut:])))
		if got := c.all(); got != strings.Join(lines, "\n") {
			t.Fatalf("%q became %q", text, got)
		}
		for _, l := range lines {
			if rest, err := c.await(context.Background(), l); err != nil || rest != "" {
				t.Fatalf("line %q: %q, %v", l, rest, err)
			}
		}
		if rest, err := c.await(context.Background(), ""); err == nil {
			t.Fatalf("a line too many: %q", rest)
		}
	})
}

func TestProcessTime(t *testing.T) {
	line := "4711 (qemu) system (x) S 1 2 3 4 5 6 7 8 9 10 150 30 0 0 20 0 4 0 100"
	if d, err := processTime(line); err != nil || d != 1800*time.Millisecond {
		t.Errorf("%s, %v", d, err)
	}
	for _, wrong := range []string{"", "4711 (x) S 1", strings.Replace(line, " 150 ", " much ", 1)} {
		if d, err := processTime(wrong); err == nil {
			t.Errorf("%q is %s", wrong, d)
		}
	}
}

// TestArguments: the words behind -- are init's, a watchdog is there only if it is asked for, a device tree only where one is needed.
func TestArguments(t *testing.T) {
	kernel := Kernel{Image: "vmlinuz", tree: "board.dtb"}
	for _, tt := range []struct {
		name  string
		o     Options
		has   []string
		lacks []string
	}{
		{"a program", Options{Board: Virt(), Program: []string{"/bin/a", "-b"}}, []string{"console=ttyAMA0 quiet oops=panic panic=-1 -- /bin/a -b "}, []string{"i6300esb", "board.dtb"}},
		{"init's own program", Options{Board: Virt(), Watchdog: true}, []string{"i6300esb", "watchdog=reset"}, []string{" -- "}},
		{"another board", Options{Board: Sabrelite(), Words: []string{"A=1"}}, []string{"panic=-1 A=1", "-dtb board.dtb", "tmp105", "console=ttymxc1"}, []string{"netdev"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Kernel = kernel
			args := strings.Join(tt.o.arguments("i.cpio"), " ")
			for _, text := range tt.has {
				if !strings.Contains(args, text) {
					t.Errorf("%q is not in %s", text, args)
				}
			}
			for _, text := range tt.lacks {
				if strings.Contains(args, text) {
					t.Errorf("%q is in %s", text, args)
				}
			}
		})
	}
}

// TestThermometer sets the sabrelite's from outside, which the real emulator must take; a virt has none.
func TestThermometer(t *testing.T) {
	defer goleak.VerifyNone(t)
	emulate(t, limited(t)).Stop()
	vm, err := start(limited(t), Sabrelite().Emulator, append(append(Sabrelite().machine(), Sabrelite().devices...), "-S"))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Stop()
	if err := vm.Warm(limited(t), 42500); err != nil {
		t.Error(err)
	}
	other := emulate(t, limited(t))
	defer other.Stop()
	if err := other.Warm(limited(t), 42500); err == nil || !strings.Contains(err.Error(), "DeviceNotFound") {
		t.Errorf("a virt's thermometer: %v", err)
	}
}

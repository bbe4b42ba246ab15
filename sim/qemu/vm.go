// A station's processor and kernel are not those of the machine that it is built on, so what talks to the kernel is tried on
// an emulated one: QEMU boots Debian's arm64 kernel with an initramfs of ours, and everything that is wired to it is simulated
// inside, in that kernel.
//
// Two kinds of wires are there. The machine's own PL061 is a GPIO chip of eight lines labelled 9030000.pl061, and QEMU's
// power button is a pulse on line 3 of it. For more, the kernel's gpio-sim is loaded; Debian builds its kernels without, so
// `make deps-qemu` compiles it from Debian's source of the same kernel. Those sources and modules are under the GPL 2.0: they
// are made where the tests run, loaded into a guest, and no part of what we ship.
//
// A guest's [Board] is -M virt with a cortex-a53, one processor, one thread: the cheapest that boots this kernel by a factor of
// up to five, since the bigger models spend their time on pointer authentication. It has no I2C; for that there is sabrelite, a
// 32-bit board whose second bus carries a thermometer.
package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what a guest is.
type Options struct {
	Kernel Kernel
	// Files are the initramfs; "init" among them is what the kernel starts.
	Files []File
	// Words are further ones of the kernel's command line; those of the form NAME=VALUE become init's environment.
	Words []string
	// Program and its arguments are what init is told to run; nil leaves it to init.
	Program []string
	// Board is what the guest runs on.
	Board Board
	// Watchdog gives the guest an i6300esb, which resets it; only Virt takes one.
	Watchdog bool
	// Dir is a folder for the guest's files, the caller's to remove.
	Dir string
}

// VM is one running guest.
type VM struct {
	console *console
	control *control
	input   io.Writer
	cmd     *exec.Cmd
	words   *bytes.Buffer // QEMU's own complaints
	joined  sync.WaitGroup
	ended   chan struct{}
	err     error // of QEMU, once ended is closed
}

// Start boots a guest, which runs until it ends by itself, Stop is called or ctx ends.
func Start(ctx context.Context, o Options) (*VM, error) {
	initramfs := filepath.Join(o.Dir, "initramfs.cpio")
	var archive bytes.Buffer
	if err := WriteArchive(&archive, o.Files); err != nil {
		return nil, err
	}
	if err := os.WriteFile(initramfs, archive.Bytes(), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, o.Board.Emulator, append(o.Board.machine(), o.arguments(initramfs)...))
}

func (o Options) arguments(initramfs string) []string {
	words := append(append(strings.Fields(o.Board.words), "quiet", "oops=panic", "panic=-1"), o.Words...)
	if len(o.Program) > 0 {
		words = append(append(words, "--"), o.Program...)
	}
	args := []string{"-kernel", o.Kernel.Image, "-initrd", initramfs, "-append", strings.Join(words, " ")}
	if o.Board.tree {
		args = append(args, "-dtb", o.Kernel.tree)
	}
	if o.Watchdog {
		args = append(args, "-device", "i6300esb", "-action", "watchdog=reset")
	}
	return append(args, o.Board.devices...)
}

func start(ctx context.Context, emulator string, args []string) (*VM, error) {
	near, far, err := pair()
	if err != nil {
		return nil, err
	}
	vm := &VM{console: newConsole(), control: newControl(near), words: &bytes.Buffer{}, ended: make(chan struct{})}
	vm.cmd = exec.CommandContext(ctx, emulator, args...)
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	vm.cmd.ExtraFiles = []*os.File{far} // becomes descriptor 3
	vm.cmd.Stderr = vm.words
	output, err := vm.cmd.StdoutPipe()
	if err == nil {
		vm.input, err = vm.cmd.StdinPipe()
	}
	if err == nil {
		err = vm.cmd.Start()
	}
	_ = far.Close() // it is the emulator's alone, so that its end is the connection's
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", emulator, err), near.Close())
	}
	vm.joined.Go(vm.control.read)
	vm.joined.Go(func() {
		vm.console.read(output)
		vm.err = vm.cmd.Wait()
		close(vm.ended)
	})
	if err := vm.control.ask(ctx, "qmp_capabilities", nil); err != nil { // before it nothing else is answered
		vm.Stop()
		return nil, fmt.Errorf("%s does not answer: %w\n%s", emulator, err, vm.words)
	}
	return vm, nil
}

// pair is a connection of which the far end is for a child.
func pair() (near net.Conn, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a control connection: %w", err)
	}
	own := os.NewFile(uintptr(fds[0]), "control")
	far = os.NewFile(uintptr(fds[1]), "control of the guest")
	near, err = net.FileConn(own)
	if err = errors.Join(err, own.Close()); err != nil {
		return nil, nil, errors.Join(err, far.Close())
	}
	return near, far, nil
}

// Await waits for a line on the guest's console that holds a text, and answers what follows it there. Lines are consumed: the
// next Await begins behind this one. It fails when ctx or the guest ends first, with the last lines of the console.
func (vm *VM) Await(ctx context.Context, text string) (string, error) {
	return vm.console.await(ctx, text)
}

// Say types a line on the guest's console.
func (vm *VM) Say(format string, args ...any) error {
	if _, err := fmt.Fprintf(vm.input, format+"\n", args...); err != nil {
		return fmt.Errorf("typing on the guest's console: %w", err)
	}
	return nil
}

// Console is everything that the guest wrote so far.
func (vm *VM) Console() string { return vm.console.all() }

// PressPower presses the power button: a pulse of about 100 ms, high, on line 3 of the machine's PL061.
func (vm *VM) PressPower(ctx context.Context) error {
	return vm.control.ask(ctx, "system_powerdown", nil)
}

// Warm sets what a sabrelite's thermometer measures, in thousandths of a degree Celsius.
func (vm *VM) Warm(ctx context.Context, millidegrees int) error {
	return vm.control.ask(ctx, "qom-set", map[string]any{"path": "/machine/peripheral/" + thermometer, "property": "temperature", "value": millidegrees})
}

// CPU is the processor time that the emulation has taken so far, in steps of 10 ms.
func (vm *VM) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", vm.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("asking for the emulation's time: %w", err)
	}
	return processTime(string(stat))
}

// processTime adds user and system time of a line of proc(5)'s stat, its fields 14 and 15.
func processTime(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // from field 3 on; the name before it may hold blanks
	if len(fields) < 13 {
		return 0, fmt.Errorf("not a line of stat: %q", stat)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading process time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil
}

// Wait waits until the guest has ended by itself and answers how, in QEMU's words: guest-shutdown, guest-reset, guest-panic.
func (vm *VM) Wait(ctx context.Context) (string, error) {
	select {
	case <-vm.ended:
	case <-ctx.Done():
		return "", fmt.Errorf("the guest does not end: %w; its last lines:\n%s", ctx.Err(), vm.console.tail())
	}
	vm.joined.Wait()
	reason := vm.control.shutdown()
	if reason == "" {
		return "", fmt.Errorf("the emulation was ended: %w\n%s", vm.err, vm.words)
	}
	return reason, nil
}

// Stop ends the guest as a power cut does, and returns when it has ended. It may be called again and after the guest's own end.
func (vm *VM) Stop() {
	_ = vm.cmd.Process.Kill()
	vm.joined.Wait()
	_ = vm.control.conn.Close()
}

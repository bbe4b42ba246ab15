package modbus

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	board "watchpost/sim/board/modbus"
	"watchpost/storage/event"
)

// pymodbus starts Debian's pymodbus as two slaves and gives the port that it listens on. On CI it must be there.
func pymodbus(t *testing.T, args ...string) int {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's, which has pymodbus
	if out, err := exec.Command(python, "-c", "import pymodbus.server.async_io").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("pymodbus: %v: make deps installs it\n%s", err, out)
		}
		t.Skip("python3-pymodbus is not installed: make deps installs it")
	}
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", "slaves.py")}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	port := 0
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scanErr := fmt.Sscan(line, &port); err != nil || scanErr != nil {
		t.Fatalf("pymodbus said %q: %v\n%s", line, err, said.String())
	}
	return port
}

// tty is one end of a new serial line, and the path of the other.
func tty(t *testing.T) *board.Line {
	t.Helper()
	line, err := board.OpenLine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	return line
}

// TestPymodbus asks slaves that others have written, with every function, over a serial line and over TCP.
func TestPymodbus(t *testing.T) {
	t.Run("rtu", func(t *testing.T) {
		t.Parallel()
		line := tty(t)
		pymodbus(t, "rtu", line.Path)
		c, err := NewRTU(RTU{Name: "pty", Baud: 19200, Timeout: 2 * time.Second, Open: func() (bus.Serial, error) { return line, nil }})
		if err != nil {
			t.Fatal(err)
		}
		everyFunction(t, c)
	})
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		port := pymodbus(t, "tcp")
		c, err := NewTCP(TCP{Name: "pymodbus", Address: fmt.Sprintf("127.0.0.1:%d", port), Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		everyFunction(t, c)
	})
}

func everyFunction(t *testing.T, c *Client) {
	t.Helper()
	do := func(unit byte, r Request) Answer {
		t.Helper()
		a, err := c.Do(t.Context(), unit, r)
		if err != nil {
			t.Fatalf("function %d: %v", r.Function, err)
		}
		return a
	}
	thirds := make([]bool, 200)
	for i := range thirds {
		thirds[i] = i%3 == 0
	}
	for _, f := range []Function{ReadCoils, ReadDiscreteInputs} {
		for _, span := range [][2]int{{0, 1}, {1, 8}, {3, 17}, {0, 200}} {
			a := do(1, Request{Function: f, Address: uint16(span[0]), Count: uint16(span[1])})
			if !slices.Equal(a.Bits, thirds[span[0]:span[0]+span[1]]) {
				t.Errorf("function %d, %v: %v", f, span, a.Bits)
			}
		}
	}
	for _, unit := range []byte{1, 2} {
		for _, f := range []Function{ReadHoldingRegisters, ReadInputRegisters} {
			a := do(unit, Request{Function: f, Address: 75, Count: 125})
			if first, last := 1000*uint16(unit)+75, 1000*uint16(unit)+199; a.Registers[0] != first || a.Registers[124] != last {
				t.Errorf("function %d: from %d to %d", f, a.Registers[0], a.Registers[124])
			}
		}
	}
	do(2, Request{Function: WriteCoil, Address: 1, Bits: []bool{true}})
	do(2, Request{Function: WriteCoils, Address: 2, Bits: bits("1011001110")})
	if a := do(2, Request{Function: ReadCoils, Address: 0, Count: 13}); !slices.Equal(a.Bits, bits("1110110011101")) {
		t.Errorf("coils written: %v", a.Bits)
	}
	do(2, Request{Function: WriteRegister, Address: 1, Registers: []uint16{0xfffe}})
	do(2, Request{Function: WriteRegisters, Address: 2, Registers: []uint16{7, 8, 9}})
	if a := do(2, Request{Function: ReadHoldingRegisters, Address: 0, Count: 6}); !slices.Equal(a.Registers, []uint16{2000, 0xfffe, 7, 8, 9, 2005}) {
		t.Errorf("registers written: %v", a.Registers)
	}
	if _, err := c.Do(t.Context(), 1, Request{Function: ReadHoldingRegisters, Address: 199, Count: 2}); !errors.Is(err, IllegalDataAddress) {
		t.Errorf("past the end: %v", err)
	}
	if _, err := c.Do(t.Context(), 9, Request{Function: ReadCoils, Count: 1}); !errors.Is(err, bus.ErrNoAnswer) {
		t.Errorf("a slave that is not there: %v", err)
	}
	if a := do(1, Request{Function: ReadInputRegisters, Address: 5, Count: 1}); a.Registers[0] != 1005 {
		t.Errorf("after a slave that is not there: %v", a.Registers)
	}
}

// eventually waits for a log to have told all of the lines.
func eventually(t *testing.T, s *shelf, lines ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var got []string
	for {
		got = append(got, s.told()...)
		missing := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(got, l) })
		if len(missing) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not told: %s\ntold: %s", strings.Join(missing, ", "), strings.Join(got, ", "))
		}
	}
}

// TestBoard polls the simulated slaves, which have a codec of their own, over a serial line and over TCP, in every mood.
func TestBoard(t *testing.T) {
	for _, way := range []string{"rtu", "tcp"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			slaves := map[byte]*board.Slave{}
			var inputs []Input
			for u := byte(1); u <= 16; u++ {
				slaves[u] = board.NewSlave()
				slaves[u].Set(board.Discrete, 4, 0)
				slaves[u].Set(board.Holding, 9, uint16(u))
				inputs = append(inputs, zoneAt(fmt.Sprint("zone-", u), u, 4))
			}
			var wg sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			defer wg.Wait()
			defer cancel()
			var c *Client
			var err error
			if way == "rtu" {
				line := tty(t)
				wg.Go(func() {
					if err := board.ServeRTU(ctx, line, slaves); err != nil {
						t.Error(err)
					}
				})
				c, err = NewRTU(RTU{Name: "pty", Baud: 115200, Timeout: 100 * time.Millisecond, Open: func() (bus.Serial, error) {
					return os.OpenFile(line.Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
				}})
			} else {
				ln, lerr := net.Listen("tcp", "127.0.0.1:0")
				if lerr != nil {
					t.Fatal(lerr)
				}
				wg.Go(func() {
					if err := board.ServeTCP(ctx, ln, slaves); err != nil {
						t.Error(err)
					}
				})
				c, err = NewTCP(TCP{Name: "plc", Address: ln.Addr().String(), Timeout: 100 * time.Millisecond})
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s := &shelf{}
			d, stop := start(t, Options{Bus: way, Client: c, Inputs: inputs, Interval: 10 * time.Millisecond,
				Values: []Value{{ID: "v", Unit: 7, Number: 9, Scale: 0.5, UnitName: "m"}}}, s)
			defer stop()
			eventually(t, s, "zone-1 unknown>normal notice", "zone-16 unknown>normal notice")
			slaves[3].Set(board.Discrete, 4, 1)
			eventually(t, s, "zone-3 normal>active alarm")
			if r, err := d.Probe("v").Measure(t.Context()); err != nil || r[0].String() != "value 3.5 m" {
				t.Errorf("%v, %v", r, err)
			}
			for u, mood := range map[byte]board.Mood{5: board.Dead, 6: board.BadCRC, 7: board.WrongID, 8: board.Failing, 9: board.Babble} {
				slaves[u].Behave(mood, 0)
			}
			eventually(t, s, "zone-5 normal>missing warning wire", "zone-6 normal>missing warning wire", "zone-7 normal>missing warning wire",
				"zone-8 normal>missing warning wire", "zone-9 normal>missing warning wire")
			if _, err := d.Probe("v").Measure(t.Context()); err == nil {
				t.Error("the value of a slave that answers as another is still one")
			}
			slaves[16].Set(board.Discrete, 4, 1)
			eventually(t, s, "zone-16 normal>active alarm")
			for u := byte(5); u <= 9; u++ {
				slaves[u].Behave(board.Alive, 0)
			}
			eventually(t, s, "zone-5 missing>normal notice wire", "zone-6 missing>normal notice wire", "zone-7 missing>normal notice wire",
				"zone-8 missing>normal notice wire", "zone-9 missing>normal notice wire")
			for _, r := range d.Snapshot() {
				if r.State != "normal" && r.State != "active" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// TestChatter is an input that comes and goes with every poll: one fault, and the state that it settles in.
func TestChatter(t *testing.T) {
	in, s := zoneAt("hatch", 1, 0), &shelf{}
	level, now := false, time.Unix(1e9, 0)
	d, err := New(Options{Inputs: []Input{in}, Now: func() time.Time { return now },
		Client: asker(func(Request) (Answer, error) { return Answer{Bits: []bool{level}}, nil })})
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		d.round(t.Context())
		level, now = !level, now.Add(500*time.Millisecond)
	}
	level = true
	for range 30 {
		d.round(t.Context())
		now = now.Add(500 * time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var states []string
	err = d.inputs[0].zone.Store(ctx, func(ctx context.Context, e event.Draft) error {
		state, _ := e.Body.Text(event.TagState)
		if states = append(states, state); len(states) == 11 {
			cancel()
		}
		return s.sink(ctx, e)
	})
	if got := strings.Join(states, " "); err != nil || got != "normal active normal active normal active normal active normal fault active" {
		t.Errorf("%s, %v", got, err)
	}
	cancel()
}

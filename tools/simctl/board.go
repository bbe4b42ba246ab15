package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/board/box"
)

// boardCommand is an I/O box.
type boardCommand struct {
	Socket  string   `required:"" placeholder:"PATH" help:"Unix socket to serve linesock on. A dead one of an earlier run is replaced."`
	Box     string   `placeholder:"FILE" help:"Description of the box: lines, buses with chips, loops, a battery, Modbus slaves. See below."`
	Lines   []string `placeholder:"NAME,…" help:"Input lines, each of a-z, 0-9 and -."`
	Outputs []string `placeholder:"NAME,…" help:"Output lines, which a station may set."`

	Wire map[string]string `placeholder:"OUTPUT=INPUT" help:"Wires an output to an input, for the daily test alarm."`
}

// Help is shown below the flags.
func (boardCommand) Help() string {
	return `While it serves, it obeys lines on standard input, one when the one before is done:

  set LINE 0|1             move a terminal
  pulse LINE DURATION      move it, and back after the time
  storm LINE N DURATION    move it N times, one move per time
  level LINE               print "level LINE 0|1"
  wire OUTPUT INPUT        wire an output to an input, or to - for nothing
  mute on|off              answer nothing, tell nothing
  drop N                   lose the next N edges on their way
  disconnect               close all connections
  loop NAME STATE          normal, active, mask, cut or short; or: cable OHMS
  chip NAME pull|plug      take a chip off its bus, put it back; or: brown-out, damage N (answers)
  bus NAME stick|free      hold a wire of a bus low, let it go; or: slow DURATION, 0s to end it
  pin NAME PIN 0|1         move an input of an expander
  sensor NAME VALUE        °C, or mA of a transmitter; or: temperature=V humidity=V pressure=V drift=PPM
  touch NAME [DURATION]    hold a key to its reader, 1 s by default; NAME may be any code of 16 digits
  mains on|off             of the battery's charger
  battery PERCENT|show     fill or empty the battery; or print what it is at
  load WATTS               what the station draws from it
  slave N MOOD [DURATION]  alive, dead, slow, bad-crc, wrong-id, exception or babble
  register N TABLE ADDR V  set a value: TABLE is coil, discrete, holding or input

For example:

  echo set door 1 | simctl board --socket /tmp/box.sock --lines door,panic

A box with everything, as --box reads it:

  lines: [door, int-a]
  outputs: [siren]
  buses:
    - name: chips
      kind: i2c
      chips:
        - {name: loops-1, chip: ads1115, address: 0x48}     # its input 3 is at the excitation
        - {name: attic, chip: mcp23017, address: 0x20, interrupt: int-a}
        - {name: ups, chip: ina219, address: 0x41}          # measures the battery
        - {name: air, chip: bme280}
        - {name: clock, chip: ds3231}
    - name: wire
      kind: onewire
      chips:
        - {name: cellar, chip: ds18b20, serial: 7}
        - {name: key-li, chip: ds1990a, serial: 0x1234}     # away until it is touched
  loops:
    - {name: window, adc: loops-1, channel: 0, scheme: 4k7-dual}
  levels:
    - {name: river, adc: loops-1, channel: 2, shunt: 120, ma: 8}
  battery: {capacity: 84, load: 6, charger: 20}             # Wh, W, W
  modbus:
    - name: rs485
      link: /tmp/rs485                                      # a serial port for the station
      slaves: [{unit: 3, discrete: {0: 0}, holding: {100: 2301}}]
    - name: plc
      listen: 127.0.0.1:1502
      slaves: [{unit: 1, input: {0: 42}}]`
}

// plan is what the flags and the file describe together.
func (c *boardCommand) plan() (box.Plan, error) {
	var p box.Plan
	if c.Box != "" {
		text, err := os.ReadFile(c.Box)
		if err != nil {
			return p, fmt.Errorf("reading a box: %w", err)
		}
		if p, err = box.Parse(text); err != nil {
			return p, err
		}
	}
	p.Lines, p.Outputs = append(p.Lines, c.Lines...), append(p.Outputs, c.Outputs...)
	if p.Wires == nil {
		p.Wires = map[string]string{}
	}
	maps.Copy(p.Wires, c.Wire)
	if len(p.Lines) == 0 {
		return p, fmt.Errorf("a box without lines: use --lines, or lines in the file of --box")
	}
	return p, nil
}

// Run serves the box.
func (c *boardCommand) Run(ctx context.Context, d deps) error {
	p, err := c.plan()
	if err != nil {
		return usageError{err}
	}
	b, err := box.Build(p, nil)
	if err != nil {
		return usageError{err}
	}
	ln, err := listenUnix(c.Socket)
	if err != nil {
		return err
	}
	ports, err := b.Open()
	if err != nil {
		_ = ln.Close() // nobody was served
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Serve(ctx, ln, ports) })
	group.Go(func() error {
		return typed(ctx, d, func(words []string) error { return b.Do(ctx, d.stdout, words) })
	})
	for _, port := range ports {
		fmt.Fprintf(d.stdout, "%s at %s\n", port.Name, port.At)
	}
	fmt.Fprintln(d.stdout, "ready")
	return group.Wait()
}

// listenUnix listens on a socket and takes the place of one that nobody serves.
func listenUnix(path string) (net.Listener, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close() // it was only a question
		return nil, fmt.Errorf("socket %s is served by another program: stop it, or choose another path", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing a dead socket: %w", err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on a Unix socket (a path of at most 107 bytes in a folder that exists): %w", err)
	}
	return ln, nil
}

// The DS18B20 is a thermometer on a 1-wire bus; tables and figures here are those of Maxim 19-7487, Rev 6.
//
// A scratchpad counts only if its checksum and the bits that never change are right. 85 °C is what the chip holds before its
// first conversion, and so after each loss of its supply: it is not believed unless it was about as hot before.
//
// The strong pull-up is asked for during a conversion, so that chips without a supply of their own work too. They need a bus
// for themselves: traffic with others during the 0.75 s takes their supply away. Where a bus has none, they are told apart and not read.
package ds18b20

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
)

// Family is the family code of the chip, the lowest byte of its ROM code (figure 8).
const Family = 0x28

// Commands (table 3, and the ROM commands).
const (
	cmdMatch   = 0x55
	cmdConvert = 0x44
	cmdRead    = 0xbe
	cmdSupply  = 0xb4 // read bits are 0 if the chip lives from the wire
)

// scratchpadSize is the length of a scratchpad with its checksum (figure 9).
const scratchpadSize = 9

// slowest is a conversion with 12 bits; each bit less halves it (table 2).
const slowest = 750 * time.Millisecond

// powerOn is what the temperature register holds before the first conversion, 85 °C (table 1).
const powerOn measure.Temperature = 85 * measure.Celsius

// believable is how far from 85 °C the reading before must be, at most, for 85 °C to be one.
const believable = 10 * measure.Celsius

// Errors that somebody may branch on.
var (
	// ErrPowerOn means that the chip says 85 °C, as it does when it has not converted since it got power.
	ErrPowerOn = errors.New("85 °C is what it says before it has measured")
	// ErrNotDone means that the chip measures with more bits than it was given time for.
	ErrNotDone = errors.New("it measures longer than it was waited for")
)

// Chip is one chip. Its methods belong to one goroutine.
type Chip struct {
	bus  bus.OneWire
	rom  bus.ROM
	wait time.Duration // a conversion at the resolution last read

	last  measure.Temperature // last believed
	known bool                // last is one
}

// New is the chip with a ROM code; it does not touch the bus yet.
func New(b bus.OneWire, rom bus.ROM) (*Chip, error) {
	if b == nil {
		return nil, errors.New("ds18b20: no bus to find the chip on")
	}
	if err := rom.Check(); err != nil {
		return nil, fmt.Errorf("ds18b20: %w", err)
	}
	if rom.Family() != Family {
		return nil, fmt.Errorf("ds18b20: code %s is of family %02x, want %02x", rom, rom.Family(), Family)
	}
	return &Chip{bus: b, rom: rom, wait: slowest}, nil
}

// String names the chip as logs do.
func (c *Chip) String() string { return "ds18b20 " + c.rom.String() }

// Measure is the temperature, as a reading of that name.
func (c *Chip) Measure(ctx context.Context) ([]measure.Reading, error) {
	t, err := c.Temperature(ctx)
	if err != nil {
		return nil, err
	}
	return []measure.Reading{t.Reading("temperature")}, nil
}

// Temperature measures once, which takes 94 ms to 750 ms: −55 °C to 125 °C in steps of 0.0625 °C or more.
func (c *Chip) Temperature(ctx context.Context) (measure.Temperature, error) {
	t, err := c.temperature(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c, err)
	}
	if t == powerOn && !(c.known && powerOn-c.last <= believable && c.last-powerOn <= believable) {
		return 0, fmt.Errorf("%s: %w", c, ErrPowerOn)
	}
	c.last, c.known = t, true
	return t, nil
}

func (c *Chip) temperature(ctx context.Context) (measure.Temperature, error) {
	if err := c.start(); err != nil {
		return 0, fmt.Errorf("starting: %w", err)
	}
	t := time.NewTimer(c.wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var b [scratchpadSize]byte
	if err := c.bus.Tx(c.command(cmdRead), b[:], false); err != nil {
		return 0, fmt.Errorf("reading: %w", err)
	}
	s, err := parseScratchpad(b)
	if err != nil {
		return 0, err
	}
	waited := c.wait
	if c.wait = slowest >> (12 - s.bits); c.wait > waited {
		return 0, fmt.Errorf("%w: %d bits take %s", ErrNotDone, s.bits, c.wait)
	}
	return s.temperature, nil
}

// start begins a conversion. Where the bus has no strong pull-up, only a chip with a supply of its own can do one.
func (c *Chip) start() error {
	err := c.bus.Tx(c.command(cmdConvert), nil, true)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	var supply [1]byte
	if err := c.bus.Tx(c.command(cmdSupply), supply[:], false); err != nil {
		return err
	}
	if supply[0]&1 == 0 {
		return fmt.Errorf("it lives from the wire: %w", err)
	}
	return c.bus.Tx(c.command(cmdConvert), nil, false)
}

// command addresses this chip alone.
func (c *Chip) command(cmd byte) []byte {
	rom := c.rom.Wire()
	return append(append([]byte{cmdMatch}, rom[:]...), cmd)
}

// scratchpad is what the chip has measured, and how.
type scratchpad struct {
	temperature measure.Temperature
	bits        int // 9 to 12
}

// parseScratchpad reads a scratchpad (figures 4, 9 and 10). It fails with bus.ErrNoAnswer when nobody has pulled the wire low,
// as where other chips have answered the reset, and with bus.ErrChecksum, also for a dead wire: zeros have a right checksum,
// but no chip has a zero there.
func parseScratchpad(b [scratchpadSize]byte) (scratchpad, error) {
	if bytes.Count(b[:], []byte{0xff}) == scratchpadSize {
		return scratchpad{}, bus.ErrNoAnswer
	}
	if crc := bus.CRC8(b[:scratchpadSize-1]); crc != b[scratchpadSize-1] {
		return scratchpad{}, fmt.Errorf("%w: scratchpad % x, want %02x", bus.ErrChecksum, b, crc)
	}
	if b[4]&0x9f != 0x1f {
		return scratchpad{}, fmt.Errorf("%w: scratchpad % x: configuration %02x is none", bus.ErrChecksum, b, b[4])
	}
	s := scratchpad{bits: 9 + int(b[4]>>5)}
	raw := int16(uint16(b[1])<<8 | uint16(b[0]))
	raw &^= 1<<(12-s.bits) - 1 // undefined
	s.temperature = measure.Temperature(int64(raw) * int64(measure.Celsius) / 16)
	if s.temperature < -55*measure.Celsius || s.temperature > 125*measure.Celsius {
		return scratchpad{}, fmt.Errorf("scratchpad % x: %s is beyond what the chip measures", b, s.temperature)
	}
	return s, nil
}

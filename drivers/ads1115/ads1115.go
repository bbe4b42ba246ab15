// The ADS1115 measures four voltages, one after another, with 16 bits; its paragraphs here are those of TI SBAS444D.
//
// The driver uses single-shot conversions at 860 samples a second against ground (§9.4.2.1): the chip sleeps between
// them, and several chips of a bus can convert at the same time. A caller takes a chip with [ADC.Start], waits [Conversion]
// and reads the result with [ADC.Finish]; [ADC.Read] does all of it for one channel.
package ads1115

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
)

// Registers, by the value of the pointer (§9.6.1).
const (
	regConversion = 0
	regConfig     = 1
)

// Fields of the config register (§9.6.3).
const (
	configStart  = 1 << 15 // written: begin a conversion; read: none is under way
	configGround = 0b100 << 12
	muxShift     = 12
	pgaShift     = 9
	configSingle = 1 << 8
	config860    = 0b111 << 5
	configNoComp = 0b11 // the comparator is off, ALERT is high impedance
)

// Channels is how many inputs a chip has.
const Channels = 4

// Conversion is how long a conversion takes at most: 1/860 s, which varies by 10 % (§7.5), and about 25 µs to wake up
// (§9.4.2.1), with a little to spare.
const Conversion = 1400 * time.Microsecond

// MinAddress and MaxAddress are what the ADDR pin can choose (§9.5.1.1).
const (
	MinAddress = 0x48
	MaxAddress = 0x4b
)

// ErrNotDone means that the chip has not done the conversion that was asked for: it is still busy, or was reset meanwhile.
var ErrNotDone = errors.New("the conversion is not the one asked for")

// Range is the full scale of the programmable gain amplifier, by its code in the config register.
type Range uint8

// The ranges (§9.3.3, table 3). No input may be more than 0.3 V above the chip's supply, whatever the range.
const (
	Range6V144 Range = iota
	Range4V096
	Range2V048
	Range1V024
	Range0V512
	Range0V256
)

// Code is the result of a conversion, −32768 to 32767 of the full scale (§9.5.4).
type Code int16

// Voltage is the code in a range, to the nearest microvolt.
func (r Range) Voltage(c Code) measure.Voltage {
	full := int64(6_144_000)
	if r != Range6V144 {
		full = 4_096_000 >> (r - Range4V096)
	}
	v := 2 * int64(c) * full / (1 << 15) // of half microvolts, towards zero
	if v >= 0 {
		return measure.Voltage((v + 1) / 2)
	}
	return measure.Voltage((v - 1) / 2)
}

// Clipped says that the input was at or beyond the end of the range: the voltage is a bound, not a value.
func (c Code) Clipped() bool { return c == 1<<15-1 || c == -1<<15 }

// ADC is one chip. Its methods may be called at once from several goroutines; a goroutine that holds several chips between
// Start and Finish takes them in the order of their addresses.
type ADC struct {
	bus  bus.I2C
	addr uint16

	turn   chan struct{} // one place, taken from Start to Finish by who may use the fields below
	config uint16        // of the conversion under way
	buf    [5]byte       // written and read
}

// New is the chip at an address; it does not touch the bus yet.
func New(b bus.I2C, addr uint16) (*ADC, error) {
	if b == nil {
		return nil, errors.New("ads1115: no bus to find the chip on")
	}
	if addr < MinAddress || addr > MaxAddress {
		return nil, fmt.Errorf("ads1115: address %#02x: the ADDR pin chooses %#02x to %#02x", addr, MinAddress, MaxAddress)
	}
	return &ADC{bus: b, addr: addr, turn: make(chan struct{}, 1)}, nil
}

// String names the chip as logs do.
func (a *ADC) String() string { return fmt.Sprintf("ads1115 at %#02x", a.addr) }

// Start begins a conversion of one channel and keeps the chip for the caller until Finish. After an error the chip is free.
func (a *ADC) Start(channel int, r Range) error {
	if channel < 0 || channel >= Channels || r > Range0V256 {
		return fmt.Errorf("%s: channel %d in range %d: there are channels 0 to %d", a, channel, r, Channels-1)
	}
	a.turn <- struct{}{}
	a.config = configStart | configGround | uint16(channel)<<muxShift | uint16(r)<<pgaShift | configSingle | config860 | configNoComp
	w := append(a.buf[:0], regConfig, byte(a.config>>8), byte(a.config))
	if err := a.bus.Tx(a.addr, w, nil); err != nil {
		<-a.turn
		return fmt.Errorf("%s: starting channel %d: %w", a, channel, err)
	}
	return nil
}

// Check asks, between Start and Finish, whether the chip has done just this conversion: it fails with ErrNotDone for a chip
// that is still busy, or that lost its settings with its supply.
func (a *ADC) Check() error {
	got, err := a.register(regConfig)
	if err == nil && got != a.config {
		err = fmt.Errorf("%w: config register %04x, written %04x", ErrNotDone, got, a.config)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	return nil
}

// Release gives the chip free without a word to it, in place of Finish where the bus is known not to work.
func (a *ADC) Release() { <-a.turn }

// Finish reads the result and gives the chip free. It, or Release, follows each Start that had no error.
func (a *ADC) Finish() (Code, error) {
	defer a.Release()
	v, err := a.register(regConversion)
	if err != nil {
		return 0, fmt.Errorf("%s: reading the result: %w", a, err)
	}
	return Code(v), nil
}

// Read converts one channel: the voltage against ground. A voltage at the end of the range is an error.
func (a *ADC) Read(ctx context.Context, channel int, r Range) (measure.Voltage, error) {
	if err := a.Start(channel, r); err != nil {
		return 0, err
	}
	err := Wait(ctx)
	if err == nil {
		err = a.Check()
	}
	code, finish := a.Finish()
	switch {
	case err != nil:
		return 0, err
	case finish != nil:
		return 0, finish
	case code.Clipped():
		return 0, fmt.Errorf("%s: channel %d is beyond %s", a, channel, r.Voltage(code))
	}
	return r.Voltage(code), nil
}

// Wait waits one Conversion, or until ctx ends.
func Wait(ctx context.Context) error {
	t := time.NewTimer(Conversion)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *ADC) register(pointer byte) (uint16, error) {
	a.buf[0] = pointer
	if err := a.bus.Tx(a.addr, a.buf[:1], a.buf[3:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(a.buf[3:]), nil
}

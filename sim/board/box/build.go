package box

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"watchpost/sim/board"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/circuit"
	"watchpost/sim/board/modbus"
	"watchpost/sim/board/wire"
)

// excitation is what feeds the loops, in volts.
const excitation = 3.3

// Box is a box that was built. Its parts are there to be moved by code as well as by words.
type Box struct {
	*board.Board
	I2C     map[string]*wire.I2C
	OneWire map[string]*wire.OneWire
	Loops   map[string]*circuit.Loop
	Battery *circuit.Battery
	Slaves  map[byte]*modbus.Slave

	chips  map[string]*part
	levels map[string]*level
	modbus []Modbus
}

// part is a chip and where it sits.
type part struct {
	is      any
	bus     *wire.I2C
	address uint16
	keys    *wire.OneWire
	code    uint64
}

// level is a transmitter of 4–20 mA.
type level struct {
	shunt float64

	mu sync.Mutex // guards the field below
	ma float64
}

func (l *level) volts() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ma / 1000 * l.shunt
}

func (l *level) set(ma float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ma = ma
}

// Build makes a box of a plan. now is the clock of its chips and its battery; nil is the wall clock.
func Build(p Plan, now func() time.Time) (*Box, error) {
	if now == nil {
		now = time.Now
	}
	lines, err := board.New(p.Lines...)
	if err != nil {
		return nil, err
	}
	b := &Box{
		Board: lines, I2C: map[string]*wire.I2C{}, OneWire: map[string]*wire.OneWire{}, Loops: map[string]*circuit.Loop{},
		Slaves: map[byte]*modbus.Slave{}, chips: map[string]*part{}, levels: map[string]*level{}, modbus: p.Modbus,
	}
	if err := b.Outputs(p.Outputs...); err != nil {
		return nil, err
	}
	for output, input := range p.Wires {
		if err := b.Loop(output, input); err != nil {
			return nil, err
		}
	}
	q := Battery{}
	if p.Battery != nil {
		q = *p.Battery
	}
	b.Battery = circuit.NewBattery(cmp.Or(q.Capacity, 84), cmp.Or(q.Load, 6), cmp.Or(q.Charger, 20), now)
	for _, step := range []func() error{
		func() error { return each(p.Buses, func(v Bus) error { return b.addBus(v, now) }) },
		func() error { return each(p.Loops, b.addLoop) },
		func() error { return each(p.Levels, b.addLevel) },
		func() error { return each(p.Modbus, b.addModbus) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func each[T any](list []T, do func(T) error) error {
	for _, v := range list {
		if err := do(v); err != nil {
			return err
		}
	}
	return nil
}

func (b *Box) addBus(v Bus, now func() time.Time) error {
	switch v.Kind {
	case "i2c":
		bus := wire.NewI2C()
		b.I2C[v.Name] = bus
		if err := b.CarryI2C(v.Name, bus); err != nil {
			return err
		}
	case "onewire":
		bus := wire.NewOneWire()
		b.OneWire[v.Name] = bus
		if err := b.CarryOneWire(v.Name, bus); err != nil {
			return err
		}
	default:
		return fmt.Errorf("bus %s: kind %q: use i2c or onewire", v.Name, v.Kind)
	}
	return each(v.Chips, func(c Chip) error {
		if c.Name == "" || b.chips[c.Name] != nil {
			return fmt.Errorf("bus %s: chip %q has no name, or another's", v.Name, c.Name)
		}
		var err error
		if v.Kind == "i2c" {
			err = b.addChip(b.I2C[v.Name], c, now)
		} else {
			err = b.addDevice(b.OneWire[v.Name], c, now)
		}
		if err != nil {
			return fmt.Errorf("chip %s: %w", c.Name, err)
		}
		return nil
	})
}

// addChip puts a chip on an I2C bus, at its usual address if it has none.
func (b *Box) addChip(bus *wire.I2C, v Chip, now func() time.Time) error {
	var c wire.Chip
	var usual uint16
	switch v.Chip {
	case "ads1115":
		adc := chip.NewADS1115(now)
		reference := 3
		if v.Reference != nil {
			reference = *v.Reference
		}
		if reference < 0 || reference > 3 {
			return errors.New("reference: 0 to 3")
		}
		adc.Wire(reference, func() float64 { return excitation })
		c, usual = adc, 0x48
	case "mcp23017":
		expander := chip.NewMCP23017()
		if v.Interrupt != "" {
			if _, err := b.Level(v.Interrupt); err != nil {
				return err
			}
			tell := func(level bool) { _ = b.Set(v.Interrupt, level) } // the line is there
			expander.Interrupts(tell, nil)
		}
		c, usual = expander, 0x20
	case "ina219":
		feed := b.Battery.Terminals
		if v.Volts != nil {
			feed = func() (volts, amps float64) { return *v.Volts, 0 }
		}
		c, usual = chip.NewINA219(cmp.Or(v.Shunt, 0.1), feed, now), 0x40
	case "bme280":
		c, usual = chip.NewBME280(now), 0x76
	case "ds3231":
		clock := chip.NewDS3231(now)
		if !v.NeverRight {
			clock.SetTime(now())
		}
		c, usual = clock, 0x68
	default:
		return fmt.Errorf("%q on I2C: use ads1115, mcp23017, ina219, bme280 or ds3231", v.Chip)
	}
	address := cmp.Or(v.Address, usual)
	for name, p := range b.chips {
		if p.bus == bus && p.address == address {
			return fmt.Errorf("address %#x is that of %s", address, name)
		}
	}
	b.chips[v.Name] = &part{is: c, bus: bus, address: address}
	return bus.Put(address, c)
}

// addDevice puts a device on a 1-wire bus; keys are away until they are touched.
func (b *Box) addDevice(bus *wire.OneWire, v Chip, now func() time.Time) error {
	p := &part{keys: bus}
	switch v.Chip {
	case "ds18b20":
		d := chip.NewDS18B20(v.Parasite, now)
		p.is, p.code = d, wire.Code(chip.FamilyDS18B20, v.Serial)
		bus.Put(p.code, d)
	case "ds1990a":
		p.is, p.code = chip.DS1990A{}, wire.Code(chip.FamilyDS1990A, v.Serial)
		bus.Put(p.code, chip.DS1990A{})
		if err := bus.Touch(p.code, false); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%q on 1-wire: use ds18b20 or ds1990a", v.Chip)
	}
	b.chips[v.Name] = p
	return nil
}

// Code is the ROM code of a device on 1-wire, 0 if there is none of the name.
func (b *Box) Code(name string) uint64 {
	if p := b.chips[name]; p != nil {
		return p.code
	}
	return 0
}

// Chip is the chip of a name as package chip has it, nil if there is none.
func (b *Box) Chip(name string) any {
	if p := b.chips[name]; p != nil {
		return p.is
	}
	return nil
}

// adc finds a converter, and checks the channel.
func (b *Box) adc(name string, channel int) (*chip.ADS1115, error) {
	adc, ok := b.Chip(name).(*chip.ADS1115)
	if !ok || channel < 0 || channel > 3 {
		return nil, fmt.Errorf("channel %d of %q: no such input of an ads1115", channel, name)
	}
	return adc, nil
}

func (b *Box) addLoop(v Loop) error {
	adc, err := b.adc(v.ADC, v.Channel)
	if err != nil {
		return fmt.Errorf("loop %s: %w", v.Name, err)
	}
	scheme, err := circuit.SchemeOf(v.Scheme)
	if err != nil {
		return fmt.Errorf("loop %s: %w", v.Name, err)
	}
	if b.Loops[v.Name] != nil {
		return fmt.Errorf("loop %s is named twice", v.Name)
	}
	b.Loops[v.Name] = circuit.NewLoop(scheme, func() float64 { return excitation })
	adc.Wire(v.Channel, b.Loops[v.Name].Volts)
	return nil
}

func (b *Box) addLevel(v Level) error {
	adc, err := b.adc(v.ADC, v.Channel)
	if err != nil {
		return fmt.Errorf("level %s: %w", v.Name, err)
	}
	if b.levels[v.Name] != nil || b.chips[v.Name] != nil {
		return fmt.Errorf("level %s has the name of another part", v.Name)
	}
	b.levels[v.Name] = &level{shunt: cmp.Or(v.Shunt, 120), ma: cmp.Or(v.MA, 12)}
	adc.Wire(v.Channel, b.levels[v.Name].volts)
	return nil
}

func (b *Box) addModbus(v Modbus) error {
	if (v.Link == "") == (v.Listen == "") {
		return fmt.Errorf("modbus %s: either a link to a serial line, or listen", v.Name)
	}
	return each(v.Slaves, func(w Slave) error {
		if w.Unit < 1 || w.Unit > 247 {
			return fmt.Errorf("modbus %s: unit %d: a slave has 1 to 247", v.Name, w.Unit)
		}
		if b.Slaves[w.Unit] != nil {
			return fmt.Errorf("modbus %s: unit %d is taken: `slave %d MOOD` names one slave, whatever line of the box it is on", v.Name, w.Unit, w.Unit)
		}
		s := modbus.NewSlave()
		for table, values := range []map[uint16]uint16{w.Coils, w.Discrete, w.Holding, w.Input} {
			for address, value := range values {
				s.Set(modbus.Table(table), address, value)
			}
		}
		b.Slaves[w.Unit] = s
		return nil
	})
}

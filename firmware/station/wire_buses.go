package station

import (
	"context"
	"fmt"
	"io"
	"sync"

	"watchpost/drivers"
	"watchpost/drivers/ads1115"
	"watchpost/drivers/bus"
	"watchpost/drivers/buswatch"
	"watchpost/drivers/hostbus"
	"watchpost/drivers/linesock"
	"watchpost/drivers/mcp23017"
	"watchpost/drivers/modbus"
	"watchpost/firmware/config"
)

// wires are what drivers hang on, by the ids of the configuration.
type wires struct {
	boards  map[string]bus.Lines
	i2c     map[string]bus.I2C
	oneWire map[string]bus.OneWire
	modbus  map[string]*modbus.Client
	slaves  map[string]*modbus.Driver // what polls them, by bus
	adcs    map[string]*ads1115.ADC
	tries   map[drivers.Driver]try
	names   map[drivers.Driver]string // where several drivers would have the same
	closers []io.Closer               // in the order of opening
}

func newWires() wires {
	return wires{
		boards: map[string]bus.Lines{}, i2c: map[string]bus.I2C{}, oneWire: map[string]bus.OneWire{},
		modbus: map[string]*modbus.Client{}, slaves: map[string]*modbus.Driver{}, adcs: map[string]*ads1115.ADC{},
		tries: map[drivers.Driver]try{}, names: map[drivers.Driver]string{},
	}
}

// Close lets go of all that was opened, last first.
func (w *wires) Close() error {
	for i := len(w.closers) - 1; i >= 0; i-- {
		_ = w.closers[i].Close() // nothing waits for a wire that is let go
	}
	w.closers = nil
	return nil
}

// opens remembers what has to be closed, if v has.
func (w *wires) opens(v any) {
	if c, ok := v.(io.Closer); ok {
		w.closers = append(w.closers, c)
	}
}

// wireBoards opens the boards whose lines are their own: boxes, and the pins of this one.
func (s *Station) wireBoards(o Options) error {
	for _, b := range s.config.Boards {
		if b.Backend == config.BackendMCP23017 {
			continue // it hangs on a bus, which may hang on a board
		}
		lines, err := openBoard(b, o)
		if err != nil {
			return fmt.Errorf("board %s: %w", b.ID, err)
		}
		s.wires.boards[b.ID] = lines
		s.wires.opens(lines)
	}
	return nil
}

// wireExpanders makes the boards that are chips on a bus.
func (s *Station) wireExpanders(o Options) error {
	for _, b := range s.config.Boards {
		if b.Backend != config.BackendMCP23017 {
			continue
		}
		chip := mcp23017.Options{Bus: s.wires.i2c[b.Bus], Address: uint16(b.Address), Log: s.log.With("board", b.ID), Now: o.Now}
		if b.Interrupt != (config.Interrupt{}) {
			chip.Interrupt, chip.InterruptLine = s.wires.boards[b.Interrupt.Board], b.Interrupt.Line
		}
		expander, err := mcp23017.New(chip)
		if err != nil {
			return fmt.Errorf("board %s: %w", b.ID, err)
		}
		s.wires.boards[b.ID] = expander
	}
	return nil
}

func openBoard(b config.Board, o Options) (bus.Lines, error) {
	log := o.Log.With("board", b.ID)
	if open, ok := o.Edition.Buses.Lines[b.Backend]; ok {
		return open(b, log)
	}
	switch b.Backend {
	case config.BackendLinesock:
		return linesock.New(linesock.Options{Socket: b.Socket, Log: log})
	case config.BackendHost:
		offsets, err := b.Offsets()
		if err != nil {
			return nil, err
		}
		return hostbus.OpenLines(b.Chip, offsets, log)
	}
	return nil, notInThisBuild(b.Backend)
}

func notInThisBuild(backend string) error {
	return fmt.Errorf("this watchpostd has no back end %s: use the one that is built with it", backend)
}

// wireBuses opens what chips and slaves share. A bus that is not there yet is opened when it is first used.
func (s *Station) wireBuses(o Options) error {
	for _, b := range s.config.Buses {
		var err error
		switch b.Kind {
		case config.BusI2C:
			err = s.wireI2C(b, o)
		case config.BusOneWire:
			s.wires.oneWire[b.ID], err = s.openOneWire(b, o)
			s.wires.opens(s.wires.oneWire[b.ID])
		case config.BusSerial, config.BusTCP:
			s.wires.modbus[b.ID], err = newClient(b)
		}
		if err != nil {
			return fmt.Errorf("bus %s: %w", b.ID, err)
		}
	}
	return nil
}

// wireI2C opens an I2C bus, with a watch over it.
func (s *Station) wireI2C(b config.Bus, o Options) error {
	chips, err := s.openI2C(b, o)
	if err != nil {
		return err
	}
	s.wires.opens(chips)
	watched, err := buswatch.New(buswatch.Options{ID: b.ID, Bus: chips, Log: s.log, Now: o.Now})
	if err != nil {
		return err
	}
	s.wires.i2c[b.ID], s.buses = watched, append(s.buses, watched)
	return nil
}

func (s *Station) openI2C(b config.Bus, o Options) (bus.I2C, error) {
	log := o.Log.With("bus", b.ID)
	if open, ok := o.Edition.Buses.I2C[b.Backend]; ok {
		return open(b, log)
	}
	switch b.Backend {
	case config.BackendLinesock:
		box, err := s.carrier(b.Board)
		if err != nil {
			return nil, err
		}
		return box.I2C(b.ID), nil
	case config.BackendHost:
		return lateI2C{&late[*hostbus.I2C]{open: func() (*hostbus.I2C, error) { return hostbus.OpenI2C(b.Device) }}}, nil
	}
	return nil, notInThisBuild(b.Backend)
}

func (s *Station) openOneWire(b config.Bus, o Options) (bus.OneWire, error) {
	log := o.Log.With("bus", b.ID)
	if open, ok := o.Edition.Buses.OneWire[b.Backend]; ok {
		return open(b, log)
	}
	switch b.Backend {
	case config.BackendLinesock:
		box, err := s.carrier(b.Board)
		if err != nil {
			return nil, err
		}
		return box.OneWire(b.ID), nil
	case config.BackendHost:
		return lateOneWire{&late[*hostbus.OneWire]{open: func() (*hostbus.OneWire, error) { return hostbus.OpenOneWire(b.Device) }}}, nil
	}
	return nil, notInThisBuild(b.Backend)
}

// carrier is the I/O box that carries a bus.
func (s *Station) carrier(board string) (*linesock.Box, error) {
	box, ok := s.wires.boards[board].(*linesock.Box)
	if !ok {
		return nil, fmt.Errorf("board %s is no I/O box that could carry a bus", board)
	}
	return box, nil
}

func newClient(b config.Bus) (*modbus.Client, error) {
	if b.Kind == config.BusTCP {
		return modbus.NewTCP(modbus.TCP{Name: b.ID, Address: b.Address})
	}
	return modbus.NewRTU(modbus.RTU{Name: b.ID, Baud: b.Baud, Open: func() (bus.Serial, error) { return hostbus.OpenSerial(b.Device, serialOf(b)) }})
}

// serialOf is how a serial line is set.
func serialOf(b config.Bus) hostbus.SerialConfig {
	return hostbus.SerialConfig{
		Baud: uint32(b.Baud), TwoStopBits: b.Stop == 2,
		Parity: map[string]hostbus.Parity{"none": hostbus.ParityNone, "even": hostbus.ParityEven, "odd": hostbus.ParityOdd}[b.Parity],
	}
}

// late is a bus of the kernel's that may not be there yet: it is opened when it is first wanted, and tried again each time.
type late[B io.Closer] struct {
	open func() (B, error)

	mu     sync.Mutex // guards the fields below
	opened bool
	bus    B
}

func (l *late[B]) get() (B, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.opened {
		b, err := l.open()
		if err != nil {
			var none B
			return none, err
		}
		l.bus, l.opened = b, true
	}
	return l.bus, nil
}

// Close closes the bus, if it was opened.
func (l *late[B]) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.opened {
		return nil
	}
	return l.bus.Close()
}

// lateI2C is an I2C bus of the kernel's.
type lateI2C struct{ *late[*hostbus.I2C] }

var _ bus.I2C = lateI2C{}

// Tx opens the bus first, where it is not.
func (l lateI2C) Tx(addr uint16, w, r []byte) error {
	b, err := l.get()
	if err != nil {
		return err
	}
	return b.Tx(addr, w, r)
}

// lateOneWire is a 1-wire bus of the kernel's.
type lateOneWire struct{ *late[*hostbus.OneWire] }

var _ bus.OneWire = lateOneWire{}

// Tx opens the bus first, where it is not.
func (l lateOneWire) Tx(w, r []byte, strong bool) error {
	b, err := l.get()
	if err != nil {
		return err
	}
	return b.Tx(w, r, strong)
}

// Search opens the bus first, where it is not.
func (l lateOneWire) Search(ctx context.Context) ([]bus.ROM, error) {
	b, err := l.get()
	if err != nil {
		return nil, err
	}
	return b.Search(ctx)
}

package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Back ends of boards and buses.
const (
	BackendLinesock = "linesock" // an I/O box behind a Unix socket
	BackendHost     = "host"     // the Linux kernel's own drivers
	BackendPeriph   = "periph"   // the drivers of periph.io, in the agent that is built with them
	BackendMCP23017 = "mcp23017" // an expander chip on an I2C bus
)

func backends() []string {
	return []string{BackendLinesock, BackendHost, BackendMCP23017, BackendPeriph}
}

// Kinds of buses.
const (
	BusI2C     = "i2c"
	BusOneWire = "onewire"
	BusSerial  = "serial"
	BusTCP     = "tcp" // Modbus TCP
)

// Bus is a wire that several chips or slaves share.
type Bus struct {
	ID      string `yaml:"id"`
	Kind    string `yaml:"kind"`    // a Bus… constant
	Backend string `yaml:"backend"` // of i2c and onewire: host (default), linesock or periph
	Board   string `yaml:"board"`   // linesock: the box that carries it, under the bus's own id
	Device  string `yaml:"device"`  // host and serial: such as /dev/i2c-1, w1_bus_master1, /dev/ttyUSB0; periph: its name there
	Baud    int    `yaml:"baud"`    // serial, default 9600
	Parity  string `yaml:"parity"`  // serial: none (default), even or odd
	Stop    int    `yaml:"stop"`    // serial: stop bits, 1 (default) or 2
	Address string `yaml:"address"` // tcp: HOST:PORT
}

// Board is a box or a chip with input and output lines.
type Board struct {
	ID        string            `yaml:"id"`
	Backend   string            `yaml:"backend"`   // a Backend… constant, default linesock
	Socket    string            `yaml:"socket"`    // linesock: path of the box's Unix socket
	Chip      string            `yaml:"chip"`      // host: label of the GPIO chip, or /dev/gpiochipN
	Lines     map[string]string `yaml:"lines"`     // host, periph: the line's name here → its offset or name there
	Bus       string            `yaml:"bus"`       // mcp23017: id of its bus
	Address   int               `yaml:"address"`   // mcp23017: 0x20 to 0x27
	Interrupt Interrupt         `yaml:"interrupt"` // mcp23017: the line that its INT pin drives; none = it is polled
}

// Offsets are the lines of a host board by the names that they have here.
func (b Board) Offsets() (map[string]uint32, error) {
	offsets := map[string]uint32{}
	for name, there := range b.Lines {
		n, err := strconv.ParseUint(there, 10, 16)
		if err != nil || n > maxOffset {
			return nil, fmt.Errorf("line %q: %q is no offset on the chip, 0 to %d", name, there, maxOffset)
		}
		offsets[name] = uint32(n)
	}
	return offsets, nil
}

// maxOffset is the last line that a GPIO chip may have here.
const maxOffset = 511

// Interrupt is the input line that a chip's interrupt pin drives.
type Interrupt struct {
	Board string `yaml:"board"`
	Line  string `yaml:"line"`
}

// ADC is a chip that measures voltages: of supervised loops, or of a level transmitter.
type ADC struct {
	ID        string `yaml:"id"`
	Chip      string `yaml:"chip"` // ads1115
	Bus       string `yaml:"bus"`
	Address   int    `yaml:"address"`   // 0x48 (default) to 0x4b
	Reference int    `yaml:"reference"` // the channel that reads the loops' own supply, default 3
}

// Output is a line that acts: a siren, a strobe, a relay.
type Output struct {
	ID     string        `yaml:"id"`
	Name   string        `yaml:"name"`
	Board  string        `yaml:"board"`
	Line   string        `yaml:"line"`
	Role   string        `yaml:"role"`   // siren (default), strobe or relay
	Active string        `yaml:"active"` // the level that it acts at: high (default) or low
	MaxOn  time.Duration `yaml:"max_on"` // the longest that it is on, 1 s to 15 min, default 3 min
}

// Watchdog is the hardware watchdog that starts the box again when the agent hangs; without a Device there is none.
type Watchdog struct {
	Device  string        `yaml:"device"`
	Timeout time.Duration `yaml:"timeout"` // 5 s to 5 min, default 15 s
}

func (c *Config) fillWiring(s *sheet) {
	for i := range c.Buses {
		b := &c.Buses[i]
		switch b.Kind {
		case BusI2C, BusOneWire:
			b.Backend = cmp.Or(b.Backend, BackendHost)
		case BusSerial:
			b.Baud, b.Parity, b.Stop = cmp.Or(b.Baud, 9600), cmp.Or(b.Parity, "none"), cmp.Or(b.Stop, 1)
		}
	}
	for i := range c.Boards {
		b := &c.Boards[i]
		b.Backend = cmp.Or(b.Backend, BackendLinesock)
		if b.Backend == BackendMCP23017 {
			b.Address = cmp.Or(b.Address, 0x20)
		}
	}
	for i := range c.ADCs {
		a := &c.ADCs[i]
		a.Chip, a.Address = cmp.Or(a.Chip, "ads1115"), cmp.Or(a.Address, 0x48)
		if !s.given(fmt.Sprintf("adcs[%d].reference", i)) {
			a.Reference = 3
		}
	}
	for i := range c.Outputs {
		o := &c.Outputs[i]
		o.Role, o.Active, o.MaxOn = cmp.Or(o.Role, "siren"), cmp.Or(o.Active, "high"), cmp.Or(o.MaxOn, 3*time.Minute)
	}
	if c.Watchdog.Device != "" {
		c.Watchdog.Timeout = cmp.Or(c.Watchdog.Timeout, 15*time.Second)
	}
}

// plant is what the rest of the file may refer to: ids in the order of the file.
type plant struct {
	buses      map[string][]string // by kind
	boards     []string
	boxes      []string // boards that are linesock
	chipBoards []string // boards that are mcp23017
	adcs       []string
	outs       []string          // outputs
	lines      map[string]string // "board/line" → what it is wired to
	chips      map[string]string // "bus/address" → what is there
}

// line takes one line of a board for user, and complains if the board or the line cannot be, or is taken.
func (p *plant) line(s *sheet, key, board, line, user string) {
	s.required(key+".board", board, "the id of the board that has the line")
	s.known(key+".board", board, "board", p.boards)
	switch {
	case line == "":
		s.add(key+".line", "missing: the line's name as the board calls it")
	case !validLine(line):
		s.add(key+".line", "%q: a line's name is 1 to 32 of a-z, 0-9, hyphen", line)
	case slices.Contains(p.chipBoards, board) && !regexp.MustCompile(`^[ab][0-7]$`).MatchString(line):
		s.add(key+".line", "%q: an mcp23017 has the lines a0 to a7 and b0 to b7", line)
	case p.lines[board+"/"+line] != "":
		s.add(key+".line", "line %q of board %q feeds two: %s has it already", line, board, p.lines[board+"/"+line])
	default:
		p.lines[board+"/"+line] = user
	}
}

// chip takes one address of an I2C bus for user.
func (p *plant) chip(s *sheet, key, bus string, address, low, high int, user string) {
	s.required(key+".bus", bus, "the id of the i2c bus that the chip is on")
	s.known(key+".bus", bus, "i2c bus", p.buses[BusI2C])
	at := fmt.Sprintf("%s/%#x", bus, address)
	switch {
	case address < low || address > high:
		s.add(key+".address", "%#x: this chip can be set to %#x to %#x by its pins", address, low, high)
	case p.chips[at] != "":
		s.add(key+".address", "%#x on bus %q is %s already: each chip needs an address of its own", address, bus, p.chips[at])
	default:
		p.chips[at] = user
	}
}

func (c *Config) validateWiring(s *sheet) *plant {
	p := &plant{buses: map[string][]string{}, lines: map[string]string{}, chips: map[string]string{}}
	for _, b := range c.Boards {
		p.boards = append(p.boards, b.ID)
		if b.Backend == BackendMCP23017 {
			p.chipBoards = append(p.chipBoards, b.ID)
		}
		if b.Backend == BackendLinesock || !slices.Contains(backends(), b.Backend) {
			p.boxes = append(p.boxes, b.ID)
		}
	}
	c.validateBuses(s, p)
	c.validateBoards(s, p)
	seen := map[string]bool{}
	for i, a := range c.ADCs {
		key := fmt.Sprintf("adcs[%d]", i)
		s.id(key+".id", a.ID, seen)
		s.word(key+".chip", a.Chip, "ads1115")
		p.chip(s, key, a.Bus, a.Address, 0x48, 0x4b, "adc "+a.ID)
		s.within(key+".reference", a.Reference, 0, 3)
		p.adcs = append(p.adcs, a.ID)
	}
	for _, o := range c.Outputs {
		p.outs = append(p.outs, o.ID)
	}
	if c.Watchdog.Device != "" {
		s.between("watchdog.timeout", c.Watchdog.Timeout, 5*time.Second, 5*time.Minute)
	} else if c.Watchdog.Timeout != 0 {
		s.add("watchdog.device", "missing: the watchdog's device, such as /dev/watchdog")
	}
	return p
}

func (c *Config) validateBuses(s *sheet, p *plant) {
	seen := map[string]bool{}
	for i, b := range c.Buses {
		key := fmt.Sprintf("buses[%d]", i)
		s.id(key+".id", b.ID, seen)
		kinds := []string{BusI2C, BusOneWire, BusSerial, BusTCP}
		if s.word(key+".kind", b.Kind, kinds...); !slices.Contains(kinds, b.Kind) {
			for _, k := range kinds { // it is one of them, misspelt: who is on it is not told, too
				p.buses[k] = append(p.buses[k], b.ID)
			}
			continue
		}
		p.buses[b.Kind] = append(p.buses[b.Kind], b.ID)
		switch b.Kind {
		case BusI2C, BusOneWire:
			s.word(key+".backend", b.Backend, BackendHost, BackendLinesock, BackendPeriph)
			if b.Backend == BackendLinesock {
				s.required(key+".board", b.Board, "the id of the box that carries the bus")
				s.known(key+".board", b.Board, "linesock board", p.boxes)
			} else {
				s.required(key+".device", b.Device, "the bus as the back end calls it, such as /dev/i2c-1 or w1_bus_master1")
			}
		case BusSerial:
			s.required(key+".device", b.Device, "the line's device, such as /dev/ttyUSB0")
			s.word(key+".parity", b.Parity, "none", "even", "odd")
			s.within(key+".baud", b.Baud, 300, 1_000_000)
			s.within(key+".stop", b.Stop, 1, 2)
		case BusTCP:
			s.hostPort(key+".address", b.Address)
		}
		c.foreignToBus(s, key, b)
	}
}

// foreignToBus complains of keys that say nothing for a bus of this kind and back end.
func (c *Config) foreignToBus(s *sheet, key string, b Bus) {
	serial, tcp := b.Kind == BusSerial, b.Kind == BusTCP
	for _, k := range []struct {
		name string
		here bool
	}{
		{"backend", !serial && !tcp}, {"board", b.Backend == BackendLinesock}, {"device", !tcp && b.Backend != BackendLinesock},
		{"baud", serial}, {"parity", serial}, {"stop", serial}, {"address", tcp},
	} {
		s.foreign(key+"."+k.name, k.here, "a bus of kind %s has none: leave it out", b.Kind)
	}
}

func (c *Config) validateBoards(s *sheet, p *plant) {
	seen := map[string]bool{}
	for i, b := range c.Boards {
		key := fmt.Sprintf("boards[%d]", i)
		s.id(key+".id", b.ID, seen)
		if s.word(key+".backend", b.Backend, backends()...); !slices.Contains(backends(), b.Backend) {
			continue // what it needs is not known
		}
		switch b.Backend {
		case BackendLinesock:
			s.required(key+".socket", b.Socket, "the path of the box's Unix socket")
		case BackendHost:
			s.required(key+".chip", b.Chip, "the GPIO chip's label or device, as gpiodetect prints it")
		case BackendMCP23017:
			p.chip(s, key, b.Bus, b.Address, 0x20, 0x27, "board "+b.ID)
			if b.Interrupt != (Interrupt{}) {
				p.line(s, key+".interrupt", b.Interrupt.Board, b.Interrupt.Line, "the interrupt of board "+b.ID)
			}
			if slices.Contains(p.chipBoards, b.Interrupt.Board) {
				s.add(key+".interrupt.board", "a chip on a bus is too slow to hear it: wire INT to a line of a box, or of the host")
			}
		}
		for name, there := range b.Lines {
			if !validLine(name) || there == "" || len(there) > 64 {
				s.add(key+".lines", "%q: want a name of 1 to 32 of a-z, 0-9, hyphen, and what the back end calls it", name)
			}
		}
		if _, err := b.Offsets(); b.Backend == BackendHost && err != nil {
			s.add(key+".lines", "%v", err)
		}
		for _, k := range []struct{ name, backend string }{
			{"socket", BackendLinesock}, {"chip", BackendHost}, {"bus", BackendMCP23017}, {"address", BackendMCP23017}, {"interrupt", BackendMCP23017},
		} {
			s.foreign(key+"."+k.name, b.Backend == k.backend, "only a board of back end %s has it: leave it out", k.backend)
		}
		s.foreign(key+".lines", b.Backend == BackendHost || b.Backend == BackendPeriph, "the back end %s names its lines itself: leave it out", b.Backend)
	}
}

func (c *Config) validateOutputs(s *sheet, p *plant) {
	seen := map[string]bool{}
	for i, o := range c.Outputs {
		key := fmt.Sprintf("outputs[%d]", i)
		s.id(key+".id", o.ID, seen)
		p.line(s, key, o.Board, o.Line, "output "+o.ID)
		s.word(key+".role", o.Role, "siren", "strobe", "relay")
		s.word(key+".active", o.Active, "high", "low")
		s.between(key+".max_on", o.MaxOn, time.Second, 15*time.Minute)
	}
}

package chip

import "sync"

// MCP23017 is an expander with two ports of eight lines (Microchip DS20001952C). Lines that nobody drives read 0, or 1 where
// their pull-up is on.
type MCP23017 struct {
	mu        sync.Mutex // guards the fields below
	pointer   byte
	control   byte // IOCON, which both ports share
	ports     [2]port
	interrupt [2]func(level bool)
	told      [2]int8 // level of the INT pins as told, -1 = not yet
	outputs   func(pin int, level bool)
}

// port is one side of the chip: its registers in the order of their addresses, without IOCON.
type port struct {
	reg     [11]byte
	outside byte // levels that something drives
	driven  byte // lines that something drives
	before  byte // what an interrupt on change compares with
	pending bool // INTF has a bit; further changes wait until it is read
}

// Registers of a port (DS20001952C, table 3-1): with IOCON.BANK = 0 port A is at twice the number and B behind it, with
// BANK = 1 A is at the number and B at 0x10 more.
const (
	mcpDirection = iota // IODIR: 1 = input
	mcpPolarity         // IPOL: 1 = GPIO reads inverted
	mcpEnable           // GPINTEN: 1 = interrupt on change
	mcpDefault          // DEFVAL
	mcpCompare          // INTCON: 1 = compare with DEFVAL
	mcpControl          // IOCON
	mcpPullUp           // GPPU
	mcpFlag             // INTF
	mcpCapture          // INTCAP
	mcpPins             // GPIO
	mcpLatch            // OLAT
)

// Bits of IOCON (DS20001952C, register 3-6).
const (
	mcpBank     = 1 << 7
	mcpMirror   = 1 << 6
	mcpByte     = 1 << 5 // SEQOP: the pointer stays
	mcpHighInt  = 1 << 1 // INTPOL: an interrupt is a high level
	mcpWritable = 0xFE
)

// NewMCP23017 is a chip that has just got power.
func NewMCP23017() *MCP23017 {
	c := &MCP23017{}
	c.PowerOn()
	return c
}

// Interrupts connects the pins INTA and INTB to what takes their levels; either may be nil. An open-drain pin is told as with
// a pull-up. They are told their present level at once.
func (c *MCP23017) Interrupts(a, b func(level bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt, c.told = [2]func(bool){a, b}, [2]int8{-1, -1}
	c.pins()
}

// Outputs connects the lines to what takes the levels that the chip drives: pins 0 to 7 are GPA0 to GPA7, 8 to 15 GPB0 to GPB7.
func (c *MCP23017) Outputs(level func(pin int, level bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outputs = level
}

// Set drives a line from outside: pins 0 to 7 are GPA0 to GPA7, 8 to 15 GPB0 to GPB7.
func (c *MCP23017) Set(pin int, level bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, bit := &c.ports[pin/8], byte(1)<<(pin%8)
	p.driven |= bit
	p.outside &^= bit
	if level {
		p.outside |= bit
	}
	c.sense()
}

// Level is what a pin is at: what the chip drives there, or what the outside does.
func (c *MCP23017) Level(pin int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ports[pin/8].level()&(1<<(pin%8)) != 0
}

// PowerOn implements wire.Chip (DS20001952C, table 3-1: all 0, IODIR 0xFF).
func (c *MCP23017) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer, c.control = 0, 0
	for i := range c.ports {
		p := &c.ports[i]
		p.reg, p.pending = [11]byte{mcpDirection: 0xFF}, false
		p.before = p.level()
	}
	c.pins()
}

// level is what the pins of a port are at.
func (p *port) level() byte {
	out := ^p.reg[mcpDirection]
	in := p.outside&p.driven | p.reg[mcpPullUp]&^p.driven
	return out&p.reg[mcpLatch] | in&^out
}

// Write implements wire.Chip.
func (c *MCP23017) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer = b[0]
	for _, v := range b[1:] {
		c.store(v)
		c.advance()
	}
}

// Read implements wire.Chip.
func (c *MCP23017) Read(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b {
		b[i] = c.load()
		c.advance()
	}
}

// where is the port and the register that the pointer is at.
func (c *MCP23017) where() (p *port, reg int, ok bool) {
	side, reg := int(c.pointer&1), int(c.pointer>>1)
	if c.control&mcpBank != 0 {
		side, reg = int(c.pointer>>4&1), int(c.pointer&0x0F)
	}
	if reg > mcpLatch {
		return nil, 0, false
	}
	return &c.ports[side], reg, true
}

// advance moves the pointer behind one byte (DS20001952C, 3.2.1): through all registers and round, or, in byte mode with
// BANK = 0, to the other port and back.
func (c *MCP23017) advance() {
	switch bank := c.control&mcpBank != 0; {
	case c.control&mcpByte != 0 && bank:
	case c.control&mcpByte != 0:
		c.pointer ^= 1
	case bank && c.pointer >= 0x1A:
		c.pointer = 0
	case bank && c.pointer == 0x0A:
		c.pointer = 0x10
	case !bank && c.pointer >= 0x15:
		c.pointer = 0
	default:
		c.pointer++
	}
}

func (c *MCP23017) store(v byte) {
	p, reg, ok := c.where()
	if !ok {
		return
	}
	switch reg {
	case mcpFlag, mcpCapture: // read only
		return
	case mcpControl:
		c.control = v & mcpWritable
	case mcpPins:
		p.reg[mcpLatch] = v
	default:
		p.reg[reg] = v
	}
	if reg == mcpEnable || reg == mcpDirection || reg == mcpPullUp {
		if !p.pending {
			p.before = p.level()
		}
	}
	c.sense()
}

func (c *MCP23017) load() byte {
	p, reg, ok := c.where()
	if !ok {
		return 0
	}
	switch reg {
	case mcpControl:
		return c.control
	case mcpPins:
		v := p.level() ^ p.reg[mcpPolarity]
		c.clear(p)
		return v
	case mcpCapture:
		v := p.reg[mcpCapture]
		c.clear(p)
		return v
	}
	return p.reg[reg]
}

// clear ends a port's interrupt, which a reading of GPIO or INTCAP does; one by DEFVAL comes back while its cause lasts. A
// change that came while one was pending makes no interrupt any more (DS20001952C, 3.5.9 and 3.6).
func (c *MCP23017) clear(p *port) {
	p.pending, p.reg[mcpFlag], p.before = false, 0, p.level()
	c.sense()
}

// sense looks for causes of interrupts and drives the pins. It needs c.mu.
func (c *MCP23017) sense() {
	for i := range c.ports {
		p := &c.ports[i]
		level := p.level()
		differs := (level^p.before)&^p.reg[mcpCompare] | (level^p.reg[mcpDefault])&p.reg[mcpCompare]
		if cause := differs & p.reg[mcpEnable] & p.reg[mcpDirection]; cause != 0 && !p.pending {
			p.pending, p.reg[mcpFlag], p.reg[mcpCapture] = true, cause, level
		}
	}
	c.pins()
}

// pins tells the levels of INTA and INTB where they changed, and the outputs. It needs c.mu.
func (c *MCP23017) pins() {
	for i, tell := range c.interrupt {
		active := c.ports[i].pending || c.control&mcpMirror != 0 && c.ports[1-i].pending
		level := active == (c.control&mcpHighInt != 0)
		now := int8(0)
		if level {
			now = 1
		}
		if tell != nil && c.told[i] != now {
			c.told[i] = now
			tell(level)
		}
	}
	if c.outputs == nil {
		return
	}
	for pin := range 16 {
		p, bit := &c.ports[pin/8], byte(1)<<(pin%8)
		if p.reg[mcpDirection]&bit == 0 {
			c.outputs(pin, p.reg[mcpLatch]&bit != 0)
		}
	}
}

package chip

import (
	"encoding/binary"
	"math"
	"sync"
	"time"
)

// INA219 measures a voltage and, over a shunt, a current (Texas Instruments SBOS448G). A continuous conversion shows what is
// there at the moment of the reading; a triggered one what was there when it began.
type INA219 struct {
	now   func() time.Time
	shunt float64                      // ohm
	feed  func() (volts, amps float64) // at the load's side of the shunt

	mu          sync.Mutex // guards the fields below
	pointer     byte
	config      uint16
	calibration uint16
	held        [2]float64 // volts and amps of a triggered conversion
	ready       time.Time  // when the conversion under way ends
	taken       bool       // the flag of a finished conversion was cleared since
}

// Registers and bits (SBOS448G, 8.6).
const (
	inaConfig      = 0
	inaShunt       = 1
	inaBus         = 2
	inaPower       = 3
	inaCurrent     = 4
	inaCalibration = 5
	inaReset       = 1 << 15
	inaDefault     = 0x399F
	inaDone        = 1 << 1 // CNVR
	inaOverflow    = 1 << 0 // OVF
)

// NewINA219 is a chip that has just got power, with a shunt in ohm and what it measures: the bus voltage in volts, and the
// current through the shunt in amperes, positive from VIN+ to VIN-.
func NewINA219(shunt float64, feed func() (volts, amps float64), now func() time.Time) *INA219 {
	c := &INA219{now: timeOf(now), shunt: shunt, feed: feed}
	c.PowerOn()
	return c
}

// PowerOn implements wire.Chip.
func (c *INA219) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
}

func (c *INA219) reset() {
	c.pointer, c.calibration = 0, 0
	c.configure(inaDefault)
}

// Write implements wire.Chip: the pointer, and two bytes for the register behind it.
func (c *INA219) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer = b[0]
	if len(b) < 3 {
		return
	}
	switch v := binary.BigEndian.Uint16(b[1:]); {
	case c.pointer == inaConfig && v&inaReset != 0:
		c.reset()
	case c.pointer == inaConfig:
		c.configure(v)
	case c.pointer == inaCalibration:
		c.calibration = v &^ 1 // bit 0 is always 0
	}
}

// configure begins conversions anew (SBOS448G, 8.6.2.1 and 8.6.3.2). It needs c.mu.
func (c *INA219) configure(v uint16) {
	c.config = v
	c.held[0], c.held[1] = c.feed()
	var wait time.Duration
	if v&1 != 0 {
		wait += convertTime(v >> 3)
	}
	if v&2 != 0 {
		wait += convertTime(v >> 7)
	}
	c.ready, c.taken = c.now().Add(wait), false
}

// convertTime is how long a conversion with the resolution and averaging of SADC or BADC takes (SBOS448G, table 5).
func convertTime(setting uint16) time.Duration {
	if s := setting & 0xF; s >= 8 {
		return []time.Duration{532, 1060, 2130, 4260, 8510, 17020, 34050, 68100}[s-8] * time.Microsecond
	}
	return []time.Duration{84, 148, 276, 532}[setting&3] * time.Microsecond
}

// Read implements wire.Chip: the register at the pointer, again and again.
func (c *INA219) Read(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reg [2]byte
	binary.BigEndian.PutUint16(reg[:], c.register())
	for i := range b {
		b[i] = reg[i%2]
	}
	if c.pointer == inaPower {
		c.taken = true
		c.ready = c.now().Add(convertTime(c.config>>3) + convertTime(c.config>>7))
	}
}

func (c *INA219) register() uint16 {
	switch c.pointer {
	case inaConfig:
		return c.config
	case inaCalibration:
		return c.calibration
	}
	volts, amps := c.held[0], c.held[1]
	if c.config&4 != 0 { // continuous
		volts, amps = c.feed()
	}
	gain := 1 << (c.config >> 11 & 3)
	limit := float64(4000 * gain) // in steps of 10 µV
	shunt := min(max(math.Round(amps*c.shunt/10e-6), -limit), limit)
	span := 16.0
	if c.config&(1<<13) != 0 {
		span = 32
	}
	bus := math.Round(min(max(volts, 0), span) / 4e-3)
	current := math.Trunc(shunt * float64(c.calibration) / 4096)
	power := math.Trunc(math.Abs(current) * bus / 5000)
	switch c.pointer {
	case inaShunt:
		return uint16(int16(shunt))
	case inaBus:
		v := uint16(bus) << 3
		if !c.now().Before(c.ready) && (c.config&4 != 0 || !c.taken) {
			v |= inaDone
		}
		if math.Abs(current) > math.MaxInt16 || power > math.MaxUint16 {
			v |= inaOverflow
		}
		return v
	case inaPower:
		return uint16(min(power, math.MaxUint16))
	case inaCurrent:
		return uint16(int16(min(max(current, math.MinInt16), math.MaxInt16)))
	}
	return 0
}

package chip

import (
	"encoding/binary"
	"math"
	"sync"
	"time"
)

// ADS1115 is a 16-bit converter with four inputs and an amplifier (Texas Instruments SBAS444D, January 2018). Its comparator
// and the ALERT pin are left out: their registers hold what is written.
type ADS1115 struct {
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	pointer byte
	config  uint16
	limits  [2]uint16 // Lo_thresh, Hi_thresh
	result  int16
	next    int16     // what the conversion under way will give
	ready   time.Time // when it does
	under   bool      // a conversion is under way
	inputs  [4]func() float64
	singles int // conversions that were started
	supply  float64
}

// Registers and bits (SBAS444D, 9.6).
const (
	adsConversion = 0
	adsConfig     = 1
	adsStart      = 1 << 15 // written: begin; read: idle
	adsSingle     = 1 << 8  // mode: power-down between conversions
	adsDefault    = 0x8583
)

// slowest is how much longer than nominal a conversion takes in a chip whose oscillator is at its limit (SBAS444D, 7.5: data
// rate variation ±10 %).
const slowest = 1.1

// NewADS1115 is a chip that has just got power of 3.3 V, with all inputs at 0 V.
func NewADS1115(now func() time.Time) *ADS1115 {
	c := &ADS1115{now: timeOf(now), supply: 3.3}
	c.PowerOn()
	return c
}

// Wire connects input 0 to 3 to what gives its voltage, in volts.
func (c *ADS1115) Wire(input int, volts func() float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inputs[input] = volts
}

// Conversions is how many conversions have been started one by one.
func (c *ADS1115) Conversions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.singles
}

// PowerOn implements wire.Chip (SBAS444D, 9.5.2).
func (c *ADS1115) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer, c.config, c.limits, c.result, c.under = 0, adsDefault, [2]uint16{0x8000, 0x7FFF}, 0, false
}

// Write implements wire.Chip: the pointer, and two bytes for the register behind it.
func (c *ADS1115) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer = b[0] & 3
	if len(b) < 3 {
		return
	}
	v := binary.BigEndian.Uint16(b[1:])
	switch c.pointer {
	case adsConversion: // read only
	case adsConfig:
		c.settle()
		c.config = v &^ adsStart
		switch {
		case v&adsSingle == 0:
			c.begin()
		case v&adsStart != 0 && !c.under: // a start while one is under way has no effect
			c.singles++
			c.begin()
		}
	default:
		c.limits[c.pointer-2] = v
	}
}

// Read implements wire.Chip: the register at the pointer, again and again.
func (c *ADS1115) Read(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	var reg [2]byte
	binary.BigEndian.PutUint16(reg[:], c.register())
	for i := range b {
		b[i] = reg[i%2]
	}
}

func (c *ADS1115) register() uint16 {
	switch c.pointer {
	case adsConversion:
		return uint16(c.result)
	case adsConfig:
		if c.under {
			return c.config
		}
		return c.config | adsStart
	}
	return c.limits[c.pointer-2]
}

// begin samples the inputs for a conversion that ends later. It needs c.mu.
func (c *ADS1115) begin() {
	c.under, c.next, c.ready = true, c.code(), c.now().Add(c.period())
}

// settle takes the result of a conversion that has ended. It needs c.mu.
func (c *ADS1115) settle() {
	if !c.under || c.now().Before(c.ready) {
		return
	}
	c.result, c.under = c.next, false
	if c.config&adsSingle == 0 {
		c.begin()
	}
}

// period is how long one conversion takes.
func (c *ADS1115) period() time.Duration {
	rate := [8]float64{8, 16, 32, 64, 128, 250, 475, 860}[c.config>>5&7]
	return time.Duration(slowest / rate * float64(time.Second))
}

// code is what the converter makes of the inputs that are chosen now (SBAS444D, 9.3.1, 9.3.3 and table 3).
func (c *ADS1115) code() int16 {
	plus, minus := 0, -1 // -1 is ground
	switch mux := int(c.config >> 12 & 7); {
	case mux >= 4:
		plus = mux - 4
	case mux == 0:
		minus = 1
	default:
		plus, minus = mux-1, 3
	}
	full := [8]float64{6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256}[c.config>>9&7]
	code := math.Round((c.volts(plus) - c.volts(minus)) / full * 32768)
	return int16(min(max(code, math.MinInt16), math.MaxInt16))
}

// volts is the voltage of an input, held by the clamp diodes within 0.3 V of the supply.
func (c *ADS1115) volts(input int) float64 {
	if input < 0 || c.inputs[input] == nil {
		return 0
	}
	return min(max(c.inputs[input](), -0.3), c.supply+0.3)
}

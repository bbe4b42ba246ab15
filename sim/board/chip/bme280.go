package chip

import (
	"encoding/binary"
	"math"
	"sort"
	"sync"
	"time"
)

// Air is what surrounds a sensor.
type Air struct {
	Celsius float64
	Pascal  float64
	Percent float64 // relative humidity
}

// BME280 measures the air (Bosch Sensortec BST-BME280-DS002, revision 1.6, September 2018). It gives raw counts and the
// trimming values of its making; the counts here are those that the data sheet's own formulas turn into the wanted air. The
// filter is left out.
type BME280 struct {
	now  func() time.Time
	trim trim

	mu      sync.Mutex // guards the fields below
	pointer byte
	air     Air
	humid   byte // ctrl_hum as written; it counts from the next write of ctrl_meas on
	active  byte // ctrl_hum as it counts
	measure byte // ctrl_meas
	config  byte
	data    [8]byte   // 0xF7 to 0xFE
	next    [8]byte   // of the measurement under way
	ready   time.Time // when it ends
	under   bool      // a measurement is under way
	idle    bool      // in normal mode: between two measurements
}

// Registers (BST-BME280-DS002, 5.3).
const (
	bmeTrimLow  = 0x88 // to 0xA1
	bmeID       = 0xD0
	bmeReset    = 0xE0
	bmeTrimHigh = 0xE1 // to 0xE7
	bmeHumid    = 0xF2
	bmeStatus   = 0xF3
	bmeMeasure  = 0xF4
	bmeConfig   = 0xF5
	bmeData     = 0xF7
	bmeIdentity = 0x60
	bmeResetNow = 0xB6
)

// Modes of ctrl_meas (table 25).
const (
	bmeSleep  = 0
	bmeNormal = 3
)

// trim is what a chip was given at its making (table 16).
type trim struct {
	t1 uint16
	t2 int16
	t3 int16
	p1 uint16
	p  [8]int16 // dig_P2 to dig_P9
	h1 uint8
	h2 int16
	h3 uint8
	h4 int16 // 12 bits
	h5 int16 // 12 bits
	h6 int8
}

// madeOf is one chip's trimming: temperature and pressure as in the worked example of Bosch's BMP280 (BST-BMP280-DS001,
// 3.12), which has the same cell, and humidity as chips usually have it.
func madeOf() trim {
	return trim{t1: 27504, t2: 26435, t3: -1000, p1: 36477, p: [8]int16{-10685, 3024, 2855, 140, -7, 15500, -14600, 6000},
		h1: 75, h2: 366, h3: 0, h4: 312, h5: 50, h6: 30}
}

// NewBME280 is a chip that has just got power, in air of 20 °C, 1013.25 hPa and 50 %.
func NewBME280(now func() time.Time) *BME280 {
	c := &BME280{now: timeOf(now), trim: madeOf(), air: Air{20, 101325, 50}}
	c.PowerOn()
	return c
}

// Set changes the air: -40 to 85 °C, 30,000 to 110,000 Pa, 0 to 100 %.
func (c *BME280) Set(a Air) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.air = a
}

// Air is what Set set.
func (c *BME280) Air() Air {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.air
}

// PowerOn implements wire.Chip.
func (c *BME280) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
}

// reset needs c.mu. The data of a channel that was not measured is 0x80000 or 0x8000 (5.4.7 to 5.4.9).
func (c *BME280) reset() {
	c.pointer, c.humid, c.active, c.measure, c.config, c.under, c.idle = 0, 0, 0, 0, 0, false, false
	c.data = pack(0x80000, 0x80000, 0x8000)
}

// Write implements wire.Chip: pairs of a register and its value (6.2.1); a register alone sets the pointer.
func (c *BME280) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	for ; len(b) >= 2; b = b[2:] {
		c.store(b[0], b[1])
	}
	if len(b) == 1 {
		c.pointer = b[0]
	}
}

func (c *BME280) store(reg, v byte) {
	switch reg {
	case bmeReset:
		if v == bmeResetNow {
			c.reset()
		}
	case bmeHumid:
		c.humid = v & 7
	case bmeConfig:
		c.config = v
	case bmeMeasure:
		c.measure, c.active, c.under, c.idle = v, c.humid, false, false
		if v&3 != bmeSleep {
			c.begin()
		}
	}
}

// Read implements wire.Chip: registers from the pointer on.
func (c *BME280) Read(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	for i := range b {
		b[i] = c.register(c.pointer)
		c.pointer++
	}
}

func (c *BME280) register(reg byte) byte {
	low, high := c.trim.pack()
	switch {
	case reg >= bmeTrimLow && int(reg-bmeTrimLow) < len(low):
		return low[reg-bmeTrimLow]
	case reg >= bmeTrimHigh && int(reg-bmeTrimHigh) < len(high):
		return high[reg-bmeTrimHigh]
	case reg >= bmeData && int(reg-bmeData) < len(c.data):
		return c.data[reg-bmeData]
	}
	switch reg {
	case bmeID:
		return bmeIdentity
	case bmeHumid:
		return c.humid
	case bmeMeasure:
		return c.measure
	case bmeConfig:
		return c.config
	case bmeStatus:
		if c.under && !c.idle {
			return 1 << 3
		}
	}
	return 0
}

// begin measures the air as it is; the registers have it later. It needs c.mu.
func (c *BME280) begin() {
	t, p, h := c.counts()
	times := func(setting byte) float64 {
		if setting = setting & 7; setting == 0 {
			return 0
		}
		return float64(int(1) << min(setting-1, 4))
	}
	ms := 1.25 + 2.3*times(c.measure>>5) // the longest times of 9.1
	if n := times(c.measure >> 2); n > 0 {
		ms += 2.3*n + 0.575
	} else {
		p = 0x80000
	}
	if n := times(c.active); n > 0 {
		ms += 2.3*n + 0.575
	} else {
		h = 0x8000
	}
	if times(c.measure>>5) == 0 {
		t = 0x80000
	}
	c.under, c.next, c.ready = true, pack(t, p, h), c.now().Add(time.Duration(ms*float64(time.Millisecond)))
}

// settle takes a measurement that has ended. It needs c.mu.
func (c *BME280) settle() {
	for c.under && !c.now().Before(c.ready) {
		if c.idle { // the standby time of normal mode has passed
			c.idle = false
			c.begin()
			continue
		}
		c.data, c.under = c.next, false
		if c.measure&3 != bmeNormal {
			c.measure &^= 3 // forced mode goes back to sleep
			return
		}
		standby := [8]float64{0.5, 62.5, 125, 250, 500, 1000, 10, 20}[c.config>>5]
		c.under, c.idle, c.ready = true, true, c.now().Add(time.Duration(standby*float64(time.Millisecond)))
	}
}

// pack puts counts as they stand in the registers: pressure, temperature, humidity.
func pack(t, p, h uint32) [8]byte {
	return [8]byte{byte(p >> 12), byte(p >> 4), byte(p << 4), byte(t >> 12), byte(t >> 4), byte(t << 4), byte(h >> 8), byte(h)}
}

// pack puts the trimming as it stands from 0x88 and from 0xE1 on (table 16).
func (t trim) pack() (low [26]byte, high [7]byte) {
	b := binary.LittleEndian.AppendUint16(nil, t.t1)
	for _, v := range []int16{t.t2, t.t3, int16(t.p1)} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	for _, v := range t.p {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	copy(low[:], append(b, 0, t.h1))
	high = [7]byte{byte(t.h2), byte(uint16(t.h2) >> 8), t.h3, byte(t.h4 >> 4), byte(t.h4&0xF) | byte(t.h5&0xF)<<4, byte(t.h5 >> 4), byte(t.h6)}
	return low, high
}

// counts are the raw values that the formulas turn into the air: each is sought, as the formulas only rise or only fall.
func (c *BME280) counts() (t, p, h uint32) {
	seek := func(n int, above func(raw float64) bool) uint32 {
		return uint32(min(sort.Search(n, func(i int) bool { return above(float64(i)) }), n-1))
	}
	t = seek(1<<20, func(raw float64) bool { return c.trim.fine(raw)/5120 >= c.air.Celsius })
	fine := c.trim.fine(float64(t))
	p = seek(1<<20, func(raw float64) bool { return c.trim.pascal(raw, fine) <= c.air.Pascal })
	h = seek(1<<16, func(raw float64) bool { return c.trim.percent(raw, fine) >= c.air.Percent })
	return t, p, h
}

// fine is the temperature in 1/5120 °C (appendix A, 8.1).
func (t trim) fine(raw float64) float64 {
	x := raw/16384 - float64(t.t1)/1024
	y := x / 8
	return x*float64(t.t2) + y*y*float64(t.t3)
}

// pascal is the pressure (appendix A, 8.1).
func (t trim) pascal(raw, fine float64) float64 {
	dig := func(n int) float64 { return float64(t.p[n-2]) }
	x := math.Trunc(fine)/2 - 64000
	offset := (x*x*dig(6)/32768+x*dig(5)*2)/4 + dig(4)*65536
	scale := (1 + (dig(3)*x*x/524288+dig(2)*x)/524288/32768) * float64(t.p1)
	p := (1048576 - raw - offset/4096) * 6250 / scale
	return p + (dig(9)*p*p/2147483648+p*dig(8)/32768+dig(7))/16
}

// percent is the humidity (appendix A, 8.1).
func (t trim) percent(raw, fine float64) float64 {
	x := math.Trunc(fine) - 76800
	h := raw - (float64(t.h4)*64 + float64(t.h5)/16384*x)
	h *= float64(t.h2) / 65536 * (1 + float64(t.h6)/67108864*x*(1+float64(t.h3)/67108864*x))
	h *= 1 - float64(t.h1)*h/524288
	return min(max(h, 0), 100)
}

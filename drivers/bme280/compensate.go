package bme280

import (
	"encoding/binary"
	"errors"
	"fmt"

	"watchpost/drivers/measure"
)

// Sizes of the two blocks of trimming (table 16).
const (
	trimLow  = 26 // from 0x88
	trimHigh = 7  // from 0xE1
)

// trim is what the chip was given at its making, by the names of table 16.
type trim struct {
	t1, p1                         uint16
	t2, t3                         int16
	p2, p3, p4, p5, p6, p7, p8, p9 int16
	h1, h3                         uint8
	h2, h4, h5                     int16 // h4 and h5 have 12 bits
	h6                             int8
}

// errTrim means that what stands where the trimming should be is none: no chip has zeros there, or ones.
var errTrim = errors.New("its trimming cannot be read")

// parseTrim reads the blocks at 0x88 and 0xE1 (§4.2.2).
func parseTrim(low [trimLow]byte, high [trimHigh]byte) (trim, error) {
	u := func(i int) uint16 { return binary.LittleEndian.Uint16(low[i:]) }
	s := func(i int) int16 { return int16(u(i)) }
	t := trim{
		t1: u(0), t2: s(2), t3: s(4), p1: u(6), p2: s(8), p3: s(10), p4: s(12), p5: s(14), p6: s(16), p7: s(18), p8: s(20), p9: s(22),
		h1: low[25], h2: int16(binary.LittleEndian.Uint16(high[:])), h3: high[2],
		h4: int16(int8(high[3]))<<4 | int16(high[4]&0xf), h5: int16(int8(high[5]))<<4 | int16(high[4]>>4), h6: int8(high[6]),
	}
	if t.t1 == 0 || t.p1 == 0 || t.t1 == 0xffff && t.p1 == 0xffff || t.h2 == 0 || t.h2 == -1 {
		return trim{}, fmt.Errorf("%w: % x and % x", errTrim, low, high)
	}
	return t, nil
}

// Counts of a channel that was not measured (§5.4.7 to §5.4.9), and of a wire that nobody pulls low: the chip was pulled while it
// was read. For pressure and temperature that is out of range.
const (
	skipped20 = 0x80000
	skipped16 = 0x8000
	pulled16  = 0xffff
)

// counts are the raw values of one measurement: 20, 20 and 16 bits.
type counts struct{ pressure, temperature, humidity int64 }

// parseCounts reads the registers from 0xF7 on.
func parseCounts(r [8]byte) counts {
	b := func(i int) int64 { return int64(r[i]) }
	return counts{b(0)<<12 | b(1)<<4 | b(2)>>4, b(3)<<12 | b(4)<<4 | b(5)>>4, b(6)<<8 | b(7)}
}

// Air is one measurement.
type Air struct {
	Temperature measure.Temperature // −40 °C to 85 °C, in steps of 0.01 °C
	Pressure    measure.Pressure    // 300 hPa to 1,100 hPa
	Humidity    measure.Humidity    // 0 % to 100 %
}

// errRange means that a value is outside of what the chip measures (tables 1 to 4): it is broken, or not this chip.
var errRange = errors.New("beyond what the chip measures")

// compensate turns counts into values (§4.2.3).
func (t trim) compensate(c counts) (Air, error) {
	if c.temperature == skipped20 || c.pressure == skipped20 || c.humidity == skipped16 || c.humidity == pulled16 {
		return Air{}, errors.New("a channel was not measured")
	}
	fine := t.fine(c.temperature)
	pressure, ok := t.pressure(c.pressure, fine)
	air := Air{Temperature: measure.Temperature((fine*5 + 128) >> 8 * 10), Pressure: pressure, Humidity: t.humidity(c.humidity, fine)}
	if !ok || air.Temperature < -40*measure.Celsius || air.Temperature > 85*measure.Celsius || pressure < 30_000 || pressure > 110_000 {
		return Air{}, fmt.Errorf("%s, %s: %w", air.Temperature, air.Pressure, errRange)
	}
	return air, nil
}

// fine is the temperature in 1/5120 °C, t_fine of the data sheet.
func (t trim) fine(count int64) int64 {
	a := ((count>>3 - int64(t.t1)<<1) * int64(t.t2)) >> 11
	b := count>>4 - int64(t.t1)
	return a + b*b>>12*int64(t.t3)>>14
}

// pressure is to the nearest pascal; false if the trimming makes no sense of it.
func (t trim) pressure(count, fine int64) (measure.Pressure, bool) {
	x := fine - 128000
	offset := x*x*int64(t.p6) + x*int64(t.p5)<<17 + int64(t.p4)<<35
	scale := (1<<47 + x*x*int64(t.p3)>>8 + x*int64(t.p2)<<12) * int64(t.p1) >> 33
	if scale == 0 {
		return 0, false
	}
	p := ((1<<20-count)<<31 - offset) * 3125 / scale
	p = (p+int64(t.p9)*(p>>13)*(p>>13)>>25+int64(t.p8)*p>>19)>>8 + int64(t.p7)<<4
	return measure.Pressure((p + 128) >> 8), true
}

// humidity is to 0.01 %; the chip resolves 0.008 % (table 2).
func (t trim) humidity(count, fine int64) measure.Humidity {
	x := fine - 76800
	h := (count<<14 - int64(t.h4)<<20 - int64(t.h5)*x + 1<<14) >> 15
	h *= ((x*int64(t.h6)>>10*(x*int64(t.h3)>>11+1<<15)>>10+1<<21)*int64(t.h2) + 1<<13) >> 14
	h -= h >> 15 * (h >> 15) >> 7 * int64(t.h1) >> 4
	h = min(max(h, 0), 100<<22) >> 12
	return measure.Humidity((h*100+512)>>10) * measure.Percent / 100
}

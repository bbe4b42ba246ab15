package chip

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/sim/board/wire"
)

// The worked example of Bosch's data sheets (BST-BMP280-DS001, 3.12).
func TestBME280WorkedExample(t *testing.T) {
	trim := madeOf()
	fine := trim.fine(519888)
	near(t, "temperature", fine/5120, 25.08, 0.005)
	near(t, "pressure", trim.pascal(415148, fine), 100653.27, 0.05)
}

func TestBME280Counts(t *testing.T) {
	c := NewBME280(nil)
	rapid.Check(t, func(t *rapid.T) {
		air := Air{rapid.Float64Range(-40, 85).Draw(t, "°C"), rapid.Float64Range(30000, 110000).Draw(t, "Pa"), rapid.Float64Range(1, 99).Draw(t, "%")}
		c.Set(air)
		raw, pressure, humidity := c.counts()
		fine := c.trim.fine(float64(raw))
		if d := math.Abs(fine/5120 - air.Celsius); d > 0.01 {
			t.Errorf("%v: off by %v °C", air, d)
		}
		if d := math.Abs(c.trim.pascal(float64(pressure), fine) - air.Pascal); d > 1 {
			t.Errorf("%v: off by %v Pa", air, d)
		}
		if d := math.Abs(c.trim.percent(float64(humidity), fine) - air.Percent); d > 0.1 {
			t.Errorf("%v: off by %v %%", air, d)
		}
	})
}

func TestBME280(t *testing.T) {
	k := newClock()
	c := NewBME280(k.now)
	reg := func(r byte) byte { write(c, r); return read(c, 1)[0] }
	if reg(bmeID) != 0x60 || reg(bmeData) != 0x80 || reg(0xFD) != 0x80 || reg(0x90) == 0 || reg(bmeStatus) != 0 {
		t.Error("after power-on")
	}
	write(c, 0x88)
	if got := binary.LittleEndian.Uint16(read(c, 2)); got != 27504 {
		t.Errorf("dig_T1 %d", got)
	}
	write(c, bmeTrimHigh)
	if got := read(c, 7); int16(got[3])<<4|int16(got[4]&15) != 312 || int16(got[5])<<4|int16(got[4]>>4) != 50 || got[6] != 30 {
		t.Errorf("humidity's trimming %x", got)
	}
	write(c, bmeHumid, 1)
	write(c, bmeMeasure, 1<<5|1<<2|1) // forced
	if reg(bmeStatus) != 8 || reg(bmeMeasure)&3 != 1 {
		t.Error("not measuring")
	}
	k.pass(9300 * time.Microsecond) // 1.25 + 2.3 + 2 × 2.875 ms
	if reg(bmeStatus) != 0 || reg(bmeMeasure)&3 != 0 {
		t.Error("still measuring after the longest time")
	}
	write(c, bmeData)
	first := read(c, 8)
	c.Set(Air{30, 90000, 80})
	k.pass(time.Hour)
	write(c, bmeData)
	if got := read(c, 8); !bytes.Equal(got, first) || bytes.Equal(got[:3], []byte{0x80, 0, 0}) {
		t.Errorf("a sleeping chip changed %x to %x", first, got)
	}
	write(c, bmeHumid, 0, bmeConfig, 0, bmeMeasure, 1<<5|1) // only the temperature
	k.pass(time.Second)
	write(c, bmeData)
	if got := read(c, 8); !bytes.Equal(got[:3], []byte{0x80, 0, 0}) || !bytes.Equal(got[6:], []byte{0x80, 0}) || got[3] == 0x80 {
		t.Errorf("channels that are not measured: %x", got)
	}
	write(c, bmeConfig, 6<<5, bmeMeasure, 0|1<<2|3) // normal, every 10 ms, pressure alone
	k.pass(5 * time.Millisecond)
	if reg(bmeStatus) != 0 || reg(bmeConfig) != 6<<5 || reg(bmeHumid) != 0 {
		t.Error("no pause between two measurements")
	}
	write(c, bmeData)
	before := read(c, 3)
	c.Set(Air{30, 80000, 80})
	k.pass(30 * time.Millisecond)
	for range 4 {
		k.pass(15 * time.Millisecond)
		_ = reg(bmeStatus)
	}
	write(c, bmeData)
	if bytes.Equal(read(c, 3), before) {
		t.Error("normal mode does not go on")
	}
	write(c, bmeReset, 1, bmeReset, bmeResetNow)
	if reg(bmeMeasure) != 0 || c.Air().Percent != 80 {
		t.Error("no reset")
	}
}

func TestDS3231(t *testing.T) {
	k := newClock()
	c := NewDS3231(k.now)
	status := func() byte { write(c, rtcStatus); return read(c, 1)[0] }
	if status()&rtcStopped == 0 || c.Time().Year() != 2000 {
		t.Error("a chip that was never set")
	}
	c.SetTime(k.t)
	k.pass(59*time.Second + time.Minute)
	write(c, 0)
	if got := read(c, 7); !bytes.Equal(got, []byte{0x59, 0x01, 0x08, 1, 0x01, 0x03, 0x26}) {
		t.Errorf("time %x", got)
	}
	if status()&rtcStopped != 0 {
		t.Error("stopped")
	}
	write(c, 0, 0x00, 0x30, 0x23, 5, 0x31, 0x12, 0x99)
	k.pass(30 * time.Minute)
	write(c, 5)
	if got := read(c, 2); got[0] != 0x81 || got[1] != 0x00 { // January with the century bit
		t.Errorf("month and year %x, want those of 2100", got)
	}
	write(c, 2, 0x40|0x20|0x12) // 12 p.m. is noon
	if got := c.Time().Hour(); got != 12 {
		t.Errorf("12 p.m. is %d", got)
	}
	k.pass(11 * time.Hour)
	write(c, 2)
	if got := read(c, 1)[0]; got != 0x40|0x20|0x11 {
		t.Errorf("11 p.m. is %#x", got)
	}
	write(c, 2, 0x40|0x12) // 12 a.m. is midnight
	if got := c.Time().Hour(); got != 0 {
		t.Errorf("12 a.m. is %d", got)
	}

	for celsius, want := range map[float64][]byte{25.25: {0x19, 0x40}, -10.75: {0xF5, 0x40}, 0: {0, 0}} { // 19-5170, table 3
		c.SetCelsius(celsius)
		write(c, rtcCelsius)
		if got := read(c, 2); !bytes.Equal(got, want) {
			t.Errorf("%v °C is %x, want %x", celsius, got, want)
		}
	}
	write(c, rtcControl, 0x3C, 0xFF)
	write(c, rtcControl)
	if got := read(c, 2); got[0] != 0x1C || got[1]&rtcStopped != 0 {
		t.Errorf("control and status %x: CONV ends, OSF can only be cleared", got)
	}
	write(c, 0x10, 0x12, 0xFF)
	write(c, 0x10)
	if got := read(c, 4); got[0] != 0x12 || got[1] == 0xFF {
		t.Errorf("aging and the rest %x", got)
	}
	write(c, 0, 0, 0, 0, 1, 1, 1, 0x26)
	c.Drift(100)
	k.pass(10000 * time.Second)
	if got := c.Time(); !got.Equal(time.Date(2026, 1, 1, 2, 46, 41, 0, time.UTC)) {
		t.Errorf("100 ppm fast: %v", got)
	}
	c.PowerOn()
	if status()&rtcStopped != 0 || c.Time().Year() != 2026 {
		t.Error("a battery holds the time")
	}
	c.Battery(false)
	c.PowerOn()
	if status()&rtcStopped == 0 || c.Time().Year() != 2000 {
		t.Error("without a battery the time is lost, and told as lost")
	}
}

func TestDS3231KeepsAnyTime(t *testing.T) {
	k := newClock()
	c := NewDS3231(k.now)
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(946684800, 7258118399).Draw(t, "at"), 0).UTC() // 2000 to 2199
		c.SetTime(at)
		write(c, 0)
		regs := read(c, 7)
		write(c, append([]byte{0}, regs...)...)
		if !c.Time().Equal(at) || int(regs[3]) != int(at.Weekday())+1 {
			t.Fatalf("%v became %v over %x", at, c.Time(), regs)
		}
	})
}

func TestDS18B20(t *testing.T) {
	k := newClock()
	d := NewDS18B20(false, k.now)
	pad := func() []byte {
		r := bytes.Repeat([]byte{0xFF}, 9)
		d.Talk([]byte{tempRead}, r, false)
		if wire.CRC8(r) != 0 {
			t.Errorf("%x does not check", r)
		}
		return r
	}
	if got := pad(); !bytes.Equal(got, []byte{0x50, 0x05, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10, 0x1C}) {
		t.Errorf("after power-on %x, want 85 °C", got)
	}
	for celsius, want := range map[float64]uint16{125: 0x07D0, 25.0625: 0x0191, 10.125: 0x00A2, 0.5: 8, 0: 0, -0.5: 0xFFF8, -10.125: 0xFF5E, -25.0625: 0xFE6F, -55: 0xFC90} { // 19-7487, table 1
		d.SetCelsius(celsius)
		busy := []byte{0xFF}
		d.Talk([]byte{tempConvert}, busy, false)
		k.pass(749 * time.Millisecond)
		if busy[0] != 0 {
			t.Errorf("a conversion under way reads %x", busy)
		}
		before := pad()
		k.pass(time.Millisecond)
		if got := binary.LittleEndian.Uint16(pad()); got != want {
			t.Errorf("%v °C is %#04x, want %#04x (before: %x)", celsius, got, want, before)
		}
	}
	d.Talk([]byte{tempWrite, 1, 2, 0x00}, nil, false) // 9 bits
	d.SetCelsius(10.4375)
	d.Talk([]byte{tempConvert}, nil, false)
	k.pass(93750 * time.Microsecond)
	if got := pad(); got[0] != 0xA0 || got[2] != 1 || got[4] != 0x1F {
		t.Errorf("with 9 bits %x, want 10 °C", got)
	}
	d.PowerOn()
	if got := pad(); got[0] != 0x50 || got[2] != 0x4B {
		t.Errorf("what was not saved is gone: %x", got)
	}
	d.Talk([]byte{tempWrite, 9, 8, 0x20}, nil, false)
	d.Talk([]byte{tempCopy}, nil, true)
	d.Talk([]byte{tempWrite, 1, 2, 0x60}, nil, false)
	d.Talk([]byte{tempRecall}, nil, false)
	if got := pad(); got[2] != 9 || got[4] != 0x3F {
		t.Errorf("recalled %x", got)
	}
	d.Talk(nil, nil, false)
	DS1990A{}.Talk([]byte{1}, nil, false)
	DS1990A{}.PowerOn()
}

func TestDS18B20WithoutPowerOfItsOwn(t *testing.T) {
	k := newClock()
	d := NewDS18B20(true, k.now)
	r := []byte{0xFF}
	if d.Talk([]byte{tempPower}, r, false); r[0] != 0 {
		t.Errorf("its supply reads %x", r)
	}
	for strong, want := range map[bool]int16{false: powerOnRaw, true: 20 * 16} {
		d.PowerOn()
		d.Talk([]byte{tempConvert}, nil, strong)
		k.pass(time.Second)
		pad := make([]byte, 9)
		d.Talk([]byte{tempRead}, pad, false)
		if got := int16(binary.LittleEndian.Uint16(pad)); got != want {
			t.Errorf("strong %v: %d, want %d", strong, got, want)
		}
	}
}

package chip

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"watchpost/sim/board/wire"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time         { return c.t }
func (c *clock) pass(d time.Duration)   { c.t = c.t.Add(d) }
func write(c wire.Chip, b ...byte)      { c.Write(b) }
func read(c wire.Chip, n int) []byte    { b := make([]byte, n); c.Read(b); return b }
func word(c wire.Chip, reg byte) uint16 { write(c, reg); return binary.BigEndian.Uint16(read(c, 2)) }

// set writes a 16-bit register.
func set(c wire.Chip, reg byte, v uint16) { write(c, reg, byte(v>>8), byte(v)) }

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestADS1115Codes(t *testing.T) {
	for _, c := range []struct {
		mux, gain uint16
		volts     [4]float64
		want      int16
	}{
		{4, 2, [4]float64{1.024}, 0x4000},            // half of ±2.048 V
		{4, 2, [4]float64{2.048}, 0x7FFF},            // full scale clips (SBAS444D, table 3)
		{5, 1, [4]float64{0, 3.0}, 24000},            // 125 µV a step at ±4.096 V
		{6, 1, [4]float64{0, 0, 5}, 28800},           // the clamp at 3.6 V
		{7, 0, [4]float64{0, 0, 0, 3.072}, 0x4000},   // ±6.144 V
		{0, 2, [4]float64{0.5, 1.5}, -16000},         // AIN0 − AIN1
		{1, 2, [4]float64{1, 9, 9, 0.5}, 8000},       // AIN0 − AIN3
		{2, 2, [4]float64{9, 1, 9, 0.5}, 8000},       // AIN1 − AIN3
		{3, 2, [4]float64{9, 9, 0.25, 0.5}, -4000},   // AIN2 − AIN3
		{4, 5, [4]float64{-0.2}, -25600},             // 7.8125 µV a step
		{4, 7, [4]float64{-2}, math.MinInt16},        // the clamp at −0.3 V, and negative full scale
		{7, 6, [4]float64{0, 0, 0, 0.0000078125}, 1}, // one step
	} {
		k := newClock()
		a := NewADS1115(k.now)
		for i, v := range c.volts {
			a.Wire(i, func() float64 { return v })
		}
		set(a, adsConfig, adsStart|c.mux<<12|c.gain<<9|adsSingle|7<<5|3)
		k.pass(2 * time.Millisecond)
		if got := int16(word(a, adsConversion)); got != c.want {
			t.Errorf("mux %d gain %d of %v: %d, want %d", c.mux, c.gain, c.volts, got, c.want)
		}
	}
}

func TestADS1115Time(t *testing.T) {
	k := newClock()
	a := NewADS1115(k.now)
	volts := 1.0
	a.Wire(0, func() float64 { return volts })
	if got := word(a, adsConfig); got != 0x8583 {
		t.Errorf("config after power-on %#04x", got)
	}
	if lo, hi := word(a, 2), word(a, 3); lo != 0x8000 || hi != 0x7FFF {
		t.Errorf("limits after power-on %#x, %#x", lo, hi)
	}
	const half = adsStart | 4<<12 | 2<<9 | adsSingle | 7<<5 | 3 // AIN0, ±2.048 V, 860 a second
	set(a, adsConfig, half)
	volts = 2
	set(a, adsConfig, half) // too early: nothing begins
	k.pass(1270 * time.Microsecond)
	if got := word(a, adsConfig); got&adsStart != 0 {
		t.Errorf("idle after 1.27 ms, when a slow chip needs 1.1 / 860 s: %#04x", got)
	}
	if got := word(a, adsConversion); got != 0 {
		t.Errorf("a result before its time: %d", got)
	}
	k.pass(20 * time.Microsecond)
	if got := word(a, adsConfig); got != half {
		t.Errorf("config of an idle chip %#04x, want %#04x", got, half)
	}
	if got := word(a, adsConversion); got != 16000 || a.Conversions() != 1 {
		t.Errorf("%d of %d conversions, want what was there at the start of one", got, a.Conversions())
	}
	set(a, 2, 0x1234)
	set(a, adsConversion, 0x5555) // read only
	if lo, res := word(a, 2), word(a, adsConversion); lo != 0x1234 || res != 16000 {
		t.Errorf("lo %#x, result %d", lo, res)
	}
	set(a, adsConfig, 4<<12|2<<9|4<<5) // continuous, 128 a second
	k.pass(10 * time.Millisecond)
	if got := word(a, adsConversion); got != 32000 {
		t.Errorf("continuous: %d", got)
	}
	volts = 0.5
	for range 2 {
		k.pass(10 * time.Millisecond)
		_ = word(a, adsConversion)
	}
	if got := word(a, adsConversion); got != 8000 {
		t.Errorf("continuous, later: %d", got)
	}
	a.PowerOn()
	if got := word(a, adsConversion); got != 0 {
		t.Errorf("after a brown-out: %d", got)
	}
}

// ints is the levels of INTA and INTB as told.
type ints struct{ a, b []bool }

func (i *ints) wire(c *MCP23017) {
	c.Interrupts(func(l bool) { i.a = append(i.a, l) }, func(l bool) { i.b = append(i.b, l) })
}

func TestMCP23017Ports(t *testing.T) {
	c := NewMCP23017()
	write(c, 0x00)
	if got := read(c, 3); got[0] != 0xFF || got[1] != 0xFF || got[2] != 0 {
		t.Errorf("after power-on %x", got)
	}
	out := map[int]bool{}
	c.Outputs(func(pin int, level bool) { out[pin] = level })
	write(c, 0x00, 0xF0, 0xFF) // GPA0…3 are outputs
	write(c, 0x12, 0x05)       // GPIO writes the latch
	write(c, 0x0C, 0x80)       // pull-up on GPA7
	c.Set(4, true)
	c.Set(8, true)
	write(c, 0x12)
	if got := read(c, 2); got[0] != 0x95 || got[1] != 0x01 {
		t.Errorf("GPIO %x, want 9501", got)
	}
	if !out[0] || out[1] || !out[2] || len(out) != 4 || !c.Level(2) || c.Level(3) {
		t.Errorf("outputs %v", out)
	}
	c.Set(7, false) // against the pull-up
	write(c, 0x02, 0x10)
	write(c, 0x12)
	if got := read(c, 1)[0]; got != 0x05 {
		t.Errorf("GPIO with IPOL %#x", got)
	}
	write(c, 0x14)
	if got := read(c, 4); got[0] != 5 || got[2] != 0xF0 || got[3] != 0xFF { // OLATA, OLATB, and round to IODIRA
		t.Errorf("behind the last register comes the first: %x", got)
	}
}

func TestMCP23017Banks(t *testing.T) {
	c := NewMCP23017()
	write(c, 0x0A, mcpBank|1)
	write(c, 0x05)
	if got := read(c, 1)[0]; got != mcpBank {
		t.Errorf("IOCON in bank 1 is %#x", got)
	}
	write(c, 0x10, 0x0F, 0x33)
	write(c, 0x0A)
	if got := read(c, 3); got[1] != 0x0F || got[2] != 0x33 {
		t.Errorf("from OLATA on %x, want IODIRB and IPOLB", got)
	}
	write(c, 0x0B, 0xFF) // no register there
	write(c, 0x0B)
	if got := read(c, 1)[0]; got != 0 {
		t.Errorf("no register reads %#x", got)
	}
	write(c, 0x1A)
	if got := read(c, 2); got[1] != 0xFF {
		t.Errorf("behind the last register %x", got)
	}
	write(c, 0x05, mcpByte)
	c.Set(0, true)
	write(c, 0x12)
	if got := read(c, 4); string(got) != "\x01\x33\x01\x33" { // IPOLB is 0x33
		t.Errorf("byte mode toggles between the ports: %x", got)
	}
	write(c, 0x0A, mcpByte|mcpBank)
	c.Set(1, true)
	write(c, 0x09)
	if got := read(c, 2); got[0] != 3 || got[1] != 3 {
		t.Errorf("byte mode in bank 1 stays: %x", got)
	}
}

func TestMCP23017Interrupts(t *testing.T) {
	c, i := NewMCP23017(), &ints{}
	i.wire(c)
	c.Set(3, true)
	if len(i.a) != 1 || !i.a[0] { // idle: active-low
		t.Errorf("INTA %v", i.a)
	}
	write(c, 0x04, 0xFF) // GPINTENA
	c.Set(3, false)
	c.Set(2, true) // behind the first: captured by nobody
	write(c, 0x0E)
	if got := read(c, 1)[0]; got != 0x08 {
		t.Errorf("INTF %#x", got)
	}
	write(c, 0x10)
	if got := read(c, 1)[0]; got != 0x00 || len(i.a) != 3 || i.a[1] || !i.a[2] {
		t.Errorf("INTCAP %#x, INTA %v", got, i.a)
	}
	c.Set(2, false)
	write(c, 0x12)
	if got := read(c, 1)[0]; got != 0 || len(i.a) != 5 {
		t.Errorf("GPIO %#x, INTA %v", got, i.a)
	}
	c.Set(12, true) // port B has no interrupts
	if len(i.b) != 1 {
		t.Errorf("INTB %v", i.b)
	}

	write(c, 0x06, 0x00) // DEFVALA: 0 is rest
	write(c, 0x08, 0x01) // INTCONA: GPA0 compares with it
	write(c, 0x0A, mcpMirror|mcpHighInt)
	i = &ints{}
	i.wire(c)
	c.Set(0, true)
	if len(i.a) != 2 || i.a[0] || !i.a[1] || len(i.b) != 2 || !i.b[1] {
		t.Errorf("mirrored and active-high: %v %v", i.a, i.b)
	}
	write(c, 0x12)
	_ = read(c, 1) // the level is still there, and with it the interrupt
	write(c, 0x0E)
	if got := read(c, 1)[0]; got != 1 {
		t.Errorf("INTF %#x while the level lasts", got)
	}
	c.Set(0, false)
	write(c, 0x10)
	if got := read(c, 1)[0]; got != 1 {
		t.Errorf("INTCAP %#x", got)
	}
	write(c, 0x0E, 0xFF)
	write(c, 0x0E)
	if got := read(c, 1)[0]; got != 0 {
		t.Errorf("INTF %#x: it cannot be written", got)
	}
	c.PowerOn()
	write(c, 0x00)
	if got := read(c, 1)[0]; got != 0xFF || c.Level(12) != true {
		t.Errorf("after a brown-out IODIR %#x", got)
	}
}

// The worked example of SBOS448G, 8.5.1 and table 8: 12 V, 10 A, a shunt of 2 mΩ, calibration 0x5000.
func TestINA219WorkedExample(t *testing.T) {
	k := newClock()
	a := NewINA219(0.002, func() (float64, float64) { return 11.98, 10 }, k.now)
	if got := word(a, inaConfig); got != 0x399F {
		t.Errorf("config %#04x", got)
	}
	set(a, inaConfig, 0x019F)
	set(a, inaCalibration, 0x5000)
	k.pass(2 * time.Millisecond)
	for _, c := range []struct {
		reg  byte
		want uint16
	}{{inaShunt, 0x07D0}, {inaBus, 0x5D98 | inaDone}, {inaCurrent, 0x2710}, {inaPower, 0x1766}, {inaBus, 0x5D98}, {inaCalibration, 0x5000}} {
		if got := word(a, c.reg); got != c.want { // reading the power clears CNVR
			t.Errorf("register %d is %#04x, want %#04x", c.reg, got, c.want)
		}
	}
}

func TestINA219(t *testing.T) {
	k := newClock()
	volts, amps := 12.0, -1.5
	c := NewINA219(0.1, func() (float64, float64) { return volts, amps }, k.now)
	shunt := func() int16 { return int16(word(c, inaShunt)) }
	if got := shunt(); got != -15000 {
		t.Errorf("−150 mV reads %d", got)
	}
	set(c, inaConfig, 0x019F) // gain 1: ±40 mV; 16 V
	volts = 20
	if got := shunt(); got != -4000 {
		t.Errorf("out of range reads %d", got)
	}
	if got := word(c, inaBus) >> 3; got != 4000 {
		t.Errorf("20 V of 16 V reads %d", got)
	}
	set(c, inaCalibration, 0xFFFF)
	if got := word(c, inaCalibration); got != 0xFFFE {
		t.Errorf("calibration %#x", got)
	}
	set(c, inaConfig, 0x399F)
	amps = 3
	if got := word(c, inaBus); got&inaOverflow == 0 {
		t.Errorf("no overflow in %#04x", got)
	}

	set(c, inaConfig, 0x399B) // triggered, both
	amps = 1
	if word(c, inaBus)&inaDone != 0 {
		t.Error("done at once")
	}
	k.pass(1064 * time.Microsecond) // 2 × 532 µs
	if word(c, inaBus)&inaDone == 0 {
		t.Error("not done after 1.064 ms")
	}
	if got := shunt(); got != 30000 {
		t.Errorf("triggered: %d, want what was there at the start", got)
	}
	_ = word(c, inaPower)
	k.pass(time.Second)
	if word(c, inaBus)&inaDone != 0 {
		t.Error("still done when the power was read")
	}
	set(c, inaConfig, 0x8000)
	if got := word(c, inaConfig); got != 0x399F || word(c, inaCalibration) != 0 {
		t.Errorf("after a reset %#04x", got)
	}
	for setting, want := range map[uint16]time.Duration{0: 84 * time.Microsecond, 3: 532 * time.Microsecond, 7: 532 * time.Microsecond, 8: 532 * time.Microsecond, 0xF: 68100 * time.Microsecond} {
		if got := convertTime(setting); got != want {
			t.Errorf("setting %d takes %s, want %s", setting, got, want)
		}
	}
}

package chip

import (
	"math"
	"sync"
	"time"
)

// DS3231 is a clock with a crystal, a thermometer and a battery of its own (Maxim 19-5170, Rev 10). Alarms are registers
// that hold what is written.
type DS3231 struct {
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	pointer byte
	base    time.Time // the chip's time …
	at      time.Time // … when the world's was this
	reg     [0x13]byte
	half    bool    // hours were set in the 12-hour form
	ppm     float64 // how much it goes fast
	celsius float64
	flat    bool // its battery is empty
}

// Registers and bits (19-5170, figure 1).
const (
	rtcControl   = 0x0E
	rtcStatus    = 0x0F
	rtcCelsius   = 0x11
	rtcStopped   = 1 << 7 // OSF in the status
	rtcHalf      = 1 << 6 // 12-hour form in the hours
	rtcAfternoon = 1 << 5
	rtcCentury   = 1 << 7 // in the month
	rtcConvert   = 1 << 5 // CONV in the control
)

// NewDS3231 is a chip that was never set: its time is the first second of 2000 and its oscillator-stop flag is set.
func NewDS3231(now func() time.Time) *DS3231 {
	c := &DS3231{now: timeOf(now), celsius: 25}
	c.forget()
	return c
}

// SetTime makes the chip go right: it shows t in UTC, and its oscillator-stop flag is clear.
func (c *DS3231) SetTime(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = t.UTC(), c.now()
	c.reg[rtcStatus] &^= rtcStopped
}

// Time is what the chip shows now.
func (c *DS3231) Time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time()
}

func (c *DS3231) time() time.Time {
	passed := c.now().Sub(c.at)
	return c.base.Add(passed + time.Duration(float64(passed)*c.ppm/1e6))
}

// Drift makes the clock go fast by parts in a million, or slow if negative.
func (c *DS3231) Drift(ppm float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = c.time(), c.now()
	c.ppm = ppm
}

// SetCelsius is what the chip's own thermometer measures, in steps of a quarter of a degree.
func (c *DS3231) SetCelsius(t float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.celsius = t
}

// Battery says whether the clock goes on when power fails. Without it, PowerOn forgets the time.
func (c *DS3231) Battery(good bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flat = !good
}

// PowerOn implements wire.Chip: the time lasts if the battery is good.
func (c *DS3231) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer = 0
	if c.flat {
		c.forget()
	}
}

func (c *DS3231) forget() {
	c.base, c.at, c.half = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), c.now(), false
	c.reg = [0x13]byte{rtcControl: 0x1C, rtcStatus: rtcStopped | 1<<3}
}

// Read implements wire.Chip. The time is as at the start of the reading, also if a second ends meanwhile.
func (c *DS3231) Read(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	for i := range b {
		b[i] = c.reg[c.pointer]
		c.advance()
	}
}

// Write implements wire.Chip. Bytes for the time are taken together when the writing ends.
func (c *DS3231) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pointer = b[0] % byte(len(c.reg))
	c.refresh()
	set := false
	for _, v := range b[1:] {
		switch {
		case c.pointer <= 6:
			c.reg[c.pointer], set = v, true
		case c.pointer == rtcControl:
			c.reg[rtcControl] = v &^ rtcConvert // a conversion ends at once
		case c.pointer == rtcStatus: // flags can only be cleared
			c.reg[rtcStatus] = v&(1<<3) | c.reg[rtcStatus]&v&(rtcStopped|3)
		case c.pointer < rtcCelsius:
			c.reg[c.pointer] = v
		}
		c.advance()
	}
	if set {
		c.half = c.reg[2]&rtcHalf != 0
		c.base, c.at = fromBCD(c.reg), c.now()
	}
}

func (c *DS3231) advance() { c.pointer = (c.pointer + 1) % byte(len(c.reg)) }

// refresh copies time and temperature to the registers. It needs c.mu.
func (c *DS3231) refresh() {
	t := c.time()
	century := byte(0)
	if t.Year() >= 2100 {
		century = rtcCentury
	}
	hours := toBCD(t.Hour())
	if c.half {
		hours = toBCD((t.Hour()+11)%12+1) | rtcHalf
		if t.Hour() >= 12 {
			hours |= rtcAfternoon
		}
	}
	copy(c.reg[:], []byte{toBCD(t.Second()), toBCD(t.Minute()), hours, byte(t.Weekday()) + 1, toBCD(t.Day()),
		toBCD(int(t.Month())) | century, toBCD(t.Year() % 100)})
	quarters := int16(math.Round(c.celsius * 4))
	c.reg[rtcCelsius], c.reg[rtcCelsius+1] = byte(quarters>>2), byte(quarters&3)<<6
}

func toBCD(n int) byte { return byte(n/10<<4 | n%10) }

func ofBCD(b byte) int { return int(b>>4)*10 + int(b&0x0F) }

func fromBCD(reg [0x13]byte) time.Time {
	year := 2000 + ofBCD(reg[6])
	if reg[5]&rtcCentury != 0 {
		year += 100
	}
	hour := ofBCD(reg[2] & 0x3F)
	if reg[2]&rtcHalf != 0 {
		hour = ofBCD(reg[2]&0x1F) % 12
		if reg[2]&rtcAfternoon != 0 {
			hour += 12
		}
	}
	return time.Date(year, time.Month(ofBCD(reg[5]&^byte(rtcCentury))), ofBCD(reg[4]), hour, ofBCD(reg[1]), ofBCD(reg[0]&0x7F), 0, time.UTC)
}

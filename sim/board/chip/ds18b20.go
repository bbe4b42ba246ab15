package chip

import (
	"math"
	"sync"
	"time"

	"watchpost/sim/board/wire"
)

// Family codes of 1-wire devices, in the lowest byte of their ROM code.
const (
	FamilyDS18B20 = 0x28
	FamilyDS1990A = 0x01
)

// DS18B20 is a thermometer on a 1-wire bus (Maxim 19-7487, Rev 6).
type DS18B20 struct {
	now      func() time.Time
	parasite bool // it lives from the wire: a conversion needs the strong pull-up

	mu      sync.Mutex // guards the fields below
	celsius float64
	raw     int16     // temperature in the scratchpad, in 1/16 °C
	next    int16     // of the conversion under way
	ready   time.Time // when it ends
	under   bool
	pad     [3]byte // TH, TL and configuration
	saved   [3]byte // the same in the EEPROM
}

// Commands behind the ROM command (19-7487, table 3).
const (
	tempConvert = 0x44
	tempWrite   = 0x4E
	tempRead    = 0xBE
	tempCopy    = 0x48
	tempRecall  = 0xB8
	tempPower   = 0xB4
)

// powerOnRaw is 85 °C, which the scratchpad holds until a first conversion.
const powerOnRaw = 0x0550

// NewDS18B20 is a thermometer at 20 °C with power of its own, or with parasite set without.
func NewDS18B20(parasite bool, now func() time.Time) *DS18B20 {
	d := &DS18B20{now: timeOf(now), parasite: parasite, celsius: 20, saved: [3]byte{0x4B, 0x46, 0x7F}}
	d.PowerOn()
	return d
}

// SetCelsius changes what it feels: -55 to 125 °C.
func (d *DS18B20) SetCelsius(t float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.celsius = t
}

// PowerOn implements wire.Device: 85 °C, and the rest as it was saved.
func (d *DS18B20) PowerOn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raw, d.pad, d.under = powerOnRaw, d.saved, false
}

// Talk implements wire.Device.
func (d *DS18B20) Talk(w, r []byte, strong bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.under && !d.now().Before(d.ready) {
		d.raw, d.under = d.next, false
	}
	if len(w) == 0 {
		return
	}
	switch w[0] {
	case tempConvert:
		d.convert(r, strong)
	case tempWrite:
		copy(d.pad[:], w[1:])
		d.pad[2] = d.pad[2]&0x60 | 0x1F // the other bits cannot be written
	case tempRead:
		s := d.scratchpad()
		copy(r, s[:])
	case tempCopy:
		d.saved = d.pad
	case tempRecall:
		d.pad = d.saved
	case tempPower:
		if d.parasite && len(r) > 0 {
			r[0] = 0
		}
	}
}

// convert begins a conversion, at whose end only a device with power of its own says so: it answers 0 bits meanwhile.
func (d *DS18B20) convert(r []byte, strong bool) {
	if d.parasite && !strong {
		return // the wire cannot carry what it needs: the scratchpad stays as it is
	}
	step := int16(1) << (3 - d.pad[2]>>5&3) // in 1/16 °C
	d.next = int16(math.Round(d.celsius*16)) / step * step
	d.under, d.ready = true, d.now().Add(750*time.Millisecond/time.Duration(step)) // table 2
	if !d.parasite {
		clear(r)
	}
}

func (d *DS18B20) scratchpad() [9]byte {
	s := [9]byte{byte(d.raw), byte(uint16(d.raw) >> 8), d.pad[0], d.pad[1], d.pad[2], 0xFF, 0x0C, 0x10}
	s[8] = wire.CRC8(s[:8])
	return s
}

// DS1990A is a key with nothing in it but its code (Maxim 19-4893).
type DS1990A struct{}

// Talk implements wire.Device: it has no command but those of the code.
func (DS1990A) Talk(_, _ []byte, _ bool) {}

// PowerOn implements wire.Device.
func (DS1990A) PowerOn() {}

var (
	_ wire.Chip   = (*ADS1115)(nil)
	_ wire.Chip   = (*MCP23017)(nil)
	_ wire.Chip   = (*INA219)(nil)
	_ wire.Chip   = (*BME280)(nil)
	_ wire.Chip   = (*DS3231)(nil)
	_ wire.Device = (*DS18B20)(nil)
	_ wire.Device = DS1990A{}
)

// A sensor measures a quantity in a unit, and sometimes it cannot: then there is no number, and nobody may see one.
//
// Chips give values of typed units, whole numbers of a small unit each (a [Voltage] is in microvolts), so that no value
// depends on floating point and no volt is taken for an ampere. A [Reading] is what leaves a sensor: a value that is
// believed, or the reason why there is none.
package measure

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Units as texts of readings and events.
const (
	UnitTemperature = "°C"
	UnitVoltage     = "V"
	UnitCurrent     = "A"
	UnitPower       = "W"
	UnitResistance  = "Ω"
	UnitPressure    = "hPa"
	UnitHumidity    = "%"
	UnitLength      = "mm"
)

// Micro is a number in millionths of the unit that stands beside it: 21.5 °C is 21,500,000.
type Micro int64

// Temperature is in thousandths of a degree Celsius.
type Temperature int64

// Voltage is in microvolts.
type Voltage int64

// Current is in microamperes, negative where it flows the other way.
type Current int64

// Power is in milliwatts.
type Power int64

// Resistance is in milliohms.
type Resistance int64

// Pressure is in pascals.
type Pressure int64

// Humidity is in thousandths of a per cent of relative humidity.
type Humidity int64

// Length is in millimetres.
type Length int64

// Sizes of one unit, for constants such as 12*measure.Volt.
const (
	Celsius Temperature = 1000
	Volt    Voltage     = 1_000_000
	Ampere  Current     = 1_000_000
	Watt    Power       = 1000
	Ohm     Resistance  = 1000
	Kiloohm             = 1000 * Ohm
	Percent Humidity    = 1000
	Metre   Length      = 1000
)

// MicroOf is a floating-point number as a Micro, rounded half away from zero; false if it is none (NaN) or too large.
func MicroOf(x float64) (Micro, bool) {
	r := math.Round(x * 1e6)
	if math.IsNaN(r) || math.Abs(r) >= 1<<62 {
		return 0, false
	}
	return Micro(r), true
}

// String is the number with as many decimals as it needs: "21.5", "-0.000001", "3".
func (m Micro) String() string {
	sign, n := "", uint64(m)
	if m < 0 {
		sign, n = "-", -n
	}
	text := sign + strconv.FormatUint(n/1e6, 10)
	if f := n % 1e6; f > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%06d", f), "0")
	}
	return text
}

// String is the temperature with its unit, "21.5 °C".
func (t Temperature) String() string { return (Micro(t) * 1000).String() + " " + UnitTemperature }

// String is the voltage with its unit, "12.004 V".
func (v Voltage) String() string { return Micro(v).String() + " " + UnitVoltage }

// String is the current with its unit, "-0.35 A".
func (c Current) String() string { return Micro(c).String() + " " + UnitCurrent }

// String is the power with its unit, "119.8 W".
func (p Power) String() string { return (Micro(p) * 1000).String() + " " + UnitPower }

// String is the resistance with its unit, "4700 Ω".
func (r Resistance) String() string { return (Micro(r) * 1000).String() + " " + UnitResistance }

// String is the pressure with its unit, "1006.53 hPa".
func (p Pressure) String() string { return (Micro(p) * 1e4).String() + " " + UnitPressure }

// String is the humidity with its unit, "55.3 %".
func (h Humidity) String() string { return (Micro(h) * 1000).String() + " " + UnitHumidity }

// String is the length with its unit, "3200 mm".
func (l Length) String() string { return (Micro(l) * 1e6).String() + " " + UnitLength }

// Reading is the temperature as a believed reading.
func (t Temperature) Reading(name string) Reading {
	return Good(name, Micro(t)*1000, UnitTemperature)
}

// Reading is the voltage as a believed reading.
func (v Voltage) Reading(name string) Reading { return Good(name, Micro(v), UnitVoltage) }

// Reading is the current as a believed reading.
func (c Current) Reading(name string) Reading { return Good(name, Micro(c), UnitCurrent) }

// Reading is the power as a believed reading.
func (p Power) Reading(name string) Reading { return Good(name, Micro(p)*1000, UnitPower) }

// Reading is the pressure as a believed reading.
func (p Pressure) Reading(name string) Reading { return Good(name, Micro(p)*1e4, UnitPressure) }

// Reading is the humidity as a believed reading.
func (h Humidity) Reading(name string) Reading { return Good(name, Micro(h)*1000, UnitHumidity) }

// Reading is the length as a believed reading.
func (l Length) Reading(name string) Reading { return Good(name, Micro(l)*1e6, UnitLength) }

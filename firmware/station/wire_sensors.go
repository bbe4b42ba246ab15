package station

import (
	"fmt"
	"math"

	"watchpost/drivers/bme280"
	"watchpost/drivers/bus"
	"watchpost/drivers/ds18b20"
	"watchpost/drivers/ds3231"
	"watchpost/drivers/ina219"
	"watchpost/drivers/level"
	"watchpost/drivers/measure"
	"watchpost/drivers/power"
	"watchpost/drivers/sensor"
	"watchpost/firmware/config"
	"watchpost/storage/event"
)

// wireSensors makes what is measured now and then.
func (s *Station) wireSensors(o Options) error {
	for _, v := range s.config.Sensors {
		probe, err := s.probe(v)
		if err != nil {
			return fmt.Errorf("sensor %s: %w", v.ID, err)
		}
		severity, _ := event.ParseSeverity(v.Severity) // config has checked the word
		driver, err := sensor.New(sensor.Options{
			ID: v.ID, Probe: probe, Every: v.Every, Report: v.Report, Low: limits(v.Low), High: limits(v.High), Severity: severity,
			Log: s.log, Now: o.Now,
		})
		if err != nil {
			return fmt.Errorf("sensor %s: %w", v.ID, err)
		}
		s.sensors = append(s.sensors, driver)
	}
	return nil
}

// probe is what a sensor measures with.
func (s *Station) probe(v config.Sensor) (sensor.Probe, error) {
	switch chips, addr := s.wires.i2c[v.Bus], uint16(v.Address); v.Chip {
	case "bme280":
		return bme280.New(chips, addr)
	case "ds18b20":
		return ds18b20.New(s.wires.oneWire[v.Bus], bus.ROM(v.ROM))
	case "ds3231":
		return ds3231.New(chips)
	case "ina219":
		return ina219.New(chips, addr, ohms(v.Shunt))
	case "level":
		return level.New(s.wires.adcs[v.ADC], v.Channel, ohms(v.Shunt), measure.Length(v.Span))
	}
	return s.wires.slaves[v.Modbus.Bus].Probe(v.ID), nil
}

// ohms is a resistance as the configuration has it, to the nearest milliohm.
func ohms(v float64) measure.Resistance {
	return measure.Resistance(math.Round(v * float64(measure.Ohm)))
}

// wirePower makes the watch over mains and battery, if there is one.
func (s *Station) wirePower(o Options) error {
	c := s.config.Power
	if c.Bus == "" {
		return nil
	}
	meter, err := ina219.New(s.wires.i2c[c.Bus], uint16(c.Address), ohms(c.Shunt))
	if err != nil {
		return fmt.Errorf("power: %w", err)
	}
	low, _ := measure.MicroOf(c.Low) // config has bounded it
	driver, err := power.New(power.Options{
		Meter: meter, MainsAfter: c.MainsAfter, Low: measure.Voltage(low), Log: s.log.With("driver", "power"), Now: o.Now,
	})
	if err != nil {
		return fmt.Errorf("power: %w", err)
	}
	s.sensors = append(s.sensors, driver)
	return nil
}

// limits are a sensor's limits by what is measured, in millionths of the unit that readings have.
func limits(values map[string]float64) map[string]measure.Micro {
	list := map[string]measure.Micro{}
	for what, v := range values {
		list[what], _ = measure.MicroOf(v) // config has bounded it
	}
	return list
}

package station

import (
	"fmt"

	"watchpost/drivers/bme280"
	"watchpost/drivers/bus"
	"watchpost/drivers/ds18b20"
	"watchpost/drivers/measure"
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
			Log: s.log.With("sensor", v.ID), Now: o.Now,
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
	}
	return s.wires.slaves[v.Modbus.Bus].Probe(v.ID), nil
}

// limits are a sensor's limits by what is measured, in millionths of the unit that readings have.
func limits(values map[string]float64) map[string]measure.Micro {
	list := map[string]measure.Micro{}
	for what, v := range values {
		list[what], _ = measure.MicroOf(v) // config has bounded it
	}
	return list
}

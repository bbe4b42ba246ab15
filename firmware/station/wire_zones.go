package station

import (
	"context"
	"errors"
	"fmt"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/contact"
	"watchpost/drivers/eol"
	"watchpost/drivers/modbus"
	"watchpost/firmware/config"
	"watchpost/storage/event"
)

// wireContacts makes the zones that are lines of boards.
func (s *Station) wireContacts(o Options) error {
	for _, b := range s.config.Boards {
		lines, list := s.wires.boards[b.ID], s.contactsOf(b.ID)
		if len(list) == 0 {
			s.skipped("contacts of "+b.ID, "no zone is on its lines")
			continue
		}
		contacts, err := contact.New(contact.Options{Lines: lines, Contacts: list, Log: s.log.With("board", b.ID), Now: o.Now})
		if err != nil {
			return fmt.Errorf("board %s: %w", b.ID, err)
		}
		s.zones = append(s.zones, contacts)
		s.wires.tries[contacts], s.wires.names[contacts] = tryLine(lines, list[0].Line), "contacts of "+b.ID
	}
	return nil
}

func (s *Station) contactsOf(board string) []contact.Config {
	var list []contact.Config
	for _, z := range s.config.Zones {
		if z.Board == board {
			list = append(list, contact.Config{
				Zone: z.ID, Line: z.Line, NormallyClosed: z.Rest == "closed", Debounce: z.Debounce, Severity: zoneSeverity(z), Code: codeOf(z),
			})
		}
	}
	return list
}

// zoneSeverity is that of a zone's activation. Config has checked the word.
func zoneSeverity(z config.Zone) event.Severity {
	severity, _ := event.ParseSeverity(z.Severity)
	return severity
}

func codeOf(z config.Zone) string { return config.ZoneKinds()[z.Kind] }

// wireLoops makes the zones that are loops on ADCs: one driver a bus, since a stuck bus is one fault.
func (s *Station) wireLoops(o Options) error {
	for _, b := range s.config.Buses {
		chips := s.chipsOf(b.ID)
		if len(chips) == 0 {
			continue
		}
		loops, err := eol.New(eol.Options{Chips: chips, Log: s.log.With("bus", b.ID), Now: o.Now})
		if err != nil {
			return fmt.Errorf("loops on bus %s: %w", b.ID, err)
		}
		s.zones = append(s.zones, loops)
		s.wires.names[loops] = "loops of " + b.ID
		s.wires.tries[loops] = func(ctx context.Context) error {
			var errs []error
			for _, c := range chips {
				if _, err := c.ADC.Read(ctx, c.Reference, ads1115.Range6V144); err != nil {
					errs = append(errs, fmt.Errorf("adc %s: %w", c.ID, err))
				}
			}
			return errors.Join(errs...)
		}
	}
	return nil
}

// chipsOf are the ADCs of one bus that have loops.
func (s *Station) chipsOf(bus string) []eol.Chip {
	var chips []eol.Chip
	for _, a := range s.config.ADCs {
		loops := s.loopsOf(a.ID)
		if a.Bus != bus || len(loops) == 0 {
			continue
		}
		chips = append(chips, eol.Chip{ID: a.ID, ADC: s.wires.adcs[a.ID], Reference: a.Reference, Loops: loops})
	}
	return chips
}

func (s *Station) loopsOf(adc string) []eol.Loop {
	var list []eol.Loop
	for _, z := range s.config.Zones {
		if z.Loop.ADC == adc {
			list = append(list, eol.Loop{Zone: z.ID, Channel: z.Loop.Channel, Scheme: z.Loop.Scheme, Code: codeOf(z), Severity: zoneSeverity(z)})
		}
	}
	return list
}

// wireADCs makes the chips that measure voltages. Nothing is asked of them yet.
func (s *Station) wireADCs(Options) (err error) {
	for _, a := range s.config.ADCs {
		if s.wires.adcs[a.ID], err = ads1115.New(s.wires.i2c[a.Bus], uint16(a.Address)); err != nil {
			return fmt.Errorf("adc %s: %w", a.ID, err)
		}
	}
	return nil
}

// wireModbus makes the zones and values of Modbus slaves: one driver a bus.
func (s *Station) wireModbus(o Options) error {
	for _, b := range s.config.Buses {
		inputs, values := s.inputsOf(b.ID), s.valuesOf(b.ID)
		if len(inputs)+len(values) == 0 {
			continue
		}
		slaves, err := modbus.New(modbus.Options{
			Bus: b.ID, Client: s.wires.modbus[b.ID], Inputs: inputs, Values: values, Log: s.log.With("bus", b.ID), Now: o.Now,
		})
		if err != nil {
			return fmt.Errorf("bus %s: %w", b.ID, err)
		}
		s.zones, s.wires.slaves[b.ID] = append(s.zones, slaves), slaves
	}
	return nil
}

func (s *Station) inputsOf(bus string) []modbus.Input {
	var list []modbus.Input
	for _, z := range s.config.Zones {
		if z.Modbus.Bus == bus {
			list = append(list, modbus.Input{
				Zone: z.ID, Unit: byte(z.Modbus.Unit), Number: uint16(z.Modbus.Input), NormallyClosed: z.Rest == "closed",
				Code: codeOf(z), Severity: zoneSeverity(z),
			})
		}
	}
	return list
}

func (s *Station) valuesOf(bus string) []modbus.Value {
	var list []modbus.Value
	for _, v := range s.config.Sensors {
		if r := v.Modbus; r.Bus == bus {
			list = append(list, modbus.Value{
				ID: v.ID, Unit: byte(r.Unit), Number: r.Register.Number, InputRegister: r.Register.Table == "input",
				Type: modbus.Type(r.Type), Scale: r.Scale, UnitName: r.UnitName,
			})
		}
	}
	return list
}

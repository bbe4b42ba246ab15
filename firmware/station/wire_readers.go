package station

import (
	"context"
	"fmt"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/hostbus"
	"watchpost/drivers/ibutton"
	"watchpost/drivers/osdp"
	"watchpost/firmware/config"
	"watchpost/storage/event"
)

// wireDesk makes the desk that touches of card readers go to, if there are any.
func (s *Station) wireDesk() {
	if len(s.config.Readers) == 0 {
		return
	}
	up := func() time.Duration { return s.clock.instant().Up }
	s.cards = &cardDesk{
		readers: map[string]config.Reader{}, owners: map[string]string{}, keypad: &keypad{users: s.config.Users, up: up}, up: up,
		log: s.log, touches: make(chan touch, cardQueue),
	}
	for _, r := range s.config.Readers {
		s.cards.readers[r.ID] = r
	}
	for _, u := range s.config.Users {
		for _, card := range u.Cards {
			s.cards.owners[card.String()] = u.ID
		}
	}
}

// wireButtons adds the readers of iButtons to what hangs on 1-wire buses.
func (s *Station) wireButtons(o *ibutton.Options) {
	for _, r := range s.config.Readers {
		if r.Bus != "" {
			o.Readers = append(o.Readers, ibutton.Reader{ID: r.ID, Bus: r.Bus, Wire: s.wires.oneWire[r.Bus]})
		}
	}
	if len(o.Readers) == 0 {
		return
	}
	for _, u := range s.config.Users {
		for _, card := range u.Cards {
			if rom, ok := card.ROM(); ok {
				o.Cards = append(o.Cards, bus.ROM(rom))
			}
		}
	}
	o.Touch = func(_ context.Context, reader string, rom bus.ROM) {
		s.cards.touched(touch{reader: reader, card: config.ROM(rom).String()})
	}
}

// wireOSDP makes the readers of cards on RS-485, one driver for each line.
func (s *Station) wireOSDP(o Options) error {
	s.keyed = map[string]*osdp.Driver{}
	for _, b := range s.config.Buses {
		options := osdp.Options{
			Bus: b.ID, Baud: b.Baud, Log: s.log.With("bus", b.ID), Now: o.Now,
			Open: func() (bus.Serial, error) { return hostbus.OpenSerial(b.Device, serialOf(b)) },
			Touch: func(reader, card string, show func(bool)) {
				s.cards.touched(touch{reader: reader, card: card, show: show})
			},
			Code: func(reader, code string, show func(bool)) {
				s.cards.touched(touch{reader: reader, code: code, show: show})
			},
		}
		for _, r := range s.config.Readers {
			if r.OSDP.Bus != b.ID {
				continue
			}
			reader := osdp.Reader{ID: r.ID, Address: byte(r.OSDP.Address), Severity: event.SeverityAlarm}
			if !r.OSDP.Plain {
				key, err := osdp.ParseKey(r.OSDP.KeyHex)
				if err != nil {
					return fmt.Errorf("reader %s: %w", r.ID, err)
				}
				reader.Key = key
			}
			options.Readers = append(options.Readers, reader)
		}
		if len(options.Readers) == 0 {
			continue
		}
		driver, err := osdp.New(options)
		if err != nil {
			return err
		}
		s.tours = append(s.tours, driver)
		for _, r := range options.Readers {
			s.keyed[r.ID] = driver
		}
	}
	return nil
}

// locksmith is where the door takes wishes that a reader be given its key. Wrong codes there lock the keypad that it shares.
func (s *Station) locksmith(e *entrance) *locksmith {
	l := &locksmith{guard: s.guard, keypad: e.keypad, users: s.config.Users, readers: map[string]config.Reader{}, drivers: s.keyed, view: e.view}
	for _, r := range s.config.Readers {
		l.readers[r.ID] = r
	}
	return l
}

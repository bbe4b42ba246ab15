package ibutton

import (
	"fmt"
	"slices"

	"watchpost/drivers/bus"
)

// Of a reader.
const (
	readsOn   = 2  // equal reads on end until a button is there
	readsOff  = 3  // reads without it on end until it is gone
	lostAfter = 3  // failed reads on end until the reader is missing
	maxThere  = 16 // buttons on one reader that are looked at
	// familyDS1990A is the family of buttons that have nothing but their code (DS1990A data sheet, figure 2).
	familyDS1990A = 0x01
)

// presence makes touches of what a reader finds, poll by poll.
type presence struct {
	buttons map[bus.ROM]*button
	fails   int
}

type button struct {
	seen, absent int
	there        bool
}

// heard takes one poll and gives the buttons that have come. A code with a wrong checksum is a failed poll: it names nobody.
func (p *presence) heard(found []bus.ROM, err error) ([]bus.ROM, error) {
	if err == nil {
		err = checkAll(found)
	}
	if err != nil {
		p.fails++
		for _, b := range p.buttons {
			if !b.there {
				b.seen = 0 // the reads must be on end
			}
		}
		return nil, err
	}
	p.fails = 0
	if p.buttons == nil {
		p.buttons = map[bus.ROM]*button{}
	}
	for rom, b := range p.buttons {
		if slices.Contains(found, rom) {
			continue
		}
		b.seen = 0
		if b.absent++; !b.there || b.absent >= readsOff {
			delete(p.buttons, rom)
		}
	}
	var come []bus.ROM
	for i, rom := range found {
		if slices.Contains(found[:i], rom) {
			continue
		}
		b := p.buttons[rom]
		if b == nil {
			if len(p.buttons) == maxThere {
				continue
			}
			b = &button{}
			p.buttons[rom] = b
		}
		b.absent = 0
		if b.seen++; b.seen == readsOn && !b.there {
			b.there = true
			come = append(come, rom)
		}
	}
	return come, nil
}

// missing says that the reader cannot be read.
func (p *presence) missing() bool { return p.fails >= lostAfter }

func checkAll(found []bus.ROM) error {
	for _, rom := range found {
		if err := rom.Check(); err != nil {
			return fmt.Errorf("a button's code: %w", err)
		}
	}
	return nil
}

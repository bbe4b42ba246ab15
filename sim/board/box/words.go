package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"watchpost/sim/board/chip"
	"watchpost/sim/board/circuit"
	"watchpost/sim/board/modbus"
	"watchpost/sim/board/wire"
)

// slowest is how long a transaction may be made to take: longer than any station waits, and a box that ends waits for it.
const slowest = 2 * time.Second

// touchTime is how long a key is held to its reader.
const touchTime = time.Second

// command is one word that a box obeys.
type command struct {
	least, most int // arguments
	do          func(ctx context.Context, out io.Writer, args []string) error
}

// commands are all words.
func (b *Box) commands() map[string]command {
	return map[string]command{
		"set":        {2, 2, b.wordSet},
		"pulse":      {2, 2, b.wordPulse},
		"storm":      {3, 3, b.wordStorm},
		"level":      {1, 1, b.wordLevel},
		"wire":       {2, 2, b.wordWire},
		"mute":       {1, 1, b.wordMute},
		"drop":       {1, 1, b.wordDrop},
		"disconnect": {0, 0, b.wordDisconnect},
		"loop":       {2, 3, b.wordLoop},
		"chip":       {2, 3, b.wordChip},
		"bus":        {2, 3, b.wordBus},
		"pin":        {3, 3, b.wordPin},
		"sensor":     {2, 4, b.wordSensor},
		"mains":      {1, 1, b.wordMains},
		"battery":    {1, 1, b.wordBattery},
		"load":       {1, 1, b.wordLoad},
		"touch":      {1, 2, b.wordTouch},
		"slave":      {2, 3, b.wordSlave},
		"register":   {4, 4, b.wordRegister},
	}
}

// Do obeys one line of words, and writes what it is asked for to out. Nothing at all is no error.
func (b *Box) Do(ctx context.Context, out io.Writer, words []string) error {
	if len(words) == 0 {
		return nil
	}
	table := b.commands()
	c, known := table[words[0]]
	args := words[1:]
	switch {
	case !known:
		return fmt.Errorf("unknown: use %s", list(table))
	case len(args) < c.least || len(args) > c.most:
		if c.least == c.most {
			return fmt.Errorf("%s has %d arguments, see simctl board --help", words[0], c.least)
		}
		return fmt.Errorf("%s has %d to %d arguments, see simctl board --help", words[0], c.least, c.most)
	}
	return c.do(ctx, out, args)
}

// list names the keys of a map for people.
func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// oneOf reads one of two words as false or true.
func oneOf(word, no, yes string) (bool, error) {
	if word != no && word != yes {
		return false, fmt.Errorf("%q: use %s or %s", word, no, yes)
	}
	return word == yes, nil
}

// whole reads a number from least on.
func whole(word string, least int) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < least {
		return 0, fmt.Errorf("%q: a number from %d is needed", word, least)
	}
	return n, nil
}

func (b *Box) wordSet(_ context.Context, _ io.Writer, args []string) error {
	level, err := oneOf(args[1], "0", "1")
	if err != nil {
		return err
	}
	return b.Set(args[0], level)
}

func (b *Box) wordPulse(ctx context.Context, _ io.Writer, args []string) error {
	wait, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	level, err := b.Level(args[0])
	if err != nil {
		return err
	}
	if err := b.Set(args[0], !level); err != nil {
		return err
	}
	hold(ctx, wait)
	return b.Set(args[0], level)
}

// hold waits, or not so long if ctx ends.
func hold(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (b *Box) wordStorm(ctx context.Context, _ io.Writer, args []string) error {
	n, err := whole(args[1], 1)
	if err != nil {
		return err
	}
	interval, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	return b.Storm(ctx, args[0], n, interval)
}

func (b *Box) wordLevel(_ context.Context, out io.Writer, args []string) error {
	level, err := b.Level(args[0])
	if err == nil {
		fmt.Fprintf(out, "level %s %d\n", args[0], map[bool]int{true: 1}[level])
	}
	return err
}

func (b *Box) wordWire(_ context.Context, _ io.Writer, args []string) error {
	return b.Loop(args[0], strings.TrimPrefix(args[1], "-"))
}

func (b *Box) wordMute(_ context.Context, _ io.Writer, args []string) error {
	on, err := oneOf(args[0], "off", "on")
	if err == nil {
		b.Mute(on)
	}
	return err
}

func (b *Box) wordDrop(_ context.Context, _ io.Writer, args []string) error {
	n, err := whole(args[0], 0)
	if err == nil {
		b.DropEdges(n)
	}
	return err
}

func (b *Box) wordDisconnect(context.Context, io.Writer, []string) error {
	b.Disconnect()
	return nil
}

func (b *Box) wordLoop(_ context.Context, _ io.Writer, args []string) error {
	l := b.Loops[args[0]]
	if l == nil {
		return fmt.Errorf("no loop %q: this box has %s", args[0], list(b.Loops))
	}
	if args[1] == "cable" && len(args) == 3 {
		ohms, err := strconv.ParseFloat(args[2], 64)
		if err != nil || ohms < 0 {
			return fmt.Errorf("%q: ohms are needed", args[2])
		}
		l.Cable(ohms)
		return nil
	}
	state, err := circuit.ParseState(args[1])
	if err == nil {
		l.Set(state)
	}
	return err
}

func (b *Box) wordChip(_ context.Context, _ io.Writer, args []string) error {
	p := b.chips[args[0]]
	if p == nil {
		return fmt.Errorf("no chip %q: this box has %s", args[0], list(b.chips))
	}
	switch args[1] {
	case "pull":
		if p.keys != nil {
			return p.keys.Touch(p.code, false)
		}
		return p.bus.Pull(p.address)
	case "plug":
		if p.keys != nil {
			return p.keys.Touch(p.code, true)
		}
		return p.bus.Plug(p.address)
	case "brown-out":
		if p.keys != nil {
			return p.keys.BrownOut(p.code)
		}
		return p.bus.BrownOut(p.address)
	case "damage":
		n, err := whole(strings.Join(args[2:], ""), 0)
		switch {
		case err != nil:
			return err
		case p.keys != nil:
			p.keys.Damage(n)
			return nil
		}
		return p.bus.Damage(p.address, n)
	}
	return fmt.Errorf("%q: use pull, plug, brown-out or damage N", args[1])
}

func (b *Box) wordBus(_ context.Context, _ io.Writer, args []string) error {
	chips, keys := b.I2C[args[0]], b.OneWire[args[0]]
	if chips == nil && keys == nil {
		return fmt.Errorf("no bus %q: this box has %s and %s", args[0], list(b.I2C), list(b.OneWire))
	}
	switch args[1] {
	case "stick", "free":
		if chips != nil {
			chips.Stick(args[1] == "stick")
		} else {
			keys.Short(args[1] == "stick")
		}
		return nil
	case "slow":
		d, err := time.ParseDuration(strings.Join(args[2:], ""))
		switch {
		case err != nil:
			return err
		case d < 0 || d > slowest:
			return fmt.Errorf("%s: a transaction takes 0s to %s", d, slowest)
		case chips != nil:
			chips.Slow(d)
		default:
			keys.Slow(d)
		}
		return nil
	}
	return fmt.Errorf("%q: use stick, free or slow DURATION", args[1])
}

func (b *Box) wordPin(_ context.Context, _ io.Writer, args []string) error {
	c, ok := b.Chip(args[0]).(*chip.MCP23017)
	n, err := strconv.Atoi(args[1])
	if !ok || err != nil || n < 0 || n > 15 {
		return fmt.Errorf("pin %q of %q: an mcp23017 has 0 to 15", args[1], args[0])
	}
	level, err := oneOf(args[2], "0", "1")
	if err == nil {
		c.Set(n, level)
	}
	return err
}

// wordSensor changes what a sensor feels. A value without a name is °C, or mA of a transmitter.
func (b *Box) wordSensor(_ context.Context, _ io.Writer, args []string) error {
	for _, arg := range args[1:] {
		key, number, named := strings.Cut(arg, "=")
		if !named {
			key, number = "", arg
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return fmt.Errorf("%q: a number is needed", number)
		}
		if err := b.feel(args[0], key, v); err != nil {
			return err
		}
	}
	return nil
}

func (b *Box) feel(name, key string, v float64) error {
	if l := b.levels[name]; l != nil && (key == "" || key == "ma") {
		l.set(v)
		return nil
	}
	switch c := b.Chip(name).(type) {
	case *chip.DS18B20:
		if key == "" || key == "temperature" {
			c.SetCelsius(v)
			return nil
		}
	case *chip.DS3231:
		switch key {
		case "", "temperature":
			c.SetCelsius(v)
			return nil
		case "drift":
			c.Drift(v)
			return nil
		}
	case *chip.BME280:
		air := c.Air()
		switch key {
		case "", "temperature":
			air.Celsius = v
		case "humidity":
			air.Percent = v
		case "pressure":
			air.Pascal = v
		default:
			return fmt.Errorf("%q: use temperature (°C), humidity (%%) or pressure (Pa)", key)
		}
		c.Set(air)
		return nil
	case nil:
		return fmt.Errorf("no sensor %q: this box has %s and %s", name, list(b.chips), list(b.levels))
	}
	return fmt.Errorf("%s does not feel %q", name, key)
}

func (b *Box) wordMains(_ context.Context, _ io.Writer, args []string) error {
	on, err := oneOf(args[0], "off", "on")
	if err == nil {
		b.Battery.Mains(on)
	}
	return err
}

func (b *Box) wordBattery(_ context.Context, out io.Writer, args []string) error {
	if args[0] == "show" {
		volts, amps := b.Battery.Terminals()
		fmt.Fprintf(out, "battery %.0f %% %.2f V %.2f A\n", 100*b.Battery.Part(), volts, amps)
		return nil
	}
	percent, err := strconv.ParseFloat(args[0], 64)
	if err != nil || percent < 0 || percent > 100 {
		return fmt.Errorf("%q: use show, or 0 to 100 per cent", args[0])
	}
	b.Battery.Fill(percent / 100)
	return nil
}

func (b *Box) wordLoad(_ context.Context, _ io.Writer, args []string) error {
	watts, err := strconv.ParseFloat(args[0], 64)
	if err != nil || watts < 0 {
		return fmt.Errorf("%q: watts are needed", args[0])
	}
	b.Battery.Load(watts)
	return nil
}

// wordTouch holds a key to its reader for a moment: one of the box by its name, or any other by its 16 digits, on each 1-wire bus.
func (b *Box) wordTouch(ctx context.Context, _ io.Writer, args []string) error {
	wait := touchTime
	if len(args) == 2 {
		var err error
		if wait, err = time.ParseDuration(args[1]); err != nil {
			return err
		}
	}
	p := b.chips[args[0]]
	if p == nil {
		code, err := strconv.ParseUint(args[0], 16, 64)
		if err != nil || len(args[0]) != 16 || len(b.OneWire) == 0 {
			return fmt.Errorf("no key %q: this box has %s; any other by the 16 digits of its code", args[0], list(b.chips))
		}
		for _, bus := range b.OneWire {
			bus.Put(code, chip.DS1990A{})
			if err := touch(ctx, bus, code, wait); err != nil {
				return err
			}
		}
		return nil
	}
	if p.keys == nil {
		return errors.New("only a device on 1-wire can be touched")
	}
	return touch(ctx, p.keys, p.code, wait)
}

func touch(ctx context.Context, bus *wire.OneWire, code uint64, d time.Duration) error {
	if err := bus.Touch(code, true); err != nil {
		return err
	}
	hold(ctx, d)
	return bus.Touch(code, false)
}

// slave finds a slave by its number.
func (b *Box) slave(word string) (*modbus.Slave, error) {
	n, err := strconv.ParseUint(word, 10, 8)
	s := b.Slaves[byte(n)]
	if err != nil || s == nil {
		return nil, fmt.Errorf("no slave %q: this box has %v", word, slices.Sorted(maps.Keys(b.Slaves)))
	}
	return s, nil
}

func (b *Box) wordSlave(_ context.Context, _ io.Writer, args []string) error {
	s, err := b.slave(args[0])
	if err != nil {
		return err
	}
	mood, err := modbus.ParseMood(args[1])
	if err != nil {
		return err
	}
	var delay time.Duration
	if len(args) == 3 {
		if delay, err = time.ParseDuration(args[2]); err != nil {
			return err
		}
	}
	s.Behave(mood, delay)
	return nil
}

func (b *Box) wordRegister(_ context.Context, _ io.Writer, args []string) error {
	s, err := b.slave(args[0])
	if err != nil {
		return err
	}
	table, err := modbus.ParseTable(args[1])
	if err != nil {
		return err
	}
	at, err := strconv.ParseUint(args[2], 10, 16)
	if err != nil {
		return fmt.Errorf("%q: an address is 0 to 65535", args[2])
	}
	value, err := strconv.ParseUint(args[3], 0, 16)
	if err != nil {
		return fmt.Errorf("%q: a value is 0 to 65535", args[3])
	}
	s.Set(table, uint16(at), uint16(value))
	return nil
}

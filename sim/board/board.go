package board

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxName is the longest name of a line.
const maxName = 32

// Board is one I/O box. All methods may be called from any goroutine, also while
// no station is connected.
type Board struct {
	monotonic func() int64 // nanoseconds

	mu sync.Mutex // guards the fields below
	// seq counts the edges of all lines.
	seq      uint64
	lines    map[string]*line
	names    []string
	stations map[*station]struct{}
	mute     bool
	drop     int // edges that are counted but not told
	i2c      map[string]I2C
	oneWire  map[string]OneWire
}

// line is one terminal.
type line struct {
	output   bool
	raw      bool // what the terminal is at
	level    bool // what the box tells: raw, once it stood still for debounce
	debounce time.Duration
	at       int64 // CLOCK_MONOTONIC of the last edge, or of New
	seq      uint64
	settle   *time.Timer // nil while raw == level
	loop     string      // of an output: the input that it is wired to; "" = none
}

// New makes a box with the named input lines, all at level 0. A name has 1 to 32
// lower-case letters, digits and hyphens.
func New(lines ...string) (*Board, error) {
	b := &Board{monotonic: monotonic, lines: map[string]*line{}, stations: map[*station]struct{}{}}
	return b, b.add(false, lines)
}

// Outputs adds lines that stations may set, at level 0.
func (b *Board) Outputs(lines ...string) error { return b.add(true, lines) }

// Loop wires an output to an input, which then follows it; "" as the input cuts
// the wire. A station's daily test alarm goes over such a wire.
func (b *Board) Loop(output, input string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	out, err := b.find(output)
	if err != nil {
		return err
	}
	if !out.output {
		return fmt.Errorf("line %s is an input: a loop begins at an output", output)
	}
	if out.loop = input; input == "" {
		return nil
	}
	in, err := b.find(input)
	if err != nil || in.output {
		out.loop = ""
		return errors.Join(err, fmt.Errorf("a loop from %s ends at an input", output))
	}
	b.move(input, in, out.raw)
	return nil
}

func (b *Board) add(output bool, names []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if !validName(name) {
			return fmt.Errorf("line name %q: use 1 to %d of a-z, 0-9 and -", name, maxName)
		}
		if b.lines[name] != nil {
			return fmt.Errorf("line %q is named twice", name)
		}
		b.lines[name] = &line{output: output, at: b.monotonic()}
		b.names = append(b.names, name)
	}
	return nil
}

func validName(name string) bool {
	return name != "" && len(name) <= maxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// monotonic reads CLOCK_MONOTONIC, the clock of the kernel's own line events.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // the clock exists on every Linux
	}
	return ts.Nano()
}

// find names the lines there are when one is not.
func (b *Board) find(name string) (*line, error) {
	l := b.lines[name]
	if l == nil {
		return nil, fmt.Errorf("no line %q: this box has %s", name, strings.Join(b.names, ", "))
	}
	return l, nil
}

// Set moves a terminal. The change becomes an edge at once, or after the line's
// debounce time if the terminal is not moved back before.
func (b *Board) Set(name string, level bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := b.find(name)
	if err != nil {
		return err
	}
	b.move(name, l, level)
	return nil
}

// move needs b.mu.
func (b *Board) move(name string, l *line, level bool) {
	if l.raw == level {
		return
	}
	l.raw = level
	if l.settle != nil {
		l.settle.Stop()
		l.settle = nil
	}
	if l.loop != "" {
		defer b.move(l.loop, b.lines[l.loop], level) // after the edge of the output itself
	}
	switch {
	case l.raw == l.level: // a bounce, over before it counted
	case l.debounce == 0 || l.output:
		b.edge(name, l)
	default:
		var timer *time.Timer
		timer = time.AfterFunc(l.debounce, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if l.settle == timer { // else it was moved again meanwhile
				l.settle = nil
				b.edge(name, l)
			}
		})
		l.settle = timer
	}
}

// edge makes the raw level count and tells the stations. It needs b.mu.
func (b *Board) edge(name string, l *line) {
	b.seq++
	l.seq++
	l.level, l.at = l.raw, b.monotonic()
	if b.mute {
		return
	}
	if b.drop > 0 {
		b.drop--
		return
	}
	text := fmt.Sprintf("edge %s %d %d %d %d\n", name, bit(l.level), l.at, b.seq, l.seq)
	for s := range b.stations {
		if s.watched[name] {
			s.send(text)
		}
	}
}

func bit(level bool) int {
	if level {
		return 1
	}
	return 0
}

// Level is the debounced level of a line.
func (b *Board) Level(name string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := b.find(name)
	if err != nil {
		return false, err
	}
	return l.level, nil
}

// Edges is how many edges a line has made since New.
func (b *Board) Edges(name string) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := b.find(name)
	if err != nil {
		return 0, err
	}
	return l.seq, nil
}

// Storm moves a line n times, one move per interval, or as fast as it can when
// interval is 0. It returns when all moves are done or ctx ends.
func (b *Board) Storm(ctx context.Context, name string, n int, interval time.Duration) error {
	var next <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		next = ticker.C
	}
	for range n {
		if next != nil {
			select {
			case <-next:
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("storm on line %s: %w", name, err)
		}
		b.mu.Lock()
		l, err := b.find(name)
		if err == nil {
			b.move(name, l, !l.raw)
		}
		b.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// Mute makes the box deaf and dumb while its connections stay open: no answer,
// no edge, no pong. What happens meanwhile is counted and never told.
func (b *Board) Mute(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute = on
}

// DropEdges makes the next n edges vanish on their way: they are counted in SEQ
// and LINE_SEQ and told to nobody.
func (b *Board) DropEdges(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop = n
}

// Disconnect closes all connections; stations may connect again.
func (b *Board) Disconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.stations {
		s.hangUp()
	}
}

// Stations is how many stations are connected.
func (b *Board) Stations() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.stations)
}

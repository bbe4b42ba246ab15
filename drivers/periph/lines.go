package periph

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"watchpost/drivers/bus"
)

const (
	// look is how long periph waits for an edge before we see whether somebody is still watching: a wait of periph's cannot be
	// ended, and one without an end returns at once in one of its back ends (periph/host issue 78).
	look = 500 * time.Millisecond
	// retry is the pause before a pin that could not be had is asked for again.
	retry = 2 * time.Second
	// room is how many words of a line wait for a watcher.
	room = 256
)

// Lines are pins of periph's.
//
// An edge has the time at which this program woke up. Edges that come and go before it looks are counted only as far as they
// show: an edge after which the level is what it was is told with one lost before it, and one that nobody woke up for is lost
// without a word. A pin whose chip is gone reads as low. Each watched pin costs two wake-ups a second. Debouncing is done
// here, not in the kernel.
type Lines struct {
	names map[string]string
	find  func(name string) gpio.PinIO

	mu   sync.Mutex // guards the fields below
	pins map[string]*pin
	seq  uint64
}

// pin is one line. The mutex of Lines guards it.
type pin struct {
	io       gpio.PinIO
	output   bool
	ears     map[chan bus.Edge]bool
	wait     *waiting // for its edges, nil = nobody does
	level    bool
	kernelNS int64
	count    uint64
}

// waiting is the task that waits for the edges of a pin.
type waiting struct {
	cancel context.CancelFunc
	task   sync.WaitGroup
}

var _ bus.Lines = (*Lines)(nil)

// NewLines has names for pins, and asks find for the pin of a name; nil means that there is none.
func NewLines(names map[string]string, find func(name string) gpio.PinIO) *Lines {
	return &Lines{names: maps.Clone(names), find: find, pins: map[string]*pin{}}
}

// String names the lines as logs do.
func (l *Lines) String() string { return "pins of periph" }

// pin gives a line's pin. It needs the mutex.
func (l *Lines) pin(line string) (*pin, error) {
	if p := l.pins[line]; p != nil {
		return p, nil
	}
	name, ok := l.names[line]
	if !ok {
		name = line
	}
	io := l.find(name)
	if io == nil {
		return nil, fmt.Errorf("periph has no pin called %s", name)
	}
	p := &pin{io: io, ears: map[chan bus.Edge]bool{}}
	l.pins[line] = p
	return p, nil
}

// Watch implements bus.Lines. It returns up to half a second after the end of ctx.
func (l *Lines) Watch(ctx context.Context, lines []bus.LineConfig, edges chan<- bus.Edge) error {
	seen := map[string]bool{}
	for _, c := range lines {
		if !bus.ValidName(c.Line) || seen[c.Line] || c.Debounce < 0 {
			return fmt.Errorf("line %q, debounce %s: wrong, or the line is given twice", c.Line, c.Debounce)
		}
		seen[c.Line] = true
	}
	ear := make(chan bus.Edge, room*max(1, len(lines)))
	var missing []bus.LineConfig
	for _, c := range lines {
		if err := l.join(c, ear); err != nil {
			missing = append(missing, c)
			ear <- bus.Edge{Line: c.Line, Reason: err.Error()}
		}
	}
	defer func() {
		for _, c := range lines {
			l.leave(c.Line, ear)
		}
	}()
	again := time.NewTicker(retry)
	defer again.Stop()
	for {
		select {
		case e := <-ear:
			select {
			case edges <- e:
			case <-ctx.Done():
				return nil
			}
		case <-again.C:
			var still []bus.LineConfig
			for _, c := range missing {
				if l.join(c, ear) != nil {
					still = append(still, c)
				}
			}
			if missing = still; len(missing) == 0 {
				again.Stop()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// join listens to a line, and begins to wait for its edges if nobody did.
func (l *Lines) join(c bus.LineConfig, ear chan bus.Edge) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.pin(c.Line)
	if err != nil {
		return err
	}
	if p.output {
		return fmt.Errorf("pin %s is an output", p.io)
	}
	if p.wait == nil {
		if err := p.io.In(gpio.PullNoChange, gpio.BothEdges); err != nil {
			return fmt.Errorf("pin %s gives no edges: %w", p.io, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		p.wait = &waiting{cancel: cancel}
		p.level, p.kernelNS = bool(p.io.Read()), bus.Monotonic()
		p.wait.task.Go(func() { l.follow(ctx, c, p) })
	}
	p.ears[ear] = true
	tell(ear, bus.Edge{Line: c.Line, Quality: bus.Present, Level: p.level, KernelNS: p.kernelNS, LineSeq: p.count})
	return nil
}

// leave stops listening. The last one ends the waiting, and waits for it.
func (l *Lines) leave(line string, ear chan bus.Edge) {
	l.mu.Lock()
	p := l.pins[line]
	var last *waiting
	if p != nil && p.ears[ear] {
		delete(p.ears, ear)
		if len(p.ears) == 0 {
			last, p.wait = p.wait, nil
		}
	}
	l.mu.Unlock()
	if last != nil {
		last.cancel()
		last.task.Wait()
	}
}

// tell gives a word to a watcher. One that takes none for long loses the oldest, which shows in LineSeq.
func tell(ear chan bus.Edge, e bus.Edge) {
	for {
		select {
		case ear <- e:
			return
		default:
		}
		select {
		case <-ear:
		default:
		}
	}
}

// follow waits for edges of one pin.
func (l *Lines) follow(ctx context.Context, c bus.LineConfig, p *pin) {
	for ctx.Err() == nil {
		edge := p.io.WaitForEdge(look)
		at := bus.Monotonic()
		for edge && c.Debounce > 0 && p.io.WaitForEdge(c.Debounce) && ctx.Err() == nil {
			at = bus.Monotonic()
		}
		l.looked(c, p, bool(p.io.Read()), edge && c.Debounce == 0, at)
	}
}

// looked takes the level of a pin, and whether there was an edge for certain.
func (l *Lines) looked(c bus.LineConfig, p *pin, level, edge bool, at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost uint64
	switch {
	case level != p.level:
	case edge: // there and back
		lost = 1
	default:
		return
	}
	l.seq += 1 + lost
	p.count += 1 + lost
	p.level, p.kernelNS = level, at
	for ear := range p.ears {
		tell(ear, bus.Edge{Line: c.Line, Quality: bus.Changed, Level: level, KernelNS: at, Seq: l.seq, LineSeq: p.count, Lost: lost})
	}
}

// Read implements bus.Lines.
func (l *Lines) Read(ctx context.Context, line string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.pin(line)
	if err == nil && p.wait == nil && !p.output {
		err = p.io.In(gpio.PullNoChange, gpio.NoEdge)
	}
	if err != nil {
		return false, fmt.Errorf("reading line %s: %w", line, err)
	}
	return bool(p.io.Read()), nil
}

// Set implements bus.Lines.
func (l *Lines) Set(ctx context.Context, line string, level bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.pin(line)
	if err == nil && p.wait != nil {
		err = fmt.Errorf("pin %s is watched, so it is an input", p.io)
	}
	if err == nil {
		err = p.io.Out(gpio.Level(level))
	}
	if err != nil {
		return fmt.Errorf("setting line %s: %w", line, err)
	}
	p.output = true
	return nil
}

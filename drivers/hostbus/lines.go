package hostbus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"watchpost/drivers/bus"
)

// Pauses between two attempts to get lines that are missing; they double from the first to the second.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// Lines are the digital inputs and outputs of one GPIO chip.
//
// The kernel debounces them, times their edges by CLOCK_MONOTONIC and counts them. It counts only while a line is watched: edges
// before a watch, or while the chip is away, nobody knows; but a level that is another one after the chip came back is told as
// one lost edge. Two watches of one line share it, with the debounce of the first.
type Lines struct {
	kernel kernel
	chip   string
	names  map[string]uint32
	log    *slog.Logger

	mu      sync.Mutex // guards the fields below
	inputs  map[string]*input
	outputs map[string]*lineFile
	session *session // while somebody watches
	seq     uint64   // edges of all lines
}

// input is a line that is watched or was once. The mutex of Lines guards it.
type input struct {
	cfg      bus.LineConfig
	users    int
	order    int      // among all inputs, as they were asked for
	on       *request // that holds it, nil = missing
	told     bool     // there was a word of it in this session
	reason   string   // of its being missing
	read     bool     // level was read once
	level    bool
	kernelNS int64
	count    uint64 // edges, over all requests
	kernel   uint32 // edges of this request, as the kernel counts them
	guessed  uint64 // edges that a reading brought to light before the kernel's count did
}

var _ bus.Lines = (*Lines)(nil)

// OpenLines takes a chip by its label, by its name as in gpiochip0, or by the path of its device file, and names for some of its
// lines by their offsets. Other lines go by the kernel's names for them, or as line-0, line-1 and so on. The chip need not be
// there yet. A nil log is silence.
func OpenLines(chip string, names map[string]uint32, log *slog.Logger) (*Lines, error) {
	if chip == "" {
		return nil, errors.New("no GPIO chip: give its label, its name or the path of its device file")
	}
	for name := range names {
		if !bus.ValidName(name) {
			return nil, fmt.Errorf("GPIO chip %s: line name %q: want 1 to %d of a-z, 0-9, hyphen", chip, name, bus.MaxName)
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := linux()
	if strings.HasPrefix(chip, "/") {
		k.dir = filepath.Dir(chip)
	}
	return &Lines{kernel: k, chip: chip, names: maps.Clone(names), log: log.With("chip", chip),
		inputs: map[string]*input{}, outputs: map[string]*lineFile{}}, nil
}

// String names the chip as logs do.
func (l *Lines) String() string { return "GPIO chip " + l.chip }

// Watch implements [bus.Lines].
func (l *Lines) Watch(ctx context.Context, lines []bus.LineConfig, edges chan<- bus.Edge) error {
	seen := map[string]bool{}
	for _, c := range lines {
		if !bus.ValidName(c.Line) || seen[c.Line] {
			return fmt.Errorf("%s: line name %q is wrong or given twice: want 1 to %d of a-z, 0-9, hyphen", l, c.Line, bus.MaxName)
		}
		if c.Debounce < 0 {
			return fmt.Errorf("%s: line %s: debounce %s is negative", l, c.Line, c.Debounce)
		}
		seen[c.Line] = true
	}
	w := &watcher{lines: seen, queue: newQueue()}
	s := l.join(w, lines)
	defer l.leave(w, s)
	for {
		for _, e := range w.queue.take() {
			select {
			case edges <- e:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-w.queue.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// watcher is one call of Watch.
type watcher struct {
	lines map[string]bool
	queue *queue
}

// join adds a watcher, and begins a session if it is the only one.
func (l *Lines) join(w *watcher, lines []bus.LineConfig) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		l.session = l.newSession()
	}
	l.session.watchers[w] = true
	for _, c := range lines {
		in := l.inputs[c.Line]
		if in == nil {
			in = &input{order: len(l.inputs)}
			l.inputs[c.Line] = in
		}
		if in.users++; in.users == 1 {
			in.cfg = c
		}
		switch {
		case in.on != nil:
			w.queue.push(in.present(0))
		case in.told:
			w.queue.push(bus.Edge{Line: c.Line, LineSeq: in.count, Reason: in.reason})
		}
	}
	l.session.prod()
	return l.session
}

// leave takes a watcher away; the last one ends the session and waits for it.
func (l *Lines) leave(w *watcher, s *session) {
	l.mu.Lock()
	delete(s.watchers, w)
	for line := range w.lines {
		l.inputs[line].users--
	}
	last := len(s.watchers) == 0
	if last {
		l.session = nil
		s.cancel()
		for _, r := range s.requests {
			s.release(r)
		}
		for _, in := range l.inputs {
			in.told = false
		}
	}
	l.mu.Unlock()
	if last {
		s.tasks.Wait()
	}
}

// present is the word that a line has the level that was read last.
func (in *input) present(lost uint64) bus.Edge {
	return bus.Edge{Line: in.cfg.Line, Quality: bus.Present, Level: in.level, KernelNS: in.kernelNS, LineSeq: in.count, Lost: lost}
}

// Read implements [bus.Lines]. A line that nobody watches is had from the kernel for the moment, as it is.
func (l *Lines) Read(ctx context.Context, line string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	level, err := l.read(line)
	if err != nil {
		return false, fmt.Errorf("reading line %s: %w", line, err)
	}
	return level, nil
}

// read needs the mutex.
func (l *Lines) read(line string) (bool, error) {
	if in := l.inputs[line]; in != nil && in.on != nil {
		bits, err := in.on.file.values()
		return bits>>in.on.place(in)&1 == 1, err
	}
	file := l.outputs[line]
	if file == nil {
		var err error
		if file, err = l.one(line, gpioLineConfig{}); err != nil {
			return false, err
		}
		defer func() { _ = file.file.Close() }() // nothing was written to it
	}
	bits, err := file.values()
	return bits&1 == 1, err
}

// one has a single line from the chip. It needs the mutex.
func (l *Lines) one(line string, config gpioLineConfig) (*lineFile, error) {
	c, err := l.kernel.openChip(l.chip)
	if err != nil {
		return nil, err
	}
	defer c.close()
	offset, err := c.offset(line, l.names)
	if err != nil {
		return nil, err
	}
	return c.request(gpioLineRequest{Offsets: [gpioLinesMax]uint32{offset}, NumLines: 1, Config: config})
}

// Set implements [bus.Lines]. The line stays ours, and so keeps its level, until Close; what it does when this process ends is
// for the board's pull resistors to say.
func (l *Lines) Set(ctx context.Context, line string, level bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.set(line, level); err != nil {
		return fmt.Errorf("setting line %s: %w", line, err)
	}
	return nil
}

// set needs the mutex.
func (l *Lines) set(line string, level bool) error {
	if in := l.inputs[line]; in != nil && in.users > 0 {
		return errors.New("it is watched, so it is an input")
	}
	if file := l.outputs[line]; file != nil {
		err := file.set(level)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(l.outputs, line) // the chip was away: it may be back
		_ = file.file.Close()
	}
	config := gpioLineConfig{Flags: gpioFlagOutput, NumAttrs: 1}
	config.Attrs[0] = gpioConfigAttr{gpioAttr{ID: gpioAttrValues}, 1}
	if level { // from the first moment on
		config.Attrs[0].Attr.Value = 1
	}
	file, err := l.one(line, config)
	if err != nil {
		return err
	}
	l.outputs[line] = file
	return nil
}

// Close gives the outputs back to the kernel. Watches end by their contexts.
func (l *Lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all error
	for line, file := range l.outputs {
		all = errors.Join(all, file.file.Close())
		delete(l.outputs, line)
	}
	return all
}

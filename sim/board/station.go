package board

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of one connection.
const (
	greeting     = "linesock 1\n"
	maxText      = 256              // bytes of a line with its LF
	queueLength  = 4096             // edges and answers waiting for the socket
	idleTimeout  = 60 * time.Second // a station pings every few seconds
	writeTimeout = 5 * time.Second
	maxDebounce  = 10 * time.Second
)

// station is one connection. The board's mutex guards watched; hangUp and send
// need it too, so that edges of several lines keep their order.
type station struct {
	conn    net.Conn
	out     chan string
	watched map[string]bool
}

// Serve answers stations on ln until ctx ends, then closes ln and all
// connections and returns nil.
func (b *Board) Serve(ctx context.Context, ln net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // the accept loop tells
	defer stop()
	defer b.settleAll()
	group.Go(func() error {
		for {
			conn, err := ln.Accept()
			switch {
			case ctx.Err() != nil:
				if err == nil {
					_ = conn.Close() // nobody was served on it
				}
				return nil
			case err != nil:
				return fmt.Errorf("accepting stations: %w", err)
			}
			group.Go(func() error { return b.attend(ctx, conn) })
		}
	})
	return group.Wait()
}

// settleAll stops the debounce timers.
func (b *Board) settleAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if l.settle != nil {
			l.settle.Stop()
			l.settle = nil
			l.raw = l.level
		}
	}
}

// attend serves one connection. A station that goes away is no error.
func (b *Board) attend(ctx context.Context, conn net.Conn) error {
	s := &station{conn: conn, out: make(chan string, queueLength), watched: map[string]bool{}}
	b.mu.Lock()
	b.stations[s] = struct{}{}
	if !b.mute {
		s.send(greeting)
	}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.stations, s)
	}()
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // unblocks both goroutines
	defer stop()
	group.Go(func() error { return b.listen(ctx, s) })
	group.Go(func() error { return b.talk(ctx, s) })
	_ = group.Wait() // the ways a connection can end are all alike here
	return nil
}

// errGone ends the goroutines of a connection.
var errGone = errors.New("the station is gone")

// send queues a line for the station. When the queue is full the station is
// cut off: it comes back and learns from LINE_SEQ what it missed.
func (s *station) send(text string) {
	select {
	case s.out <- text:
	default:
		s.hangUp()
	}
}

func (s *station) hangUp() { _ = s.conn.Close() } // its goroutines notice

// listen takes requests.
func (b *Board) listen(ctx context.Context, s *station) error {
	r := bufio.NewReaderSize(s.conn, maxText)
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
			return err
		}
		text, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("reading from the station: %w", err)
		}
		request := strings.TrimSuffix(string(text), "\n")
		answer, asked := b.transact(ctx, request) // without b.mu: a chip may take its time, or move a line
		b.mu.Lock()
		if !asked {
			answer = b.answer(s, request)
		}
		if answer != "" && !b.mute {
			s.send(answer + "\n")
		}
		b.mu.Unlock()
	}
}

// talk writes what is queued, as much at a time as waits.
func (b *Board) talk(ctx context.Context, s *station) error {
	w := bufio.NewWriterSize(s.conn, 16<<10)
	for {
		select {
		case <-ctx.Done():
			return errGone
		case text := <-s.out:
			if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				return err
			}
			for more := true; more; {
				if _, err := w.WriteString(text); err != nil {
					return err
				}
				select {
				case text = <-s.out:
				default:
					more = false
				}
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// answer obeys one request and says what to answer. It needs b.mu.
func (b *Board) answer(s *station, text string) string {
	words := strings.Split(text, " ")
	if text == "ping" {
		return "pong"
	}
	name := "-"
	if len(words) > 1 && validName(words[1]) {
		name = words[1]
	}
	answer, err := b.obey(s, words, name)
	if err != nil {
		return fmt.Sprintf("err %.16s %s %.150s", strings.ToValidUTF8(words[0], "?"), name, err)
	}
	return answer
}

func (b *Board) obey(s *station, words []string, name string) (string, error) {
	arguments, known := map[string]int{"watch": 2, "read": 1, "set": 2}[words[0]]
	switch {
	case !known:
		return "", errors.New("unknown request: use watch, read, set, i2c, w1, w1search or ping")
	case len(words) != 1+arguments:
		return "", fmt.Errorf("%d arguments are needed", arguments)
	}
	l, err := b.find(name)
	if err != nil {
		return "", err
	}
	switch words[0] {
	case "watch":
		us, err := strconv.ParseUint(words[2], 10, 32)
		if err != nil || time.Duration(us)*time.Microsecond > maxDebounce {
			return "", fmt.Errorf("debounce: 0 to %d microseconds", maxDebounce.Microseconds())
		}
		l.debounce = time.Duration(us) * time.Microsecond
		s.watched[name] = true
		return fmt.Sprintf("ok watch %s %d %d %d", name, bit(l.level), l.at, l.seq), nil
	case "set":
		if words[2] != "0" && words[2] != "1" {
			return "", errors.New("the level is 0 or 1")
		}
		if !l.output {
			return "", errors.New("this line is an input")
		}
		b.move(name, l, words[2] == "1")
		return fmt.Sprintf("ok set %s %s", name, words[2]), nil
	}
	return fmt.Sprintf("ok read %s %d", name, bit(l.level)), nil
}

// An alarm receiving centre is the other end of a transmitter's wire: it takes DC-09 messages over TCP or TLS, keeps what is new,
// knows a repeat by its number, time and content, and answers each.
//
// A test says by a Plan what it does wrong: stay silent, hang up, refuse, answer late or with nonsense.
package arc

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Deed is what the centre does about one frame.
type Deed int

// The deeds.
const (
	Answer   Deed = iota // keeps it, and answers as the standard says: ACK, NAK for a wrong time, DUH for a stranger
	Lose                 // keeps it, and the answer is lost
	Ignore               // does neither
	HangUp               // keeps it, and closes the connection without an answer
	Refuse               // DUH
	WrongSeq             // ACK with another number, then nothing
	Stranger             // ACK to another account
	Clear                // ACK in clear, though the frame was encrypted
	Forge                // ACK encrypted with another key
	Old                  // ACK with a time of an hour ago
	Spoil                // ACK with a wrong CRC
	Noise                // what is no frame at all, then the ACK in two pieces
	Twice                // two ACKs
	Mislead              // NAK with a time of an hour ahead, whatever the frame's
)

// Options say what a centre wants.
type Options struct {
	Account string        // of the transmitter
	Key     []byte        // AES; none: plain frames
	Window  time.Duration // how far an encrypted frame's time may be off [20 s]
	Now     func() time.Time
	TLS     *tls.Config // none: plain TCP
	// Plan says what is done about the n-th frame (from 1) that can be read; nil: Answer. It may wait: then the centre is slow.
	Plan func(n int, f Frame) Deed
}

// Centre is a running receiving centre.
type Centre struct {
	o        Options
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]bool
	closed bool
	frames []Frame // all that could be read
	kept   []Frame // those that are new, without NULLs
	known  map[string]bool
	bad    []error
	links  int
}

// Open listens on an address, such as 127.0.0.1:0, until Close.
func Open(address string, o Options) (*Centre, error) {
	if o.Window == 0 {
		o.Window = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("alarm receiving centre: %w", err)
	}
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS)
	}
	c := &Centre{o: o, listener: l, conns: map[net.Conn]bool{}, known: map[string]bool{}}
	c.running.Go(c.accept)
	return c, nil
}

// Address is HOST:PORT.
func (c *Centre) Address() string { return c.listener.Addr().String() }

// Close hangs up and waits until all is over.
func (c *Centre) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	_ = c.listener.Close()
	c.Drop()
	c.running.Wait()
}

// Drop closes every connection.
func (c *Centre) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// Frames are all that could be read, in their order, repeats and NULLs among them.
func (c *Centre) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Kept are the reports that the centre has stored, each once.
func (c *Centre) Kept() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.kept...)
}

// Bad is why bytes could not be read.
func (c *Centre) Bad() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]error(nil), c.bad...)
}

// Links is how many connections there were.
func (c *Centre) Links() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.links
}

func (c *Centre) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			_ = conn.Close()
			continue
		}
		c.conns[conn] = true
		c.links++
		c.mu.Unlock()
		c.running.Go(func() {
			c.serve(conn)
			_ = conn.Close()
			c.mu.Lock()
			delete(c.conns, conn)
			c.mu.Unlock()
		})
	}
}

// longest is the longest frame there can be: three digits of length.
const longest = 1 + 8 + 0xFFF + 1

func (c *Centre) serve(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok && t.HandshakeContext(context.Background()) != nil {
		return
	}
	rest, chunk := "", make([]byte, 4096)
	for {
		n, err := conn.Read(chunk)
		rest += string(chunk[:n])
		for {
			raw, after, whole := strings.Cut(rest, "\r")
			if !whole {
				break
			}
			rest = after
			if !c.take(conn, raw+"\r") {
				return
			}
		}
		if err != nil || len(rest) > longest {
			return
		}
	}
}

// take does what the plan says about one frame; false: the connection is over.
func (c *Centre) take(conn net.Conn, raw string) bool {
	f, err := read(raw, c.o.Key)
	if errors.Is(err, errKey) {
		c.note(err)
		return c.say(conn, "DUH", f, nil)
	}
	if err != nil {
		c.note(err)
		return true
	}
	c.mu.Lock()
	c.frames = append(c.frames, f)
	n := len(c.frames)
	c.mu.Unlock()
	deed := Answer
	if c.o.Plan != nil {
		deed = c.o.Plan(n, f)
	}
	switch {
	case deed == Ignore:
		return true
	case deed == Mislead:
		return write(conn, refuseTime(c.o.Now().Add(time.Hour)))
	case deed == Refuse || f.Account != c.o.Account || f.Encrypted != (len(c.o.Key) > 0):
		return c.say(conn, "DUH", f, nil)
	case f.Encrypted && f.Time.Sub(c.o.Now()).Abs() > c.o.Window:
		return write(conn, refuseTime(c.o.Now()))
	}
	c.keep(f)
	return c.do(deed, conn, f)
}

func (c *Centre) do(deed Deed, conn net.Conn, f Frame) bool {
	switch deed {
	case Lose:
		return true
	case HangUp:
		return false
	case WrongSeq:
		f.Seq = (f.Seq + 1) % 10000
	case Stranger:
		f.Account = "FFFFFF"
	case Clear:
		return c.say(conn, "ACK", f, nil)
	case Forge:
		return c.say(conn, "ACK", f, []byte("another key 1234"))
	case Old:
		text, err := answer("ACK", f, c.o.Key, c.o.Now().Add(-time.Hour), rand.Reader)
		return err == nil && write(conn, text)
	case Spoil:
		text, err := answer("ACK", f, c.o.Key, c.o.Now(), rand.Reader)
		return err == nil && write(conn, "\n0000"+text[5:])
	case Noise:
		text, err := answer("ACK", f, c.o.Key, c.o.Now(), rand.Reader)
		return err == nil && write(conn, "HTTP/1.1 400\r\n\r\n\n\"\x00"+text[:9]) && write(conn, text[9:])
	case Twice:
		return c.say(conn, "ACK", f, c.o.Key) && c.say(conn, "ACK", f, c.o.Key)
	}
	return c.say(conn, "ACK", f, c.o.Key)
}

// keep stores a report once.
func (c *Centre) keep(f Frame) {
	if f.ID == "NULL" {
		return
	}
	key := fmt.Sprintf("%s %d %s %s", f.ID, f.Seq, f.Data, f.Time)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known[key] {
		c.known[key] = true
		c.kept = append(c.kept, f)
	}
}

func (c *Centre) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = append(c.bad, err)
}

func (c *Centre) say(conn net.Conn, id string, f Frame, key []byte) bool {
	text, err := answer(id, f, key, c.o.Now(), rand.Reader)
	return err == nil && write(conn, text)
}

// writeWithin bounds how long a transmitter may leave an answer unread.
const writeWithin = 10 * time.Second

func write(conn net.Conn, text string) bool {
	if conn.SetWriteDeadline(time.Now().Add(writeWithin)) != nil {
		return false
	}
	_, err := conn.Write([]byte(text))
	return err == nil
}

// A village station feels its doors, detectors and buttons as levels on wires, and a bus is what carries such wires to the agent.
//
// The contracts here use built-in types only, so that a chip or a contact can be driven by the Linux kernel, by an I/O box
// behind a socket, or by memory in a test, without an adapter.
//
// # linesock, the text protocol of an I/O box
//
// An I/O box listens on a Unix stream socket; the station connects, as often as it likes: a box serves several connections at
// once, each with watches of its own. Both sides send UTF-8 lines ended by one line feed, at most [MaxLine] bytes with it, words
// separated by one blank. A line name is 1 to 32 of a-z, 0-9 and the hyphen. Levels are 0 and 1.
//
//	box      linesock 1                                         first line of a connection: name and version
//	station  watch <line> <debounce_us>                         debounce in microseconds, 0 = none
//	box      ok watch <line> <level> <kernel_ns> <line_seq>     the present level, and the number of the line's last edge
//	box      err watch <line> <text>                            the line cannot be watched, for people to read
//	box      edge <line> <level> <kernel_ns> <seq> <line_seq>   a watched line changed to this level
//	station  read <line>
//	box      ok read <line> <level>  |  err read <line> <text>
//	station  set <line> <level>                                 outputs only
//	box      ok set <line> <level>  |  err set <line> <text>
//	station  i2c <bus> <address> <n> <data>                     write data to a chip, then read n bytes, as one transaction
//	box      ok i2c <bus> <data>  |  err i2c <bus> <fault> <text>
//	station  w1 <bus> <strong> <n> <data>                       reset, write data, then read n bytes; strong = 1 holds the wire up
//	box      ok w1 <bus> <data>  |  err w1 <bus> <fault> <text>
//	station  w1search <bus>
//	box      ok w1search <bus> <rom>,<rom>,…  |  err w1search <bus> <fault> <text>
//	station  ping
//	box      pong
//
// A bus of a box has a name of its own, made like a line's. <address> is two hexadecimal digits, <data> two for each byte, a ROM
// sixteen as [ROM] prints it; small letters, and a hyphen for none at all. A transaction moves at most [MaxData] bytes each way,
// a search finds at most [MaxROMs] chips. <fault> is one of noanswer, stuck, timeout, checksum and refused: the first four are
// [ErrNoAnswer], [ErrStuck], [ErrTimeout] and [ErrChecksum], and refused means that the request was not even tried. A connection
// has one such request under way at a time. A box that does not know a verb answers err <verb> <bus> refused <text>.
//
// kernel_ns is CLOCK_MONOTONIC of the box's kernel at the edge, in nanoseconds. seq counts all edges of the box and line_seq
// those of one line, both from 1 since the box started, whoever watches; so a jump in line_seq is a count of lost edges. In
// "ok watch" kernel_ns is the time of the line's last edge, or of the box's start if it has had none. A line may be asked for
// again at any time: the station does so with each ping, so that also an edge lost with none after it comes to light.
//
// The station pings every 5 s and takes three pings without any word from the box for a dead wire. A side that
// receives a line it cannot read drops the connection.
package bus

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of the linesock protocol.
const (
	// MaxLine is the longest protocol line in bytes, its line feed included.
	MaxLine = 256
	// MaxName is the longest name of a line or a bus in bytes.
	MaxName = 32
	// MaxData is how many bytes one transaction of a box's bus may write, and how many it may read.
	MaxData = 96
	// MaxROMs is how many 1-wire chips a box can tell in one answer.
	MaxROMs = 12
)

// Quality says how far the level of an [Edge] can be believed.
type Quality uint8

const (
	// Missing means that the wire cannot be read: the level says nothing. It is the zero value, so that a level that
	// nobody vouched for is never taken for one.
	Missing Quality = iota
	// Present means that the level was read, as at the start of a watch and after a wire came back.
	Present
	// Changed means that the level was seen to change.
	Changed
)

// Edge is one word of a line: it changed, it was read, or it cannot be read any more.
type Edge struct {
	// Line is the name that the watch was asked for.
	Line string
	// Quality tells a change from a reading and from a dead wire.
	Quality Quality
	// Level is true for high. It says nothing when Quality is Missing.
	Level bool
	// KernelNS is CLOCK_MONOTONIC at the edge in nanoseconds, 0 when Quality is Missing.
	KernelNS int64
	// Seq counts the edges of the whole box from 1; 0 unless Quality is Changed.
	Seq uint64
	// LineSeq counts the edges of this line from 1; 0 = none yet.
	LineSeq uint64
	// Lost is how many edges of this line, before this word and after the last one, were never seen.
	Lost uint64
	// Reason says why a line is missing, for people.
	Reason string
}

// LineConfig asks for one line.
type LineConfig struct {
	// Line is the name: 1 to [MaxName] of a-z, 0-9, hyphen.
	Line string
	// Debounce is how long a level must hold before the back end tells it; 0 = every edge.
	Debounce time.Duration
}

// Lines are digital inputs and outputs by name.
type Lines interface {
	// Watch sends every word of the given lines to edges until ctx ends, and then returns nil. The first word of each line
	// is its present level or that it is missing. A fault of the wire is told as Missing and retried, never returned; an
	// error means that the request itself is wrong. Edges of one line come in order.
	Watch(ctx context.Context, lines []LineConfig, edges chan<- Edge) error
	// Read reads one level now; an error means that the level is unknown.
	Read(ctx context.Context, line string) (bool, error)
	// Set drives one output; nil means that the back end has done it.
	Set(ctx context.Context, line string, level bool) error
}

// ValidName reports whether a line may be called so.
func ValidName(name string) bool {
	if name == "" || len(name) > MaxName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Monotonic is CLOCK_MONOTONIC in nanoseconds, as in [Edge]; 0 if it cannot be read.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano()
}

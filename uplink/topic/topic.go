// Everything that crosses the wide area travels under wp/v1/<jurisdiction>/<station>/…, and this is its contract.
//
//	up    event/<lane>       a Frame: events of one lane as a chain, strictly in order (QoS 1)
//	      state              a State in JSON: retained, and the will; says the present at once, whatever the backlog
//	      reply/<command>    a Reply in JSON (QoS 1)
//	down  cmd                a signed Command (QoS 0); the station has this one subscription
//
// A topic segment has no dot (NATS maps the slash to it), no space and no wildcard; a payload has at most MaxPayload
// bytes. PUBACK says only that a broker took a frame; a Receipt says that the centre has stored it. A breaking change
// of anything here is a new version, wp/v2.
package topic

import (
	"errors"
	"fmt"
	"strings"

	"watchpost/storage/event"
)

// root is the fixed beginning of every topic: the product and the version of this contract.
const root = "wp/v1"

// Limits of the contract, in bytes.
const (
	MaxPayload = 256 << 10 // of one MQTT payload; brokers drop the connection on more
	MaxSegment = 64        // of one topic segment
)

// ErrTopic is wrapped by every error about a topic or segment that is not of this contract.
var ErrTopic = errors.New("not a topic of wp/v1")

// Address names a station on the wire.
type Address struct {
	Jurisdiction string // such as changshan
	Station      string // such as cs-baishi-caoping
}

// Leaf is what a topic carries.
type Leaf string

// The leaves of a station's topic tree.
const (
	LeafEvent Leaf = "event"
	LeafState Leaf = "state"
	LeafReply Leaf = "reply"
	LeafCmd   Leaf = "cmd"
)

func (a Address) join(parts ...string) string {
	return strings.Join(append([]string{root, a.Jurisdiction, a.Station}, parts...), "/")
}

// Event is the topic of the station's events of one lane.
func (a Address) Event(l event.Lane) string { return a.join(string(LeafEvent), l.String()) }

// State is the topic of the station's retained state and will.
func (a Address) State() string { return a.join(string(LeafState)) }

// Reply is the topic of the answer to one command.
func (a Address) Reply(command string) string { return a.join(string(LeafReply), command) }

// Cmd is the topic of the station's commands.
func (a Address) Cmd() string { return a.join(string(LeafCmd)) }

// Validate reports whether both names may stand in a topic.
func (a Address) Validate() error {
	return errors.Join(ValidSegment("jurisdiction", a.Jurisdiction), ValidSegment("station", a.Station))
}

// ValidSegment reports whether s may stand as one segment: lower-case letters, digits and hyphens, 1 to MaxSegment
// bytes. what names it in the error.
func ValidSegment(what, s string) error {
	if s == "" || len(s) > MaxSegment {
		return fmt.Errorf("%w: %s %q: want 1 to %d characters", ErrTopic, what, s, MaxSegment)
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%w: %s %q: only a-z, 0-9 and - may stand in it", ErrTopic, what, s)
		}
	}
	return nil
}

// Parse takes a topic apart. arg is the lane of an event, the command of a reply, else "".
func Parse(t string) (a Address, leaf Leaf, arg string, err error) {
	rest, ok := strings.CutPrefix(t, root+"/")
	if !ok || len(t) > 6*MaxSegment {
		return a, "", "", fmt.Errorf("%w: %.80q", ErrTopic, t)
	}
	seg := strings.Split(rest, "/")
	if len(seg) < 3 {
		return a, "", "", fmt.Errorf("%w: %q has no leaf", ErrTopic, t)
	}
	a, leaf = Address{Jurisdiction: seg[0], Station: seg[1]}, Leaf(seg[2])
	if err := a.Validate(); err != nil {
		return a, "", "", err
	}
	switch {
	case len(seg) == 3 && (leaf == LeafState || leaf == LeafCmd):
		return a, leaf, "", nil
	case len(seg) == 4 && leaf == LeafEvent:
		_, err = event.ParseLane(seg[3])
	case len(seg) == 4 && leaf == LeafReply:
		err = ValidSegment("command", seg[3])
	default:
		return a, "", "", fmt.Errorf("%w: leaf of %q", ErrTopic, t)
	}
	if err != nil {
		return a, "", "", fmt.Errorf("%w: %w", ErrTopic, err)
	}
	return a, leaf, seg[3], nil
}

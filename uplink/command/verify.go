package command

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"watchpost/uplink/topic"
)

// Reason says why a command was refused. The list is append-only: its words stand in events and replies.
type Reason string

// The reasons.
const (
	ReasonOversized    Reason = "oversized"     // beyond topic.MaxPayload
	ReasonMalformed    Reason = "malformed"     // signed by the centre, and not a command of this version
	ReasonBadSignature Reason = "bad_signature" // not signed by the centre for this station
	ReasonExpired      Reason = "expired"       // too late
	ReasonNotYet       Reason = "not_yet"       // from the future: one of the two clocks is wrong
	ReasonRepeated     Reason = "repeated"      // obeyed before; its answer was sent again
	ReasonUnknownKind  Reason = "unknown_kind"  // this station has no handler for it
	ReasonDenied       Reason = "denied"        // understood and not allowed
	ReasonBusy         Reason = "busy"          // more commands than the station can take now
	ReasonFailed       Reason = "failed"        // tried, without success
)

// Refusal is the error of a command that is not obeyed.
type Refusal struct {
	Reason  Reason
	Message string // for people, with a remedy where there is one
}

// Error is the refusal in one line.
func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Message }

func refuse(why Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: why, Message: fmt.Sprintf(format, args...)}
}

// Deny is what a handler returns for a command that is understood and not allowed.
func Deny(message string) error { return &Refusal{Reason: ReasonDenied, Message: message} }

// MaxSkew is how far a synchronised station clock and the centre's may differ.
const MaxSkew = 5 * time.Minute

// Verifier reads the commands of one centre to one station.
//
// A command lives from its signed Now to its Expires. The station judges that by a clock of its own making: the highest
// signed Now that it has seen, carried on by the monotonic clock. So a station that does not know the time can still tell
// an old command from a new one, and no broker can make it go back. A synchronised wall clock bounds that clock on both
// sides, to MaxSkew: commands recorded before a restart are not obeyed after it, and a centre whose clock ran ahead for a
// moment cannot lock out its own later commands. Such a command is refused as not_yet. Without a synchronised clock the
// centre's word is all there is, and a station that has just started obeys the first command whose lifetime is in order.
type Verifier struct {
	address topic.Address
	key     ed25519.PublicKey

	mu    sync.Mutex // guards the fields below
	floor time.Time  // the highest time known to have passed; zero = none is known
	set   time.Time  // when floor was that time, by this process's clock
}

// NewVerifier reads commands to the station at a, signed by the centre whose public key this is.
func NewVerifier(a topic.Address, key ed25519.PublicKey) (*Verifier, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("command key: %d bytes, want %d: copy it from what dispatch enrol printed", len(key), ed25519.PublicKeySize)
	}
	return &Verifier{address: a, key: key}, nil
}

// Verify answers the command in payload. now is the process's clock with its monotonic reading; synced says whether its
// wall clock may be believed. The error is a *Refusal; with reason expired or not_yet the command is the centre's own and
// is returned too, with any other it is empty.
func (v *Verifier) Verify(payload []byte, now time.Time, synced bool) (topic.Command, error) {
	if len(payload) > topic.MaxPayload {
		return topic.Command{}, refuse(ReasonOversized, "more than %d bytes: send a smaller body", topic.MaxPayload)
	}
	if len(payload) <= ed25519.SignatureSize {
		return topic.Command{}, refuse(ReasonBadSignature, "%d bytes are shorter than a signature", len(payload))
	}
	signature, text := payload[:ed25519.SignatureSize], payload[ed25519.SignatureSize:]
	if !ed25519.Verify(v.key, signed(v.address, text), signature) {
		return topic.Command{}, refuse(ReasonBadSignature, "not signed by this centre for %s: check command_key", v.address.Cmd())
	}
	cmd, err := decode(text)
	if err != nil {
		return topic.Command{}, refuse(ReasonMalformed, "%v", err)
	}
	if r := v.timely(cmd, now, synced); r != nil {
		return cmd, r
	}
	return cmd, nil
}

// decode reads exactly one command with known fields and nothing after it.
func decode(text []byte) (topic.Command, error) {
	var cmd topic.Command
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&cmd); err != nil {
		return topic.Command{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return topic.Command{}, errors.New("something follows the command")
	}
	return cmd, check(cmd)
}

func (v *Verifier) timely(cmd topic.Command, now time.Time, synced bool) *Refusal {
	v.mu.Lock()
	defer v.mu.Unlock()
	if synced && cmd.Now.After(now.Add(MaxSkew)) {
		return refuse(ReasonNotYet, "signed %s from now: set the centre's clock or the station's", cmd.Now.Sub(now).Round(time.Second))
	}
	floor := v.clock(now, synced)
	if cmd.Now.After(floor) {
		floor = cmd.Now
	}
	v.floor, v.set = floor, now
	if !floor.Before(cmd.Expires) {
		return refuse(ReasonExpired, "expired %s ago: send it again, and set the centre's clock if this repeats",
			floor.Sub(cmd.Expires).Round(time.Second))
	}
	return nil
}

// clock is the time that is known to have passed.
func (v *Verifier) clock(now time.Time, synced bool) time.Time {
	floor := v.floor
	if !floor.IsZero() {
		floor = floor.Add(max(0, now.Sub(v.set)))
	}
	if synced {
		earliest, latest := now.Add(-MaxSkew), now.Add(MaxSkew)
		if floor.Before(earliest) {
			floor = earliest
		}
		if floor.After(latest) {
			floor = latest
		}
	}
	return floor
}

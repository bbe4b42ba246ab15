// A station does what its centre asks only if the centre signed the wish, for this station, a short while ago.
//
// The broker between them is not believed: it can drop or delay a command, but not write, alter, redirect or repeat one.
// On the wire a command is an Ed25519 signature (64 bytes) followed by JSON; what is signed is the cmd topic of the
// addressed station, a NUL byte and the JSON. Sign makes that, Verifier reads it, and a Desk hands what is left to the
// handler of its kind, answers, and tells what it refused.
//
// Time is the difficult part, since a village station may not know it. See Verifier.
package command

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"watchpost/uplink/topic"
)

// MaxLifetime is the longest time between a command's Now and Expires.
const MaxLifetime = 15 * time.Minute

// Sign makes the wire form of cmd for the station at addr. V is set, and what no station would take is an error.
func Sign(key ed25519.PrivateKey, addr topic.Address, cmd topic.Command) ([]byte, error) {
	cmd.V = topic.Version
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("signing a command: the key is no Ed25519 private key")
	}
	if err := errors.Join(addr.Validate(), check(cmd)); err != nil {
		return nil, fmt.Errorf("signing a command: %w", err)
	}
	if len(cmd.Body) == 0 {
		cmd.Body = json.RawMessage("null")
	}
	text, err := json.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("signing command %s: %w", cmd.ID, err)
	}
	if n := ed25519.SignatureSize + len(text); n > topic.MaxPayload {
		return nil, fmt.Errorf("signing command %s: %d bytes, at most %d", cmd.ID, n, topic.MaxPayload)
	}
	return append(ed25519.Sign(key, signed(addr, text)), text...), nil
}

// signed is the bytes under the signature.
func signed(addr topic.Address, text []byte) []byte {
	name := addr.Cmd()
	b := make([]byte, 0, len(name)+1+len(text))
	return append(append(append(b, name...), 0), text...)
}

// check is what both sides ask of a command's own fields.
func check(cmd topic.Command) error {
	life := cmd.Expires.Sub(cmd.Now)
	switch {
	case cmd.V != topic.Version:
		return fmt.Errorf("version %d, this side speaks %d", cmd.V, topic.Version)
	case cmd.Kind == "" || len(cmd.Kind) > topic.MaxSegment:
		return fmt.Errorf("kind %.80q: want 1 to %d bytes", cmd.Kind, topic.MaxSegment)
	case cmd.Now.IsZero() || cmd.Expires.IsZero():
		return errors.New("now and expires must both be given")
	case life <= 0 || life > MaxLifetime:
		return fmt.Errorf("a lifetime of %s, want more than none and at most %s", life, MaxLifetime)
	}
	return topic.ValidSegment("command", cmd.ID)
}

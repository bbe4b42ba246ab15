package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as 512KiB, 64MiB or 1GiB.
type Size int64

// UnmarshalText reads a number with its unit.
func (s *Size) UnmarshalText(b []byte) error {
	text := string(b)
	for _, unit := range []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if digits, ok := strings.CutSuffix(text, unit.suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("size %q: want a whole number before %s", text, unit.suffix)
			}
			*s = Size(n * unit.bytes)
			return nil
		}
	}
	return fmt.Errorf("size %q: want a number with KiB, MiB or GiB, such as 64MiB", text)
}

// Key is an Ed25519 public key, written in base64.
type Key ed25519.PublicKey

// UnmarshalText reads the base64 of 32 bytes.
func (k *Key) UnmarshalText(b []byte) error {
	raw, err := base64.StdEncoding.DecodeString(string(b))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return fmt.Errorf("command key: want the base64 of %d bytes, as dispatch enrol prints it", ed25519.PublicKeySize)
	}
	*k = raw
	return nil
}

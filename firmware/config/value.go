package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
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

// logKey is the length of the event log's key, in bytes.
const logKey = 32

// readKey reads the event log's key, which nobody but the file's owner may be able to read.
func readKey(path string) ([]byte, error) {
	const remedy = "make one with: (umask 077; openssl rand -hex 32 > %s)"
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: put the log's own key back; for a log that is still to begin, "+remedy, err, path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: want one of %d bytes or %d hex digits; "+remedy, path, logKey, 2*logKey, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so that others may read the key: chmod 600 %s", path, mode, path)
	}
	if info.Size() > 4*logKey {
		return nil, fmt.Errorf("%s has %d bytes: want %d bytes or %d hex digits; "+remedy, path, info.Size(), logKey, 2*logKey, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) == logKey {
		return b, nil
	}
	if key, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(key) == logKey {
		return key, nil
	}
	return nil, fmt.Errorf("%s: want %d bytes or %d hex digits; "+remedy, path, logKey, 2*logKey, path)
}

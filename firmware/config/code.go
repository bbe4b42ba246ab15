package config

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Limits of a code's hash, so that one try at the keypad costs a small box neither its memory nor a minute.
const (
	maxCodeMemory = 64 << 10 // KiB
	maxCodePasses = 16
	maxCodeText   = 256 // bytes of its line
	// maxCodeWork bounds all codes together, since each try is held against each: KiB times passes, as of 64 codes that
	// stationctl made.
	maxCodeWork = 1 << 20
)

// Code is what remains of a keypad code: its argon2id hash (RFC 9106), written as stationctl code prints it:
//
//	"$argon2id$v=19$m=KiB,t=passes,p=1$salt$hash"
//
// with salt and hash in base64 without padding. The zero Code is no code, and matches nothing.
type Code struct {
	memory, passes uint32
	salt, hash     []byte
	text           string
}

// UnmarshalText reads a hash. A code in clear is refused, and not repeated in the error.
func (c *Code) UnmarshalText(b []byte) error {
	if len(b) > maxCodeText || !strings.HasPrefix(string(b), "$argon2id$") {
		return errors.New("a code never stands here in clear: run stationctl code, and put in what it prints, in quotes")
	}
	damaged := errors.New("this hash is damaged, or of other settings: put in all that stationctl code prints, in quotes")
	parts := strings.Split(string(b), "$")
	if len(parts) != 6 || parts[2] != "v=19" {
		return damaged
	}
	var v Code
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &v.memory, &v.passes); err != nil || n != 2 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=1", v.memory, v.passes) {
		return damaged
	}
	var errSalt, errHash error
	v.salt, errSalt = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	v.hash, errHash = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	switch {
	case errors.Join(errSalt, errHash) != nil, len(v.salt) < 8, len(v.hash) != 32:
		return damaged
	case v.memory < 8 || v.memory > maxCodeMemory || v.passes < 1 || v.passes > maxCodePasses:
		return damaged
	}
	v.text = string(b)
	*c = v
	return nil
}

// validateCodes complains of codes that would make whoever disarms wait, and the box swell.
func (c *Config) validateCodes(s *sheet) {
	work := 0
	for _, u := range c.Users {
		work += int(u.Code.memory*u.Code.passes) + int(u.Duress.memory*u.Duress.passes)
	}
	if work > maxCodeWork {
		s.add("users", "one try of a code costs %d MiB of hashing, at most %d: make the codes by stationctl code", work>>10, maxCodeWork>>10)
	}
}

// IsZero reports whether there is no code.
func (c Code) IsZero() bool { return c.text == "" }

// String is the hash as the file has it.
func (c Code) String() string { return c.text }

// Matches reports whether code is the one, in the time and memory that the hash asks for.
func (c Code) Matches(code string) bool {
	if c.IsZero() {
		return false
	}
	got := argon2.IDKey([]byte(code), c.salt, c.passes, c.memory, 1, uint32(len(c.hash)))
	return subtle.ConstantTimeCompare(got, c.hash) == 1
}

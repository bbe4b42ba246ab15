//lint:pure

package osdp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
)

// What is wrong with a reply that is not believed.
var (
	// ErrCryptogram means that the other side of a handshake does not have the key.
	ErrCryptogram = errors.New("wrong cryptogram")
	// ErrMAC means that a packet of a secure channel was changed, made or sent again by somebody else.
	ErrMAC = errors.New("wrong MAC")
	// ErrPlain means that a packet came in plain where it must not.
	ErrPlain = errors.New("an answer in plain")
)

// KeySize is the length of keys in bytes.
const KeySize = aes.BlockSize

const (
	randomSize = 8
	idSize     = 8             // of a reader's identity in CCRYPT
	endOfData  = 0x80          // ends data before the padding of zeros
	block      = aes.BlockSize // bytes
)

type vector = [block]byte

// Key is a reader's base key, SCBK. It prints as nothing, so that no log can tell it.
type Key struct {
	raw vector
	set bool
}

// ParseKey reads 32 hex digits. The default key, which everybody knows, is none.
func ParseKey(text string) (*Key, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != KeySize {
		return nil, errors.New("a reader's key is 32 hex digits")
	}
	k := &Key{raw: vector(raw), set: true}
	if k.raw == DefaultKey().raw {
		return nil, errors.New("this is the default key of every reader, which everybody knows: choose another")
	}
	return k, nil
}

// DefaultKey is SCBK-D, the key of a reader that was given none (Annex D.1.2). It protects nothing: it only carries a key.
func DefaultKey() *Key {
	k := &Key{}
	for i := range k.raw {
		k.raw[i] = 0x30 + byte(i)
	}
	return k
}

// String never tells the key.
func (k *Key) String() string { return "(key)" }

// GoString never tells the key.
func (k *Key) GoString() string { return "(key)" }

// info is what stands in the security block of a handshake: which key it is about.
func (k *Key) info() byte {
	if k.set {
		return 1
	}
	return 0
}

// Handshake is the beginning of a secure channel, seen by the control panel (Annex D.1.4).
type Handshake struct {
	key        *Key
	host       [randomSize]byte
	session    *Session
	cryptogram vector // ours
}

// NewHandshake begins one with a random number that was never used before.
func NewHandshake(k *Key, random [randomSize]byte) *Handshake {
	return &Handshake{key: k, host: random}
}

// Challenge is CHLNG.
func (h *Handshake) Challenge() Packet {
	return Packet{Security: SecurityChallenge, Info: []byte{h.key.info()}, Code: byte(CommandChallenge), Data: h.host[:]}
}

// Crypt reads CCRYPT and is SCRYPT, which proves that we have the key. It fails with [ErrCryptogram] if the reader does not have
// it, [ErrPlain] if it speaks of another key, and with [ErrPacket] for what is no CCRYPT.
func (h *Handshake) Crypt(p *Packet) (Packet, error) {
	switch {
	case Reply(p.Code) != ReplyCrypt || p.Security != SecurityCryptRply || len(p.Data) != idSize+randomSize+block || len(p.Info) != 1:
		return Packet{}, fmt.Errorf("%w: no CCRYPT", ErrPacket)
	case p.Info[0] != h.key.info():
		return Packet{}, fmt.Errorf("%w: the reader uses another key", ErrCryptogram)
	}
	reader := p.Data[idSize : idSize+randomSize]
	s := newSession(h.key, h.host[:])
	want := s.encipher(h.host[:], reader)
	if subtle.ConstantTimeCompare(want[:], p.Data[idSize+randomSize:]) != 1 {
		return Packet{}, fmt.Errorf("%w: the reader does not have the key", ErrCryptogram)
	}
	h.session, h.cryptogram = s, s.encipher(reader, h.host[:])
	return Packet{Security: SecurityCrypt, Info: []byte{h.key.info()}, Code: byte(CommandCrypt), Data: h.cryptogram[:]}, nil
}

// Finish reads RMAC_I and gives the channel. It fails like Crypt.
func (h *Handshake) Finish(p *Packet) (*Session, error) {
	if h.session == nil || Reply(p.Code) != ReplyRMAC || p.Security != SecurityRMAC || len(p.Data) != block || len(p.Info) != 1 {
		return nil, fmt.Errorf("%w: no RMAC_I", ErrPacket)
	}
	if p.Info[0] != 1 {
		return nil, fmt.Errorf("%w: the reader refuses ours", ErrCryptogram)
	}
	s := h.session
	s.mac1.Encrypt(s.reply[:], h.cryptogram[:])
	s.mac2.Encrypt(s.reply[:], s.reply[:])
	if subtle.ConstantTimeCompare(s.reply[:], p.Data) != 1 {
		return nil, fmt.Errorf("%w: the first MAC is not what the key gives", ErrMAC)
	}
	return s, nil
}

// Session is an established secure channel, seen by the control panel. Each packet's MAC begins with that of the one before it
// in the other direction, so none can be left out, changed, or sent twice.
type Session struct {
	data, mac1, mac2 cipher.Block
	command, reply   vector // the last MACs
}

// newSession makes the keys S-ENC, S-MAC1 and S-MAC2 (Annex D.4.1).
func newSession(k *Key, host []byte) *Session {
	base := cipherOf(k.raw)
	derive := func(second byte) vector {
		v := vector{0x01, second}
		copy(v[2:8], host)
		base.Encrypt(v[:], v[:])
		return v
	}
	return &Session{data: cipherOf(derive(0x82)), mac1: cipherOf(derive(0x01)), mac2: cipherOf(derive(0x02))}
}

// cipherOf cannot fail: the key has the right length.
func cipherOf(key vector) cipher.Block {
	c, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return c
}

// encipher is a cryptogram (Annex D.4.3, D.4.4).
func (s *Session) encipher(first, second []byte) (v vector) {
	copy(v[:], first)
	copy(v[randomSize:], second)
	s.data.Encrypt(v[:], v[:])
	return v
}

// mac is that of a message after the last one of the other direction (Annex D.4.5).
func (s *Session) mac(last vector, b []byte) vector {
	v := last
	for len(b) > block {
		subtle.XORBytes(v[:], v[:], b[:block])
		s.mac1.Encrypt(v[:], v[:])
		b = b[block:]
	}
	n := subtle.XORBytes(v[:], v[:], b)
	if n < block {
		v[n] ^= endOfData
	}
	s.mac2.Encrypt(v[:], v[:])
	return v
}

func inverted(v vector) vector {
	for i := range v {
		v[i] = ^v[i]
	}
	return v
}

// Append seals a command and writes it to the end of b, led in by a mark. The packet's Security is set by what data it has. A
// command that was sealed has to be sent, and sent again as it is until there is an answer: the next one builds on it.
func (s *Session) Append(b []byte, p *Packet) ([]byte, error) {
	p.Security, p.Info = SecurityMAC, nil
	if len(p.Data) > 0 {
		p.Security = SecurityData
	}
	b, start, err := p.open(b)
	if err != nil {
		return b[:start], err
	}
	if len(p.Data) > 0 {
		from := len(b)
		b = append(append(b, p.Data...), endOfData)
		for (len(b)-from)%block != 0 {
			b = append(b, 0)
		}
		s.encrypt(b[from:])
	}
	if err := p.length(b, start, macSize); err != nil {
		return b[:start], err
	}
	mac := s.mac(s.reply, b[start+1:])
	b, err = p.close(append(b, mac[:macSize]...), start)
	if err == nil {
		s.command = mac
	}
	return b, err
}

// encrypt does a command's data in place, from the inverted MAC of the last reply (Annex D.5).
func (s *Session) encrypt(b []byte) {
	iv := inverted(s.reply)
	for ; len(b) > 0; b = b[block:] {
		subtle.XORBytes(b[:block], b[:block], iv[:])
		s.data.Encrypt(b[:block], b[:block])
		iv = vector(b[:block])
	}
}

// decrypt does a reply's data in place, from the inverted MAC of the command.
func (s *Session) decrypt(b []byte) {
	iv := inverted(s.command)
	for ; len(b) > 0; b = b[block:] {
		next := vector(b[:block])
		s.data.Decrypt(b[:block], b[:block])
		subtle.XORBytes(b[:block], b[:block], iv[:])
		iv = next
	}
}

// Open verifies a reply and decrypts its data in place; afterwards the packet's Data are those that the reader meant. It fails
// with [ErrPlain] for one without a MAC or with data that are not encrypted, [ErrMAC] for one that the reader has not sent as
// the answer to the last command, and [ErrPacket] for wrong padding. What failed changes nothing.
func (s *Session) Open(p *Packet) error {
	if p.Security != SecurityMACReply && p.Security != SecurityDataReply || p.Security == SecurityMACReply && len(p.Data) > 0 {
		return fmt.Errorf("%w: %s", ErrPlain, Reply(p.Code))
	}
	mac := s.mac(s.command, p.signed)
	if subtle.ConstantTimeCompare(mac[:macSize], p.MAC) != 1 {
		return fmt.Errorf("%w of %s", ErrMAC, Reply(p.Code))
	}
	if p.Security == SecurityDataReply {
		if len(p.Data)%block != 0 {
			return fmt.Errorf("%w: %d bytes of encrypted data", ErrPacket, len(p.Data))
		}
		s.decrypt(p.Data)
		n := len(p.Data) - 1
		for n >= 0 && p.Data[n] == 0 {
			n--
		}
		if n < 0 && len(p.Data) > 0 || n >= 0 && p.Data[n] != endOfData {
			return fmt.Errorf("%w: data without an end", ErrPacket)
		}
		p.Data = p.Data[:max(n, 0)]
	}
	s.reply = mac
	return nil
}

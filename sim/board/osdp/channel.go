package osdp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
)

// channel is a reader's end of a secure channel (Annex D).
type channel struct {
	enc, mac1, mac2 cipher.Block
	hostRandom      []byte
	proof           []byte // what the panel has to send to prove itself
	theirs, ours    []byte // the last MACs
	open            bool
}

// zeros is the vector that makes one block of CBC the bare cipher.
func zeros() []byte { return make([]byte, aes.BlockSize) }

func newCipher(key []byte) cipher.Block {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // keys here have 16 bytes
	}
	return c
}

// cbc enciphers whole blocks after a vector.
func cbc(c cipher.Block, vector, b []byte) []byte {
	out := make([]byte, len(b))
	cipher.NewCBCEncrypter(c, vector).CryptBlocks(out, b)
	return out
}

// answered begins a channel from the panel's challenge: it and the data of CCRYPT.
func answered(key, challenge, own, identity []byte) (*channel, []byte) {
	base := newCipher(key)
	derive := func(a, b byte) cipher.Block {
		seed := append(append([]byte{a, b}, challenge[:6]...), make([]byte, 8)...)
		return newCipher(cbc(base, zeros(), seed))
	}
	c := &channel{enc: derive(1, 0x82), mac1: derive(1, 1), mac2: derive(1, 2), hostRandom: bytes.Clone(challenge)}
	c.proof = cbc(c.enc, zeros(), append(bytes.Clone(own), challenge...))
	cryptogram := cbc(c.enc, zeros(), append(bytes.Clone(challenge), own...))
	return c, append(append(bytes.Clone(identity), own...), cryptogram...)
}

// proved takes SCRYPT; false means that the panel does not have the key.
func (c *channel) proved(cryptogram []byte) bool {
	if !bytes.Equal(cryptogram, c.proof) {
		return false
	}
	c.ours = cbc(c.mac2, zeros(), cbc(c.mac1, zeros(), cryptogram))
	c.open = true
	return true
}

// mac is the MAC of f after the last one of the other side.
func (c *channel) mac(vector, f []byte) []byte {
	padded := bytes.Clone(f)
	if len(padded)%aes.BlockSize != 0 {
		padded = append(padded, 0x80)
		for len(padded)%aes.BlockSize != 0 {
			padded = append(padded, 0)
		}
	}
	last := len(padded) - aes.BlockSize
	if last > 0 {
		all := cbc(c.mac1, vector, padded[:last])
		vector = all[last-aes.BlockSize:]
	}
	return cbc(c.mac2, vector, padded[last:])
}

func inverse(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0xFF
	}
	return out
}

// heard verifies a command and deciphers its data; ok is false for one that the panel has not sent just now.
func (c *channel) heard(q *request) (ok bool) {
	mac := c.mac(c.ours, q.signed)
	if !bytes.Equal(mac[:4], q.mac) {
		return false
	}
	if q.block[0] == 0x17 {
		if len(q.data) == 0 || len(q.data)%aes.BlockSize != 0 {
			return false
		}
		plain := make([]byte, len(q.data))
		cipher.NewCBCDecrypter(c.enc, inverse(c.ours)).CryptBlocks(plain, q.data)
		plain = bytes.TrimRight(plain, "\x00")
		if len(plain) == 0 || plain[len(plain)-1] != 0x80 {
			return false
		}
		q.data = plain[:len(plain)-1]
	}
	c.theirs = mac
	return true
}

// said seals a reply, but for its check.
func (c *channel) said(address, control, code byte, data []byte) []byte {
	kind := byte(0x16)
	if len(data) > 0 {
		kind = 0x18
		padded := append(bytes.Clone(data), 0x80)
		for len(padded)%aes.BlockSize != 0 {
			padded = append(padded, 0)
		}
		data = cbc(c.enc, inverse(c.theirs), padded)
	}
	f := frame(address, control, []byte{kind}, code, data, 4)
	c.ours = c.mac(c.theirs, f)
	return append(f, c.ours[:4]...)
}

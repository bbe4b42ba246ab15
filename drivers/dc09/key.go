package dc09

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
)

// Key is the AES key of one account. It prints as nothing, so that no log and no answer can tell it.
type Key struct {
	block cipher.Block
}

// KeyHex is a key typed as 32, 48 or 64 hex digits (Hikvision, Lupusec).
func KeyHex(text string) (*Key, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("key_hex is not hex: want 32, 48 or 64 hex digits, or key_ascii for a key typed as text")
	}
	return newKey(raw, "key_hex has %d digits: want 32, 48 or 64", len(text))
}

// KeyASCII is a key typed as 16, 24 or 32 characters (Ajax).
func KeyASCII(text string) (*Key, error) {
	return newKey([]byte(text), "key_ascii has %d characters: want 16, 24 or 32, or key_hex for a key typed as hex", len(text))
}

func newKey(raw []byte, format string, length int) (*Key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf(format, length)
	}
	return &Key{block: block}, nil
}

// String never tells the key.
func (k *Key) String() string { return "(key)" }

// GoString never tells the key.
func (k *Key) GoString() string { return "(key)" }

// decrypt and encrypt work in place, CBC with the zero IV that DC-09 prescribes. len(b) is a multiple of 16.
func (k *Key) decrypt(b []byte) {
	var iv [aes.BlockSize]byte
	cipher.NewCBCDecrypter(k.block, iv[:]).CryptBlocks(b, b)
}

func (k *Key) encrypt(b []byte) {
	var iv [aes.BlockSize]byte
	cipher.NewCBCEncrypter(k.block, iv[:]).CryptBlocks(b, b)
}

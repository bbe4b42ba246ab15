package arc

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Frame is one message as the receiving centre has read it.
type Frame struct {
	Raw       string // LF to CR
	ID        string // SIA-DCS, ADM-CID or NULL
	Encrypted bool
	Seq       int
	Receiver  string
	Line      string
	Account   string
	Pad       string // of an encrypted frame
	Data      string // between the brackets
	Time      time.Time
}

// shape is the whole of a frame (ANSI/SIA DC-09-2013, 5.5.1) as this receiver wants it: R may be left out, L and # not.
const shape = `(?s)^\n([0-9A-F]{4})0([0-9A-F]{3})("(\*?)(SIA-DCS|ADM-CID|NULL)"([0-9]{4})(?:R([0-9A-F]{1,6}))?L([0-9A-F]{1,6})#([0-9A-F]{3,16})\[(.*))\r$`

// tail is what stands behind the opening bracket, or behind the bar of what was decrypted.
const tail = `(?s)^([^\[\]]*)\](?:_([0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{2}-[0-9]{2}-[0-9]{4}))?$`

// read reads one frame strictly: what a careful receiver would not take is an error.
func read(raw string, key []byte) (Frame, error) {
	m := regexp.MustCompile(shape).FindStringSubmatch(raw)
	if m == nil {
		return Frame{}, fmt.Errorf("%q is no frame", raw)
	}
	body := m[3]
	if m[1] != fmt.Sprintf("%04X", checksum(body)) || m[2] != fmt.Sprintf("%03X", len(body)) {
		return Frame{}, fmt.Errorf("%q: CRC or length is wrong", raw)
	}
	f := Frame{Raw: raw, ID: m[5], Encrypted: m[4] == "*", Receiver: m[7], Line: m[8], Account: m[9]}
	f.Seq, _ = strconv.Atoi(m[6]) // four digits
	content := m[10]
	if f.Encrypted {
		plain, err := decrypt(content, key)
		if err != nil {
			return f, err
		}
		var bar bool
		if f.Pad, content, bar = strings.Cut(plain, "|"); !bar || len(f.Pad) < 1 || len(f.Pad) > 16 || strings.ContainsAny(f.Pad, "[]") {
			return f, errKey
		}
	}
	t := regexp.MustCompile(tail).FindStringSubmatch(content)
	if t == nil {
		return f, errKey
	}
	f.Data = t[1]
	if t[2] != "" {
		clock, date, _ := strings.Cut(t[2], ",")
		at, err := time.Parse("01-02-2006 15:04:05", date+" "+clock)
		if err != nil {
			return f, err
		}
		f.Time = at
	}
	if f.Encrypted && f.Time.IsZero() {
		return f, errors.New("an encrypted frame without a time")
	}
	return f, nil
}

var errKey = errors.New("the key does not open the frame, or what is in it is no data")

// checksum is CRC-16 with polynomial 8005 reflected, from 0: bit by bit, as the standard's annex has it.
func checksum(s string) uint16 {
	var sum uint16
	for i := range len(s) {
		sum ^= uint16(s[i])
		for range 8 {
			if carry := sum & 1; carry == 1 {
				sum = sum>>1 ^ 0xA001
			} else {
				sum >>= 1
			}
		}
	}
	return sum
}

func decrypt(text string, key []byte) (string, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", errKey
	}
	b, err := hex.DecodeString(text)
	if err != nil || strings.ToUpper(text) != text || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return "", errKey
	}
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(b, b)
	return string(b), nil
}

// answer writes ACK or DUH to a frame, encrypted if there is a key.
func answer(id string, f Frame, key []byte, now time.Time, chance io.Reader) (string, error) {
	address := fmt.Sprintf("%04d", f.Seq)
	if f.Receiver != "" {
		address += "R" + f.Receiver
	}
	address += "L" + f.Line + "#" + f.Account
	if len(key) == 0 {
		return wrap(`"` + id + `"` + address + "[]"), nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	text := "|]" + now.UTC().Format("_15:04:05,01-02-2006")
	plain := make([]byte, aes.BlockSize-len(text)%aes.BlockSize)
	if _, err := io.ReadFull(chance, plain); err != nil {
		return "", err
	}
	for i := range plain {
		plain[i] = 'a' + plain[i]%26
	}
	plain = append(plain, text...)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(plain, plain)
	return wrap(`"*` + id + `"` + address + "[" + strings.ToUpper(hex.EncodeToString(plain))), nil
}

// refuseTime writes the NAK with the receiver's clock.
func refuseTime(now time.Time) string {
	return wrap(`"NAK"0000R0L0A0[]` + now.UTC().Format("_15:04:05,01-02-2006"))
}

func wrap(body string) string {
	return fmt.Sprintf("\n%04X0%03X%s\r", checksum(body), len(body), body)
}

package e2e

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// raw is every byte of a vector on the wire.
func (v vector) raw(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.RawHex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// letters makes a letter of each byte, so that a regular expression can hold a CRC of two bytes.
func letters(b string) string {
	all := make([]rune, len(b))
	for i := range len(b) {
		all[i] = rune(b[i])
	}
	return string(all)
}

// answered is what a station says to a vector whose account is in vectorAccounts, as a regular expression; "" is silence.
func (v vector) answered() string {
	ack := v.ack()
	switch {
	case v.Class == "unknown_key":
		return regexp.QuoteMeta(v.answer("DUH")) // nobody has the account
	case v.Class == "answer" || v.Class == "reject":
		return ""
	case v.Class == "binary_crc":
		sum := crc(strings.TrimSuffix(ack[9:], "\r"))
		return regexp.QuoteMeta(letters("\n" + string([]byte{byte(sum >> 8), byte(sum)}) + ack[5:]))
	case v.Expect.Encrypted && (v.Name == "aes192-cid" || v.Name == "aes256-sia"): // of the account whose key has 128 bits here
		return regexp.QuoteMeta(v.answer("DUH"))
	case v.Expect.Encrypted: // long ago
		return `\n[0-9A-F]{4}0025"NAK"0000R0L0A0\[\]_\d\d:\d\d:\d\d,\d\d-\d\d-\d{4}\r`
	}
	return regexp.QuoteMeta(ack)
}

// vectorAccounts are the accounts of the vectors as configuration, but for those whose key nobody knows.
func vectorAccounts(all []vector) string {
	special := map[string]string{
		"ABC123": ", key_hex: 000102030405060708090A0B0C0D0E0F", "1111": ", key_ascii: AAAAAAAAAAAAAAAA", "9999": ", crc_over_cr: true",
	}
	known, yaml := []string{standardAccount}, ""
	for _, x := range all {
		account := x.Expect.Account
		if !slices.Contains([]string{"frame", "binary_crc", "crc_over_cr"}, x.Class) || slices.Contains(known, account) {
			continue
		}
		known = append(known, account)
		yaml += fmt.Sprintf("  - {id: %q%s}\n", account, special[account])
	}
	return yaml
}

// TestE2EPanelVectors sends all frames of the public vectors to the shipped station, as one stream over TCP: in one segment, byte
// by byte, and cut by chance; and over UDP: one a datagram, and several. Each has its answer and no other, in order, and each of
// their events is at the centre once, however often the frames come.
func TestE2EPanelVectors(t *testing.T) {
	all := vectors(t)
	c := newCentre(t)
	p := caoping(c)
	p.accounts = vectorAccounts(all)
	v := p.build(t)
	v.start()
	const end = `"NULL"9990L0#1409[]`
	var stream []byte
	answers, want := "^", []string(nil)
	for _, x := range all {
		stream = append(stream, x.raw(t)...)
		answers += x.answered()
		if x.answered() != "" && !x.Expect.Encrypted {
			for _, e := range x.Expect.Events {
				want = append(want, x.Expect.Account+" "+*e.Code)
			}
		}
	}
	stream = fmt.Appendf(stream, "\n%04X0%03X%s\r", crc(end), len(end), end)
	answers += `\n[0-9A-F]{4}0012"ACK"9990L0#1409\[\]\r$`
	right := regexp.MustCompile(answers)
	random := seeded(t)
	for name, next := range map[string]func() int{
		"in one segment":     func() int { return len(stream) },
		"byte by byte":       func() int { return 1 },
		"cut by chance":      func() int { return 1 + random.IntN(40) },
		"cut by more chance": func() int { return 1 + random.IntN(400) },
	} {
		if got := v.converse(t, stream, next, random); !right.MatchString(letters(got)) {
			t.Errorf("%s: answered\n%q\nwant\n%q", name, got, answers)
		}
	}
	conn, err := net.Dial("udp", v.udp())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for i, x := range all {
		two := append(x.raw(t), all[(i+1)%len(all)].raw(t)...) // the second may be a repeat, and is answered all the same
		for _, datagram := range [][]byte{x.raw(t), two} {
			pattern := x.answered()
			count := min(1, len(pattern))
			if len(datagram) > len(x.raw(t)) {
				second := all[(i+1)%len(all)].answered()
				count += min(1, len(second))
				pattern = fmt.Sprintf("(%s%s|%s%s)", pattern, second, second, pattern) // two accounts are answered in any order
			}
			if got := ask(t, conn, datagram, count); !regexp.MustCompile("^" + pattern + "$").MatchString(letters(got)) {
				t.Errorf("%s over UDP: answered %q, want %q", x.Name, got, pattern)
			}
		}
	}
	v.drained()
	var got []string
	for _, e := range c.stored(v.id) {
		if e.Kind == event.KindPanelEvent {
			account, _ := e.Body.Text(event.TagAccount)
			code, _ := e.Body.Text(event.TagCode)
			got = append(got, account+" "+code)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events\n%v\nwant\n%v", got, want)
	}
	checkOnce(t, c.stored(v.id))
}

// converse sends a stream in pieces over a connection of its own, and answers all that comes back until the end mark's ACK.
func (v *village) converse(t *testing.T, stream []byte, next func() int, random *rand.Rand) string {
	t.Helper()
	conn, err := net.Dial("tcp", v.panels)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	for len(stream) > 0 {
		n := min(next(), len(stream))
		if _, err := conn.Write(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
		if random.IntN(8) == 0 {
			briefly(random, 2*time.Millisecond)
		}
	}
	var got bytes.Buffer
	chunk := make([]byte, 1<<12)
	for !bytes.Contains(got.Bytes(), []byte(`"ACK"9990L0#1409[]`+"\r")) {
		n, err := conn.Read(chunk)
		got.Write(chunk[:n])
		if err != nil {
			return got.String() + err.Error()
		}
	}
	return got.String()
}

// ask sends a datagram and answers what comes back: count datagrams, or with none what comes within a moment.
func ask(t *testing.T, conn net.Conn, datagram []byte, count int) string {
	t.Helper()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
	wait := patience
	if count == 0 {
		count, wait = 1, 50*time.Millisecond
	}
	var got strings.Builder
	buf := make([]byte, 1<<12)
	for range count {
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		got.Write(buf[:n])
	}
	return got.String()
}

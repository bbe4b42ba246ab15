package e2e

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// vector is one DC-09 frame from a public source.
type vector struct {
	Name   string `json:"name"`
	Class  string `json:"class"`
	RawHex string `json:"raw_hex"`
	Expect struct {
		ID, Seq, Account string
		Encrypted        bool
		Receiver, Line   *string
		Events           []struct{ Code, Zone, Partition, Text *string }
	} `json:"expect"`
}

func vectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "drivers", "dc09", "testdata", "dc09.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(b, &file); err != nil || len(file.Vectors) == 0 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	return file.Vectors
}

// crc is CRC-16/ARC, written here once more so that a wrong one is not wrong on both sides.
func crc(s string) (c uint16) {
	for _, b := range []byte(s) {
		c ^= uint16(b)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ 0xA001
			} else {
				c >>= 1
			}
		}
	}
	return c
}

// ack is the answer that a plain frame deserves, byte for byte.
func (v vector) ack() string { return v.answer("ACK") }

// answer is a plain answer to a frame, byte for byte.
func (v vector) answer(token string) string {
	part := func(letter string, value *string) string {
		if value == nil {
			return ""
		}
		return letter + *value
	}
	body := `"` + token + `"` + v.Expect.Seq + part("R", v.Expect.Receiver) + part("L", v.Expect.Line) + "#" + v.Expect.Account + "[]"
	return fmt.Sprintf("\n%04X0%03X%s\r", crc(body), len(body), body)
}

// TestE2EPanelFrames sends frames that real panels sent, over a plain TCP socket: right answers, right events.
func TestE2EPanelFrames(t *testing.T) {
	all := vectors(t)
	c := newCentre(t)
	p := caoping(c)
	known := []string{"1409"}
	for _, x := range all {
		if x.plain() && !slices.Contains(known, x.Expect.Account) {
			known = append(known, x.Expect.Account)
			p.accounts += fmt.Sprintf("  - {id: %q}\n", x.Expect.Account)
		}
	}
	v := p.build(t)
	v.start()
	var want []string
	for _, x := range all {
		if !x.plain() {
			continue
		}
		raw, err := hex.DecodeString(x.RawHex)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.send(raw); got != x.ack() {
			t.Errorf("%s: answered %q, want %q", x.Name, got, x.ack())
		}
		for _, e := range x.Expect.Events {
			want = append(want, x.Expect.Account+" "+*e.Code)
		}
	}
	for _, x := range all { // what must not be accepted gets no answer, and hurts nobody else
		if x.Class == "reject" || x.Class == "crc_over_cr" {
			raw, _ := hex.DecodeString(x.RawHex)
			if got := v.send(append(raw, []byte(supervision)...)); !strings.Contains(got, `"ACK"0000L0#1409`) {
				t.Errorf("%s: answered %q", x.Name, got)
			}
		}
	}
	var got []string
	eventually(t, "all panel events at the centre", func() error {
		got = got[:0]
		for _, e := range c.stored(v.id) {
			if e.Kind == event.KindPanelEvent {
				account, _ := e.Body.Text(event.TagAccount)
				code, _ := e.Body.Text(event.TagCode)
				got = append(got, account+" "+code)
			}
		}
		if len(got) < len(want) {
			return fmt.Errorf("%d of %d", len(got), len(want))
		}
		return nil
	})
	slices.Sort(got) // lanes go at their own pace; each lane's order is checked below
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events\n%v\nwant\n%v", got, want)
	}
	checkOnce(t, c.stored(v.id))
}

func (v vector) plain() bool { return v.Class == "frame" && !v.Expect.Encrypted }

// supervision is the plain NULL of account 1409 (home-assistant/core#180511).
const supervision = "\nEA740027\"NULL\"0000L0#1409[]_20:38:07,08-27-2026\r"

// send opens a connection, sends bytes and answers the first frame that comes back.
func (v *village) send(raw []byte) string {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.panels)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(raw); err != nil {
		v.t.Fatal(err)
	}
	answer, err := bufio.NewReader(io.LimitReader(conn, 1<<13)).ReadString('\r')
	if err != nil {
		return answer + err.Error()
	}
	return answer
}

// TestE2EPanelsOfEveryKind: the simulated panel, which has a codec of its own, over TCP and UDP, plain and with AES keys of
// each length, in both formats.
func TestE2EPanelsOfEveryKind(t *testing.T) {
	const count = 20
	c := newCentre(t)
	p := caoping(c)
	keys := map[string]string{
		"A128": strings.Repeat("0F", 16), "A192": strings.Repeat("1E", 24), "A256": strings.Repeat("2D", 32), "B000": "",
	}
	for account, key := range keys {
		entry := fmt.Sprintf("  - {id: %q", account)
		if key != "" {
			entry += ", key_hex: " + key
		}
		p.accounts += entry + "}\n"
	}
	v := p.build(t)
	v.start()
	udp := regexp.MustCompile(`network=udp address=(\S+)`).FindStringSubmatch(v.agent.stderr())
	total := 0
	for account, key := range keys {
		for format, to := range map[string]string{"sia": "tcp://" + v.panels, "cid": "udp://" + udp[1]} {
			args := []string{"panel", "--to", to, "--account", account, "--format", format, "--count", fmt.Sprint(count), "--log", filepath.Join(v.dir, account+format)}
			if key != "" {
				args = append(args, "--key-hex", key)
			}
			must(t, "simctl", args...)
			total += count
		}
	}
	eventually(t, fmt.Sprintf("%d events at the centre", total), func() error {
		n := 0
		for _, e := range c.stored(v.id) {
			if e.Kind == event.KindPanelEvent {
				n++
			}
		}
		if n != total {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	checkOnce(t, c.stored(v.id))
}

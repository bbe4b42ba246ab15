package arc

import (
	"bufio"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Frames of public sources, and of the project's vectors.
const (
	fire    = "\nCE110032\"SIA-DCS\"9876R579BDFL789ABC#12345A[#12345A|NFA129]\r"
	pyronix = "\nEA740027\"NULL\"0000L0#1409[]_20:38:07,08-27-2026\r"
	aes128  = "\nC29C007A\"*SIA-DCS\"0042R1L0#ABC123[B0776F3D94D56935764CB3E903DBB76823B97A3491F45E256A669CCAD3C587BAD1C5FAF1E7C699F0599D59F98C53D5A1\r"
)

func key(t testing.TB) []byte {
	b, err := hex.DecodeString("000102030405060708090A0B0C0D0E0F")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChecksum(t *testing.T) {
	if got := checksum("123456789"); got != 0xBB3D {
		t.Errorf("%04X, want BB3D", got)
	}
}

func TestRead(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC)
	for raw, want := range map[string]Frame{
		fire:    {ID: "SIA-DCS", Seq: 9876, Receiver: "579BDF", Line: "789ABC", Account: "12345A", Data: "#12345A|NFA129"},
		pyronix: {ID: "NULL", Line: "0", Account: "1409", Time: time.Date(2026, 8, 27, 20, 38, 7, 0, time.UTC)},
		aes128:  {ID: "SIA-DCS", Encrypted: true, Seq: 42, Receiver: "1", Line: "0", Account: "ABC123", Pad: "Qx7!zKQx", Data: "#ABC123|Nri1/BA012", Time: at},
	} {
		want.Raw = raw
		if got, err := read(raw, key(t)); err != nil || got != want {
			t.Errorf("%q: %v\n%+v\n%+v", raw, err, got, want)
		}
	}
	for _, raw := range []string{"", "\r", fire[1:], strings.Replace(fire, "CE11", "CE12", 1), strings.Replace(fire, "0032", "0033", 1), strings.ToLower(fire)} {
		if f, err := read(raw, nil); err == nil {
			t.Errorf("%q was read as %+v", raw, f)
		}
	}
	if _, err := read(aes128, []byte("another key 1234")); err == nil {
		t.Error("another key opens the frame")
	}
}

// dial opens a centre and a connection to it.
func dial(t *testing.T, o Options) (*Centre, net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := Open("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	conn, err := net.Dial("tcp", c.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, conn, bufio.NewReader(conn)
}

// TestAnswers asks over a real socket, whole and byte by byte, and keeps each report once.
func TestAnswers(t *testing.T) {
	c, conn, r := dial(t, Options{Account: "12345A"})
	for n, parts := range [][]string{{fire}, strings.Split(fire, ""), {fire + fire}} {
		for _, p := range parts {
			if _, err := io.WriteString(conn, p); err != nil {
				t.Fatal(err)
			}
		}
		for range max(1, len(parts[0])/len(fire)) {
			if got, err := r.ReadString('\r'); err != nil || got != wrap(`"ACK"9876R579BDFL789ABC#12345A[]`) {
				t.Fatalf("%d: %q, %v", n, got, err)
			}
		}
	}
	if kept := c.Kept(); len(kept) != 1 || len(c.Frames()) != 4 || len(c.Bad()) != 0 || c.Links() != 1 {
		t.Errorf("kept %+v of %d", kept, len(c.Frames()))
	}
	if _, err := io.WriteString(conn, pyronix); err != nil {
		t.Fatal(err)
	}
	if got, err := r.ReadString('\r'); err != nil || got != wrap(`"DUH"0000L0#1409[]`) {
		t.Errorf("a stranger: %q, %v", got, err)
	}
}

// TestWindow: a frame out of the window gets the clock, one within it an encrypted ACK.
func TestWindow(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 9, 20, 0, time.UTC)
	var right atomic.Bool
	_, conn, r := dial(t, Options{Account: "ABC123", Key: key(t), Now: func() time.Time {
		if right.Load() {
			return at
		}
		return at.Add(time.Hour)
	}})
	ask := func() string {
		t.Helper()
		if _, err := io.WriteString(conn, aes128); err != nil {
			t.Fatal(err)
		}
		got, err := r.ReadString('\r')
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := ask(); got != wrap(`"NAK"0000R0L0A0[]_09:09:20,11-22-2026`) {
		t.Errorf("NAK %q", got)
	}
	right.Store(true)
	if got := ask(); !strings.Contains(got, `"*ACK"0042R1L0#ABC123[`) || len(got) != len("\n54140056\"*ACK\"0042R1L0#ABC123[")+64+1 {
		t.Errorf("ACK %q", got)
	}
}

func TestHangUp(t *testing.T) {
	c, conn, r := dial(t, Options{Account: "12345A", Plan: func(int, Frame) Deed { return HangUp }})
	if _, err := io.WriteString(conn, fire); err != nil {
		t.Fatal(err)
	}
	if got, err := r.ReadString('\r'); err == nil {
		t.Errorf("%q", got)
	}
	if len(c.Kept()) != 1 {
		t.Error("not kept")
	}
}

package board

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/sim/board/wire"
)

// memory is a chip of 256 bytes behind a pointer.
type memory struct {
	pointer byte
	cells   [256]byte
}

func (m *memory) Write(b []byte) {
	m.pointer = b[0]
	for _, v := range b[1:] {
		m.cells[m.pointer] = v
		m.pointer++
	}
}

func (m *memory) Read(b []byte) {
	for i := range b {
		b[i] = m.cells[m.pointer]
		m.pointer++
	}
}

func (m *memory) PowerOn() { *m = memory{} }

// withBuses is a box with a bus of one memory chip at 0x50, and an empty 1-wire bus.
func withBuses(t testing.TB) (*Board, *wire.I2C, *wire.OneWire) {
	t.Helper()
	b := mustNew(t, "door")
	chips, keys := wire.NewI2C(), wire.NewOneWire()
	must(t, chips.Put(0x50, &memory{}))
	must(t, b.CarryI2C("chips", chips))
	must(t, b.CarryOneWire("keys", keys))
	return b, chips, keys
}

func TestTransactions(t *testing.T) {
	b, chips, keys := withBuses(t)
	w := connect(t, serve(t, b))
	ask := func(request, want string) {
		t.Helper()
		w.say(request)
		w.want(want)
	}
	ask("i2c chips 50 0 10beef", "ok i2c chips -")
	ask("i2c chips 50 3 10", "ok i2c chips beef00")
	ask("i2c chips 50 1 -", "ok i2c chips 00")
	ask("i2c chips 51 1 10", "err i2c chips noanswer i2c 0x51: no answer")
	chips.Stick(true)
	ask("i2c chips 50 1 10", "err i2c chips stuck i2c 0x50: the bus is stuck")
	chips.Stick(false)

	ask("w1search keys", "ok w1search keys -")
	ask("w1 keys 0 1 cc44", "err w1 keys noanswer 1-wire: no answer")
	code := wire.Code(0x01, 0x123456)
	keys.Put(code, silent{})
	ask("w1search keys", fmt.Sprintf("ok w1search keys %016x", code))
	ask("w1 keys 1 8 33", "ok w1 keys 01563412000000"+fmt.Sprintf("%02x", code>>56))
	keys.Short(true)
	ask("w1search keys", "err w1search keys stuck 1-wire: the bus is stuck")
	ask("w1 keys 0 1 33", "err w1 keys stuck 1-wire: the bus is stuck")
	keys.Short(false)
	for i := range uint64(maxCodes) {
		keys.Put(wire.Code(0x28, i), silent{})
	}
	ask("w1search keys", "err w1search keys refused 13 devices, a line holds 12")
	must(t, keys.Touch(code, false))
	w.say("w1search keys")
	if got := w.hear(); strings.Count(got, ",") != 11 || len(got) >= maxText {
		t.Errorf("a full search is answered with %q", got)
	}
}

// silent is a device that knows no command.
type silent struct{}

func (silent) Talk(_, _ []byte, _ bool) {}
func (silent) PowerOn()                 {}

func TestRefusedTransactions(t *testing.T) {
	b, _, _ := withBuses(t)
	w := connect(t, serve(t, b))
	for request, want := range map[string]string{
		"i2c attic 50 1 00":  "err i2c attic refused this box has no such bus for i2c",
		"i2c keys 50 1 00":   "err i2c keys refused this box has no such bus for i2c",
		"w1 chips 0 1 33":    "err w1 chips refused this box has no such bus for w1",
		"w1search chips":     "err w1search chips refused this box has no such bus for w1search",
		"i2c":                "err i2c - refused 4 arguments are needed",
		"i2c chips 50 1":     "err i2c chips refused 4 arguments are needed",
		"i2c chips 5 1 00":   "err i2c chips refused the address is 00 to 7f",
		"i2c chips 80 1 00":  "err i2c chips refused the address is 00 to 7f",
		"i2c chips 50 97 00": "err i2c chips refused bytes to read: 0 to 96",
		"i2c chips 50 x 00":  "err i2c chips refused bytes to read: 0 to 96",
		"i2c chips 50 1 0":   "err i2c chips refused bytes to write: at most 96, in hexadecimal, or -",
		"i2c chips 50 1 ":    "err i2c chips refused bytes to write: at most 96, in hexadecimal, or -",
		"i2c chips 50 1 " + strings.Repeat("00", 97): "err i2c chips refused bytes to write: at most 96, in hexadecimal, or -",
		"w1 keys 2 1 33":    "err w1 keys refused strong is 0 or 1",
		"w1 keys 0 200 33":  "err w1 keys refused bytes to read: 0 to 96",
		"w1search keys all": "err w1search keys refused 1 arguments are needed",
		"w1search " + strings.Repeat("x", maxName) + "y": "err w1search - refused this box has no such bus for w1search",
	} {
		w.say(request)
		if got := w.hear(); got != want {
			t.Errorf("%q: heard %q, want %q", request, got, want)
		}
	}
	for name, err := range map[string]error{
		"a bad name": b.CarryI2C("Chips", wire.NewI2C()), "a used name": b.CarryOneWire("chips", wire.NewOneWire()),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// A mute box does not answer for its chips either.
func TestMuteBoxCarriesNothing(t *testing.T) {
	b, _, _ := withBuses(t)
	w := connect(t, serve(t, b))
	b.Mute(true)
	w.say("i2c chips 50 1 10")
	must(t, w.conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if text, err := w.r.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a mute box said %q, %v", text, err)
	}
	b.Mute(false)
	must(t, w.conn.SetReadDeadline(time.Now().Add(patience)))
	w.say("i2c chips 50 1 10")
	w.want("ok i2c chips 00")
}

// lame is a bus with an error of its own.
type lame struct{ err error }

func (l lame) Tx(uint16, []byte, []byte) error { return l.err }

func TestFaultWords(t *testing.T) {
	for want, err := range map[string]error{
		"noanswer": fmt.Errorf("x: %w", wire.NoAnswer), "stuck": wire.Stuck, "timeout": wire.Timeout, "refused": errors.New("on fire"),
	} {
		b := mustNew(t)
		must(t, b.CarryI2C("chips", lame{err}))
		got, _ := b.transact(t.Context(), "i2c chips 50 1 -")
		if want := fmt.Sprintf("err i2c chips %s %v", want, err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What goes over the wire is what the bus carried, whatever the bytes.
func TestTransactionProperty(t *testing.T) {
	b, _, _ := withBuses(t)
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, maxData-1).Draw(t, "data")
		at := rapid.Byte().Draw(t, "at")
		request := "i2c chips 50 0 " + hex.EncodeToString(append([]byte{at}, data...))
		if got, _ := b.transact(context.Background(), request); got != "ok i2c chips -" {
			t.Fatal(got)
		}
		got, _ := b.transact(context.Background(), fmt.Sprintf("i2c chips 50 %d %02x", len(data), at))
		if want := "ok i2c chips " + hex.EncodeToString(data); got != want || len(got) >= maxText {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func FuzzTransact(f *testing.F) {
	for _, seed := range []string{"i2c chips 50 1 00", "w1 keys 0 9 ccbe", "w1search keys", "i2c  50 1 -", "w1 keys 1 96 \xff", "ping"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, _, keys := withBuses(t)
		keys.Put(wire.Code(1, 1), silent{})
		got, asked := b.transact(t.Context(), strings.ReplaceAll(text, "\n", ""))
		if asked && (got == "" || len(got) >= maxText || strings.Contains(got, "\n")) {
			t.Errorf("%q is answered with %q", text, got)
		}
	})
}

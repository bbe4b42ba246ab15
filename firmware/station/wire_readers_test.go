package station

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/sim/board/modbus"
	"watchpost/sim/board/osdp"
	"watchpost/storage/event"
)

// gateKey is the base key of the reader at the gate.
const gateKey = "000102030405060708090a0b0c0d0e0f"

func gateKeyBytes() []byte { return []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} }

// startGate is a station with a reader of cards on an RS-485 line.
func startGate(t *testing.T, reader *osdp.Reader) *guardedStation {
	t.Helper()
	line, err := modbus.OpenLine()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return osdp.Serve(ctx, line, reader) })
	t.Cleanup(func() {
		cancel()
		must(t, group.Wait())
		must(t, line.Close())
	})
	dir := t.TempDir()
	more := "buses: [{id: doors, kind: serial, device: " + line.Path + ", baud: 115200}]\n"
	return startGuarded(t, dir, boxIn(t, dir), more, func(o *Options, _ *guardedStation) {
		o.Config.Partitions[0].Exit = 300 * time.Millisecond
		o.Config.Users[0].Cards = []config.Card{"26:0123ab40"}
		o.Config.Readers = []config.Reader{{ID: "gate", OSDP: config.OSDP{Bus: "doors", Address: 1, KeyHex: gateKey}, Partition: "house", Mode: "night"}}
	})
}

// gate waits until the door says that the reader at the gate is so.
func (x *guardedStation) gate(state string) {
	x.t.Helper()
	x.await("the reader is "+state, func() bool {
		var list status.IO
		if _, answer := x.ask("GET", status.PathIO, ""); json.Unmarshal([]byte(answer), &list) != nil {
			return false
		}
		for _, g := range list.Groups {
			for _, point := range g.Points {
				if point.ID == "gate" && point.State == state {
					return true
				}
			}
		}
		return false
	})
}

// shows waits until the reader shows a colour, green or red.
func (x *guardedStation) shows(r *osdp.Reader, colour byte) {
	x.t.Helper()
	x.await("the reader shows it", func() bool { c, _ := r.Shown(); return c == colour })
}

const (
	red   = 1
	green = 2
)

// A card or a code at a reader on RS-485 arms and disarms, the reader shows what became of it, and its tamper switch is an alarm.
func TestAReaderOnRS485(t *testing.T) {
	reader := osdp.NewReader(osdp.Options{Address: 1, Key: gateKeyBytes()})
	x := startGate(t, reader)
	x.gate("normal")
	reader.Present(26, []byte{0x01, 0x23, 0xab, 0x40})
	x.awaitState("armed_night")
	x.shows(reader, green)
	armed := all(t, x.events, event.KindPartitionChanged)[0]
	if text(armed, event.TagWho) != "li" || text(armed, event.TagReason) != "card" {
		t.Errorf("told %+v", armed)
	}
	reader.Present(26, []byte{0x01, 0x23, 0xab, 0x80})
	x.shows(reader, red)
	if s := x.state(); s != "armed_night" {
		t.Errorf("a stranger's card: %s", s)
	}
	reader.Type("1234#")
	x.awaitState("disarmed")
	x.shows(reader, green)
	reader.Unscrew(true, false)
	x.gate("active")
	awaitEither(t, x.events, func(e event.Event) bool {
		return e.Kind == event.KindZoneChanged && e.Zone == "gate" && text(e, event.TagState) == "active" && e.Severity == event.SeverityAlarm
	})
}

// Wrong codes at a reader lock the readers for a while, and the keypad inside goes on.
func TestWrongCodesAtAReader(t *testing.T) {
	reader := osdp.NewReader(osdp.Options{Address: 1, Key: gateKeyBytes()})
	x := startGate(t, reader)
	x.gate("normal")
	for range keypadTries {
		reader.Type("9999#")
	}
	locked := func() bool {
		list := all(t, x.events, event.KindArmingRefused)
		return len(list) == keypadTries && text(list[keypadTries-1], event.TagReason) == "locked"
	}
	x.await("it is locked", locked)
	reader.Type("1234#")
	x.shows(reader, red)
	if s := x.state(); s != "disarmed" || !locked() {
		t.Errorf("it is %s, and told %+v", s, all(t, x.events, event.KindArmingRefused))
	}
	x.wish(status.PathArm, `{"partition": "house", "mode": "away", "code": "1234"}`)
}

// Who puts a reader of his own in a reader's place arms and disarms nothing, and is told.
func TestAReaderThatIsNone(t *testing.T) {
	reader := osdp.NewReader(osdp.Options{Address: 1, Mood: osdp.Plain})
	x := startGate(t, reader)
	reader.Present(26, []byte{0x01, 0x23, 0xab, 0x40})
	x.gate("fault")
	awaitEither(t, x.events, func(e event.Event) bool {
		return e.Kind == event.KindZoneChanged && e.Zone == "gate" && text(e, event.TagState) == "fault" && text(e, event.TagReason) == "plain" && e.Severity >= event.SeverityWarning
	})
	if s := x.state(); s != "disarmed" {
		t.Errorf("it is %s", s)
	}
}

// A reader from the factory is given its key when an engineer wishes it, and by nobody else.
func TestAReaderIsGivenItsKey(t *testing.T) {
	reader := osdp.NewReader(osdp.Options{Address: 1})
	x := startGate(t, reader)
	x.gate("fault")
	for body, want := range map[string]int{
		`{"reader": "gate", "code": "9999"}`: http.StatusForbidden,
		`{"reader": "gate", "code": "5678"}`: http.StatusConflict,
		`{"reader": "hall", "code": "1234"}`: http.StatusBadRequest,
		`{"reader": "gate"}`:                 http.StatusBadRequest,
		`{`:                                  http.StatusBadRequest,
	} {
		if code, answer := x.ask("POST", status.PathReaderKey, body); code != want {
			t.Errorf("%s: %d %s, want %d", body, code, answer, want)
		}
	}
	if reader.Key() != nil {
		t.Fatal("it was given a key")
	}
	x.await("two refusals", func() bool { return len(all(t, x.events, event.KindArmingRefused)) == 2 })
	x.wish(status.PathReaderKey, `{"reader": "gate", "code": "1234"}`)
	if !bytes.Equal(reader.Key(), gateKeyBytes()) {
		t.Errorf("its key is %x", reader.Key())
	}
	x.gate("normal")
	awaitEither(t, x.events, func(e event.Event) bool {
		return e.Kind == event.KindMaintenance && text(e, event.TagState) == actionKey && text(e, event.TagZone) == "gate" && text(e, event.TagWho) == "li"
	})
	if code, answer := x.ask("POST", status.PathReaderKey, `{"reader": "gate", "code": "1234"}`); code != http.StatusConflict {
		t.Errorf("a second time: %d %s", code, answer)
	}
	if code, answer := x.ask("POST", status.PathReaderKey, `{"reader": "gate", "code": "4321"}`); code != http.StatusConflict {
		t.Errorf("under duress it is another answer: %d %s", code, answer)
	}
	awaitEither(t, x.events, func(e event.Event) bool { return e.Kind == event.KindDuress && text(e, event.TagWho) == "li" })
	x.gate("normal")
}

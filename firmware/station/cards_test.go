package station

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

// porch is a station with a reader of iButtons, whose keys the test holds in its hands.
type porch struct {
	*guardedStation
	keys *wire.OneWire
}

// The cards of the users, and one that nobody has.
const (
	cardLi       = 0xfb3a2c1
	cardWu       = 0xfb3a2c2
	cardLi2      = 0xfb3a2c3
	cardLi3      = 0xfb3a2c4
	cardStranger = 0xbad
)

func startPorch(t *testing.T) *porch {
	t.Helper()
	dir := t.TempDir()
	box, keys := boxIn(t, dir), wire.NewOneWire()
	must(t, box.CarryOneWire("wire", keys))
	rom := func(serial uint64) config.Card {
		return config.Card(config.ROM(wire.Code(chip.FamilyDS1990A, serial)).String())
	}
	x := startGuarded(t, dir, box, "buses: [{id: wire, kind: onewire, backend: linesock, board: main}]\n", func(o *Options, _ *guardedStation) {
		o.Config.Partitions[0].Exit = 300 * time.Millisecond
		o.Config.Users[0].Cards, o.Config.Users[1].Cards = []config.Card{rom(cardLi), rom(cardLi2), rom(cardLi3)}, []config.Card{rom(cardWu)}
		o.Config.Readers = []config.Reader{{ID: "porch", Bus: "wire", Partition: "house", Mode: "away"}}
	})
	p := &porch{x, keys}
	p.reader("up")
	return p
}

// reader waits until the door says that the reader is so.
func (p *porch) reader(state string) {
	p.t.Helper()
	p.await("the reader is "+state, func() bool {
		var list status.IO
		if _, answer := p.ask("GET", status.PathIO, ""); json.Unmarshal([]byte(answer), &list) != nil {
			return false
		}
		for _, g := range list.Groups {
			for _, point := range g.Points {
				if point.ID == "porch" {
					return point.State == state && g.Driver == "tours (0), card readers (1)"
				}
			}
		}
		return false
	})
}

// hold puts a card on the reader, and gives the hand that takes it away.
func (p *porch) hold(serial uint64) (away func()) {
	code := wire.Code(chip.FamilyDS1990A, serial)
	p.keys.Put(code, chip.DS1990A{})
	return func() { must(p.t.(*testing.T), p.keys.Touch(code, false)) }
}

// refused waits for so many refusals, and gives the last.
func (p *porch) refused(n int) event.Event {
	p.t.Helper()
	var list []event.Event
	p.await("refusals", func() bool { list = all(p.t, p.events, event.KindArmingRefused); return len(list) >= n })
	if len(list) > n {
		p.t.Fatalf("%d refusals, want %d: %+v", len(list), n, list)
	}
	return list[n-1]
}

// A user's card arms with the exit delay, another disarms; who may not, and what is in the way, is told by the machine.
func TestACardArmsAndDisarms(t *testing.T) {
	p := startPorch(t)
	away := p.hold(cardLi)
	p.awaitState("arming")
	p.awaitState("armed_away")
	away()
	armed := all(t, p.events, event.KindPartitionChanged)
	if e := armed[0]; len(armed) != 2 || text(e, event.TagState) != "arming" || text(e, event.TagWho) != "li" || text(e, event.TagReason) != "card" {
		t.Errorf("told %+v", armed)
	}
	away = p.hold(cardWu) // may arm, and no more
	if e := p.refused(1); text(e, event.TagWho) != "wu" || text(e, event.TagAction) != "disarm" || text(e, event.TagReason) != arming.RefusedRight {
		t.Errorf("told %+v", e)
	}
	away()
	if p.state() != "armed_away" {
		t.Errorf("it is %s", p.state())
	}
	away = p.hold(cardLi2)
	p.awaitState("disarmed")
	away()
	p.set("hall", true)
	p.zones("hall active")
	away = p.hold(cardLi3)
	if e := p.refused(2); text(e, event.TagWho) != "li" || text(e, event.TagAction) != "arm" || text(e, event.TagReason) != arming.RefusedNotNormal {
		t.Errorf("told %+v", e)
	}
	away()
	if p.state() != "disarmed" {
		t.Errorf("it is %s", p.state())
	}
}

// A stranger's card is refused, as one fact however long it is held. Many of them are told together, then not for a while; they
// lock nobody out.
func TestAStrangersCard(t *testing.T) {
	p := startPorch(t)
	defer p.hold(cardStranger)() // all the while
	e := p.refused(1)
	if text(e, event.TagWho) != "" || text(e, event.TagReason) != whyCard || text(e, event.TagAction) != "arm" || text(e, event.TagPartition) != "house" || e.Severity != event.SeverityWarning {
		t.Errorf("told %+v", e)
	}
	for i := uint64(1); i < keypadTries; i++ {
		away := p.hold(cardStranger + i)
		e = p.refused(1 + int(i))
		away()
	}
	if n, _ := e.Body.Uint(event.TagCount); n != keypadTries || text(e, event.TagReason) != whyCard {
		t.Errorf("the last of many: %+v", e)
	}
	if p.state() != "disarmed" {
		t.Errorf("it is %s", p.state())
	}
	for i := uint64(0); i < 3; i++ {
		defer p.hold(cardStranger + keypadTries + i)()
	}
	defer p.hold(cardLi)()
	p.awaitState("armed_away")
	p.refused(keypadTries)
	p.wish(status.PathDisarm, `{"partition": "house", "code": "1234"}`) // the keypad is not locked
	if s := p.stderr.String(); strings.Contains(s, "000000000bad") {
		t.Error("the stranger's code is in the agent's log")
	}
}

// A reader that cannot be read is missing, and arms nothing.
func TestAReaderThatIsMissing(t *testing.T) {
	p := startPorch(t)
	p.keys.Short(true)
	p.reader("missing")
	p.hold(cardLi)()
	e := awaitIn(t, p.events, event.LaneMain, func(e event.Event) bool { return e.Kind == event.KindBusChanged })
	if text(e, event.TagBus) != "wire" || text(e, event.TagState) != "missing" || text(e, event.TagReason) != "stuck" {
		t.Errorf("told %+v", e)
	}
	p.keys.Short(false)
	p.reader("up")
	defer p.hold(cardLi2)()
	p.awaitState("armed_away")
	if got := all(t, p.events, event.KindPartitionChanged); len(got) != 2 {
		t.Errorf("told %+v", got)
	}
	p.box.Mute(true) // the whole box is gone
	p.await("the reader is missing", func() bool { return states(p.tours)["porch"] == "missing" })
}

// What a touch wishes, by how the partition stands.
func TestWhatATouchWishes(t *testing.T) {
	by := arming.Actor{User: "li", Via: "card"}
	g := &guard{}
	d := &cardDesk{guard: g}
	for _, tt := range []struct {
		state  arming.State
		mode   arming.Mode
		action string
	}{
		{arming.StateDisarmed, "", "arm"}, {arming.StateAlarmMemory, "", "arm"}, {arming.StateFault, "", "arm"},
		{arming.StateWalkTest, "", "arm"}, {arming.StateMaintenance, "", "arm"}, // which the machine refuses
		{arming.StateArming, arming.Away, "disarm"}, {arming.StateArmedAway, arming.Away, "disarm"}, {arming.StateArmedStay, arming.Stay, "disarm"},
		{arming.StateArmedNight, arming.Night, "disarm"}, {arming.StateEntry, arming.Away, "disarm"},
		{arming.StateAlarm, arming.Away, "disarm"}, {arming.StateAlarm, "", "disarm"}, {arming.StateTamper, "", "disarm"},
	} {
		g.shown.Store(&arming.View{Partitions: []arming.PartitionView{{ID: "barn", State: arming.StateAlarm, Mode: arming.Away}, {ID: "house", State: tt.state, Mode: tt.mode}}})
		wish, action := d.turn(config.Reader{Partition: "house", Mode: "night"}, by)
		want := arming.Input(arming.Disarm{By: by, Partition: "house"})
		if tt.action == "arm" {
			want = arming.Arm{By: by, Partition: "house", Mode: arming.Night}
		}
		if action != tt.action || !reflect.DeepEqual(wish, want) {
			t.Errorf("%s: %s, %+v", tt.state, action, wish)
		}
	}
}

// Strangers are told again after a rest, and each known card ends their row.
func TestStrangersAreCounted(t *testing.T) {
	now := time.Second
	g := &guard{asks: make(chan *ask, 100), log: slog.New(slog.DiscardHandler)}
	d := &cardDesk{guard: g, up: func() time.Duration { return now }}
	count := func(n int) (told []bool) {
		for range n {
			told = append(told, d.strange(config.Reader{Partition: "house"}, "arm"))
		}
		return told
	}
	if got := count(8); !slices.Equal(got, []bool{true, true, true, true, false, false, false, false}) || len(g.asks) != 1 {
		t.Errorf("told by themselves %v, and %d together", got, len(g.asks))
	}
	now += keypadRest - 1
	if got := count(1); got[0] || len(g.asks) != 1 {
		t.Error("told before the rest is over")
	}
	now++
	if got := count(4); !slices.Equal(got, []bool{true, true, true, true}) {
		t.Errorf("after the rest %v", got)
	}
	d.strangers = 0 // as a known card has it
	if got := count(4); !slices.Equal(got, []bool{true, true, true, true}) || len(g.asks) != 1 {
		t.Errorf("after a known card %v", got)
	}
}

// A touch that waits for too long does nothing any more, nor does one too many; readers are read on.
func TestATouchWaitsForNobody(t *testing.T) {
	var said lines
	now := time.Second
	d := &cardDesk{touches: make(chan touch, 1), log: slog.New(slog.NewTextHandler(&said, nil)), up: func() time.Duration { return now }}
	d.touched(touch{reader: "porch", card: "01-000000000001"})
	if said.String() != "" {
		t.Errorf("said %s", &said)
	}
	d.touched(touch{reader: "porch", card: "01-000000000002"})
	now += wishWait + 1
	d.serve(t.Context(), <-d.touches) // there is no guard: it would panic
	if s := said.String(); strings.Count(s, "a touch does nothing") != 2 || strings.Contains(s, "01-0000") {
		t.Errorf("said %s", s)
	}
}

package intake

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/ledger/ledgertest"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func caoping() topic.Address {
	return topic.Address{Jurisdiction: "changshan", Station: "cs-baishi-caoping"}
}

// office is a clerk without a broker: what he sends is read from out.
type office struct {
	*clerk
	t    testing.TB
	book *ledger.Ledger
	out  chan wish
}

func open(t *testing.T) *office {
	t.Helper()
	return hire(t, fresh(t))
}

// fresh is a ledger with one station in its roster.
func fresh(t testing.TB) *ledger.Ledger {
	t.Helper()
	return ledgertest.Open(t, ledger.Station{Address: caoping(), Name: "草坪村"})
}

// hire starts anew on the same ledger, as after a restart or a lost link.
func hire(t testing.TB, book *ledger.Ledger) *office {
	out := make(chan wish, 100)
	in := New(Options{Ledger: book, Log: slog.New(slog.DiscardHandler)})
	return &office{clerk: &clerk{Intake: in, out: out, due: make(map[lane]*due), asked: make(map[lane]asked)}, t: t, book: book, out: out}
}

// take hands messages over in one batch.
func (o *office) take(ms ...message) {
	o.t.Helper()
	if err := o.handle(o.t.Context(), ms); err != nil {
		o.t.Fatal(err)
	}
}

// receipts answers at a time and returns what was sent: lane → upto.
func (o *office) receipts(at time.Time) map[event.Lane]uint64 {
	o.t.Helper()
	if err := o.answer(o.t.Context(), at); err != nil {
		o.t.Fatal(err)
	}
	got := make(map[event.Lane]uint64)
	for _, w := range o.sent() {
		var r topic.Receipt
		if err := json.Unmarshal(w.body, &r); err != nil || w.kind != topic.CommandReceipt || r.Station != w.address.Station || !w.expires.After(at) {
			o.t.Errorf("sent %+v, %v", w, err)
		}
		got[r.Lane] = r.Upto
	}
	return got
}

func (o *office) sent() (ws []wish) {
	for {
		select {
		case w := <-o.out:
			ws = append(ws, w)
		default:
			return ws
		}
	}
}

func (o *office) refusals() map[string]uint64 {
	got := make(map[string]uint64)
	for _, r := range o.Status().Refused {
		got[r.Station+": "+r.Reason] = r.Count
	}
	return got
}

// then is when the messages of these tests come in.
func then() time.Time { return time.Unix(2e9, 0) }

func fact(seq uint64, s event.Severity) event.Event {
	return event.Draft{At: then(), Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Severity: s, Source: "dc09/1409"}.
		Event(caoping().Station, event.Epoch{1}, seq)
}

func framed(t *testing.T, prev uint64, es ...event.Event) message {
	t.Helper()
	b, err := topic.AppendFrame(nil, topic.Frame{Epoch: event.Epoch{1}, Lane: es[0].Lane, Prev: prev, Events: es})
	if err != nil {
		t.Fatal(err)
	}
	return message{topic: caoping().Event(es[0].Lane), payload: b, received: then()}
}

func said(t *testing.T, s topic.State) message {
	t.Helper()
	s.V, s.Station, s.Jurisdiction = topic.Version, caoping().Station, caoping().Jurisdiction
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return message{topic: caoping().State(), payload: b, received: then()}
}

func TestReceiptsComeAfterTheCommitAndInTime(t *testing.T) {
	o := open(t)
	alarm, notice := fact(1, event.SeverityAlarm), fact(2, event.SeverityNotice)
	o.take(framed(t, 0, alarm), framed(t, 0, notice))
	if got := o.receipts(then()); !reflect.DeepEqual(got, map[event.Lane]uint64{event.LaneAlarm: 1}) {
		t.Errorf("at once: %v, want the alarm lane", got)
	}
	if got := o.receipts(then().Add(receiptWithin - time.Millisecond)); len(got) != 0 {
		t.Errorf("before its time: %v", got)
	}
	if got := o.receipts(then().Add(receiptWithin)); !reflect.DeepEqual(got, map[event.Lane]uint64{event.LaneMain: 2}) {
		t.Errorf("after a second: %v, want the main lane", got)
	}
	if got := o.receipts(then().Add(time.Hour)); len(got) != 0 {
		t.Errorf("with nothing new: %v", got)
	}
	prev := uint64(2)
	for n := range uint64(receiptEvery) {
		o.take(framed(t, prev, fact(3+n, event.SeverityNotice)))
		prev = 3 + n
	}
	if got := o.receipts(then()); !reflect.DeepEqual(got, map[event.Lane]uint64{event.LaneMain: prev}) {
		t.Errorf("after %d events: %v", receiptEvery, got)
	}
}

// Killed between COMMIT and receipt: the station sends again, and the answer is the receipt that was lost.
func TestALostReceiptIsSaidAgain(t *testing.T) {
	o := open(t)
	m := framed(t, 0, fact(1, event.SeverityAlarm), fact(2, event.SeverityAlarm))
	o.take(m)
	after := hire(t, o.book)
	after.take(m)
	if got := after.receipts(then()); !reflect.DeepEqual(got, map[event.Lane]uint64{event.LaneAlarm: 2}) {
		t.Errorf("%v", got)
	}
	if _, n, err := o.book.Open(t.Context(), 1); err != nil || n != 2 {
		t.Errorf("%d alarms, %v; want each once", n, err)
	}
}

func TestAGapIsAnsweredAtOnceAndNotStored(t *testing.T) {
	o := open(t)
	o.take(framed(t, 4, fact(5, event.SeverityNotice)))
	if got, want := o.receipts(then()), map[event.Lane]uint64{event.LaneMain: 0}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v: the station must send from the start", got, want)
	}
	o.take(framed(t, 0, fact(4, event.SeverityNotice), fact(5, event.SeverityNotice)))
	if got := o.receipts(then().Add(receiptWithin)); got[event.LaneMain] != 5 {
		t.Errorf("%v", got)
	}
}

func TestOnlineIsAnsweredWithReceiptsAndOpenCommands(t *testing.T) {
	o := open(t)
	o.take(framed(t, 0, fact(1, event.SeverityAlarm)))
	o.receipts(then())
	for id, life := range map[string]time.Duration{"open": time.Minute, "expired": -time.Second} {
		c := ledger.Command{ID: id, Address: caoping(), Kind: topic.CommandViewingClose, Body: json.RawMessage(`{}`), Expires: then().Add(life)}
		if err := o.book.Put(t.Context(), c, then().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	o.take(said(t, topic.State{Online: true, Epoch: event.Epoch{1}, Heads: map[event.Lane]uint64{event.LaneAlarm: 1, event.LaneMain: 7}}))
	if ws := o.sent(); len(ws) != 1 || ws[0].id != "open" || ws[0].kind != topic.CommandViewingClose {
		t.Errorf("sent again: %+v", ws)
	}
	if got, want := o.receipts(then()), (map[event.Lane]uint64{event.LaneAlarm: 1, event.LaneMain: 0}); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// A station that is not there is told nothing.
	o.take(said(t, topic.State{Online: false}))
	if ws := o.sent(); len(ws) != 0 || len(o.receipts(then())) != 0 {
		t.Errorf("sent to nobody: %+v", ws)
	}
	// A new life of its log has no receipts yet.
	o.take(said(t, topic.State{Online: true, Epoch: event.Epoch{2}, Heads: map[event.Lane]uint64{event.LaneMain: 1}}))
	if ws := o.sent(); len(ws) != 1 || ws[0].id != "open" {
		t.Errorf("sent again: %+v", ws)
	}
	if got, want := o.receipts(then()), (map[event.Lane]uint64{event.LaneMain: 0}); !reflect.DeepEqual(got, want) {
		t.Errorf("in a new epoch: %v, want %v", got, want)
	}
}

func TestWhenAStateWasSaid(t *testing.T) {
	old := then().Add(-time.Hour)
	for name, c := range map[string]struct {
		online, retained bool
		at, want         time.Time
	}{
		"live":                   {true, false, old, then()},
		"retained":               {true, true, old, old},
		"retained by a fast one": {true, true, then().Add(time.Hour), then()},
		"will":                   {false, false, old, time.Time{}},
	} {
		if got := spoken(topic.State{Online: c.online, At: c.at}, message{retained: c.retained, received: then()}); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestWhatIsNotBelievedIsCounted(t *testing.T) {
	o := open(t)
	good := framed(t, 0, fact(1, event.SeverityAlarm))
	with := func(change func(*message)) message {
		m := good
		change(&m)
		return m
	}
	clash := framed(t, 0, fact(2, event.SeverityAlarm))
	o.take(framed(t, 0, fact(2, event.SeverityNotice))) // the seq is taken
	o.take(
		with(func(m *message) { m.topic = "wp/v1/changshan/cs-baishi-caoping/event/loud" }),
		with(func(m *message) { m.topic = "elsewhere" }),
		with(func(m *message) { m.topic = strings.Replace(m.topic, "cs-baishi", "stranger", 1) }),
		with(func(m *message) { m.topic = strings.Replace(m.topic, "changshan", "yushan", 1) }),
		with(func(m *message) { m.topic = caoping().Event(event.LaneMain) }),
		with(func(m *message) { m.payload = m.payload[:len(m.payload)-1] }),
		with(func(m *message) { m.topic, m.payload = caoping().State(), []byte(`{"v":1,"station":"other"}`) }),
		with(func(m *message) { m.topic, m.payload = caoping().State(), []byte(`{"v":9}`) }),
		with(func(m *message) { m.topic, m.payload = caoping().State(), nil }), // taken back: nothing to say
		with(func(m *message) {
			m.topic, m.payload = caoping().Reply("a"), []byte(`{"v":1,"id":"b","station":"cs-baishi-caoping"}`)
		}),
		with(func(m *message) { m.topic, m.payload = caoping().Reply("a"), []byte(`no JSON`) }),
		clash,
		good, // and yet what is right gets in
	)
	want := map[string]uint64{
		": topic": 2, "stranger-caoping: not enrolled": 1, "cs-baishi-caoping: wrong jurisdiction": 1, "cs-baishi-caoping: lane": 1,
		"cs-baishi-caoping: frame": 1, "cs-baishi-caoping: state": 2, "cs-baishi-caoping: reply": 2, "cs-baishi-caoping: contradiction": 1,
	}
	if got := o.refusals(); !reflect.DeepEqual(got, want) {
		t.Errorf("refused %v\nwant %v", got, want)
	}
	if got := o.receipts(then()); got[event.LaneAlarm] != 1 {
		t.Errorf("receipts %v", got)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	o := open(t)
	for range 3 * refusalsKept {
		o.refuse(newID(), "not enrolled", errors.New("x"))
	}
	refused := o.Status().Refused
	if len(refused) > refusalsKept+1 {
		t.Errorf("%d kinds of refusals are kept", len(refused))
	}
	var n uint64
	for _, r := range refused {
		n += r.Count
	}
	if n != 3*refusalsKept {
		t.Errorf("%d counted, want %d", n, 3*refusalsKept)
	}
}

// An ask outlives the link: it goes out when the station says online.
func TestAskWaitsForTheReply(t *testing.T) {
	o := open(t)
	answer := make(chan error, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		_, err := o.Ask(t.Context(), caoping(), topic.CommandViewingOpen, topic.ViewingOpen{Viewing: "v"}, time.Minute)
		answer <- err
	})
	var cmd ledger.Command
	poll(t, func() bool {
		cs, err := o.book.Commands(t.Context(), caoping(), time.Now())
		if err != nil || len(cs) == 0 {
			return false
		}
		cmd = cs[0]
		return true
	})
	reply := topic.Reply{V: topic.Version, ID: cmd.ID, Station: caoping().Station, OK: false, Error: &topic.Problem{Kind: "denied", Message: "no rule"}}
	b, err := json.Marshal(reply)
	if err != nil {
		t.Fatal(err)
	}
	m := message{topic: caoping().Reply(cmd.ID), payload: b, received: time.Now()}
	o.take(m, m) // MQTT may repeat it
	var problem *topic.Problem
	if err := <-answer; !errors.As(err, &problem) || problem.Kind != "denied" {
		t.Errorf("%v", err)
	}
}

func TestAskGivesUpAndWithdraws(t *testing.T) {
	o := open(t)
	_, err := o.Ask(t.Context(), caoping(), topic.CommandViewingOpen, topic.ViewingOpen{}, 20*time.Millisecond)
	if !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), caoping().Station) {
		t.Errorf("%v", err)
	}
	if cs, err := o.book.Commands(t.Context(), caoping(), time.Now().Add(-time.Hour)); err != nil || len(cs) != 0 {
		t.Errorf("still open: %+v, %v", cs, err)
	}
}

func TestABrokerThatIsAwayIsTold(t *testing.T) {
	o := open(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := New(Options{Broker: "tls://127.0.0.1:1", Key: key, Ledger: o.book, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := in.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	poll(t, func() bool { return strings.Contains(in.Status().Fault, "127.0.0.1:1") })
	cancel()
	running.Wait()
}

// A clerk who is too slow must not stop the MQTT client: the link is given up and begun anew.
func TestAFullInboxHangsUp(t *testing.T) {
	l := &link{inbox: newInbox(2), lost: make(chan struct{})}
	for range 5 {
		l.take(nil, packet{})
	}
	select {
	case <-l.lost:
	default:
		t.Fatal("the link goes on although a message was lost")
	}
	if err := l.reason(); err == nil || !strings.Contains(err.Error(), "the stations will send them again") {
		t.Errorf("reason: %v", err)
	}
	if len(l.inbox.rest) != 2 {
		t.Errorf("%d messages are waiting", len(l.inbox.rest))
	}
}

func TestAWaitHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := await(t.Context(), never{}, time.Minute); err == nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := await(ctx, never{}, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// packet is a message of no interest.
type packet struct{}

func (packet) Duplicate() bool   { return false }
func (packet) Qos() byte         { return 1 }
func (packet) Retained() bool    { return false }
func (packet) Topic() string     { return "x" }
func (packet) MessageID() uint16 { return 1 }
func (packet) Payload() []byte   { return nil }
func (packet) Ack()              {}

// never is a token that is never done.
type never struct{}

func (never) Wait() bool                     { return false }
func (never) WaitTimeout(time.Duration) bool { return false }
func (never) Done() <-chan struct{}          { return nil }
func (never) Error() error                   { return nil }

// poll waits for a condition.
func poll(t *testing.T, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatal("not within 10 s")
		case <-tick.C:
		}
	}
}

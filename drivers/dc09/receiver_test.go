package dc09

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

// roster has the account of every vector.
func roster(t testing.TB) []Account {
	t.Helper()
	seen, list := map[string]bool{}, []Account{}
	for _, v := range vectors(t) {
		if v.Expect.Account == nil || v.Class == "answer" || v.Class == "unknown_key" || seen[*v.Expect.Account+keyHex(v)] {
			continue
		}
		seen[*v.Expect.Account+keyHex(v)] = true
		list = append(list, Account{ID: *v.Expect.Account, Key: v.key(t), CRCOverCR: v.Class == "crc_over_cr"})
	}
	return list
}

func keyHex(v vector) string {
	if v.Key == nil {
		return ""
	}
	return v.Key.Hex
}

// accountsFor has those of the roster that a vector needs: some vectors share an account under different keys.
func accountsFor(t testing.TB, v vector) []Account {
	t.Helper()
	if v.Expect.Account == nil {
		return nil
	}
	return []Account{{ID: *v.Expect.Account, Key: v.key(t), CRCOverCR: v.Class == "crc_over_cr"}}
}

// ackOf is the answer that a frame must get, made from the words of the vector and by the test's own code.
func ackOf(t testing.TB, v vector, now time.Time, pad byte) string {
	t.Helper()
	field := func(letter string, s *string) string {
		if s == nil {
			return ""
		}
		return letter + *s
	}
	header := v.Expect.Seq + field("R", v.Expect.Receiver) + field("L", v.Expect.Line) + field("#", v.Expect.Account)
	body := `"ACK"` + header + "[]"
	if v.Expect.Encrypted {
		plain := []byte(strings.Repeat(string(pad), 10) + "|]_" + now.UTC().Format("15:04:05,01-02-2006"))
		v.key(t).encrypt(plain)
		body = `"*ACK"` + header + "[" + strings.ToUpper(hex.EncodeToString(plain))
	}
	wire := wireOf(body)
	if v.Class == "binary_crc" {
		sum := make([]byte, 2)
		_, err := hex.Decode(sum, wire[1:5])
		must(t, err)
		wire = append(append([]byte("\n"), sum...), wire[5:]...)
	}
	return string(wire)
}

// clockOf is the time at which a vector is sent: its own, so that it is within the window.
func clockOf(t testing.TB, v vector) time.Time {
	t.Helper()
	if v.Expect.Timestamp == nil {
		return time.Date(2026, 11, 22, 8, 9, 20, 0, time.UTC)
	}
	at, err := time.Parse(time.RFC3339, *v.Expect.Timestamp)
	must(t, err)
	return at.Add(7 * time.Second)
}

// TestVectorsOverSockets sends every vector over TCP and UDP: right answers byte for byte, right events, and silence for
// what must be refused.
func TestVectorsOverSockets(t *testing.T) {
	for _, v := range vectors(t) {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(v.Name+" "+network, func(t *testing.T) {
				s, now := &store{}, clockOf(t, v)
				b := start(t, Options{Accounts: accountsFor(t, v), Now: func() time.Time { return now }, Rand: letters('z')}, s)
				p := b.dial(t, network)
				p.send(v.raw(t))
				switch v.Class {
				case "frame", "binary_crc", "crc_over_cr":
					if got, want := p.answer(), ackOf(t, v, now, 'z'); got != want {
						t.Errorf("answer %q, want %q", got, want)
					}
					sameEvents(t, v, s.of(event.KindPanelEvent))
				case "unknown_key":
					if got, want := p.answer(), duhOf(v); got != want {
						t.Errorf("answer %q, want %q", got, want)
					}
				default:
					p.silent()
				}
				if v.Class != "frame" && v.Class != "binary_crc" && v.Class != "crc_over_cr" && len(s.of(event.KindPanelEvent)) != 0 {
					t.Errorf("events %+v", s.drafts)
				}
			})
		}
	}
}

func duhOf(v vector) string {
	r := ""
	if v.Expect.Receiver != nil {
		r = "R" + *v.Expect.Receiver
	}
	return string(wireOf(`"DUH"` + v.Expect.Seq + r + "L" + *v.Expect.Line + "#" + *v.Expect.Account + "[]"))
}

// sameEvents compares what is stored with the events of a vector.
func sameEvents(t *testing.T, v vector, drafts []event.Draft) {
	t.Helper()
	if len(drafts) != len(v.Expect.Events) {
		t.Fatalf("%d events, want %d", len(drafts), len(v.Expect.Events))
	}
	for i, want := range v.Expect.Events {
		d := drafts[i]
		text := func(tag event.Tag) *string {
			s, _ := d.Body.Text(tag)
			return absent(s)
		}
		got := expectedEvent{Format: *text(event.TagFormat), Code: text(event.TagCode), Text: text(event.TagText), Peripheral: text(event.TagPeripheral)}
		got.Area, want.Area = text(event.TagArea), cmpOr(want.Area, want.Partition)
		if zone, ok := strings.CutPrefix(d.Zone, *v.Expect.Account+"/"); ok {
			got.Zone = &zone
		}
		want.Partition, want.Time, want.User, want.Qualifier = nil, nil, nil, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event %d (-want +got)\n%s", i, diff)
		}
		if d.Source != "dc09/"+*v.Expect.Account || d.KernelNS <= 0 || d.Once == "" {
			t.Errorf("draft %+v", d)
		}
		if v.Expect.Timestamp != nil {
			if at, _ := d.Body.Int(event.TagPanelTime); time.Unix(0, at).UTC().Format(time.RFC3339) != *v.Expect.Timestamp {
				t.Errorf("panel time %d", at)
			}
		}
	}
}

func cmpOr(a, b *string) *string {
	if a != nil {
		return a
	}
	return b
}

// TestSplitAndCoalesced sends all good vectors as one stream, cut at every byte.
func TestSplitAndCoalesced(t *testing.T) {
	var stream []byte
	var answers, good int
	seen := map[string]string{}
	for _, v := range vectors(t) {
		if v.Class == "unknown_key" {
			continue
		}
		if v.Expect.Account != nil && v.Class != "answer" {
			id := *v.Expect.Account
			if k, ok := seen[id]; ok && k != keyHex(v) {
				continue // the same account under another key
			}
			seen[id] = keyHex(v)
			answers++
			good += len(v.Expect.Events)
		}
		stream = append(stream, v.raw(t)...)
	}
	var accounts []Account
	taken := map[string]bool{}
	for _, a := range roster(t) {
		if !taken[a.ID] {
			taken[a.ID] = true
			accounts = append(accounts, a)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	count := func(cut int) (replies, events int) {
		s := &store{}
		r, err := New(Options{TCP: ":0", Accounts: accounts, Behind: 1e18, Ahead: 1e18, Rand: letters('z')})
		must(t, err)
		there, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		here, err := l.Accept()
		must(t, err)
		var group errgroup.Group
		group.Go(func() error { r.talk(t.Context(), here, s.sink); return nil })
		_, err = there.Write(stream[:cut])
		must(t, err)
		_, err = there.Write(stream[cut:])
		must(t, err)
		must(t, there.(*net.TCPConn).CloseWrite())
		must(t, there.SetReadDeadline(time.Now().Add(patience)))
		all, err := io.ReadAll(there)
		must(t, err)
		must(t, group.Wait())
		must(t, there.Close())
		return bytes.Count(all, []byte(`ACK"`)), len(s.of(event.KindPanelEvent))
	}
	for cut := range stream {
		if replies, events := count(cut); events != good || replies != answers {
			t.Fatalf("cut at %d of %d: %d answers and %d events, want %d and %d", cut, len(stream), replies, events, answers, good)
		}
	}
}

// TestAckOnlyWhenStored holds the promise of an ACK: none while the sink refuses, one event in the end.
func TestAckOnlyWhenStored(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		s := &store{fail: errors.New("the log is full")}
		b := start(t, Options{Accounts: []Account{{ID: "1234"}}}, s)
		p := b.dial(t, network)
		frame := wireOf(`"ADM-CID"0007L0#1234[#1234|1130 01 012]`)
		p.send(frame)
		p.silent()
		s.set(func() { s.fail = nil })
		p.send(frame)
		if got := p.answer(); got != string(wireOf(`"ACK"0007L0#1234[]`)) {
			t.Errorf("%s: answer %q", network, got)
		}
		p.send(frame)
		p.answer()
		if n := len(s.of(event.KindPanelEvent)); n != 1 || s.repeat != 1 {
			t.Errorf("%s: %d events, %d repeats", network, n, s.repeat)
		}
		b.stop()
	}
}

// TestSeveralEvents is a frame of two events of which the second is refused at first: no ACK, and no event twice.
func TestSeveralEvents(t *testing.T) {
	s := &store{}
	calls := 0
	r, err := New(Options{TCP: ":0", Accounts: []Account{{ID: "1234", Zones: map[string]string{"001": "front-door"}}}})
	must(t, err)
	sink := func(ctx context.Context, d event.Draft) error {
		if calls++; calls == 2 {
			return errors.New("full")
		}
		return s.sink(ctx, d)
	}
	frame := wireOf(`"SIA-DCS"0007L0#1234[#1234|Nri1/BA001/FA002^smoke^]`)
	f, ok := r.hear(frame, "here")
	a, answer := r.judge(&f, "here")
	if !ok || a == nil || answer != nil {
		t.Fatal("frame refused")
	}
	if answer := r.settle(t.Context(), sink, a, &f); answer != nil {
		t.Errorf("answer %q, though an event is not stored", answer)
	}
	if answer := r.settle(t.Context(), sink, a, &f); string(answer) != string(wireOf(`"ACK"0007L0#1234[]`)) {
		t.Errorf("answer %q", answer)
	}
	got := s.of(event.KindPanelEvent)
	if len(got) != 2 || got[0].Zone != "front-door" || got[1].Zone != "1234/002" || got[0].Severity != event.SeverityAlarm {
		t.Errorf("events %+v", got)
	}
	if text, _ := got[1].Body.Text(event.TagText); text != "smoke" {
		t.Errorf("text %q", text)
	}
}

func testKey(t testing.TB) *Key {
	t.Helper()
	k, err := KeyASCII("AAAAAAAAAAAAAAAA")
	must(t, err)
	return k
}

// sealed builds an encrypted frame.
func sealed(k *Key, header, plain string) []byte {
	for len(plain)%16 != 0 {
		plain = "p" + plain
	}
	b := []byte(plain)
	k.encrypt(b)
	return wireOf(header + "[" + strings.ToUpper(hex.EncodeToString(b)))
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05,01-02-2006") }

// TestAttacks are frames that must make no event and leak nothing: what they get, and what is told.
func TestAttacks(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	k := testKey(t)
	other, err := KeyASCII("BBBBBBBBBBBBBBBB")
	must(t, err)
	nak := string(wireOf(`"NAK"0000R0L0A0[]_08:00:00,11-22-2026`))
	duh := func(header string) string { return string(wireOf(`"DUH"` + header + "[]")) }
	good := func(d time.Duration) []byte {
		return sealed(k, `"*SIA-DCS"0001L0#AAAA`, "|#AAAA|NBA001]_"+stamp(now.Add(d)))
	}
	for name, c := range map[string]struct {
		wire   []byte
		answer string // "" = silence
		reason string // "" = not told
		sev    event.Severity
	}{
		"plain on a keyed account":      {wireOf(`"SIA-DCS"0001L0#AAAA[#AAAA|NBA001]`), duh("0001L0#AAAA"), refusedPlain, event.SeverityAlarm},
		"plain, with a key block":       {wireOf(`"SIA-DCS"0001L0#AAAA[#AAAA|NBA001][K41414141]`), duh("0001L0#AAAA"), refusedPlain, event.SeverityAlarm},
		"plain NULL on a keyed account": {wireOf(`"NULL"0000L0#AAAA[]`), duh("0000L0#AAAA"), refusedPlain, event.SeverityAlarm},
		"too old":                       {good(-41 * time.Second), nak, refusedClock, event.SeverityWarning},
		"too new":                       {good(21 * time.Second), nak, refusedClock, event.SeverityWarning},
		"no such day":                   {sealed(k, `"*SIA-DCS"0001L0#AAAA`, "|#AAAA|NBA001]_08:00:00,13-32-2026"), nak, refusedClock, event.SeverityWarning},
		"no time":                       {sealed(k, `"*SIA-DCS"0001L0#AAAA`, "|#AAAA|NBA001]"), "", "", 0},
		"no time, NULL":                 {sealed(k, `"*NULL"0000L0#AAAA`, "|]"), "", "", 0},
		"a key that opens no text":      {sealed(k, `"*SIA-DCS"0001L0#AAAA`, "|#AAAA|\x01\x02\x03\x04]"), duh("0001L0#AAAA"), refusedKey, event.SeverityWarning},
		"no bar":                        {sealed(k, `"*SIA-DCS"0001L0#AAAA`, "#AAAA NBA001]_"+stamp(now)), duh("0001L0#AAAA"), refusedKey, event.SeverityWarning},
		"other key":                     {sealed(other, `"*SIA-DCS"0001L0#AAAA`, "|#AAAA|NBA001]_"+stamp(now)), duh("0001L0#AAAA"), refusedKey, event.SeverityWarning},
		"encrypted, account has no key": {sealed(k, `"*SIA-DCS"0001L0#1234`, "|#1234|NBA001]_"+stamp(now)), duh("0001L0#1234"), refusedNoKey, event.SeverityWarning},
		"unknown account":               {wireOf(`"SIA-DCS"0001R1L0#9999[#9999|NBA001]`), duh("0001R1L0#9999"), refusedUnknown, event.SeverityWarning},
		"no account":                    {wireOf(`"SIA-DCS"0001[NBA001]`), duh("0001"), refusedUnknown, event.SeverityWarning},
		"an account of no text":         {wireOf("\"SIA-DCS\"0001[#\xff\xfe" + strings.Repeat("\xff", 3000) + "|NBA001]"), duh("0001"), refusedUnknown, event.SeverityWarning},
		"an ACK":                        {wireOf(`"ACK"0001L0#1234[]`), "", "", 0},
		"a NAK":                         {wireOf(`"NAK"0000R0L0A0[]_08:00:00,11-22-2026`), "", "", 0},
		"half a block":                  {wireOf(`"*SIA-DCS"0001L0#AAAA[00112233445566778899AABBCCDDEE`), "", "", 0},
		"no block":                      {wireOf(`"*SIA-DCS"0001L0#AAAA[`), "", "", 0},
		"block of no hex":               {wireOf(`"*SIA-DCS"0001L0#AAAA[` + strings.Repeat("XY", 16)), "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{}
			b := start(t, Options{Accounts: []Account{{ID: "AAAA", Key: k}, {ID: "1234"}}, Now: func() time.Time { return now }}, s)
			p := b.dial(t, "tcp")
			p.send(c.wire)
			if c.answer == "" {
				p.silent()
			} else if got := p.answer(); got != c.answer {
				t.Errorf("answer %q, want %q", got, c.answer)
			}
			if c.reason != "" {
				wait(t, "a refusal told", func() bool { return len(s.of(event.KindPanelRefused)) == 1 })
				d := s.of(event.KindPanelRefused)[0]
				if reason, _ := d.Body.Text(event.TagReason); reason != c.reason || d.Severity != c.sev {
					t.Errorf("told %q, severity %s", reason, d.Severity)
				}
			}
			if e := s.of(event.KindPanelEvent); len(e) != 0 {
				t.Errorf("events %+v", e)
			}
			if x := b.receiver.Snapshot()[0]; x.State != linkUnknown || !strings.HasPrefix(x.Text, "not heard yet") {
				t.Errorf("a refused frame counts as a sign of life: %+v", x)
			}
		})
	}
}

// TestWindowEdges are the last times that are believed.
func TestWindowEdges(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	k, s := testKey(t), &store{}
	b := start(t, Options{Accounts: []Account{{ID: "AAAA", Key: k}}, Now: func() time.Time { return now }}, s)
	p := b.dial(t, "tcp")
	for i, d := range []time.Duration{-40 * time.Second, 0, 20 * time.Second} {
		p.send(sealed(k, fmt.Sprintf(`"*SIA-DCS"%04dL0#AAAA`, i+1), "|#AAAA|NBA001]_"+stamp(now.Add(d))))
		if got := p.answer(); !strings.Contains(got, `"*ACK"`) {
			t.Errorf("%s: answer %q", d, got)
		}
	}
	if n := len(s.of(event.KindPanelEvent)); n != 3 {
		t.Errorf("%d events", n)
	}
}

// TestReplay sends a frame again with another pad: ACK, one event. The same content under another number or time is a new one.
func TestReplay(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	k, s := testKey(t), &store{}
	b := start(t, Options{Accounts: []Account{{ID: "AAAA", Key: k}}, Now: func() time.Time { return now }}, s)
	p := b.dial(t, "udp")
	header, content := `"*SIA-DCS"0001L0#AAAA`, "|#AAAA|NBA001]_"
	for i, c := range []struct {
		header, plain string
		events        int
	}{
		{header, content + stamp(now), 1},
		{header, content + stamp(now), 1},
		{header, strings.Repeat("q", 16) + content + stamp(now), 1},
		{header, content + stamp(now.Add(time.Second)), 2},
		{`"*SIA-DCS"0002L0#AAAA`, content + stamp(now), 3},
		{header, "|#AAAA|NBA002]_" + stamp(now), 4},
	} {
		p.send(sealed(k, c.header, c.plain))
		if got := p.answer(); !strings.Contains(got, `"*ACK"`) {
			t.Errorf("%d: answer %q", i, got)
		}
		if n := len(s.of(event.KindPanelEvent)); n != c.events {
			t.Errorf("%d: %d events, want %d", i, n, c.events)
		}
	}
}

// TestUnstampedRepeats holds that a panel without a clock, which counts from 0001 again after each power cut, loses no alarm:
// the same number and content is a repeat for an hour, and a new event after it, also when the receiver has restarted.
func TestUnstampedRepeats(t *testing.T) {
	now := &clock{now: time.Date(2026, 11, 22, 8, 59, 50, 0, time.UTC)}
	s := &store{}
	frame := wireOf(`"SIA-DCS"0001L0#1234[#1234|NBA001]`)
	var p *peer
	b := start(t, Options{Accounts: []Account{{ID: "1234"}}, Now: now.Now}, s)
	p = b.dial(t, "udp")
	for i, c := range []struct {
		after   time.Duration
		restart bool
		events  int
	}{
		{0, false, 1},
		{20 * time.Second, false, 1}, // over the full hour
		{58 * time.Minute, false, 1},
		{2 * time.Minute, false, 2}, // an hour after it was first heard
		{time.Minute, true, 2},
		{time.Hour, true, 3},
	} {
		now.set(now.Now().Add(c.after))
		if c.restart {
			b.stop()
			b = start(t, Options{Accounts: []Account{{ID: "1234"}}, Now: now.Now}, s)
			p = b.dial(t, "udp")
		}
		p.send(frame)
		if got := p.answer(); !strings.Contains(got, `"ACK"`) {
			t.Errorf("%d: answer %q", i, got)
		}
		if n := len(s.of(event.KindPanelEvent)); n != c.events {
			t.Errorf("%d: %d events, want %d", i, n, c.events)
		}
	}
}

// TestUnstampedIsBounded holds that a panel that sends ever new frames fills no memory, and that its newest are known.
func TestUnstampedIsBounded(t *testing.T) {
	a := &account{Account: Account{ID: "1234"}, source: "dc09/1234"}
	now := time.Date(2026, 11, 22, 8, 59, 59, 0, time.UTC)
	key := func(n int, now time.Time) string {
		f, err := Parse(wireOf(fmt.Sprintf(`"SIA-DCS"%04dL0#1234[#1234|NBA1]`, n)), nil)
		must(t, err)
		return slices.Collect(a.drafts(&f, now))[0].Once
	}
	first := map[int]string{}
	for n := range 1000 {
		first[n] = key(n+1, now)
	}
	for n := 1000 - event.OnceKept; n < 1000; n++ {
		if got := key(n+1, now.Add(time.Minute)); got != first[n] {
			t.Fatalf("frame %d: key %s, want %s as before the full hour", n+1, got, first[n])
		}
	}
	if len(a.unstamped) > event.OnceKept {
		t.Errorf("%d keys are kept", len(a.unstamped))
	}
}

// TestRefusalsAreCounted holds that a flood of refused frames is one event, and one more with the count after the interval.
func TestRefusalsAreCounted(t *testing.T) {
	now := &clock{now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	s := &store{}
	b := start(t, Options{Accounts: []Account{{ID: "AAAA", Key: testKey(t)}}, Now: now.Now}, s)
	frame := wireOf(`"SIA-DCS"0001L0#AAAA[#AAAA|NBA001]`)
	p := b.dial(t, "udp")
	for range 50 {
		p.send(frame)
		p.answer()
	}
	wait(t, "the first refusal", func() bool { return len(s.of(event.KindPanelRefused)) == 1 })
	now.set(now.Now().Add(time.Minute))
	p.send(frame)
	p.answer()
	wait(t, "the count", func() bool { return len(s.of(event.KindPanelRefused)) == 2 })
	total := uint64(0)
	for _, d := range s.of(event.KindPanelRefused) {
		n, _ := d.Body.Uint(event.TagCount)
		total += n
		if remote, _ := d.Body.Text(event.TagRemote); remote != p.conn.LocalAddr().String() || d.Source != "dc09/AAAA" {
			t.Errorf("%+v", d)
		}
	}
	if total != 51 {
		t.Errorf("%d refusals told, want 51", total)
	}
}

// TestSlowPanel holds that a sink that hangs for one panel holds up no other, over TCP and UDP.
func TestSlowPanel(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		gate := make(chan struct{})
		s := &store{gate: map[string]chan struct{}{"dc09/1111": gate}}
		b := start(t, Options{Accounts: []Account{{ID: "1111"}, {ID: "2222"}}}, s)
		slow, quick := b.dial(t, network), b.dial(t, network)
		slow.send(wireOf(`"ADM-CID"0001L0#1111[#1111|1130 01 012]`))
		for i := range 20 {
			quick.send(wireOf(fmt.Sprintf(`"ADM-CID"%04dL0#2222[#2222|1130 01 012]`, i+1)))
			quick.answer()
		}
		slow.silent()
		close(gate)
		slow.answer()
		if n := len(s.of(event.KindPanelEvent)); n != 21 {
			t.Errorf("%s: %d events", network, n)
		}
		b.stop()
	}
}

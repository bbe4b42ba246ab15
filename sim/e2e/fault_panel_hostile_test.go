package e2e

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/sim/panel"
	"watchpost/storage/event"
)

// The keys of the station's panels. No two bytes of them are found elsewhere by chance.
const (
	keyHex   = "9B4E27D1F06A83C5B2187E3F5CA94D60"
	keyASCII = "q7Zw+3nT/v9Lx2Rk8Yb5Hd0Pj4Sf6Ma1"
)

// Accounts of the panels in a hostile house.
const (
	keyedAccount = "A128" // keyHex
	asciiAccount = "A256" // keyASCII
	loudAccount  = "F100" // plain: what floods it is believed
)

// raid is one attack as the test does it, and the only answers that it may get.
type raid struct {
	kind    panel.Attack
	udp     bool
	account string
	answers []string
	crowd   int // connections at once, 16 if 0
}

func raids() []raid {
	duh := []string{"DUH"}
	return []raid{
		{kind: panel.AttackPlain, answers: duh},
		{kind: panel.AttackPlain, account: asciiAccount, answers: duh},
		{kind: panel.AttackPlain, udp: true, answers: duh},
		{kind: panel.AttackLeak, answers: duh},
		{kind: panel.AttackLeak, account: asciiAccount, udp: true, answers: duh},
		{kind: panel.AttackReplay, answers: []string{"ACK"}},
		{kind: panel.AttackReplay, udp: true, answers: []string{"ACK"}},
		{kind: panel.AttackStale, answers: []string{"NAK"}},
		{kind: panel.AttackAccount, answers: duh},
		{kind: panel.AttackAccount, udp: true, answers: duh},
		{kind: panel.AttackKey, answers: duh},
		{kind: panel.AttackKey, udp: true, answers: duh},
		{kind: panel.AttackAnswers},
		{kind: panel.AttackXSIA},
		{kind: panel.AttackGarbage},
		{kind: panel.AttackGarbage, udp: true},
		{kind: panel.AttackHalf},
		{kind: panel.AttackSlow, crowd: 400},
		{kind: panel.AttackHuge},
		{kind: panel.AttackHuge, udp: true},
		{kind: panel.AttackFlood, account: loudAccount, answers: []string{"ACK"}},
		{kind: panel.AttackFlood, account: loudAccount, udp: true, answers: []string{"ACK"}},
	}
}

func (r raid) String() string {
	network := "TCP"
	if r.udp {
		network = "UDP"
	}
	return fmt.Sprintf("%s over %s", r.kind, network)
}

// What a hostile device may cost: the station stays within it, and an honest panel is answered long before it would repeat.
const (
	raidTime     = 700 * time.Millisecond
	raidMemory   = 64  // MiB over the station at rest
	raidFiles    = 160 // of 128 connections that one host may have
	honestRetry  = 3 * time.Second
	honestWorst  = 1000 // ms
	honestPace   = 20 * time.Millisecond
	refusedTells = 12 // of each reason of each account once, and once a minute
)

// TestFaultHostilePanels attacks a station in every way that the simulated attacker knows. It makes no event of what it must not
// believe, says nothing of any key, keeps its memory and its connections, and honest panels do not notice.
func TestFaultHostilePanels(t *testing.T) {
	c := newCentre(t)
	p := caoping(c)
	p.accounts = fmt.Sprintf("  - {id: %s, key_hex: %s}\n  - {id: %s, key_ascii: %q}\n  - {id: %s}\n", keyedAccount, keyHex, asciiAccount, keyASCII, loudAccount)
	v := p.build(t)
	v.start()
	v.online()
	key, err := hex.DecodeString(keyHex)
	if err != nil {
		t.Fatal(err)
	}
	plain, stopPlain := honestly(t, panel.Options{To: "tcp://" + v.panels, Account: standardAccount, Retry: honestRetry}, honestPace)
	keyed, stopKeyed := honestly(t, panel.Options{To: "tcp://" + v.panels, Account: keyedAccount, Key: key, Retry: honestRetry}, honestPace)
	ascii, stopASCII := honestly(t, panel.Options{To: "udp://" + v.udp(), Account: asciiAccount, Key: []byte(keyASCII), Retry: 200 * time.Millisecond}, honestPace)
	rest := watched(t, v.agent, func() {
		eventually(t, "reports in quiet", func() error {
			if _, acked := plain.counts(); acked < 50 {
				return fmt.Errorf("%d", acked)
			}
			return nil
		})
	})
	t.Logf("in quiet: plain %s, keyed %s, over UDP %s; %.0f MiB, %d files", spread(plain.since(0)), spread(keyed.since(0)), spread(ascii.since(0)), rest.rss, rest.files)
	var heard []byte
	for i, r := range raids() {
		heard = append(heard, v.raid(r, uint64(i), key, rest, plain, keyed)...)
	}
	stopPlain()
	stopKeyed()
	stopASCII()
	v.drained()
	for _, h := range []*honest{plain, keyed, ascii} {
		heard = append(heard, h.answers(t)...)
		if got := h.panel.Totals(); h != ascii && got.Retransmitted > 0 || got.Bad+got.NAKs+got.DUHs > 0 {
			t.Errorf("panel %s: %+v", h.account, got)
		}
	}
	all := c.stored(v.id)
	checkOnce(t, all)
	checkBelieved(t, all, plain, keyed, ascii)
	checkSecrets(t, v, heard, all)
	stopsWell(t, v.agent)
}

// raid does one attack, and holds what it may get and cost; it answers what the attacker heard.
func (v *village) raid(r raid, seed uint64, key []byte, rest holdings, honest ...*honest) []byte {
	v.t.Helper()
	var heard hearing
	o := panel.AttackOptions{
		To: "tcp://" + v.panels, Attack: r.kind, Account: cmp.Or(r.account, keyedAccount), Key: key, Count: 1 << 20, Connections: cmp.Or(r.crowd, 16),
		From: from(), For: raidTime, Seed: seed, Heard: &heard,
	}
	if r.udp {
		o.To, o.Forge = "udp://"+v.udp(), r.kind != panel.AttackFlood // its answers come late
	}
	if r.kind == panel.AttackReplay {
		o.Frames = honest[1].frames(v.t)
		o.Frames = o.Frames[:max(1, len(o.Frames)-10)] // what is not stored yet would be no replay
		o.Frames = o.Frames[max(0, len(o.Frames)-100):]
	}
	if r.kind == panel.AttackFlood {
		o.Key = nil
	}
	a, err := panel.NewAttacker(o)
	if err != nil {
		v.t.Fatal(err)
	}
	var before []int
	for _, h := range honest {
		sent, _ := h.counts()
		before = append(before, sent)
	}
	var loot panel.Loot
	most := watched(v.t, v.agent, func() { loot, err = a.Run(v.t.Context()) })
	if err != nil {
		v.t.Errorf("%s: %v", r, err)
	}
	var ms []float64
	for i, h := range honest {
		ms = append(ms, h.since(before[i])...)
	}
	v.t.Logf("%-17s %6d frames, heard %v; honest %s; %.0f MiB, %d files", r, loot.Sent, loot.Answers, spread(ms), most.rss, most.files)
	if loot.Sent == 0 && loot.SentBytes == 0 {
		v.t.Errorf("%s: nothing was sent", r)
	}
	for token := range loot.Answers {
		if !slices.Contains(r.answers, token) {
			v.t.Errorf("%s: heard %v, may hear %v", r, loot.Answers, r.answers)
		}
	}
	if len(r.answers) > 0 && len(loot.Answers) == 0 {
		v.t.Errorf("%s: heard nothing", r)
	}
	if loot.HeardBytes > loot.SentBytes {
		v.t.Errorf("%s: %d bytes brought %d: a forged source would be flooded", r, loot.SentBytes, loot.HeardBytes)
	}
	if len(ms) == 0 || slices.Max(ms) > honestWorst {
		v.t.Errorf("%s: honest panels wait: %s", r, spread(ms))
	}
	if most.rss > rest.rss+raidMemory || most.files > rest.files+raidFiles {
		v.t.Errorf("%s: the station holds %.0f MiB and %d files, at rest %.0f and %d", r, most.rss, most.files, rest.rss, rest.files)
	}
	return heard.bytes()
}

// checkBelieved holds that the centre has each report of the honest panels once, what floods the plain account, and else nothing of
// a panel but few words of refusal.
func checkBelieved(t *testing.T, all []event.Event, panels ...*honest) {
	t.Helper()
	marks, refused, flooded := map[string][]event.Event{}, map[string]int{}, 0
	for _, e := range all {
		account, _ := e.Body.Text(event.TagAccount)
		text, _ := e.Body.Text(event.TagText)
		reason, _ := e.Body.Text(event.TagReason)
		switch {
		case e.Kind == event.KindPanelRefused:
			refused[reason]++
		case e.Kind != event.KindPanelEvent:
		case account == loudAccount && strings.HasPrefix(text, panel.Canary):
			flooded++
		case strings.HasPrefix(text, "WP-"):
			marks[account] = append(marks[account], e)
		default:
			t.Errorf("an event that nobody may make: account %s, text %q", account, text)
		}
	}
	for _, p := range panels {
		sent, _ := p.counts()
		checkMarks(t, marks[p.account], 1, sent)
		delete(marks, p.account)
	}
	for account := range marks {
		t.Errorf("account %s has reports", account)
	}
	t.Logf("%d events of the flood that is believed; refused: %v", flooded, refused)
	for _, reason := range []string{"unknown account", "plain, key required", "wrong key", "out of time window"} {
		if refused[reason] == 0 {
			t.Errorf("%q is not told", reason)
		}
	}
	if told := slices.Collect(maps.Values(refused)); slices.Max(told) > refusedTells {
		t.Errorf("refusals are told again and again: %v", refused)
	}
}

// checkSecrets holds that no key, and nothing of an attack's text, is in what the station said to panels, and no key in what it
// says to its centre, in its log and at its local door.
func checkSecrets(t *testing.T, v *village, heard []byte, all []event.Event) {
	t.Helper()
	var events []byte
	for _, e := range all {
		b, err := event.AppendRecord(events, e)
		if err != nil {
			t.Fatal(err)
		}
		events = b
	}
	places := map[string][]byte{"answers to panels": heard, "events": events, "log": []byte(v.agent.stderr()), "local door": v.said("/v1/status")}
	secrets := spellings(t)
	for place, text := range places {
		if len(text) == 0 {
			t.Errorf("%s: nothing to search", place)
		}
		for spelling, secret := range secrets {
			if bytes.Contains(text, secret) {
				t.Errorf("%s: a key is there as %s", place, spelling)
			}
		}
	}
	if bytes.Contains(heard, []byte(panel.Canary)) {
		t.Error("an answer repeats what a frame held")
	}
	t.Logf("%d bytes of answers, %d of events and %d of the log searched for %d spellings", len(heard), len(events), len(places["log"]), len(secrets))
}

// spellings are the keys in every way in which they could get out, whole, or a run of eight bytes.
func spellings(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	raw, err := hex.DecodeString(keyHex)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"key_hex": raw, "key_ascii": []byte(keyASCII)} {
		reversed := bytes.Clone(key)
		slices.Reverse(reversed)
		for _, run := range [][]byte{key, reversed} {
			for i := range len(run) - 7 {
				part := run[i : i+8]
				say := func(spelling string, b []byte) { all[fmt.Sprintf("%s %s %x", name, spelling, b)] = b }
				say("bytes", part)
				say("hex", []byte(hex.EncodeToString(part)))
				say("HEX", []byte(strings.ToUpper(hex.EncodeToString(part))))
				say("hex of hex", fmt.Appendf(nil, "%x", fmt.Sprintf("%X", part)))
				say("numbers", fmt.Appendf(nil, "%d", part)[1:20])
				say("quoted", bytes.Trim(fmt.Appendf(nil, "%+q", part), `"`))
				say("hex numbers", fmt.Appendf(nil, "% x", part))
				say("Go", bytes.Trim(fmt.Appendf(nil, "%#v", part), "[]byte{}"))
			}
			for i := range 3 { // base64 of a part depends on where it begins
				all[fmt.Sprintf("%s base64 %d %x", name, i, run[:1])] = []byte(base64.RawStdEncoding.EncodeToString(run[i : i+12]))
				all[fmt.Sprintf("%s base64 url %d %x", name, i, run[:1])] = []byte(base64.RawURLEncoding.EncodeToString(run[i : i+12]))
			}
		}
	}
	return all
}

// said is what the local door says, as it says it.
func (v *village) said(path string) []byte {
	v.t.Helper()
	var text json.RawMessage
	if _, err := v.knock(v.t.Context(), path, nil, &text); err != nil {
		v.t.Fatal(err)
	}
	return text
}

package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
	"watchpost/storage/event"
)

// quirky is one panel with quirks, and what its reports come to.
type quirky struct {
	panel.Options
	name   string
	events int // of each report
}

// quirkyPanels are a plain and an encrypted panel of each quirk, half of each over TCP, and two with nearly all quirks at once.
func quirkyPanels(t *testing.T, tcp, udp string) (all []quirky) {
	t.Helper()
	key, err := hex.DecodeString(keyHex)
	if err != nil {
		t.Fatal(err)
	}
	add := func(quirks ...panel.Quirk) {
		for _, key := range [][]byte{nil, key} {
			n := len(all)
			q := quirky{name: fmt.Sprint(quirks), events: 1, Options: panel.Options{
				To: []string{tcp, udp}[n/2%2], Account: fmt.Sprintf("0A%02X", n), Key: key, Quirks: quirks, Count: 8, Rate: 40, Poll: 3 * time.Millisecond,
				Window: 1, Retry: 5 * time.Second,
			}}
			if slices.Contains(quirks, panel.QuirkTwoEvents) {
				q.events = 2
			}
			all = append(all, q)
		}
	}
	for _, q := range panel.AllQuirks() {
		add(q)
	}
	few := []panel.Quirk{panel.QuirkNoLine, panel.QuirkBlanks, panel.QuirkNullNoBar} // that contradict the others
	add(slices.DeleteFunc(panel.AllQuirks(), func(q panel.Quirk) bool { return slices.Contains(few, q) })...)
	add(few...)
	return all
}

// yaml is the panel's account at the station. Only the CRC over the CR needs a word.
func (q quirky) yaml() string {
	entry := "  - {id: \"" + q.Account + "\""
	if q.Key != nil {
		entry += ", key_hex: " + keyHex
	}
	if slices.Contains(q.Quirks, panel.QuirkCRCOverCR) {
		entry += ", crc_over_cr: true"
	}
	return entry + "}\n"
}

// TestE2EPanelQuirks: panels with each quirk of the field, plain and encrypted, have every report and every NULL acknowledged at
// its first sending, and each of their events is at the centre once, under the account of the header.
func TestE2EPanelQuirks(t *testing.T) {
	c := newCentre(t)
	p := caoping(c)
	for _, q := range quirkyPanels(t, "", "") {
		p.accounts += q.yaml()
	}
	v := p.build(t)
	v.start()
	all := quirkyPanels(t, "tcp://"+v.panels, "udp://"+v.udp())
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var group errgroup.Group
	for _, q := range all {
		a, err := panel.New(q.Options)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() error {
			err := a.Run(ctx)
			n := a.Totals()
			if n.Acked != q.Count || n.Retransmitted+n.NAKs+n.DUHs+n.Bad+n.Stray > 0 || n.Connects != 1 {
				return fmt.Errorf("%s, encrypted %t, to %s: %+v", q.name, q.Key != nil, q.To, n)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	v.drained()
	got := map[string]int{}
	marks := map[string][]event.Event{}
	for _, e := range c.stored(v.id) {
		account, _ := e.Body.Text(event.TagAccount)
		switch e.Kind {
		case event.KindPanelEvent:
			got[account]++
			marks[account] = append(marks[account], e)
		case event.KindPanelRefused:
			reason, _ := e.Body.Text(event.TagReason)
			t.Errorf("account %s is refused: %s", account, reason)
		}
	}
	for _, q := range all {
		if got[q.Account] != q.Count*q.events {
			t.Errorf("%s, encrypted %t: %d events, want %d", q.name, q.Key != nil, got[q.Account], q.Count*q.events)
		}
		checkMarks(t, marks[q.Account], 1, q.Count)
	}
}

// TestE2EPanelClocks: an encrypted panel whose clock is wrong is told so by a NAK, and then believed. One that does not set its
// clock, and one that counts its CRC over the CR where nobody said so, make no event.
func TestE2EPanelClocks(t *testing.T) {
	c := newCentre(t)
	p := caoping(c)
	for _, account := range []string{"0C01", "0C02", "0C03"} {
		p.accounts += "  - {id: \"" + account + "\", key_hex: " + keyHex + "}\n"
	}
	p.accounts += "  - {id: \"0C04\"}\n"
	v := p.build(t)
	v.start()
	key, err := hex.DecodeString(keyHex)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	run := func(o panel.Options) panel.Totals {
		o.To, o.Count, o.Retry = "tcp://"+v.panels, 5, 200*time.Millisecond
		a, err := panel.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
		return a.Totals()
	}
	for account, skew := range map[string]time.Duration{"0C01": -time.Hour, "0C02": 400 * 24 * time.Hour} {
		if n := run(panel.Options{Account: account, Key: key, Skew: skew}); n.Acked != 5 || n.NAKs != 1 {
			t.Errorf("a clock that is %s off: %+v, want 5 acknowledged after one NAK", skew, n)
		}
	}
	var group errgroup.Group
	group.Go(func() error {
		if n := run(panel.Options{Account: "0C03", Key: key, Skew: -time.Hour, Quirks: []panel.Quirk{panel.QuirkStubborn}}); n.Acked != 0 || n.NAKs == 0 {
			return fmt.Errorf("a stubborn clock: %+v", n)
		}
		return nil
	})
	group.Go(func() error {
		if n := run(panel.Options{Account: "0C04", Quirks: []panel.Quirk{panel.QuirkCRCOverCR}}); n.Acked+n.NAKs+n.DUHs > 0 {
			return fmt.Errorf("a CRC over the CR: %+v, want silence", n)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	v.drained()
	got := map[string]int{}
	for _, e := range c.stored(v.id) {
		if e.Kind == event.KindPanelEvent {
			account, _ := e.Body.Text(event.TagAccount)
			got[account]++
		}
	}
	if len(got) != 2 || got["0C01"] != 5 || got["0C02"] != 5 {
		t.Errorf("events %v, want 5 of 0C01 and of 0C02", got)
	}
}

package dc09

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
	"watchpost/storage/event"
)

// TestSimulatedPanels has panels with a codec of their own report over each transport, in each format, plain and
// encrypted, in bursts and in pieces: every report is acknowledged, and stored once and in order.
func TestSimulatedPanels(t *testing.T) {
	key := []byte("0123456789ABCDEF01234567")
	const count = 60
	for _, network := range []string{"tcp", "udp"} {
		for _, format := range []panel.Format{panel.FormatSIA, panel.FormatCID} {
			for _, shape := range []panel.Options{{}, {Receiver: "1F", Line: "2"}, {Key: key}, {Window: 16}, {Window: 16, Coalesce: 5, Key: key}, {Skew: -time.Hour, Key: key}} {
				name := fmt.Sprintf("%s %s key %d window %d coalesce %d skew %s", network, format, len(shape.Key), shape.Window, shape.Coalesce, shape.Skew)
				t.Run(name, func(t *testing.T) {
					s, account := &store{}, Account{ID: "ABC123"}
					if shape.Key != nil {
						k, err := KeyASCII(string(key))
						must(t, err)
						account.Key = k
					}
					b := start(t, Options{Accounts: []Account{account}}, s)
					o := shape
					o.Account, o.Format, o.Count, o.Retry = account.ID, format, count, 100*time.Millisecond
					o.To = "tcp://" + b.tcp
					if network == "udp" {
						o.To = "udp://" + b.udp
					}
					report(t, o, s, count)
				})
			}
		}
	}
}

// TestSimulatedPanelSplits cuts each frame of a panel in two, at every place.
func TestSimulatedPanelSplits(t *testing.T) {
	s, accounts := &store{}, []Account{}
	for i := range 110 {
		accounts = append(accounts, Account{ID: fmt.Sprintf("%04X", i)})
	}
	b := start(t, Options{Accounts: accounts}, s)
	for split := 1; split < len(accounts); split++ {
		o := panel.Options{To: "tcp://" + b.tcp, Account: accounts[split].ID, Count: 2, Split: split}
		s.set(func() { s.drafts = nil })
		report(t, o, s, 2)
	}
}

// report runs a panel until all its reports are acknowledged, and looks at what is stored.
func report(t *testing.T, o panel.Options, s *store, count int) {
	t.Helper()
	p, err := panel.New(o)
	must(t, err)
	var group errgroup.Group
	group.Go(func() error { return p.Run(t.Context()) })
	must(t, group.Wait())
	totals := p.Totals()
	if totals.Acked != count || totals.Bad != 0 || totals.DUHs != 0 {
		t.Errorf("the panel says %+v", totals)
	}
	if o.Skew != 0 && totals.NAKs == 0 {
		t.Error("a panel whose clock is off got no NAK")
	}
	drafts := s.of(event.KindPanelEvent)
	if len(drafts) != count {
		t.Fatalf("%d events of %d reports", len(drafts), count)
	}
	ordered := !strings.HasPrefix(o.To, "udp") && o.Skew == 0
	for i, d := range drafts {
		mark := panel.Mark(i + 1)
		got, _ := d.Body.Text(event.TagText)
		if o.Format == panel.FormatCID {
			partition, zone := panel.CIDPlace(i + 1)
			mark = fmt.Sprintf("%02d ABC123/%03d", partition, zone)
			area, _ := d.Body.Text(event.TagArea)
			got = area + " " + d.Zone
		}
		if ordered && got != mark {
			t.Fatalf("event %d is %q, want %q", i, got, mark)
		}
		if d.Severity != event.SeverityAlarm {
			t.Errorf("a burglary of severity %s", d.Severity)
		}
	}
}

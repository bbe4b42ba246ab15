package e2e

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
)

// benchPanel is one simulated panel on a TCP connection of its own, which waits for each answer.
type benchPanel struct {
	account string
	key     []byte
	conn    net.Conn
	answers *bufio.Reader
}

func (v *village) benchPanel(t testing.TB, account string, key []byte) *benchPanel {
	t.Helper()
	conn, err := net.Dial("tcp", v.panels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &benchPanel{account, key, conn, bufio.NewReader(conn)}
}

// say sends a frame, and answers how long its ACK took, in ms.
func (p *benchPanel) say(f panel.Frame) (ms float64, err error) {
	f.Line, f.Account, f.Time = "0", p.account, time.Now()
	wire, err := f.Marshal(p.key, rand.Reader)
	if err != nil {
		return 0, err
	}
	if err := p.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	begun := time.Now()
	if _, err := p.conn.Write(wire); err != nil {
		return 0, err
	}
	answer, err := p.answers.ReadBytes('\r')
	if err != nil {
		return 0, err
	}
	ms = float64(time.Since(begun).Microseconds()) / 1e3
	a, err := panel.ParseAnswer(answer, p.key)
	if err != nil || a.ID != "ACK" || a.Seq != f.Seq {
		return 0, fmt.Errorf("panel %s: answer %q: %w", p.account, answer, err)
	}
	return ms, nil
}

// alarms sends n burglary alarms, each when the one before it is acknowledged.
func (p *benchPanel) alarms(n int) (ms []float64, err error) {
	for i := range n {
		took, err := p.say(panel.Frame{ID: "ADM-CID", Seq: i + 1, Data: fmt.Sprintf("#%s|1130 01 %03d", p.account, i%1000)})
		if err != nil {
			return nil, err
		}
		ms = append(ms, took)
	}
	return ms, nil
}

// supervisedKey is the key of all panels of a supervisedStation.
const supervisedKey = "000102030405060708090A0B0C0D0E0F"

// supervisedStation is a station with n panels, B0000 and up.
func supervisedStation(t *testing.T, n int) (v *village, key []byte) {
	t.Helper()
	p := caoping(newCentre(t))
	p.accounts = numbered(n, "  - {id: B%04[1]d, key_hex: \""+supervisedKey+"\", supervision: 90s}\n", "")
	v = p.build(t)
	v.start()
	v.online()
	for i := range 16 {
		key = append(key, byte(i))
	}
	return v, key
}

// TestBenchPanelsAck measures from the last byte of an encrypted alarm to its ACK, which comes when the alarm is on disk: of one
// panel alone, and of sixteen that report at once.
func TestBenchPanelsAck(t *testing.T) {
	const alone, together, each = 400, 16, 50
	v, key := supervisedStation(t, together+1)
	ms, err := v.benchPanel(t, fmt.Sprintf("B%04d", together), key).alarms(alone)
	if err != nil {
		t.Fatal(err)
	}
	figure("panels/frame-to-ack-on-disk-p50", percentile(ms, 50), "ms", 20)
	figure("panels/frame-to-ack-on-disk-p99", percentile(ms, 99), "ms", 20)
	var group errgroup.Group
	all := make([][]float64, together)
	begun := time.Now()
	for i := range all {
		p := v.benchPanel(t, fmt.Sprintf("B%04d", i), key)
		group.Go(func() (err error) { all[i], err = p.alarms(each); return err })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun).Seconds()
	ms = nil
	for _, list := range all {
		ms = append(ms, list...)
	}
	fact("panels/frame-to-ack-on-disk-16-at-once-p50", percentile(ms, 50), "ms")
	fact("panels/frame-to-ack-on-disk-16-at-once-p99", percentile(ms, 99), "ms")
	fact("panels/frames-on-disk-16-at-once", together*each/took, "frames/s")
}

// TestBenchPanelsSupervision measures what 1,000 panels cost that say each 60 s that they are well, encrypted, on a connection each:
// the processor's time of the agent, less what it needs when they are silent.
func TestBenchPanelsSupervision(t *testing.T) {
	const panels, period, idle, busy = 1000, 60 * time.Second, 10 * time.Second, 30 * time.Second
	v, key := supervisedStation(t, panels)
	var list []*benchPanel
	say := func(p *benchPanel) {
		t.Helper()
		if _, err := p.say(panel.Frame{ID: "NULL"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range panels {
		p := v.benchPanel(t, fmt.Sprintf("B%04d", i), key)
		list = append(list, p)
		say(p) // its link is up, and told
	}
	settle(3 * time.Second)
	percent := func(over time.Duration, what func()) float64 {
		before, begun := cpuMS(t, v.agent), time.Now()
		what()
		settle(over - time.Since(begun))
		return (cpuMS(t, v.agent) - before) / 10 / time.Since(begun).Seconds()
	}
	silent := percent(idle, func() {})
	pace := time.NewTicker(period / panels)
	defer pace.Stop()
	said := 0
	speaking := percent(busy, func() {
		for begun := time.Now(); time.Since(begun) < busy; said++ {
			<-pace.C
			say(list[said%panels])
		}
	})
	if want := int(busy / (period / panels)); said < want*9/10 {
		t.Fatalf("only %d of %d frames were sent in time", said, want)
	}
	if strings.Contains(v.agent.stderr(), "state=lost") {
		t.Error("a panel was told as lost")
	}
	figure("panels/1000-supervised-cpu", max(0, speaking-silent), "%", 1)
	fact("panels/1000-silent-agent-cpu", silent, "%")
}

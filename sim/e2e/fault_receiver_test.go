package e2e

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"watchpost/sim/panel/arc"
)

// TestFaultReceiverKill kills the agent at random moments while a panel's reports pass through it to an alarm receiving centre: every
// report that the panel has an ACK for is kept there once, in the panel's order, and no number of the transmitter is left out.
func TestFaultReceiverKill(t *testing.T) {
	random := seeded(t)
	kills, count := 10, 400
	if long() {
		kills, count = 100, 4000
	}
	x, err := arc.Open("127.0.0.1:0", arc.Options{Account: "4711", Key: []byte("Caoping-Changsha")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	p := caoping(newCentre(t))
	p.extra = fmt.Sprintf("receivers:\n  - {id: province, address: %q, transport: tcp-local, account: \"4711\", key_ascii: Caoping-Changsha, events: [alarm]}\n", x.Address())
	v := p.build(t)
	v.start()
	panel := v.panel(1, count, 8)
	for k := range kills {
		due := count * (k + 1) / (kills + 1) // spread over the reports; where between frame and ACK is chance
		eventually(t, "the next kill", func() error {
			if n := len(x.Kept()); n < due {
				return fmt.Errorf("%d of %d", n, due)
			}
			return nil
		})
		tick := time.NewTimer(time.Duration(random.IntN(3000)) * time.Microsecond)
		<-tick.C
		v.agent.kill()
		v.start()
	}
	v.reported(panel)
	eventually(t, "all reports at the receiving centre", func() error {
		if n := len(x.Kept()); n < count {
			return fmt.Errorf("%d of %d", n, count)
		}
		return nil
	})
	mark := regexp.MustCompile(`\^WP-([0-9]{6})\^$`)
	for i, f := range x.Kept() {
		m := mark.FindStringSubmatch(f.Data)
		if m == nil || m[1] != fmt.Sprintf("%06d", i+1) || f.Seq != i%9999+1 {
			t.Fatalf("report %d is %04d %s", i+1, f.Seq, f.Data)
		}
	}
	if n := len(x.Kept()); n != count || len(x.Bad()) != 0 {
		t.Errorf("%d reports of %d, bad %v", n, count, x.Bad())
	}
	t.Logf("%d kills, %d reports, %d frames, %d links", kills, count, len(x.Frames()), x.Links())
}

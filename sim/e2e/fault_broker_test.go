package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"watchpost/storage/event"
)

// onMosquitto is a centre on a broker with a configuration of the test's own.
func onMosquitto(t testing.TB, edit func(conf, acl string) (string, string)) (*centre, *mosquittoBroker) {
	t.Helper()
	var b *mosquittoBroker
	c := newCentreOn(t, func(t testing.TB, dir string) string {
		b = newMosquitto(t, dir, edit)
		return b.url()
	})
	return c, b
}

// unreceipted is how far the receipts of the village's first centre are behind the log, in seqs of the lane where it is most.
func (v *village) unreceipted() (behind uint64) {
	v.t.Helper()
	st, err := v.door()
	if err != nil {
		v.t.Fatal(err)
	}
	for lane, head := range st.Log.Heads {
		behind = max(behind, head-min(head, st.Centres[0].Receipts[lane]))
	}
	return behind
}

// TestFaultBrokerKilled kills the broker with kill -9 again and again while a panel reports, and takes away whatever it had
// stored. It comes back empty, the station with it, and each report is at the centre once.
func TestFaultBrokerKilled(t *testing.T) {
	t.Parallel()
	t.Run("built-in", func(t *testing.T) {
		t.Parallel()
		c := newCentre(t)
		brokerKilled(t, c, func() {
			c.kill()
			if err := os.RemoveAll(filepath.Join(c.dir, "broker")); err != nil {
				t.Fatal(err)
			}
		}, func() { c.serve() })
	})
	t.Run("mosquitto", func(t *testing.T) {
		t.Parallel()
		var b *mosquittoBroker
		c := newCentreOn(t, func(t testing.TB, dir string) string {
			b = newMosquitto(t, dir, nil) // it keeps nothing on disk
			return b.url()
		})
		brokerKilled(t, c, func() { b.kill() }, func() { b.serve() })
	})
}

func brokerKilled(t *testing.T, c *centre, kill, serve func()) {
	const frames, kills = 3000, 4
	random := seeded(t)
	v := caoping(c).build(t)
	v.start()
	v.online()
	panel := v.panel(1, frames, 16, "--rate", "400")
	hit := 0
	for i := range kills {
		v.acked(frames/(2*kills)*i + 1 + random.IntN(frames/(4*kills)))
		v.online()
		briefly(random, 50*time.Millisecond)
		kill()
		waiting := v.unreceipted()
		if waiting > 0 {
			hit++
		}
		t.Logf("kill %d: receipts are %d seqs behind", i+1, waiting)
		briefly(random, 300*time.Millisecond)
		serve()
	}
	v.reported(panel)
	v.storedAt(0, 2*patience)
	judge(t, []*village{v}, site{"changshan", c, nil})
	if hit < kills/2 {
		t.Errorf("%d of %d kills hit events without a receipt, want at least half", hit, kills)
	}
	if told := linkFaults(c.stored(v.id)); told < kills/2 {
		t.Errorf("%d events tell the centre of a lost link, after %d kills", told, kills)
	}
	stopsWell(t, v.agent)
}

// briefly waits for a random time, at most so long: the moment at which something breaks.
func briefly(random *rand.Rand, most time.Duration) {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(most))))
	<-timer.C
}

// linkFaults counts the events that tell a lost link and why.
func linkFaults(all []event.Event) (told int) {
	for _, e := range all {
		if why, _ := e.Body.Text(event.TagReason); e.Kind == event.KindCentreLink && why != "" {
			told++
		}
	}
	return told
}

// stallTold waits until the station's log says that a lane's receipts do not come.
func (v *village) stallTold(words ...string) {
	v.t.Helper()
	within(v.t, 3*patience, "the agent tells the missing receipt", func() error {
		for _, w := range words {
			if !strings.Contains(v.agent.stderr(), w) {
				return fmt.Errorf("it does not say %q:\n%s", w, v.agent.tail(15))
			}
		}
		return nil
	})
}

// pubacks counts the acknowledgements that a verbose mosquitto has sent to a client.
func (b *mosquittoBroker) pubacks(client string) int {
	return strings.Count(b.stderr(), "Sending PUBACK to "+client+" ")
}

// TestFaultTopicDenied: the broker's permissions let the station connect and say its state, but drop its events, and the broker
// acknowledges what it drops, as MQTT 3.1.1 has it. The station says so; when the permission is given, nothing was lost.
func TestFaultTopicDenied(t *testing.T) {
	t.Parallel()
	const frames, rule = 60, "pattern write wp/v1/+/%u/event/+"
	c, b := onMosquitto(t, func(conf, acl string) (string, string) {
		denied := strings.Replace(acl, rule, "# "+rule, 1)
		if denied == acl {
			t.Fatalf("the shipped ACL has no line %q", rule)
		}
		return conf, denied
	})
	v := caoping(c).build(t)
	v.start()
	v.online()
	v.reported(v.panel(1, frames, 8))
	v.stallTold("the broker took events up to", "check the broker's permissions for this station")
	acked, stored := b.pubacks(v.id), len(c.stored(v.id))
	t.Logf("the broker acknowledged %d messages of the station, %d denied; %d events are stored", acked, strings.Count(b.stderr(), "Denied PUBLISH from "+v.id), stored)
	if acked == 0 || stored > 0 || !strings.Contains(b.stderr(), "Denied PUBLISH from "+v.id) {
		t.Fatal("the broker did not acknowledge and drop: this test proves nothing")
	}
	if st, err := v.door(); err != nil || st.Centres[0].Receipts["alarm"] != 0 {
		t.Errorf("the local door: %+v, %v", st.Centres, err)
	}
	acl, err := os.ReadFile(b.acl())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.acl(), []byte(strings.Replace(string(acl), "# "+rule, rule, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.serve()
	v.storedAt(0, 3*patience)
	judge(t, []*village{v}, site{"changshan", c, nil})
	v.agent.says("receipts come again")
	c.awaitStored(v.id, "the event that tells the missing receipts", func(e event.Event) bool {
		centre, _ := e.Body.Text(event.TagCentre)
		return e.Kind == event.KindCentreStalled && e.Qualifier == event.QualifierNew && centre == "changshan"
	})
	stopsWell(t, v.agent)
}

// TestFaultQueueFull: the centre stands still for some seconds, and the broker queues next to nothing for it. The broker
// acknowledges what it drops; all of it arrives in the end, in order.
func TestFaultQueueFull(t *testing.T) {
	t.Parallel()
	const frames = 1500
	c, b := onMosquitto(t, func(conf, acl string) (string, string) {
		return strings.NewReplacer("max_inflight_messages 2000", "max_inflight_messages 5", "max_queued_messages 10000", "max_queued_messages 5").Replace(conf), acl
	})
	v := caoping(c).build(t)
	v.start()
	v.online()
	v.storedAt(0, patience)
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	panel := v.panel(1, frames, 16, "--rate", "1000")
	const dropped = "Outgoing messages are being dropped for client"
	eventually(t, "a full queue at the broker", func() error {
		if !strings.Contains(b.stderr(), dropped) {
			return fmt.Errorf("%d messages acknowledged", b.pubacks(v.id))
		}
		return nil
	})
	acked, sent := b.pubacks(v.id), strings.Count(b.stderr(), "Sending PUBLISH to centre ")
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Logf("the broker acknowledged %d messages of the station and passed %d on", acked, sent)
	if acked <= sent {
		t.Error("the broker did not acknowledge and drop: this test proves nothing")
	}
	v.reported(panel)
	v.storedAt(0, 3*patience)
	judge(t, []*village{v}, site{"changshan", c, nil})
	stopsWell(t, v.agent)
}

// TestFaultStreamFull: the built-in broker may keep next to nothing, and stands still for moments together with the intake. What
// the station has sent meanwhile comes in as one burst, of which the broker acknowledges all and drops the oldest. The centre
// sees a gap on a link that never broke, and asks; all of it arrives in the end, in order.
func TestFaultStreamFull(t *testing.T) {
	t.Parallel()
	const frames, bursts, streamBytes = 3000, 10, 12 << 10
	c := newCentre(t)
	c.stop()
	c.args = append(c.args, "--stream-bytes", fmt.Sprint(streamBytes))
	c.serve()
	v := caoping(c).build(t)
	v.start()
	v.online()
	v.storedAt(0, patience)
	panel := v.panel(1, frames, 16, "--rate", "1500")
	asked := func() int { return strings.Count(v.agent.stderr(), "did not reach the centre and is sent again") }
	still := time.NewTicker(300 * time.Millisecond)
	defer still.Stop()
	for i := 0; i < bursts && asked() == 0; i++ {
		v.acked(frames/(2*bursts)*i + 1)
		if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		<-still.C
		<-still.C
		if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		<-still.C
	}
	v.reported(panel)
	v.storedAt(0, 6*patience) // where the answer is dropped as well, the station waits for its receipt before it tries again
	lost, deaf := linkFaults(c.stored(v.id)), strings.Count(c.stderr(), "no broker")
	t.Logf("the centre asked for what is missing %d times; the station's link broke %d times, the centre's %d times", asked(), lost, deaf)
	if asked() == 0 || lost > 0 || deaf > 0 {
		t.Error("the broker did not acknowledge and drop: this test proves nothing")
	}
	judge(t, []*village{v}, site{"changshan", c, nil})
	stopsWell(t, v.agent)
}

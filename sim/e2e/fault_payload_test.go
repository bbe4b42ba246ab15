package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// noise is text that no dictionary makes small.
func noise(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'A' + byte(random.IntN(26))
	}
	return string(b)
}

// TestFaultPayloadOverLimit: the broker takes no message as large as the frames of a backlog. The station must not send them in a
// loop: it sends smaller ones.
func TestFaultPayloadOverLimit(t *testing.T) {
	t.Parallel()
	const frames, limit = 300, 4000
	random := seeded(t)
	c, b := onMosquitto(t, func(conf, acl string) (string, string) {
		return strings.Replace(conf, "message_size_limit 1048576", fmt.Sprint("message_size_limit ", limit), 1), acl
	})
	v := caoping(c).build(t)
	b.kill() // so that there is a backlog
	v.start()
	panel := start(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--window", "16", "--log", v.panelLog())
	for range frames {
		panel.say("raise BA 001 %s", noise(random, 150))
	}
	v.acked(frames)
	b.serve()
	v.online()
	v.storedAt(0, 4*patience)
	over := strings.Count(b.stderr(), "too large PUBLISH") + strings.Count(b.stderr(), "oversize packet")
	t.Logf("%d messages were over the limit, %d acknowledged", over, b.pubacks(v.id))
	if over == 0 {
		t.Error("no message was over the limit: this test proves nothing")
	}
	if over > 40 {
		t.Errorf("%d messages over the limit were sent: a loop", over)
	}
	judge(t, []*village{v}, site{"changshan", c, nil})
	stopsWell(t, v.agent)
}

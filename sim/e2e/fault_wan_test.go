package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"watchpost/sim/wan"
)

// lineFault is something that happens to the station's uplink while its panel reports.
type lineFault struct {
	name   string
	during wan.Faults
	lasts  time.Duration    // then the line is good again; 0 = until everything is stored
	act    func(*wan.Proxy) // once, when the fault begins; nil = nothing
	cuts   bool             // it must cost the link
	says   string           // what the agent says of it
}

func lineFaults(random *rand.Rand) []lineFault {
	both := func(w wan.Way) wan.Faults { return wan.Faults{Up: w, Down: w} }
	nth := int64(16_000 + random.IntN(12_000)) // behind the handshake, which is less than 5 kB each way
	return []lineFault{
		{name: "reset", act: (*wan.Proxy).ResetPeer, cuts: true, says: "msg=\"link down\""},
		{name: "end", act: (*wan.Proxy).Drop, cuts: true, says: "msg=\"link down\""},
		{name: "short black hole", during: both(wan.Way{Timeout: true}), lasts: 4 * time.Second},
		{name: "long black hole", during: both(wan.Way{Timeout: true}), lasts: 14 * time.Second, cuts: true, says: "fault=broker_silent"},
		{name: "deaf upwards", during: wan.Faults{Up: wan.Way{Timeout: true}}, lasts: 14 * time.Second, cuts: true, says: "fault=broker_silent"},
		{name: "deaf downwards", during: wan.Faults{Down: wan.Way{Timeout: true}}, lasts: 14 * time.Second, cuts: true, says: "fault=broker_silent"},
		{name: "half-open", during: wan.Faults{Down: wan.Way{HalfOpen: true}}, act: (*wan.Proxy).ResetPeer, cuts: true, says: "fault=broker_silent"},
		{name: "slices", during: both(wan.Way{Slicer: 31, Latency: 5 * time.Millisecond, Jitter: 20 * time.Millisecond})},
		{name: "narrow", during: both(wan.Way{Bandwidth: 16 << 10, Latency: 300 * time.Millisecond, Jitter: 100 * time.Millisecond})},
		{name: "byte lost", during: wan.Faults{Up: wan.Way{Lose: nth}}, cuts: true},
		{name: "byte altered", during: wan.Faults{Down: wan.Way{Corrupt: nth / 2}}, cuts: true},
		{name: "cut after so many bytes", during: wan.Faults{Up: wan.Way{LimitData: nth}}, lasts: 5 * time.Second, cuts: true},
		{name: "refused", during: wan.Faults{Refuse: true}, act: (*wan.Proxy).ResetPeer, lasts: 3 * time.Second, cuts: true, says: "msg=\"link down\""},
	}
}

// TestFaultLine puts a bad line between station and broker while a panel reports. Whatever the line does, each report is at the
// centre once and in order when it is good again, or even while it is bad.
func TestFaultLine(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	for n, f := range lineFaults(seeded(t)) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			badLine(t, c, fmt.Sprintf("cs-line-%d", n+1), f)
		})
	}
}

func badLine(t *testing.T, c *centre, id string, f lineFault) {
	const frames = 800
	w := proxy(t, c)
	plan := caoping(c).through(w)
	plan.id = id
	v := plan.build(t)
	if f.act == nil && f.lasts == 0 { // from the first byte on
		w.Set(f.during)
	}
	v.start()
	v.online()
	panel := v.panel(1, frames, 8, "--rate", "300")
	v.acked(frames / 4)
	w.Set(f.during)
	if f.act != nil {
		f.act(w)
	}
	if f.lasts > 0 {
		over := time.NewTimer(f.lasts)
		<-over.C
		w.Set(wan.Faults{})
	}
	v.reported(panel)
	v.storedAt(0, 3*patience)
	judge(t, []*village{v}, site{"changshan", c, nil})
	counts := w.Counts()
	t.Logf("%d connections, %d refused, %d bytes up, %d down", counts.Connections, counts.Refused, counts.Up, counts.Down)
	if again := counts.Connections > 1; again != f.cuts {
		t.Errorf("%d connections: the link was cut is %t, want %t", counts.Connections, again, f.cuts)
	}
	if f.says != "" {
		v.agent.says(f.says)
	}
	if told := linkFaults(c.stored(v.id)); f.cuts && told == 0 {
		t.Error("no event tells the centre of the lost link")
	}
	stopsWell(t, v.agent)
}

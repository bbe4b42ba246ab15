package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// figure prints one line of `make bench`. A figure that falls short is told, never hidden, and fails nothing.
func figure(name string, value float64, unit string, goal float64) {
	verdict := "ok"
	if value > goal {
		verdict = "short"
	}
	fmt.Printf("figure %s %.3g %s goal %g %s\n", name, value, unit, goal, verdict)
}

// percentile of samples, the p-th of 100, by nearest rank.
func percentile(samples []float64, p int) float64 {
	s := slices.Sorted(slices.Values(samples))
	return s[max(0, (len(s)*p+99)/100-1)]
}

// TestBenchLineToDisk measures from the kernel's time of an edge to the moment when the local door says that the event is in
// the log, which it is when it is on disk. The door is asked again and again, so the figure is an upper bound.
func TestBenchLineToDisk(t *testing.T) {
	const lines = 60
	c := newCentre(t)
	p := caoping(c)
	for i := range lines {
		p.lines = append(p.lines, fmt.Sprintf("line-%d", i))
	}
	v := p.build(t)
	v.start()
	v.online()
	seen := map[uint64]float64{} // head of the alarm lane → Unix time in ms
	var head uint64
	for _, line := range p.lines {
		v.set(line, 1)
		for before := head; head == before; {
			st, err := v.door()
			if err != nil {
				t.Fatal(err)
			}
			head = st.Log.Heads["alarm"]
		}
		seen[head] = float64(time.Now().UnixNano()) / 1e6
	}
	offset := wallOfMonotonic(t)
	c.awaitStored(v.id, "the last edge", zoneActive(p.lines[lines-1]))
	var ms []float64
	for _, e := range c.stored(v.id) {
		if at, ok := seen[e.Seq]; ok {
			ms = append(ms, at-float64(e.KernelNS)/1e6-offset)
		}
	}
	figure("line-edge-to-disk-p50", percentile(ms, 50), "ms", 20)
	figure("line-edge-to-disk-p99", percentile(ms, 99), "ms", 20)
}

// TestBenchLineToScreen measures from the kernel's time of an edge to the paint of its card in Chromium.
func TestBenchLineToScreen(t *testing.T) {
	const lines, rounds = 25, 4
	c := newCentre(t)
	p := caoping(c)
	for i := range lines {
		p.lines = append(p.lines, fmt.Sprintf("line-%d", i))
	}
	v := p.build(t)
	v.start()
	v.online()
	b := newBrowser(t, "zh-CN")
	b.enter(c)
	pace := time.NewTicker(60 * time.Millisecond)
	defer pace.Stop()
	for range rounds { // a line moves eight times in all, seconds apart: no chatter
		for level := 1; level >= 0; level-- {
			for _, line := range p.lines {
				<-pace.C
				v.set(line, level)
			}
		}
	}
	b.await("all cards painted", fmt.Sprintf("window.__wp.painted.length >= %d", lines*rounds))
	painted, err := value[[]struct {
		ID string  `json:"id"`
		At float64 `json:"at_ms"`
	}](b, "window.__wp.painted")
	if err != nil {
		t.Fatal(err)
	}
	edges := map[string]float64{}
	offset := wallOfMonotonic(t)
	for _, e := range c.stored(v.id) {
		edges[e.Name()] = float64(e.KernelNS)/1e6 + offset
	}
	var ms []float64
	for _, x := range painted {
		ms = append(ms, x.At-edges[x.ID])
	}
	figure("line-edge-to-painted-p50", percentile(ms, 50), "ms", 500)
	figure("line-edge-to-painted-p95", percentile(ms, 95), "ms", 500)
}

// wallOfMonotonic is the Unix time in ms at which CLOCK_MONOTONIC was zero.
func wallOfMonotonic(t *testing.T) float64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return float64(time.Now().UnixNano()-ts.Nano()) / 1e6
}

// TestBenchFirstFrame measures from the click to the first frame on the screen, by the page's own clock: warm with the camera
// pulled already, cold with nobody connected to it.
func TestBenchFirstFrame(t *testing.T) {
	const warmLooks, coldLooks = 20, 8
	c := newCentre(t)
	warm, cold := caoping(c), caoping(c)
	warm.pull, cold.id, cold.name = "always", "cs-qiuchuan", "球川村"
	for _, p := range []*plan{&warm, &cold} {
		url, _ := newCamera(t)
		p.cameras = []string{url}
		v := p.build(t)
		v.start()
		v.online()
	}
	b := newBrowser(t, "zh-CN")
	b.enter(c)
	b.lookAt(warm.id, "gate")
	b.look() // the browser's own first connection is not the station's time
	b.stopLooking()
	var ms []float64
	for range warmLooks {
		b.lookAt(warm.id, "gate")
		ms = append(ms, float64(b.look().Milliseconds()))
		b.stopLooking()
	}
	figure("click-to-first-frame-warm-p50", percentile(ms, 50), "ms", 700)
	figure("click-to-first-frame-warm-p95", percentile(ms, 95), "ms", 700)
	ms = ms[:0]
	pause := time.NewTicker(2500 * time.Millisecond) // linger is 1 s: nobody pulls the camera then
	defer pause.Stop()
	for range coldLooks {
		b.lookAt(cold.id, "gate")
		ms = append(ms, float64(b.look().Milliseconds()))
		b.stopLooking()
		<-pause.C
	}
	figure("click-to-first-frame-cold-p50", percentile(ms, 50), "ms", 2150) // the camera's GOP of 2 s and 150 ms
	figure("click-to-first-frame-cold-p95", percentile(ms, 95), "ms", 2150)
}

// TestBenchIdleAgent measures memory and CPU of an agent that has nothing to do, without and with one camera pulled.
func TestBenchIdleAgent(t *testing.T) {
	c := newCentre(t)
	without, with := caoping(c), caoping(c)
	url, _ := newCamera(t)
	with.id, with.pull, with.cameras = "cs-qiuchuan", "always", []string{url}
	var agents []*process
	for _, p := range []plan{without, with} {
		v := p.build(t)
		v.start()
		v.online()
		agents = append(agents, v.agent)
	}
	settle := time.NewTimer(35 * time.Second) // a whole ring of 30 s
	<-settle.C
	const window = 20 * time.Second
	before := []float64{cpuMS(t, agents[0]), cpuMS(t, agents[1])}
	settle.Reset(window)
	<-settle.C
	for i, name := range []string{"without-camera", "with-one-camera"} {
		figure("agent-idle-rss-"+name, rssMiB(t, agents[i]), "MiB", 96)
		figure("agent-idle-cpu-"+name, (cpuMS(t, agents[i])-before[i])/window.Seconds(), "ms/s", []float64{2, 5}[i])
	}
	figure("agent-rss-of-one-camera", rssMiB(t, agents[1])-rssMiB(t, agents[0]), "MiB", 18)
}

// rssMiB is VmRSS of a program.
func rssMiB(t testing.TB, p *process) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, _ := strconv.ParseFloat(f[1], 64)
			return n / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// cpuMS is user and system time of a program, in ms, in steps of 10 ms.
func cpuMS(t *testing.T, p *process) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return 10 * (user + system)
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memory is what a program holds, in MiB: now, at its highest, and the part that no file stands behind.
type memory struct{ rss, peak, anon float64 }

func memoryOf(t testing.TB, p *process) (m memory) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		field := map[string]*float64{"VmRSS:": &m.rss, "VmHWM:": &m.peak, "RssAnon:": &m.anon}
		if f := strings.Fields(line); len(f) > 1 && field[f[0]] != nil {
			kib, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			*field[f[0]] = kib / 1024
		}
	}
	return m
}

// TestBenchEventsSize measures the shipped agent over a backlog that grows to a gigabyte: how long it takes to open, and what
// memory it holds while its centre is away, and while the backlog drains.
func TestBenchEventsSize(t *testing.T) {
	const settled = 30 * time.Second
	c := newCentre(t)
	v := caoping(c).build(t)
	c.kill()
	var held []float64
	have := 0
	for _, n := range []int{200_000, 1_000_000, 2_000_000} {
		backlog(t, filepath.Join(v.dir, "data"), n-have)
		have = n
		begun := time.Now()
		v.start()
		opened := time.Since(begun)
		settle(settled)
		m := memoryOf(t, v.agent)
		name := fmt.Sprintf("events-size/%dk-", n/1000)
		figure(name+"start", opened.Seconds(), "s", 2)
		figure(name+"rss", m.rss, "MiB", 96)
		figure(name+"rss-peak", m.peak, "MiB", 96)
		fact(name+"rss-anonymous", m.anon, "MiB")
		held = append(held, m.rss)
		if n < 2_000_000 {
			stopsWell(t, v.agent)
		}
	}
	figure("events-size/2000k-rss-to-200k", held[len(held)-1]/held[0], "x", 1.25)
	c.serve()
	within(t, 5*time.Minute, "the beginning of the drain", func() error {
		st, err := v.door()
		if err == nil && st.Centres[0].Receipts["main"] < 200_000 {
			err = fmt.Errorf("receipts %v", st.Centres[0].Receipts)
		}
		return err
	})
	m := memoryOf(t, v.agent)
	figure("events-size/2000k-draining-rss-peak", m.peak, "MiB", 96)
	fact("events-size/2000k-draining-rss-anonymous", m.anon, "MiB")
	v.agent.kill()
	begun := time.Now()
	v.start()
	figure("events-size/2000k-start-after-kill", time.Since(begun).Seconds(), "s", 2)
}

// TestBenchEventsCPU measures what of the processor the station takes to store and publish events that come as fast as they
// are stored.
func TestBenchEventsCPU(t *testing.T) {
	const n = 60_000
	var cost []float64
	for range rounds {
		central, broker := newCentral(t)
		hears := newEar(t, central)
		agent := startChild(t, "station", filepath.Join(t.TempDir(), "log"), central)
		hears.heard(2)
		before := cpuMS(t, agent)
		agent.say("append %d", n)
		hears.heard(n)
		hears.quiet()
		cost = append(cost, (cpuMS(t, agent)-before)/(n/1000))
		agent.kill()
		broker.kill()
	}
	figure("events-cpu/store-and-publish", median(cost), "ms/1000", 60)
}

package e2e

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"watchpost/sim/wan"
	"watchpost/storage/event"
	"watchpost/storage/storagetest"
)

var errNotStored = errors.New("it is not stored")

// standardAccount is the panel that every village has.
const standardAccount = "1409"

// seeded is a test's randomness. WATCHPOST_SEED repeats a run's choices.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WATCHPOST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WATCHPOST_SEED: %v", err)
		}
	}
	t.Logf("seed %d: WATCHPOST_SEED=%d repeats the choices", seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// long says whether a run may take as long as the whole list of faults needs.
func long() bool { return os.Getenv("WATCHPOST_LONG") != "" }

// panelLog is where the village's standard panel writes what it sent and what was acknowledged.
func (v *village) panelLog() string { return v.logOf(standardAccount) }

func (v *village) logOf(account string) string { return filepath.Join(v.dir, "panel-"+account+".log") }

// panel starts the village's alarm panel with reports first to first+count-1, window of them in flight, all in one log.
func (v *village) panel(first, count, window int, more ...string) *process {
	v.t.Helper()
	args := []string{"panel", "--to", "tcp://" + v.panels, "--account", standardAccount, "--codes", "BA,BR", "--first", fmt.Sprint(first), "--count", fmt.Sprint(count),
		"--window", fmt.Sprint(window), "--log", v.panelLog()}
	return start(v.t, "simctl", append(args, more...)...)
}

// crowd is how many panels report side by side where a backlog is wanted: one panel's reports are stored one after the other,
// several panels' share a sync of the disk.
const crowd = 8

// crowdYAML makes the crowd's panels known to the village's receiver.
func crowdYAML() string {
	var b strings.Builder
	for i := range crowd {
		fmt.Fprintf(&b, "  - {id: \"%d\"}\n", 2001+i)
	}
	return b.String()
}

// crowd starts the crowd's panels, which make count reports together.
func (v *village) crowd(count int) (panels []*process) {
	v.t.Helper()
	for i := range crowd {
		id := fmt.Sprint(2001 + i)
		panels = append(panels, start(v.t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", id, "--codes", "BA,BR",
			"--count", fmt.Sprint(count/crowd), "--window", "32", "--log", v.logOf(id)))
	}
	return panels
}

// reported waits until panels have their acknowledgement for every report.
func (v *village) reported(panels ...*process) {
	v.t.Helper()
	deadline := time.NewTimer(4 * patience)
	defer deadline.Stop()
	for _, p := range panels {
		select {
		case <-p.exited:
		case <-deadline.C:
			v.t.Fatalf("a panel does not end; %d reports are acknowledged", v.acknowledged())
		}
		if code := p.wait(); code != 0 {
			v.t.Fatalf("panel: exit code %d:\n%s", code, p.tail(10))
		}
	}
}

// acknowledged counts the acknowledgements of all of the village's panels.
func (v *village) acknowledged() (count int) {
	v.t.Helper()
	for _, file := range v.panelLogs() {
		b, err := os.ReadFile(file)
		if err != nil {
			v.t.Fatal(err)
		}
		count += bytes.Count(b, []byte("\nacked "))
	}
	return count
}

func (v *village) panelLogs() []string {
	v.t.Helper()
	files, err := filepath.Glob(v.logOf("*"))
	if err != nil {
		v.t.Fatal(err)
	}
	return files
}

// acked waits until n reports are acknowledged.
func (v *village) acked(n int) {
	v.t.Helper()
	within(v.t, 3*patience, "acknowledgements of the panels' reports", func() error {
		if got := v.acknowledged(); got < n {
			return fmt.Errorf("%d, want %d", got, n)
		}
		return nil
	})
}

// sources are the panels' logs as the checker wants them.
func (v *village) sources() (all []storagetest.Source) {
	v.t.Helper()
	for _, file := range v.panelLogs() {
		account := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "panel-"), ".log")
		s := storagetest.Source{Station: v.id, Name: "dc09/" + account}
		r := readRecord(v.t, file)
		for _, n := range slices.Sorted(maps.Keys(r.sent)) {
			s.Facts = append(s.Facts, storagetest.Fact{Key: fmt.Sprintf("WP-%06d", n), Acked: r.acked[n]})
		}
		all = append(all, s)
	}
	return all
}

// panelKey is the panel's own name of a report, in the event that became of it.
func panelKey(e event.Event) string {
	text, _ := e.Body.Text(event.TagText)
	if e.Kind != event.KindPanelEvent || !strings.HasPrefix(text, "WP-") {
		return ""
	}
	return text[:min(len(text), len("WP-000001"))]
}

// site is a centre that a village reports to, and what it is sent.
type site struct {
	id    string
	c     *centre
	lanes []event.Lane // nil = all
}

// judge holds what the centres stored of the villages against their panels' logs, and fails the test on any difference. All
// must be drained. A log may have lost nothing: what a marker would excuse counts as well.
func judge(t testing.TB, villages []*village, sites ...site) storagetest.Verdict {
	t.Helper()
	var h storagetest.History
	for _, s := range sites {
		h.Centres = append(h.Centres, storagetest.Centre{ID: s.id, Lanes: s.lanes})
	}
	for _, v := range villages {
		st, err := v.door() // before the stores: they may have more by then, not less
		if err != nil {
			t.Fatal(err)
		}
		epoch, err := event.ParseEpoch(st.Log.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		for word, seq := range st.Log.Heads {
			lane, err := event.ParseLane(word)
			if err != nil {
				t.Fatal(err)
			}
			h.Heads = append(h.Heads, storagetest.Head{Station: v.id, Epoch: epoch, Lane: lane, Seq: seq})
		}
		h.Sources = append(h.Sources, v.sources()...)
		for i, s := range sites {
			h.Centres[i].Stored = append(h.Centres[i].Stored, storagetest.FromEvents(s.c.stored(v.id), panelKey)...)
		}
	}
	verdict := storagetest.Check(h)
	t.Log(verdict)
	if err := verdict.Err(); err != nil {
		t.Error(err)
	}
	if verdict.MarkerCovered > 0 || verdict.Epochs != len(villages) {
		t.Errorf("%d acknowledged facts are excused by markers, %d epochs of %d villages: a log lost something", verdict.MarkerCovered, verdict.Epochs, len(villages))
	}
	return verdict
}

// storedAt waits until a centre of the village has given a receipt for all that it is sent; n counts the centres from 0.
func (v *village) storedAt(n int, limit time.Duration) {
	v.t.Helper()
	within(v.t, limit, "receipts for all of the log", func() error {
		st, err := v.door()
		if err != nil {
			return err
		}
		for lane, got := range st.Centres[n].Receipts {
			if head := st.Log.Heads[lane]; got < head {
				return fmt.Errorf("%s has lane %s up to %d of %d (%s)", st.Centres[n].ID, lane, got, head, cmp.Or(st.Centres[n].Reason, "online"))
			}
		}
		return nil
	})
}

// live raises the panic button's line, and answers how long it took until the centre had it; the line is at rest again then.
func (v *village) live(c *centre) time.Duration {
	v.t.Helper()
	row, at := c.lastRow(), time.Now()
	v.set("panic", 1)
	eventually(v.t, "a live alarm in the centre's store", func() error {
		if !slices.ContainsFunc(c.storedAfter(v.id, row), func(e event.Event) bool { return zoneActive("panic")(e) && !e.At.Before(at) }) {
			return errNotStored
		}
		return nil
	})
	took := time.Since(at)
	v.set("panic", 0)
	return took
}

// proxy leads from a loopback port to a centre's broker, and is closed with the test.
func proxy(t testing.TB, c *centre) *wan.Proxy {
	t.Helper()
	p, err := wan.Listen(strings.TrimPrefix(c.broker, "tls://"), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// through makes a village's first centre reachable by way of a proxy only.
func (p plan) through(w *wan.Proxy) plan {
	p.entry = func(n int, yaml string) string {
		if n > 0 {
			return yaml
		}
		return strings.Replace(yaml, p.centres[0].broker, "tls://"+w.Addr(), 1)
	}
	return p
}

package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// twoCentres is a village that reports to both; the second is sent only some lanes, if any are named.
func twoCentres(a, b *centre, lanes ...event.Lane) plan {
	p := caoping(a)
	p.centres = append(p.centres, b)
	p.entry = func(n int, yaml string) string {
		if n == 0 {
			return yaml
		}
		yaml = strings.Replace(yaml, "id: changshan", "id: yushan", 1)
		if len(lanes) > 0 {
			words := make([]string, len(lanes))
			for i, l := range lanes {
				words[i] = l.String()
			}
			yaml += "    lanes: [" + strings.Join(words, ", ") + "]\n"
		}
		return yaml
	}
	return p
}

// TestFaultOneCentreAway: one of two centres is away for as many events as a village makes in two weeks. The other has every
// alarm at once meanwhile, and while the backlog goes up; the one that was away misses nothing.
func TestFaultOneCentreAway(t *testing.T) {
	t.Parallel()
	const frames = 28_000
	a, b := newCentre(t), newCentre(t)
	plan := twoCentres(a, b)
	plan.accounts = crowdYAML()
	v := plan.build(t)
	v.start()
	v.storedAt(0, patience)
	v.storedAt(1, patience)
	b.kill()
	began := time.Now()
	panels := v.crowd(frames)
	v.acked(frames / 2)
	busy := v.live(a)
	v.reported(panels...)
	v.storedAt(0, 2*patience)
	t.Logf("%d reports in %s", frames, age(began))
	eventually(t, "the local door tells which centre is away", func() error {
		st, err := v.door()
		if err == nil && (!st.Centres[0].Online || st.Centres[1].Online || !strings.Contains(st.Centres[1].Reason, "check the address")) {
			err = fmt.Errorf("centres %+v", st.Centres)
		}
		return err
	})
	random := seeded(t)
	b.serve()
	within(t, 2*patience, "the backlog's beginning", func() error {
		if b.lastRow() < 1000 {
			return errNotStored
		}
		return nil
	})
	var live []time.Duration
	for range 3 { // while the backlog goes up to the other
		live = append(live, v.live(a))
		briefly(random, 200*time.Millisecond)
	}
	left := frames - int(b.lastRow())
	began = time.Now()
	v.storedAt(1, 3*patience)
	t.Logf("live alarms at the centre that was never away: %s in the storm, %s beside the drain; %d left then, drained %s later", busy, live, left, age(began))
	if slow := max(busy, slices.Max(live)); slow > 5*time.Second {
		t.Errorf("a live alarm took %s because of the other centre", slow)
	}
	judge(t, []*village{v}, site{"changshan", a, nil}, site{"yushan", b, nil})
	stopsWell(t, v.agent)
}

// TestFaultBothCentresAway: both centres are away, and come back one after the other, each sent its own lanes.
func TestFaultBothCentresAway(t *testing.T) {
	t.Parallel()
	const frames = 2000
	a, b := newCentre(t), newCentre(t)
	v := twoCentres(a, b, event.LaneAlarm).build(t)
	v.start()
	v.storedAt(0, patience)
	v.storedAt(1, patience)
	a.kill()
	b.kill()
	v.reported(v.panel(1, frames, 64))
	v.agent.says("centre=changshan broker=" + a.broker + " fault=broker_away")
	v.agent.says("centre=yushan broker=" + b.broker + " fault=broker_away")
	v.agent.kill() // what is to be sent is on disk, not in the agent
	v.start()
	b.serve()
	v.storedAt(1, 2*patience)
	if st, err := v.door(); err != nil || st.Centres[0].Online || st.Centres[0].Receipts["alarm"] >= st.Log.Heads["alarm"] {
		t.Errorf("the centre that is still away: %+v, %v", st.Centres[0], err)
	}
	a.serve()
	v.storedAt(0, 2*patience)
	verdict := judge(t, []*village{v}, site{"changshan", a, nil}, site{"yushan", b, []event.Lane{event.LaneAlarm}})
	if verdict.Filtered == 0 {
		t.Error("the second centre was sent what it is not entitled to")
	}
	stopsWell(t, v.agent)
}

// TestFaultCentreKilledWhileDraining kills the centre with kill -9 again and again in the middle of a backlog.
func TestFaultCentreKilledWhileDraining(t *testing.T) {
	t.Parallel()
	const frames = 8000
	kills := 2 // after each the station waits longer before it tries again
	if long() {
		kills = 6
	}
	random := seeded(t)
	c := newCentre(t)
	plan := caoping(c)
	plan.accounts = crowdYAML()
	v := plan.build(t)
	v.start()
	v.online()
	c.kill()
	v.reported(v.crowd(frames)...)
	hit := 0
	for i := range kills {
		c.serve()
		row := c.lastRow()
		within(t, 2*patience, "the drain's progress", func() error {
			if c.lastRow() == row {
				return errNotStored
			}
			return nil
		})
		briefly(random, 60*time.Millisecond)
		c.kill()
		waiting := v.unreceipted()
		if waiting > 0 {
			hit++
		}
		t.Logf("kill %d: %d events stored, receipts are %d seqs behind", i+1, c.lastRow(), waiting)
	}
	if hit < kills/2 {
		t.Errorf("%d of %d kills hit events without a receipt, want at least half", hit, kills)
	}
	c.serve()
	v.storedAt(0, 3*patience)
	judge(t, []*village{v}, site{"changshan", c, nil})
	stopsWell(t, v.agent)
}

// TestFaultCentreRestored puts an old copy of the centre's ledger back. The centre has less than it gave receipts for; the
// station says so and sends the rest again.
func TestFaultCentreRestored(t *testing.T) {
	t.Parallel()
	const before, after = 400, 800
	c := newCentre(t)
	v := caoping(c).build(t)
	v.start()
	v.reported(v.panel(1, before, 16))
	v.storedAt(0, patience)
	backup := filepath.Join(t.TempDir(), "backup.db")
	c.copyLedger(backup)
	v.reported(v.panel(before+1, after, 16))
	v.storedAt(0, patience)
	had := c.lastRow()
	c.stop()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(c.dir, ledgerFile+suffix)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(backup, filepath.Join(c.dir, ledgerFile)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events stored, %d after the restore", had, c.lastRow())
	if had-c.lastRow() < after {
		t.Fatal("the backup has what came after it: this test proves nothing")
	}
	c.serve()
	v.agent.says("link up")
	within(t, 4*patience, "the station sends again", func() error {
		if c.lastRow() < had {
			return fmt.Errorf("%d events, had %d", c.lastRow(), had)
		}
		return nil
	})
	v.agent.says("it was restored from a backup or lost its store, and is sent the rest again")
	v.storedAt(0, 3*patience)
	judge(t, []*village{v}, site{"changshan", c, nil})
	stopsWell(t, v.agent)
}

// copyLedger writes a whole copy of the centre's ledger while it is in use.
func (c *centre) copyLedger(file string) {
	c.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, ledgerFile)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(c.t.Context(), "VACUUM INTO ?", file); err != nil {
		c.t.Fatal(err)
	}
}

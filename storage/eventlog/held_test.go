package eventlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"watchpost/sim/disk"
	"watchpost/storage/event"
)

// A disk that fails once while tables are merged takes nothing with it, though Badger takes such a merge for done.
func TestMergeFails(t *testing.T) {
	d := powerDisk(t, disk.Options{})
	dir := filepath.Join(d.Mount, "log")
	for i := range mergeFrom { // each life leaves a table
		l := testLog(t, dir)
		mustAppend(t, l, draft(event.SeverityAlarm, fmt.Sprint(i)), draft(event.SeverityNotice, fmt.Sprint(i)))
		if err := errors.Join(l.SetCursor("changshan", event.LaneAlarm, l.Head(event.LaneAlarm)), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Set(disk.Mode{Faults: []disk.Fault{{Op: disk.OpSync, Name: "*.sst", Count: 1}}}); err != nil {
		t.Fatal(err)
	}
	l := testLog(t, dir)
	waitFor(t, "merged", func() bool { return l.level0.Load() < mergeFrom })
	if err := errors.Join(l.Close(), d.Cut(false)); err != nil {
		t.Fatal(err)
	}
	now := testLog(t, dir)
	at, err := now.Cursor("changshan", event.LaneAlarm)
	if got := len(readAll(t, now, event.LaneAlarm)); got != mergeFrom || now.Epoch() != l.Epoch() || at != now.Head(event.LaneAlarm) || err != nil {
		t.Errorf("%d of %d alarms, epoch %s and then %s, cursor %d, %v", got, mergeFrom, l.Epoch(), now.Epoch(), at, err)
	}
	if err := now.Close(); err != nil {
		t.Error(err)
	}
}

// So does a disk that fails while a bucket is dropped. The MANIFEST may name a table then that could not be kept.
func TestDropFails(t *testing.T) {
	d := powerDisk(t, disk.Options{})
	for i, c := range []struct {
		fault disk.Fault
		want  error
	}{
		{disk.Fault{Op: disk.OpSync, Name: "*.sst", Count: 1}, ErrFailed},        // the flush
		{disk.Fault{Op: disk.OpSync, Name: "*.sst", After: 1, Count: 100}, nil},  // the merge
		{disk.Fault{Op: disk.OpSync, Name: "MANIFEST", Count: 1}, ErrFailed},     // after the flush
		{disk.Fault{Op: disk.OpSync, Name: "MANIFEST", After: 1, Count: 1}, nil}, // after the merge
	} {
		dir := filepath.Join(d.Mount, fmt.Sprint("log", i))
		l := testLog(t, dir)
		mustAppend(t, l, draft(event.SeverityAlarm, "before"))
		drafts := make([]event.Draft, 128)
		for k := range drafts {
			drafts[k] = draft(event.SeverityTrace, "t")
		}
		for range 2<<bucketBits/len(drafts) + 1 {
			mustAppend(t, l, drafts...)
		}
		mustAppend(t, l, draft(event.SeverityAlarm, "after"))
		if err := d.Set(disk.Mode{Faults: []disk.Fault{c.fault}}); err != nil {
			t.Fatal(err)
		}
		err := l.dropAll(bucketPrefix(event.LaneTrace, 0))
		if !errors.Is(err, c.want) {
			t.Errorf("fault %d: the drop answered %v, want %v", i, err, c.want)
		}
		if err := errors.Join(d.Set(disk.Mode{}), l.Close(), d.Cut(false)); err != nil {
			t.Fatal(err)
		}
		now := testLog(t, dir)
		if got := len(readAll(t, now, event.LaneAlarm)); got != 2 || now.Epoch() != l.Epoch() {
			t.Errorf("fault %d: %d of 2 alarms, epoch %s and then %s", i, got, l.Epoch(), now.Epoch())
		}
		if err := now.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A disk on which names last only by a sync of their directory forgets tables that Badger has written down in its MANIFEST.
func TestPowerCutStrict(t *testing.T) {
	const seed = 11
	d := powerDisk(t, disk.Options{Seed: seed, Strict: true})
	random, w := rand.New(rand.NewPCG(seed, 0)), newWitness()
	for cut := range cuts(4) {
		w.live(t, d, 2000+random.IntN(6000), random.IntN(2) == 0, random.IntN(2) == 0)
		w.check(t, d)
		if t.Failed() {
			t.Fatalf("cut %d", cut)
		}
	}
}

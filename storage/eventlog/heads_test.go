package eventlog

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"watchpost/storage/event"
)

// One slot of the heads may be torn at any byte: the other one still says what was true before.
func TestHeadsTorn(t *testing.T) {
	dir := t.TempDir()
	k, err := keepHeads(dir, heads{epoch: event.Epoch{1}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.close() }()
	h := k.now
	for i := range uint64(4) {
		before := h
		h.last[event.LaneAlarm], h.starts = i+1, uint8(i)
		was, err := os.ReadFile(filepath.Join(dir, headsFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.write(h); err != nil {
			t.Fatal(err)
		}
		if got, _ := readHeads(dir); got != h {
			t.Fatalf("read %+v, wrote %+v", got, h)
		}
		now, err := os.ReadFile(filepath.Join(dir, headsFile))
		if err != nil {
			t.Fatal(err)
		}
		torn := t.TempDir()
		at := int(k.turn%2) * headsSlot
		for n := range headsLength {
			b := append([]byte(nil), was...)
			copy(b[at:], now[at:at+n])
			if err := os.WriteFile(filepath.Join(torn, headsFile), b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, _ := readHeads(torn); got != before && got != h {
				t.Fatalf("torn after %d bytes: %+v, want %+v", n, got, before)
			}
		}
	}
	if got, turn := readHeads(t.TempDir()); got != (heads{}) || turn != 0 {
		t.Errorf("no file: %+v", got)
	}
}

func FuzzDecodeHeads(f *testing.F) {
	f.Add(heads{epoch: event.Epoch{1, 2}, starts: 3}.encode(7))
	f.Add([]byte(headsMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, turn, err := decodeHeads(b)
		if err == nil && string(h.encode(turn)) != string(b[:headsLength]) {
			t.Errorf("%x reads as %+v", b, h)
		}
	})
}

func FuzzReadValue(f *testing.F) {
	epoch := event.Epoch{1}
	e := draft(event.SeverityAlarm, "x").Event(testStation, epoch, 9)
	key := eventKey(e.Lane, e.Seq)
	value, _, err := appendValue(nil, tail{seq: 4, count: 2, bytes: 70}, e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, value)
	f.Add([]byte{}, []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s, err := readValue(testStation, epoch, key, seal(key, append([]byte(nil), value...)))
		if err == nil && s.event.Seq != s.seq {
			t.Errorf("%x under %x reads as %+v", value, key, s)
		}
		note, err := decodeOnce(key, seal(key, append([]byte(nil), value...)))
		if err == nil && len(note.source) > len(key) {
			t.Errorf("%x under %x reads as %+v", value, key, note)
		}
	})
}

// A disk that is filling is seen before it is full.
func TestRoomForesees(t *testing.T) {
	r := &room{dir: t.TempDir()}
	now := time.Now()
	free, err := r.free()
	if err != nil || free < roomToAppend {
		t.Skip("this disk is too full for the test: ", free, err)
	}
	ask := func(n int64, at time.Duration) verdict {
		t.Helper()
		v, err := r.ask(n, now.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := ask(1<<20, 0); v != roomYes {
		t.Errorf("a quiet disk: %d", v)
	}
	r.seen = 4 * free // three quarters were written since
	if v := ask(1<<20, time.Second); v != roomFilling {
		t.Errorf("a disk that is filling: %d", v)
	}
	if v := ask(1<<20, 100*time.Second); v != roomYes {
		t.Errorf("quiet again: %d", v)
	}
	if v := ask(1<<60, 101*time.Second); v != roomNo {
		t.Errorf("too much: %d", v)
	}
}

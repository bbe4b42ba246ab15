package event_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// -write-golden writes the golden file of a case that has none yet; it never changes one that is there.
var writeGolden = flag.Bool("write-golden", false, "write golden files that are missing")

var testEpoch = event.Epoch{0xc0, 0xff, 0xee, 1, 2, 3, 4, 5}

func door() event.Event {
	return event.Draft{
		At: time.Date(2026, 11, 22, 3, 4, 5, 678901234, time.UTC), KernelNS: 987654321, BootID: 0xdeadbeef,
		ClockQuality: event.ClockSynced, Kind: event.KindZoneChanged, Qualifier: event.QualifierNew,
		Zone: "office-door", Source: "line/office-door", Severity: event.SeverityAlarm,
		Body: event.NewBody(event.Text(event.TagPrevious, "normal"), event.Text(event.TagState, "active"), event.Uint(event.TagLost, 2)),
	}.Event("cs-baishi-caoping", testEpoch, 4711)
}

func opened() event.Event {
	return event.Draft{
		At: time.Unix(0, 1).UTC(), Kind: event.KindLogOpened, Qualifier: event.QualifierStatus, Source: "station",
		Severity: event.SeverityWarning,
		Body: event.NewBody(event.Text(event.TagReason, "set_aside"), event.Bytes(event.TagPrevEpoch, []byte{9, 8, 7, 6, 5, 4, 3, 2}),
			event.Uint(event.TagLastAlarm, 12), event.Int(event.TagPanelTime, -3), event.Text(event.TagExtra, "X012W"), event.Text(event.TagExtra, "Y045N")),
	}.Event("ys-shuangming", testEpoch, 1)
}

// TestGolden holds the bytes of format 1: what is on disk and on the wire today must be read for ever.
func TestGolden(t *testing.T) {
	for name, e := range map[string]event.Event{"door": door(), "opened": opened()} {
		record, err := event.AppendRecord(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		view, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".hex", []byte(hex.EncodeToString(record)+"\n"))
		golden(t, name+".json", append(view, '\n'))
		if len(record)*5 > len(view)*2 {
			t.Errorf("%s: %d bytes for a JSON view of %d: the encoding should be compact", name, len(record), len(view))
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && *writeGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s changed:\n got %s\nwant %s", path, got, want)
	}
}

func anyEvent() *rapid.Generator[event.Event] {
	return rapid.Custom(func(t *rapid.T) event.Event {
		var fields []event.Field
		for range rapid.IntRange(0, 12).Draw(t, "fields") {
			tag := event.Tag(rapid.Uint16Range(1, 60).Draw(t, "tag"))
			fields = append(fields, rapid.OneOf(
				rapid.Map(rapid.String(), func(s string) event.Field { return event.Text(tag, s) }),
				rapid.Map(rapid.Uint64(), func(n uint64) event.Field { return event.Uint(tag, n) }),
				rapid.Map(rapid.Int64(), func(n int64) event.Field { return event.Int(tag, n) }),
				rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 200), func(b []byte) event.Field { return event.Bytes(tag, b) }),
			).Draw(t, "field"))
		}
		d := event.Draft{
			At:           time.Unix(rapid.Int64Range(0, 9e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC(),
			KernelNS:     rapid.Int64Range(1, 1<<62).Draw(t, "kernel"),
			BootID:       rapid.Uint32().Draw(t, "boot"),
			ClockQuality: event.ClockQuality(rapid.Uint8Range(0, 2).Draw(t, "clock")),
			Kind:         event.Kind(rapid.Uint16Min(1).Draw(t, "kind")),
			Qualifier:    event.Qualifier(rapid.Uint8Range(1, 3).Draw(t, "qualifier")),
			Zone:         rapid.StringN(0, 20, event.MaxName).Draw(t, "zone"),
			Source:       rapid.StringN(0, 20, event.MaxName).Draw(t, "source"),
			Severity:     event.Severity(rapid.Uint8Range(1, 4).Draw(t, "severity")),
			Body:         event.NewBody(fields...),
		}
		return d.Event("st", testEpoch, rapid.Uint64Min(1).Draw(t, "seq"))
	})
}

var fieldsEqual = cmp.AllowUnexported(event.Field{})

func TestRecordsComeBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		b, err := event.AppendRecord([]byte("before"), e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.DecodeRecord("st", testEpoch, b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, got, fieldsEqual); d != "" {
			t.Fatal(d)
		}
	})
}

func TestWhatNoLogMayHold(t *testing.T) {
	for _, tt := range []struct {
		says   string
		change func(*event.Event)
	}{
		{"seq 0", func(e *event.Event) { e.Seq = 0 }},
		{"must stamp it", func(e *event.Event) { e.At = time.Time{} }},
		{"outside 1970", func(e *event.Event) { e.At = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"outside 1970", func(e *event.Event) { e.At = time.Date(1970, 1, 1, 0, 30, 0, 0, time.FixedZone("CST", 8*3600)) }}, // 1969 in UTC
		{"negative", func(e *event.Event) { e.KernelNS = -1 }},
		{"no word of ours", func(e *event.Event) { e.Severity = 9 }},
		{"count from 1", func(e *event.Event) { e.Kind = 0 }},
		{"at most 96 bytes", func(e *event.Event) { e.Zone = strings.Repeat("z", 97) }},
		{"must be UTF-8", func(e *event.Event) { e.Source = "\xff" }},
		{"is not UTF-8", func(e *event.Event) { e.Body = event.NewBody(event.Text(event.TagText, "\xff")) }},
		{"out of order", func(e *event.Event) { e.Body = event.Body{event.Uint(9, 1), event.Uint(8, 1)} }},
		{"at most 256", func(e *event.Event) { e.Body = make(event.Body, 257) }},
		{"at most 16384 fit", func(e *event.Event) {
			e.Body = event.NewBody(event.Text(event.TagText, strings.Repeat("x", event.MaxRecord)))
		}},
	} {
		e := door()
		tt.change(&e)
		b, err := event.AppendRecord([]byte("kept"), e)
		if err == nil || !strings.Contains(err.Error(), tt.says) || string(b) != "kept" {
			t.Errorf("want an error that says %q and dst kept, got %v, %q", tt.says, err, b)
		}
	}
}

func TestNoCutOrLongerRecordIsRead(t *testing.T) {
	b, err := event.AppendRecord(nil, opened())
	if err != nil {
		t.Fatal(err)
	}
	body := len(b)
	for n := range b {
		// A cut between two fields is a shorter record of its own; the frame's length and the log's CRC hold those.
		if e, err := event.DecodeRecord("ys-shuangming", testEpoch, b[:n]); err == nil {
			if again, _ := event.AppendRecord(nil, e); !bytes.Equal(again, b[:n]) {
				t.Errorf("%d of %d bytes were read as another event", n, body)
			}
		} else if !errors.Is(err, event.ErrRecord) {
			t.Errorf("error at %d is no ErrRecord: %v", n, err)
		}
	}
	if _, err := event.DecodeRecord("s", testEpoch, append(b, 0)); err == nil {
		t.Error("a trailing byte was taken")
	}
	if _, err := event.DecodeRecord("s", testEpoch, make([]byte, event.MaxRecord+1)); err == nil {
		t.Error("an oversized record was taken")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, e := range []event.Event{door(), opened()} {
		b, _ := event.AppendRecord(nil, e)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := event.DecodeRecord("s", testEpoch, b)
		if err != nil {
			return
		}
		again, err := event.AppendRecord(nil, e)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x, %v", b, again, err)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkAppendRecord(b *testing.B) {
	e, buf := door(), make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = event.AppendRecord(buf[:0], e)
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	record, _ := event.AppendRecord(nil, door())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.DecodeRecord("cs-baishi-caoping", testEpoch, record); err != nil {
			b.Fatal(err)
		}
	}
}

package topic_test

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
	"watchpost/uplink/topic"
)

var writeGolden = flag.Bool("write-golden", false, "write golden files that are missing")

var (
	testEpoch = event.Epoch{0xc0, 0xff, 0xee, 1, 2, 3, 4, 5}
	caoping   = topic.Address{Jurisdiction: "changshan", Station: "cs-baishi-caoping"}
)

func fact(seq uint64) event.Event {
	return event.Draft{
		At: time.Unix(1700000000, int64(seq)).UTC(), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew,
		Zone: "door", Source: "line/door", Severity: event.SeverityAlarm,
		Body: event.NewBody(event.Text(event.TagState, "active")),
	}.Event(caoping.Station, testEpoch, seq)
}

func frame(prev uint64, seqs ...uint64) topic.Frame {
	f := topic.Frame{Epoch: testEpoch, Lane: event.LaneAlarm, Prev: prev}
	for _, s := range seqs {
		f.Events = append(f.Events, fact(s))
	}
	return f
}

func TestTopics(t *testing.T) {
	for got, want := range map[string]string{
		caoping.Event(event.LaneAlarm): "wp/v1/changshan/cs-baishi-caoping/event/alarm",
		caoping.State():                "wp/v1/changshan/cs-baishi-caoping/state",
		caoping.Reply("c-17"):          "wp/v1/changshan/cs-baishi-caoping/reply/c-17",
		caoping.Cmd():                  "wp/v1/changshan/cs-baishi-caoping/cmd",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
		a, leaf, arg, err := topic.Parse(got)
		if err != nil || a != caoping || !strings.Contains(got, "/"+string(leaf)) || !strings.HasSuffix(got, arg) {
			t.Errorf("Parse(%s) = %v %s %q %v", got, a, leaf, arg, err)
		}
	}
}

func TestStrangeTopicsAreRefused(t *testing.T) {
	for _, s := range []string{
		"", "wp/v1", "wp/v2/a/b/state", "wp/v1/a/b", "wp/v1/a/b/state/x", "wp/v1/a/b/event", "wp/v1/a/b/event/live",
		"wp/v1/a/b/reply/", "wp/v1/a/b.c/state", "wp/v1/a/b c/state", "wp/v1/a/+/state", "wp/v1/a/b/reply/#", "wp/v1/A/b/cmd",
		"wp/v1/a/" + strings.Repeat("b", 65) + "/cmd", "wp/v1/a/b/event/alarm/x", "xwp/v1/a/b/cmd", strings.Repeat("wp/v1/", 90),
	} {
		if _, _, _, err := topic.Parse(s); !errors.Is(err, topic.ErrTopic) {
			t.Errorf("Parse(%q): %v", s, err)
		}
	}
}

func TestGoldenFrame(t *testing.T) {
	f := frame(41, 42, 44)
	f.Historical = true
	b, err := topic.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "frame.hex", []byte(hex.EncodeToString(b)+"\n"))
	msg, err := json.MarshalIndent(topic.Command{
		V: 1, ID: "c-17", Now: time.Unix(1700000000, 0).UTC(), Expires: time.Unix(1700000060, 0).UTC(), Kind: topic.CommandReceipt,
		Body: must(json.Marshal(topic.Receipt{Station: caoping.Station, Epoch: testEpoch, Lane: event.LaneAlarm, Upto: 44})),
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "receipt.json", append(msg, '\n'))
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
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
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s (%v):\n got %s\nwant %s", path, err, got, want)
	}
}

func TestFramesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := topic.Frame{Epoch: testEpoch, Lane: event.LaneAlarm, Prev: rapid.Uint64Range(0, 1<<40).Draw(t, "prev"), Historical: rapid.Bool().Draw(t, "old")}
		seq := f.Prev
		for range rapid.IntRange(1, 80).Draw(t, "n") {
			seq += rapid.Uint64Range(1, 300).Draw(t, "step")
			f.Events = append(f.Events, fact(seq))
		}
		b, err := topic.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := topic.DecodeFrame(caoping.Station, b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got, cmp.AllowUnexported(event.Field{})); d != "" {
			t.Fatal(d)
		}
		if _, err := topic.DecodeFrame(caoping.Station, b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); !errors.Is(err, topic.ErrFrame) {
			t.Fatalf("a cut frame: %v", err)
		}
	})
}

func TestFramesThatAreNoChain(t *testing.T) {
	other := frame(0, 1)
	other.Events[0].Epoch[0]++
	lane := frame(0, 1)
	lane.Lane = event.LaneMain
	for name, f := range map[string]topic.Frame{
		"empty": frame(0), "back": frame(3, 5, 4), "twice": frame(3, 5, 5), "prev not before": frame(5, 5),
		"other epoch": other, "other lane": lane, "too many": frame(0, upto(topic.MaxFrameEvents+1)...),
	} {
		if b, err := topic.AppendFrame(nil, f); !errors.Is(err, topic.ErrFrame) || len(b) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := topic.DecodeFrame("s", make([]byte, topic.MaxPayload+1)); !errors.Is(err, topic.ErrFrame) {
		t.Errorf("oversized: %v", err)
	}
	good := must(topic.AppendFrame(nil, frame(0, 1)))
	for i, b := range []byte{2, 0x80, 9} { // version, flags, packing of a later age
		bad := bytes.Clone(good)
		bad[i] = b
		if _, err := topic.DecodeFrame("s", bad); err == nil || !strings.Contains(err.Error(), "update the centre") {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func upto(n int) []uint64 {
	s := make([]uint64, n)
	for i := range s {
		s[i] = uint64(i + 1)
	}
	return s
}

func TestChainRule(t *testing.T) {
	for _, tt := range []struct {
		head  uint64
		f     topic.Frame
		want  topic.Verdict
		fresh int
	}{
		{0, frame(0, 3), topic.VerdictStore, 1},
		{3, frame(3, 7, 9), topic.VerdictStore, 2},
		{7, frame(3, 7, 9), topic.VerdictStore, 1},
		{8, frame(3, 7, 9), topic.VerdictStore, 1}, // the lane's filter changed: still prev ≤ head < last
		{9, frame(3, 7, 9), topic.VerdictDuplicate, 0},
		{20, frame(3, 7, 9), topic.VerdictDuplicate, 0},
		{2, frame(3, 7, 9), topic.VerdictGap, 0},
		{0, frame(3, 7), topic.VerdictGap, 0},
	} {
		got, fresh := topic.Accept(tt.head, tt.f)
		if got != tt.want || len(fresh) != tt.fresh {
			t.Errorf("head %d, prev %d, last %d: %d with %d fresh, want %d with %d", tt.head, tt.f.Prev, tt.f.Last(), got, len(fresh), tt.want, tt.fresh)
		}
	}
}

// TestChainRuleUnderRepeats feeds a receiver frames cut and repeated at will: it ends with each event once, in order.
func TestChainRuleUnderRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 40
		var stored []uint64
		head := func() uint64 {
			if len(stored) == 0 {
				return 0
			}
			return stored[len(stored)-1]
		}
		for head() < n {
			from := rapid.Uint64Range(0, min(n-1, head()+5)).Draw(t, "from")
			to := rapid.Uint64Range(from+1, min(n, from+8)).Draw(t, "to")
			if _, fresh := topic.Accept(head(), frame(from, upto(n)[from:to]...)); fresh != nil {
				for _, e := range fresh {
					stored = append(stored, e.Seq)
				}
			}
		}
		if d := cmp.Diff(upto(n), stored); d != "" {
			t.Fatal(d)
		}
	})
}

func TestMessages(t *testing.T) {
	s, err := topic.DecodeMessage[topic.State]([]byte(`{"v":1,"station":"x","heads":{"alarm":7},"epoch":"c0ffee0102030405","later":true}`))
	if err != nil || s.Heads[event.LaneAlarm] != 7 || s.Epoch != testEpoch {
		t.Errorf("%+v, %v", s, err)
	}
	for _, b := range []string{"", "{", `{"v":2}`, `{}`, `[]`, `{"v":1,"epoch":"zz"}`, `"` + strings.Repeat("x", topic.MaxPayload) + `"`} {
		if _, err := topic.DecodeMessage[topic.State]([]byte(b)); !errors.Is(err, topic.ErrMessage) {
			t.Errorf("%.20q: %v", b, err)
		}
	}
	p := &topic.Problem{Kind: "expired", Message: "5 s too late"}
	if p.Error() != "expired: 5 s too late" {
		t.Error(p)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(must(topic.AppendFrame(nil, frame(0, 1))))
	f.Add(must(topic.AppendFrame(nil, frame(41, 42, 44))))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := topic.DecodeFrame("s", b)
		if err != nil || b[2] != 0 { // a packed frame has many forms: FuzzUnpack
			return
		}
		if again, err := topic.AppendFrame(nil, got); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x, %v", b, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(caoping.Event(event.LaneRead))
	f.Add(caoping.Reply("c"))
	f.Fuzz(func(t *testing.T, s string) {
		a, leaf, arg, err := topic.Parse(s)
		if err != nil {
			return
		}
		back := strings.TrimSuffix("wp/v1/"+a.Jurisdiction+"/"+a.Station+"/"+string(leaf)+"/"+arg, "/")
		if back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
	})
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"a","kind":"receipt","body":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := topic.DecodeMessage[topic.Command](b); err == nil && m.V != 1 {
			t.Fatal("another version was taken")
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	f := frame(0, upto(64)...)
	buf, _ := topic.AppendFrame(nil, f)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf, _ = topic.AppendFrame(buf[:0], f)
		if _, err := topic.DecodeFrame(caoping.Station, buf); err != nil {
			b.Fatal(err)
		}
	}
}

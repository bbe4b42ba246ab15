package topic_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

func packer(t testing.TB) *topic.Packer {
	p, err := topic.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// link is a frame of a corpus' next events.
func (c *corpus) link(n int, makes ...func(*corpus) event.Draft) topic.Frame {
	f := topic.Frame{Epoch: c.epoch, Lane: event.LaneMain, Prev: c.seq, Historical: n > 1}
	f.Events = c.events(f.Lane, n, makes...)
	return f
}

func allKinds() []func(*corpus) event.Draft {
	common := everyday()
	makes := rare()
	for _, name := range slices.Sorted(maps.Keys(common)) {
		makes = append(makes, common[name])
	}
	return makes
}

func TestPackedFramesComeBack(t *testing.T) {
	p := packer(t)
	var u topic.Unpacker
	rapid.Check(t, func(t *rapid.T) {
		c := newCorpus(rapid.Uint64Range(1000, 1<<40).Draw(t, "seed"))
		f := c.link(rapid.IntRange(1, 80).Draw(t, "n"), allKinds()...)
		plain, err := topic.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := p.AppendFrame([]byte("before"), f)
		if err != nil || string(packed[:6]) != "before" {
			t.Fatal(err)
		}
		packed = packed[6:]
		if len(packed) > len(plain) {
			t.Fatalf("packing made %d of %d bytes", len(packed), len(plain))
		}
		got, err := u.DecodeFrame(c.station, packed)
		if err != nil {
			t.Fatal(err)
		}
		once, err := topic.DecodeFrame(c.station, packed)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got, cmp.AllowUnexported(event.Field{})) + cmp.Diff(got, once, cmp.AllowUnexported(event.Field{})); d != "" {
			t.Fatal(d)
		}
		if _, err := u.DecodeFrame(c.station, packed[:rapid.IntRange(0, len(packed)-1).Draw(t, "cut")]); !errors.Is(err, topic.ErrFrame) {
			t.Fatalf("a cut frame: %v", err)
		}
	})
}

// What is random through and through does not get longer by packing.
func TestWhatDoesNotPackStaysPlain(t *testing.T) {
	c := newCorpus(4000)
	f := c.link(1, func(c *corpus) event.Draft {
		return event.Draft{Kind: kindRead, Qualifier: event.QualifierStatus, Severity: event.SeverityNotice, Source: "x", Body: event.NewBody(event.Bytes(event.TagBytes, c.bytes(4000)))}
	})
	b, err := packer(t).AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	plain := must(topic.AppendFrame(nil, f))
	if !bytes.Equal(b, plain) {
		t.Fatalf("%d bytes, plain %d", len(b), len(plain))
	}
}

func TestPackerRefuses(t *testing.T) {
	p := packer(t)
	large := topic.Frame{Epoch: testEpoch, Lane: event.LaneAlarm}
	for i := range 20 {
		e := fact(uint64(i + 1))
		e.Body = event.NewBody(event.Text(event.TagText, strings.Repeat("x", event.MaxRecord-200)))
		large.Events = append(large.Events, e)
	}
	invalid := frame(0, 1)
	invalid.Events[0].Kind = 0
	for name, f := range map[string]topic.Frame{"back": frame(3, 5, 4), "larger than its receiver would unpack": large, "no event": invalid} {
		if b, err := p.AppendFrame([]byte("kept"), f); err == nil || string(b) != "kept" {
			t.Errorf("%s: %v, %q", name, err, b)
		}
	}
	large.Events = large.Events[:15]
	b, err := p.AppendFrame(nil, large)
	if err != nil || len(b) > 2000 {
		t.Fatalf("as much as goes: %d bytes, %v", len(b), err)
	}
	if got, err := topic.DecodeFrame(caoping.Station, b); err != nil || len(got.Events) != 15 {
		t.Fatalf("as much as goes: %v", err)
	}
}

// One packer serves all outboxes of a process.
func TestOnePackerForMany(t *testing.T) {
	p := packer(t)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			c, u := newCorpus(2000+seed), new(topic.Unpacker)
			for range 50 {
				f := c.link(3, (*corpus).zone)
				b, err := p.AppendFrame(nil, f)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := u.DecodeFrame(c.station, b); err != nil || got.Last() != f.Last() {
					t.Errorf("%v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// bomb is a frame whose records unpack to n zeros.
func bomb(t testing.TB, n int, options ...zstd.EOption) []byte {
	e, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	b := must(topic.AppendFrame(nil, frame(0, 1)))[:14]
	b[2] = 1
	return append(b, e.EncodeAll(make([]byte, n), nil)[4:]...)
}

func TestBombsAreRefused(t *testing.T) {
	var u topic.Unpacker
	streamed := bytes.NewBuffer(bomb(t, 1)[:14]) // a stream does not say how long it is
	w, err := zstd.NewWriter(streamed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<17))
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	unsaid := slices.Delete(streamed.Bytes(), 14, 18) // the magic number
	twice := append(bomb(t, 200<<10), binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)...)
	twice = append(twice, bomb(t, 200<<10)[14:]...)
	for name, b := range map[string][]byte{
		"64 MiB": bomb(t, 64<<20), "one byte too many": bomb(t, topic.MaxPayload+1), "of unsaid size": unsaid, "two in one": twice,
	} {
		got := testing.AllocsPerRun(1, func() {
			if _, err := u.DecodeFrame("s", b); !errors.Is(err, topic.ErrFrame) || !strings.Contains(err.Error(), "unpacking") {
				t.Errorf("%s: %v", name, err)
			}
		})
		if got > 100 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
	if _, err := u.DecodeFrame("s", bomb(t, topic.MaxPayload)); err == nil || strings.Contains(err.Error(), "unpacking") {
		t.Errorf("what just fits is refused for another reason: %v", err)
	}
	if _, err := u.DecodeFrame("s", bomb(t, 100, zstd.WithEncoderDictRaw(77, []byte("abcdefghijklmnop")))); err == nil {
		t.Error("a dictionary that was never given out")
	}
}

// TestGoldenPackedFrame reads the bytes of packing 1 for ever. They are read, never written anew.
func TestGoldenPackedFrame(t *testing.T) {
	c := newCorpus(3000)
	f := c.link(12, allKinds()...)
	path := "testdata/frame-packed-1.hex"
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *writeGolden {
		golden(t, "frame-packed-1.hex", []byte(hex.EncodeToString(must(packer(t).AppendFrame(nil, f)))+"\n"))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || b[2] != 1 {
		t.Fatalf("packing %d, %v", b[2], err)
	}
	got, err := topic.DecodeFrame(c.station, b)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "frame-packed-1.plain.hex", []byte(hex.EncodeToString(must(topic.AppendFrame(nil, got)))+"\n"))
}

// onWire is what a frame costs before TCP and TLS: the PUBLISH with its topic and identifier, and the PUBACK.
func onWire(payload int) int {
	const name, puback = len("wp/v1/changshan/cs-baishi-caoping/event/alarm"), 4
	rest := 2 + name + 2 + payload
	head := 2
	for n := rest; n > 127; n >>= 7 {
		head++
	}
	return head + rest + puback
}

// ratios are bytes on the wire over bytes of the compact JSON view, for single events and in batches of 64.
func ratios(t testing.TB, p *topic.Packer, makes ...func(*corpus) event.Draft) (live, backlog float64) {
	var one, many, single, batch int
	for seed := range uint64(20) {
		c := newCorpus(5000 + seed)
		c.station = caoping.Station
		for range 20 {
			f := c.link(1, makes...)
			single += onWire(len(must(p.AppendFrame(nil, f))))
			one += len(must(json.Marshal(f.Events[0])))
		}
		f := c.link(64, makes...)
		batch += onWire(len(must(p.AppendFrame(nil, f))))
		for _, e := range f.Events {
			many += len(must(json.Marshal(e)))
		}
	}
	return float64(single) / float64(one), float64(batch) / float64(many)
}

// What a line costs, with random ids and hashes in the bodies and a dictionary that was trained on other villages.
func TestBytesOnTheWire(t *testing.T) {
	p := packer(t)
	common := everyday()
	var mix []func(*corpus) event.Draft
	for _, name := range slices.Sorted(maps.Keys(common)) {
		live, backlog := ratios(t, p, common[name])
		t.Logf("%-12s live %.3f backlog %.3f", name, live, backlog)
		if live > 0.45 || backlog > 0.20 {
			t.Errorf("%s: live %.3f, want at most 0.45; backlog %.3f, want at most 0.20", name, live, backlog)
		}
		mix = append(mix, common[name])
	}
	live, backlog := ratios(t, p, mix...)
	t.Logf("%-12s live %.3f backlog %.3f", "all of them", live, backlog)
	if live > 0.40 || backlog > 0.20 {
		t.Errorf("live %.3f, want at most 0.40; backlog %.3f, want at most 0.20", live, backlog)
	}
}

func FuzzUnpack(f *testing.F) {
	p := packer(f)
	var u topic.Unpacker
	for seed := range uint64(3) {
		c := newCorpus(6000 + seed)
		f.Add(must(p.AppendFrame(nil, c.link(1, allKinds()...))))
		f.Add(must(p.AppendFrame(nil, c.link(20, allKinds()...))))
	}
	f.Add(bomb(f, 1<<20))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := u.DecodeFrame("s", b)
		if err != nil {
			if !errors.Is(err, topic.ErrFrame) {
				t.Fatalf("%v is no ErrFrame", err)
			}
			return
		}
		plain, err := topic.AppendFrame(nil, got)
		if err != nil {
			t.Fatalf("%x was read as what cannot be written: %v", b, err)
		}
		if again, err := topic.DecodeFrame("s", plain); err != nil || again.Last() != got.Last() || len(again.Events) != len(got.Events) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func BenchmarkPackLive(b *testing.B)    { benchmarkPack(b, 1) }
func BenchmarkPackBacklog(b *testing.B) { benchmarkPack(b, 64) }

func benchmarkPack(b *testing.B, n int) {
	p := packer(b)
	var u topic.Unpacker
	common := everyday()
	mix := slices.Collect(maps.Values(common))
	live, backlog := ratios(b, p, mix...)
	f := newCorpus(5000).link(n, mix...)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = p.AppendFrame(buf[:0], f); err != nil {
			b.Fatal(err)
		}
		if _, err = u.DecodeFrame("s", buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
	b.ReportMetric(float64(len(buf))/float64(n), "bytes/event")
	if n == 1 {
		b.ReportMetric(live, "wire/JSON")
	} else {
		b.ReportMetric(backlog, "wire/JSON")
	}
}

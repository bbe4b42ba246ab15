package dc09

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

// BenchmarkParsePlain is one plain frame with one event. Goal: at most 3 allocations.
func BenchmarkParsePlain(b *testing.B) {
	wire := wireOf(`"SIA-DCS"0002R1L232#78919[#78919|Nri1/BA012]_14:12:04,09-25-2026`)
	b.ReportAllocs()
	for b.Loop() {
		if f, err := Parse(wire, nil); err != nil || len(f.Reports) != 1 {
			b.Fatal(err)
		}
	}
}

// TestParseAllocations holds the goal.
func TestParseAllocations(t *testing.T) {
	wire := wireOf(`"SIA-DCS"0002R1L232#78919[#78919|Nri1/BA012]_14:12:04,09-25-2026`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Parse(wire, nil); err != nil {
			t.Error(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations for a plain frame, want at most 3", n)
	}
}

// BenchmarkEncrypted is parse, decrypt and an encrypted ACK. Goal: 200,000 per CPU second.
func BenchmarkEncrypted(b *testing.B) {
	k, now := testKey(b), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	wire := sealed(k, `"*SIA-DCS"0042R1L0#ABC123`, "|#ABC123|Nri1/BA012]_"+stamp(now))
	out := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse(wire, nil)
		if err != nil || f.Open(k) != nil {
			b.Fatal("not read")
		}
		if out, err = AppendACK(out[:0], &f, k, now, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkPingPong is one panel on one TCP connection that waits for each ACK, with a sink that returns at once.
func BenchmarkPingPong(b *testing.B) {
	r, err := New(Options{TCP: ":0", Accounts: []Account{{ID: "1234"}}, Rate: 1 << 30})
	must(b, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	there, err := net.Dial("tcp", l.Addr().String())
	must(b, err)
	here, err := l.Accept()
	must(b, err)
	must(b, l.Close())
	stored := 0
	sink := func(context.Context, event.Draft) error { stored++; return nil }
	var group errgroup.Group
	group.Go(func() error { r.talk(context.Background(), here, sink); return nil })
	b.Cleanup(func() {
		_ = there.Close()
		must(b, group.Wait())
		if stored == 0 {
			b.Error("nothing was stored")
		}
	})
	wires := make([][]byte, 1000)
	for i := range wires {
		wires[i] = wireOf(fmt.Sprintf(`"ADM-CID"%04dL0#1234[#1234|1130 01 012]_08:00:00,11-22-2026`, i+1))
	}
	buf := make([]byte, 256)
	n := 0
	for b.Loop() {
		if _, err := there.Write(wires[n%len(wires)]); err != nil {
			b.Fatal(err)
		}
		n++
		if m, err := there.Read(buf); err != nil || buf[m-1] != '\r' {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

package dc09

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// atLeast and atMost print one line of `make bench-panels`. A figure that falls short is told, never hidden, and fails nothing.
func atLeast(name string, value float64, unit string, goal float64) {
	fmt.Printf("figure panels/%s %.6g %s goal >=%g %s\n", name, value, unit, goal, verdict(value >= goal))
}

func atMost(name string, value float64, unit string, goal float64) {
	fmt.Printf("figure panels/%s %.6g %s goal %g %s\n", name, value, unit, goal, verdict(value <= goal))
}

func verdict(good bool) string {
	if good {
		return "ok"
	}
	return "short"
}

// cpu is the processor's time that this process has used, all threads, in seconds.
func cpu(b *testing.B) float64 {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkPanelsPlain is parsing one plain frame with one event.
func BenchmarkPanelsPlain(b *testing.B) {
	wire := wireOf(`"SIA-DCS"0002R1L232#78919[#78919|Nri1/BA012]_14:12:04,09-25-2026`)
	parse := func() {
		if f, err := Parse(wire, nil); err != nil || len(f.Reports) != 1 {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	begun := cpu(b)
	for b.Loop() {
		parse()
	}
	atLeast("plain-frames-parsed", float64(b.N)/(cpu(b)-begun), "frames/CPU-s", 288e3)
	atMost("plain-frame-allocations", testing.AllocsPerRun(1000, parse), "allocations", 3)
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

// BenchmarkPanelsEncrypted is parsing, decrypting, and an encrypted ACK, for each size of key.
func BenchmarkPanelsEncrypted(b *testing.B) {
	for _, bits := range []int{128, 192, 256} {
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			k, err := newKey(make([]byte, bits/8), "%d", bits)
			must(b, err)
			now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
			wire := sealed(k, `"*SIA-DCS"0042R1L0#ABC123`, "|#ABC123|Nri1/BA012]_"+stamp(now))
			out := make([]byte, 0, 256)
			b.ReportAllocs()
			begun := cpu(b)
			for b.Loop() {
				f, err := Parse(wire, nil)
				if err != nil || f.Open(k) != nil || len(f.Reports) != 1 {
					b.Fatal("not read")
				}
				if out, err = AppendACK(out[:0], &f, k, now, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
			atLeast(fmt.Sprintf("encrypted-frames-answered-aes%d", bits), float64(b.N)/(cpu(b)-begun), "frames/CPU-s", 200e3)
		})
	}
}

// BenchmarkPanelsPingPong is one panel on one TCP connection that waits for each ACK, with a sink that returns at once.
func BenchmarkPanelsPingPong(b *testing.B) {
	k := testKey(b)
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for name, key := range map[string]*Key{"plain": nil, "encrypted": k} {
		b.Run(name, func(b *testing.B) {
			there, stored := pingPong(b, Account{ID: "1234", Key: key}, at)
			wires := make([][]byte, 9999)
			for i := range wires {
				payload := fmt.Sprintf("#1234|1130 01 %03d", i%1000)
				wires[i] = wireOf(fmt.Sprintf(`"ADM-CID"%04dL0#1234[%s]_%s`, i+1, payload, stamp(at)))
				if key != nil {
					wires[i] = sealed(key, fmt.Sprintf(`"*ADM-CID"%04dL0#1234`, i+1), "|"+payload+"]_"+stamp(at))
				}
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
			if got := stored(); got < min(n, len(wires)) {
				b.Errorf("%d frames were answered, and only %d events stored", n, got)
			}
			atLeast("ping-pong-"+name, float64(b.N)/b.Elapsed().Seconds(), "frames/s", 20e3)
		})
	}
}

// pingPong is a connection to a receiver, and how many events it has stored.
func pingPong(b *testing.B, a Account, at time.Time) (there net.Conn, stored func() int) {
	b.Helper()
	bound, count := make(chan net.Addr, 1), 0
	r, err := New(Options{TCP: "127.0.0.1:0", Accounts: []Account{a}, Rate: 1 << 30, Now: func() time.Time { return at }, Listening: func(a net.Addr) { bound <- a }})
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return r.Run(ctx, func(context.Context, event.Draft) error { count++; return nil }) })
	there, err = net.Dial("tcp", (<-bound).String())
	must(b, err)
	b.Cleanup(func() {
		cancel()
		must(b, group.Wait())
		_ = there.Close()
	})
	return there, func() int { return count }
}

// BenchmarkPanelsConnection is what one connection holds when a panel does its worst.
func BenchmarkPanelsConnection(b *testing.B) {
	worst := 0.0
	for b.Loop() {
		for _, h := range hostiles(b) {
			worst = max(worst, heldBy(b, 100, h.sink, h.do))
		}
	}
	atMost("memory-of-a-hostile-connection", worst/1024, "KiB", budget/1024)
}

package e2e

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

const (
	benchStation = "cs-baishi-caoping"
	ingestEvents = 60_000
	ingestBatch  = 64
)

// TestBenchEventsChild is no test but the work of a child process: this program run again, with the work behind the flags.
func TestBenchEventsChild(t *testing.T) {
	works := map[string]func(args []string, in io.Reader, out io.Writer) error{
		"write": childWrite, "plain": childPlain, "station": childStation,
	}
	if flag.NArg() == 0 {
		return
	}
	if err := works[flag.Arg(0)](flag.Args()[1:], os.Stdin, os.Stdout); err != nil {
		t.Fatal(err)
	}
}

// startChild runs this program again for one work.
func startChild(t testing.TB, work ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, program, append([]string{"-test.run=^TestBenchEventsChild$", "--"}, work...)...)
}

// runChild is startChild for a work that ends by itself; it answers the numbers of the line that says what came of it.
func runChild(t testing.TB, work ...string) (numbers []float64) {
	t.Helper()
	p := startChild(t, work...)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Minute):
		t.Fatalf("%v does not end", work)
	}
	for _, word := range strings.Fields(p.line("did ")) {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// did says how long something took, and what it took of the processor, in seconds.
func did(out io.Writer, begun time.Time, cpu float64) error {
	now, err := cpuSeconds()
	if err == nil {
		_, err = fmt.Fprintln(out, "did", time.Since(begun).Seconds(), now-cpu)
	}
	return err
}

// cpuSeconds is what this process has had of the processor.
func cpuSeconds() (float64, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, err
}

// childWrite DIR N SORT puts n events into a log, ingestBatch to a commit: a village's mix, or noise of a severity.
func childWrite(args []string, _ io.Reader, out io.Writer) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	village, random := newMix(mixSeed), rand.NewChaCha8([32]byte{})
	next := village.next
	if args[2] != "mix" {
		severity, err := event.ParseSeverity(args[2])
		if err != nil {
			return err
		}
		next = func() event.Draft { return benchNoise(random, severity) }
	}
	l, err := openBenchLog(args[0])
	if err != nil {
		return err
	}
	cpu, err := cpuSeconds()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := fill(l, n, next); err != nil {
		return err
	}
	if err := did(out, begun, cpu); err != nil {
		return err
	}
	return l.Close()
}

func openBenchLog(dir string) (*eventlog.Log, error) {
	return eventlog.Open(eventlog.Options{Dir: dir, Station: benchStation, ReserveBytes: 16 << 20})
}

// childPlain FILE N is the least that a log can do: records with a checksum at the end of a file, and one fdatasync for
// ingestBatch of them.
func childPlain(args []string, _ io.Reader, out io.Writer) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	cpu, err := cpuSeconds()
	if err != nil {
		return err
	}
	table, random := crc32.MakeTable(crc32.Castagnoli), rand.NewChaCha8([32]byte{})
	begun := time.Now()
	var batch []byte
	for done := 0; done < n; done += ingestBatch {
		batch = batch[:0]
		for range min(ingestBatch, n-done) {
			record := make([]byte, eventBytes)
			_, _ = random.Read(record)
			batch = binary.BigEndian.AppendUint32(append(batch, record...), crc32.Checksum(record, table))
		}
		if _, err := f.Write(batch); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
	}
	if err := did(out, begun, cpu); err != nil {
		return err
	}
	return f.Close()
}

// ingestBridge is how many messages a second the bridge acknowledges while its centre is away.
func ingestBridge(t *testing.T, v bridgeVariant) float64 {
	central, _ := newCentral(t)
	edge := newBridge(t, v, newRelay(t, central, nil).addr)
	acked := 0
	p := publisher{client: benchClient(t, "publisher", edge.address), window: ingestBatch, acked: func(int) { acked++ }}
	begun := time.Now()
	if err := p.publish(t.Context(), ingestEvents); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun).Seconds()
	edge.kill()
	if acked < ingestEvents*99/100 {
		t.Fatalf("the bridge acknowledged %d of %d", acked, ingestEvents)
	}
	return float64(acked) / took
}

// TestBenchEventsIngest compares how fast events become durable: ours, the bridge as durable as it goes, and the least that
// a log must do. Each source hands over ingestBatch at a time, or has as many under way.
func TestBenchEventsIngest(t *testing.T) {
	var ours, plain, bridge, cpu []float64
	for range rounds {
		dir, n := t.TempDir(), strconv.Itoa(ingestEvents)
		took := runChild(t, "write", filepath.Join(dir, "log"), n, "notice")
		ours, cpu = append(ours, ingestEvents/took[0]), append(cpu, took[1]*1000/(ingestEvents/1000))
		plain = append(plain, ingestEvents/runChild(t, "plain", filepath.Join(dir, "plain"), n)[0])
		bridge = append(bridge, ingestBridge(t, bridge200))
	}
	fact("events-ingest/ours", median(ours), "events/s")
	fact("events-ingest/plain-log", median(plain), "events/s")
	fact("events-ingest/bridge-changes-200", median(bridge), "events/s")
	figureAtLeast("events-ingest/ours-to-bridge", median(ratios(ours, bridge)), "x", 5)
	figureAtLeast("events-ingest/ours-to-plain-log", median(ratios(ours, plain)), "x", 0.35)
	fact("events-ingest/ours-cpu", median(cpu), "ms/1000")
}

// TestBenchEventsAlarm measures how long one alarm takes until it is on disk, beside what the disk takes for one fdatasync of
// as many bytes, in turns.
func TestBenchEventsAlarm(t *testing.T) {
	const alarms = 1000
	dir := t.TempDir()
	l, err := openBenchLog(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	var ours, plain []float64
	for range alarms {
		d := benchNoise(random, event.SeverityAlarm)
		begun := time.Now()
		if _, err := l.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, float64(time.Since(begun).Microseconds())/1000)
		b := make([]byte, eventBytes)
		begun = time.Now()
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		plain = append(plain, float64(time.Since(begun).Microseconds())/1000)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	fact("events-alarm/fdatasync-p50", median(plain), "ms")
	fact("events-alarm/fdatasync-p99", percentile(plain, 99), "ms")
	figure("events-alarm/durable-p50", median(ours), "ms", math.Round(1000*(3*median(plain)+2))/1000)
	fact("events-alarm/durable-p99", percentile(ours, 99), "ms")
}

package eventlog

import (
	"crypto/rand"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// benchDraft is an event of some 512 bytes that does not compress.
func benchDraft(b testing.TB, severity event.Severity) event.Draft {
	b.Helper()
	noise := make([]byte, 450)
	if _, err := rand.Read(noise); err != nil {
		b.Fatal(err)
	}
	d := draft(severity, "")
	d.Body = event.NewBody(event.Bytes(event.TagBytes, noise))
	return d
}

func percentile(took []time.Duration, p int) float64 {
	slices.Sort(took)
	return float64(took[(len(took)-1)*p/100].Microseconds())
}

// BenchmarkAppend is one alarm at a time, and beside it what the disk takes for one fdatasync of 512 bytes.
func BenchmarkAppend(b *testing.B) {
	l := testLog(b, b.TempDir())
	d := benchDraft(b, event.SeverityAlarm)
	f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	var ours, plain []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := l.Append(b.Context(), d); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
		b.StopTimer()
		start = time.Now()
		if _, err := f.Write(make([]byte, 512)); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		plain = append(plain, time.Since(start))
		b.StartTimer()
	}
	b.ReportMetric(percentile(ours, 50), "p50-µs")
	b.ReportMetric(percentile(ours, 99), "p99-µs")
	b.ReportMetric(percentile(plain, 50), "fdatasync-p50-µs")
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAppend64 is 64 sources at once, one event each time.
func BenchmarkAppend64(b *testing.B) {
	l := testLog(b, b.TempDir())
	d := benchDraft(b, event.SeverityNotice)
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var took []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			var mine []time.Duration
			for left.Add(-1) >= 0 {
				start := time.Now()
				if _, err := l.Append(b.Context(), d); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/float64(l.keeper.turn), "events/commit")
	b.ReportMetric(percentile(took, 50), "p50-µs")
	b.ReportMetric(percentile(took, 99), "p99-µs")
}

// plainLog is the least that makes events lasting: records with a CRC-32C at the end of a file, fdatasync.
type plainLog struct {
	f   *os.File
	buf []byte
}

func (p *plainLog) append(records [][]byte) error {
	p.buf = p.buf[:0]
	for _, r := range records {
		p.buf = binary.BigEndian.AppendUint32(p.buf, uint32(len(r)))
		p.buf = append(p.buf, seal(nil, r)...)
	}
	if _, err := p.f.Write(p.buf); err != nil {
		return err
	}
	return unix.Fdatasync(int(p.f.Fd()))
}

// BenchmarkCommit64 is 64 events of some 512 bytes in each commit, in rounds that alternate with a plain log's.
func BenchmarkCommit64(b *testing.B) {
	const commit, round = 64, 256 // events in a commit, commits in a round
	l := testLog(b, b.TempDir())
	f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	plain := plainLog{f: f}
	drafts, records := make([]event.Draft, commit), make([][]byte, commit)
	for i := range drafts {
		drafts[i] = benchDraft(b, event.SeverityNotice)
		if records[i], err = event.AppendRecord(nil, drafts[i].Event(testStation, l.epoch, uint64(i)+1)); err != nil {
			b.Fatal(err)
		}
	}
	var ours, theirs []time.Duration
	var cpu time.Duration
	n := 0
	for b.Loop() {
		start, before := time.Now(), cpuTime(b)
		for range round {
			mustAppend(b, l, drafts...)
		}
		ours = append(ours, time.Since(start))
		b.StopTimer()
		waitIdle(b)
		cpu += cpuTime(b) - before
		start = time.Now()
		for range round {
			if err := plain.append(records); err != nil {
				b.Fatal(err)
			}
		}
		theirs = append(theirs, time.Since(start))
		if err := f.Truncate(0); err != nil {
			b.Fatal(err)
		}
		n += round * commit
		b.StartTimer()
	}
	ourRound, theirRound := percentile(ours, 50), percentile(theirs, 50)
	b.ReportMetric(round*commit/ourRound*1e6, "events/s")
	b.ReportMetric(round*commit/theirRound*1e6, "plain-events/s")
	b.ReportMetric(theirRound/ourRound, "ratio")
	b.ReportMetric(cpu.Seconds()*1e6/float64(n), "cpu-ms/1000")
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// waitIdle waits until the process uses little CPU: what Badger does behind a round is not the plain log's burden.
func waitIdle(b *testing.B) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		before := cpuTime(b)
		<-tick.C
		if cpuTime(b)-before < 2*time.Millisecond {
			return
		}
	}
}

// BenchmarkIdle is what a log costs that nobody uses, a second at a time.
func BenchmarkIdle(b *testing.B) {
	l := testLog(b, benchLog(b, 100_000))
	waitIdle(b)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := cpuTime(b)
	for b.Loop() {
		<-tick.C
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()*1000/b.Elapsed().Seconds(), "cpu-ms/s")
	b.ReportMetric(float64(l.level0.Load()), "level0-tables")
}

// benchLog is a closed log of n events in one lane.
func benchLog(b *testing.B, n int) (dir string) {
	b.Helper()
	l := testLog(b, b.TempDir())
	drafts := make([]event.Draft, 64)
	for n > 0 {
		for i := range drafts {
			drafts[i] = benchDraft(b, event.SeverityAlarm)
		}
		if _, err := l.Append(b.Context(), drafts...); err != nil {
			b.Fatal(err)
		}
		n -= len(drafts)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return l.opt.Dir
}

// BenchmarkRead reads a lane of 100,000 events from end to end, 256 at a time.
func BenchmarkRead(b *testing.B) {
	l := testLog(b, benchLog(b, 100_000))
	after, read := uint64(0), 0
	for b.Loop() {
		es, err := l.Read(event.LaneAlarm, after, 256)
		if err != nil {
			b.Fatal(err)
		}
		if after = 0; len(es) > 0 {
			after = es[len(es)-1].Seq
		}
		read += len(es)
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkOpen opens and closes a log of 60 MB.
func BenchmarkOpen(b *testing.B) {
	dir := benchLog(b, 120_000)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		l, err := Open(testOptions(b, dir))
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(percentile(took, 50)/1000, "open-p50-ms")
}

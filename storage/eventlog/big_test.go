package eventlog

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// bigRun in the environment is how many events TestBig stores, without which it is so few that CI can; 2,000,000 are 1 GB.
const bigRun = "EVENTLOG_EVENTS"

// memory is what the kernel says of this process: resident, its highest, and of that what is no file's; in MB.
func memory(t *testing.T) (now, highest, anonymous int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(b), name+":")
		n, _ := strconv.Atoi(strings.Fields(rest)[0])
		return n >> 10
	}
	return field("VmRSS"), field("VmHWM"), field("RssAnon")
}

// A log opens fast however big it is, costs little memory while it is filled, opened, drained and swept, and an alarm is not
// held up by any of that.
func TestBig(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv(bigRun))
	timed := n > 0
	if n = max(n, 128_000); !timed && testing.Short() {
		t.Skip("64 MB are written without -short, on the machine's own processor")
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(64 << 20))
	say := func(what string, took time.Duration) {
		now, highest, anonymous := memory(t)
		t.Logf("%-28s %10s  RSS %d MB (highest %d, anonymous %d)", what, took.Round(time.Millisecond), now, highest, anonymous)
		if files := now - anonymous; files > 64 {
			t.Errorf("%s: %d MB of files are in memory, want at most 64 however big the log is", what, files)
		}
	}
	say("begin", 0)
	l := testLog(t, filepath.Join(t.TempDir(), "log"))
	drafts := make([]event.Draft, 64)
	start := time.Now()
	for i := 0; i < n; i += len(drafts) {
		for k := range drafts {
			drafts[k] = benchDraft(t, []event.Severity{event.SeverityTrace, event.SeverityNotice, event.SeverityTrace}[k%3])
		}
		mustAppend(t, l, drafts...)
	}
	say("stored", time.Since(start))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var slowest time.Duration
	for range 5 {
		start = time.Now()
		opened := testLog(t, l.opt.Dir)
		slowest = max(slowest, time.Since(start))
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	say("opened, slowest of 5", slowest)
	if timed && slowest > 2*time.Second {
		t.Errorf("opening took %s", slowest)
	}
	l = testLog(t, l.opt.Dir)
	start = time.Now()
	read := 0
	for _, lane := range event.Lanes() {
		for after := uint64(0); ; {
			es, err := l.Read(lane, after, 256)
			if err != nil {
				t.Fatal(err)
			}
			if len(es) == 0 {
				break
			}
			read, after = read+len(es), es[len(es)-1].Seq
		}
	}
	say(fmt.Sprint("read ", read), time.Since(start))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = keeping(t, l.opt.Dir, map[event.Lane]int64{event.LaneTrace: 1 << 20, event.LaneMain: 1 << 20})
	start = time.Now()
	var took []time.Duration
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	swept := func(lane event.Lane) bool {
		first, err := l.firstKey(lane, 0)
		l.mu.Lock()
		over := l.over(lane)
		l.mu.Unlock()
		return err == nil && over == 0 && (l.evicted(lane)+1)>>bucketBits < first>>bucketBits+sweepFrom
	}
	for !swept(event.LaneTrace) || !swept(event.LaneMain) {
		begun := time.Now()
		mustAppend(t, l, draft(event.SeverityAlarm, "now"))
		took = append(took, time.Since(begun))
		<-tick.C
	}
	say("evicted and swept", time.Since(start))
	t.Logf("meanwhile %d alarms: p50 %.0f µs, p99 %.0f µs, slowest %.0f µs", len(took), percentile(took, 50), percentile(took, 99), percentile(took, 100))
	size := int64(0)
	for _, level := range l.db.Levels() {
		size += level.Size
	}
	t.Logf("%d MB of tables are left", size>>20)
}

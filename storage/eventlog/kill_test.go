package eventlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"watchpost/storage/event"
)

// acks is what a child was told that is stored: seq → the text it began with.
type acks map[uint64]string

func (a acks) see(line string) {
	var seq uint64
	var writer, n int
	if _, err := fmt.Sscanf(line, "ack %d %d %d", &seq, &writer, &n); err == nil {
		a[seq] = fmt.Sprint(writer, " ", n)
	}
}

// check wants all acknowledged events in the log, and no seq missing.
func (a acks) check(t *testing.T, l *Log) {
	t.Helper()
	seen, left := make(map[uint64]bool), uint64(0) // left out with a new boot
	for _, lane := range event.Lanes() {
		for _, e := range readAll(t, l, lane) {
			if seen[e.Seq] {
				t.Errorf("seq %d stands in two lanes", e.Seq)
			}
			seen[e.Seq] = true
			if why, _ := e.Body.Text(event.TagReason); why == reasonUnsure.String() {
				n, _ := e.Body.Uint(event.TagCount)
				left += n
			}
			text, _ := e.Body.Text(event.TagText)
			if want, ok := a[e.Seq]; ok && !strings.HasPrefix(text, want+" ") {
				t.Errorf("seq %d is %.20q, acknowledged as %q", e.Seq, text, want)
			}
		}
	}
	lost := 0
	for seq := range a {
		if !seen[seq] {
			lost++
		}
	}
	if lost > 0 || uint64(len(seen))+left != l.LastSeq() {
		t.Errorf("%d acknowledged, %d of them lost; %d events up to seq %d", len(a), lost, len(seen), l.LastSeq())
	}
}

func TestKill(t *testing.T) {
	kills := 8
	if s := os.Getenv("EVENTLOG_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	if testing.Short() {
		kills = 3
	}
	dir, random, all := t.TempDir(), rand.New(rand.NewPCG(1, 2)), make(acks)
	for k := range kills {
		c := startChild(t, "append", dir)
		c.until("open", nil)
		for range 100 + random.IntN(4000) {
			line := c.next()
			if strings.HasPrefix(line, "error") || line == "" {
				t.Fatalf("kill %d: child said %q; %v", k, line, c.cmd.Wait())
			}
			all.see(line)
		}
		c.kill()
		_ = c.wait(all.see) // killed
		if k%2 == 0 && k < kills-1 {
			continue // the next child finds what the kill left
		}
		l := testLog(t, dir)
		all.check(t, l)
		if s := l.Stats(); s.Holes != 0 {
			t.Errorf("kill %d: %d holes", k, s.Holes)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d events acknowledged", kills, len(all))
}

func TestTwoAgents(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "hold", dir)
	c.until("open", nil)
	_, err := Open(testOptions(t, dir))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(c.cmd.Process.Pid)) {
		t.Errorf("second agent: %v, want ErrLocked and process %d", err, c.cmd.Process.Pid)
	}
	if err := c.in.Close(); err != nil {
		t.Error(err)
	}
	c.until("closed", nil)
	if err := c.wait(nil); err != nil {
		t.Error(err)
	}
	l := testLog(t, dir)
	if l.LastSeq() != 1 {
		t.Errorf("the first agent's log was touched: last seq %d", l.LastSeq())
	}
	if _, err := Open(testOptions(t, dir)); !errors.Is(err, ErrLocked) {
		t.Errorf("twice in one process: %v", err)
	}
}

package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"watchpost/firmware/status"
)

// Whatever stands in a table, each column begins below itself, nothing is lost, and no line ends with a blank.
func TestColumnsStandBelowEachOther(t *testing.T) {
	cell := rapid.StringMatching(`[a-zÄ→Ω0-9]{1,12}`)
	rapid.Check(t, func(rt *rapid.T) {
		var plain, painted table
		painted.colour = func([]string) string { return "1;31" }
		for range rapid.IntRange(1, 6).Draw(rt, "rows") {
			row := rapid.SliceOfN(cell, 3, 3).Draw(rt, "row")
			plain.add(row...)
			painted.add(row...)
		}
		var a, b bytes.Buffer
		plain.write(&a)
		painted.write(&b)
		if stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(b.String(), ""); stripped != a.String() {
			rt.Errorf("colours move the columns:\n%s\n%s", a.String(), stripped)
		}
		starts := map[[2]int]bool{}
		for i, line := range strings.Split(strings.TrimSuffix(a.String(), "\n"), "\n") {
			fields := strings.Fields(line)
			if strings.Join(fields, "|") != strings.Join(plain.rows[i], "|") || line != strings.TrimRight(line, " ") {
				rt.Errorf("row %q is printed as %q", plain.rows[i], line)
			}
			second := strings.Index(line[len(fields[0]):], fields[1]) + len(fields[0])
			third := len(line) - len(fields[2])
			starts[[2]int{utf8.RuneCountInString(line[:second]), utf8.RuneCountInString(line[:third])}] = true
		}
		if len(starts) != 1 {
			rt.Errorf("columns begin at %v:\n%s", starts, a.String())
		}
	})
}

func TestMomentsForPeople(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.Local)
	for want, at := range map[string]time.Time{
		"":                    {},
		"06:59:58":            now.Add(-2 * time.Second),
		"2026-11-21 23:59:59": now.Add(-7*time.Hour - time.Second),
	} {
		if got := clock(at, now); got != want {
			t.Errorf("%v: %q, want %q", at, got, want)
		}
	}
}

// What cannot be relied on is never as green as what is normal.
func TestOnlyWhatIsWellIsGreen(t *testing.T) {
	for _, state := range []string{"unknown", "missing", "fault", "masked", "short", "open", "active", "stuck", "down", "", "new-word"} {
		if colourOf(state) == colourOf("normal") {
			t.Errorf("%q looks like normal", state)
		}
	}
}

func TestChangesAreLines(t *testing.T) {
	look := func(state, raw string) status.IO {
		return status.IO{Groups: []status.IOGroup{{Driver: "eol/a", Points: []status.Point{{ID: "hall", State: state, Raw: raw}, {ID: "door", State: "normal"}}}}}
	}
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.Local)
	for _, tt := range []struct {
		before, now status.IO
		want        string
	}{
		{look("normal", "4.70 kΩ"), look("normal", "4.70 kΩ"), ""},
		{look("normal", "4.70 kΩ"), look("short", "0.01 kΩ"), "07:00:00  hall: normal 4.70 kΩ → short 0.01 kΩ\n"},
		{look("normal", "4.70 kΩ"), look("normal", "4.71 kΩ"), "07:00:00  hall: normal 4.70 kΩ → normal 4.71 kΩ\n"},
	} {
		var out bytes.Buffer
		if changes(&out, tt.now, points(tt.before), now); out.String() != tt.want {
			t.Errorf("%q, want %q", out.String(), tt.want)
		}
	}
}

// A table that is watched stays on the screen, one row a line: what has no room is counted.
func TestAWatchedTableFitsTheScreen(t *testing.T) {
	hands, terminal := pty(t)
	var all status.IO
	for i := range 20 {
		point := status.Point{ID: fmt.Sprint("zone-", i), State: "normal", Text: strings.Repeat("警务室", 40)}
		all.Groups = append(all.Groups, status.IOGroup{Driver: "contacts", Points: []status.Point{point}})
	}
	for rows, want := range map[uint16]string{0: "zone-19", 50: "zone-19", 11: "… and 32 lines more"} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 40}); err != nil {
			t.Fatal(err)
		}
		var shown bytes.Buffer
		var wg sync.WaitGroup
		wg.Go(func() { // a terminal takes only so much that nobody reads
			b := make([]byte, 4096)
			for !strings.HasSuffix(shown.String(), "\x1b[J\x1b[?7h") {
				ready, err := unix.Poll([]unix.PollFd{{Fd: int32(hands.Fd()), Events: unix.POLLIN}}, int(patience/time.Millisecond))
				n := 0
				if ready == 1 && err == nil {
					n, err = hands.Read(b)
				}
				if n == 0 {
					t.Errorf("shown is only %q: %v", shown.String(), err)
					return
				}
				shown.Write(b[:n])
			}
		})
		if err := (ioCommand{Watch: true}).show(deps{stdout: terminal, now: time.Now}, all, nil, true, true); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if n := strings.Count(shown.String(), "\n"); rows > 0 && n >= int(rows) || !strings.Contains(shown.String(), want) || !strings.Contains(shown.String(), "\x1b[?7l") {
			t.Errorf("%d rows: %d lines, %q", rows, n, shown.String())
		}
	}
}

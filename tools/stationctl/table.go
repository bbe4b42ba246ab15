package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// table is rows whose columns stand below each other. The last column may hold any script: nothing stands behind it.
type table struct {
	rows   [][]string
	colour func(row []string) string // SGR parameters of a row's second column, "" = plain; nil = all plain
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the rows that are not empty, two blanks between columns and none at the end of a line.
func (t *table) write(w io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row[:len(row)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := 0
			if i < len(row)-1 {
				pad = widths[i] - utf8.RuneCountInString(cell) + 2
			}
			if sgr := t.paint(row); i == 1 && sgr != "" {
				cell = "\x1b[" + sgr + "m" + cell + "\x1b[m"
			}
			line.WriteString(cell + strings.Repeat(" ", pad))
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func (t *table) paint(row []string) string {
	if t.colour == nil || len(row) < 2 {
		return ""
	}
	return t.colour(row)
}

// colourOf is how a state stands out: red is felt or forced, yellow cannot be relied on, green is as it should be.
func colourOf(state string) string {
	switch state {
	case "normal", "up", "off", "idle", "disarmed":
		return "32"
	case "active", "on", "alarm", "entry", "tamper", "short", "open", "masked":
		return "1;31"
	case "unknown", "missing", "fault", "down", "lost", "stuck", "low", "high", "alarm_memory":
		return "33"
	}
	return "1"
}

// screen reports whether w is a terminal, and whether it may be coloured (no-color.org).
func screen(w io.Writer) (isTerminal, colours bool) {
	f, ok := w.(*os.File)
	if !ok {
		return false, false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil, err == nil && os.Getenv("NO_COLOR") == ""
}

// height is how many lines a terminal shows, 0 if it does not say.
func height(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}

// fit cuts a page to a screen of so many lines, the cursor's own among them, and counts what is cut; 0 cuts nothing.
func fit(page []byte, rows int) []byte {
	lines := bytes.SplitAfter(page, []byte("\n"))
	lines = lines[:len(lines)-1] // behind the last line there is nothing
	if rows < 3 || len(lines) < rows {
		return page
	}
	kept := rows - 2
	return fmt.Appendf(bytes.Join(lines[:kept], nil), "… and %d lines more: io without --watch has them all\n", len(lines)-kept)
}

// clock is a moment for people: the time of day, and the day unless it is today. The zero time is nothing.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	switch {
	case t.IsZero():
		return ""
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04:05")
}

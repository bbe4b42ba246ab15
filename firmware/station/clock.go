package station

import (
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// bootID is the first 32 bits of the kernel's boot id, which tells two lives of its monotonic clock apart.
func bootID() (uint32, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading the boot id: %w", err)
	}
	var raw [4]byte
	if len(b) < 8 {
		return 0, fmt.Errorf("%s holds %d bytes, want a UUID", path, len(b))
	}
	if _, err := hex.Decode(raw[:], b[:8]); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3]), nil
}

// clockQuality asks the kernel whether somebody disciplines its clock (adjtimex(2), STA_UNSYNC).
func clockQuality() event.ClockQuality {
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		return event.ClockUnknown
	}
	if tx.Status&unix.STA_UNSYNC != 0 {
		return event.ClockUnsynced
	}
	return event.ClockSynced
}

// clock is how the station tells time.
type clock struct {
	now     func() time.Time
	quality func() event.ClockQuality
	boot    uint32
}

// stamp gives a draft what every event of this station carries, where its driver did not know better.
func (c clock) stamp(d event.Draft) event.Draft {
	if d.At.IsZero() {
		d.At = c.now()
	}
	if d.ClockQuality == event.ClockUnknown {
		d.ClockQuality = c.quality()
	}
	d.At = d.At.UTC()
	d.BootID = c.boot
	return d
}

// clockStep is how far the wall clock must have moved against the monotonic one to count as set by somebody.
const clockStep = 2 * time.Second

// stepped is how far the wall clock was set between two readings of it, each with its monotonic reading.
func stepped(before, now time.Time) time.Duration {
	return now.Round(0).Sub(before.Round(0)) - now.Sub(before)
}

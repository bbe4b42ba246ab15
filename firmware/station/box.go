package station

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// boxGauges puts what the kernel and the runtime say of the agent and its box into g. What cannot be read is left out.
func boxGauges(g map[string]float64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	for i, name := range []string{"heap_bytes", "goroutines_count"} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			g[name] = float64(samples[i].Value.Uint64())
		}
	}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		g["cpu_ms"] = float64(time.Duration(usage.Utime.Nano()+usage.Stime.Nano()) / time.Millisecond)
	}
	put := func(name, path string, field int, factor float64) {
		if v, ok := fieldOf(path, field); ok {
			g[name] = v * factor
		}
	}
	put("rss_bytes", "/proc/self/statm", 1, float64(os.Getpagesize()))
	put("load1", "/proc/loadavg", 0, 1)
	put("box_temperature_c", "/sys/class/thermal/thermal_zone0/temp", 0, 1e-3)
	if v, ok := memoryAvailable(); ok {
		g["memory_available_bytes"] = v
	}
	clockGauges(g)
}

// fieldOf is the n-th blank-separated number of a small file of the kernel's.
func fieldOf(path string, n int) (float64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(b)
	if n >= len(fields) {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(fields[n]), 64)
	return v, err == nil
}

func memoryAvailable() (float64, bool) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(b, []byte("\nMemAvailable:"))
	fields := bytes.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, false
	}
	kib, err := strconv.ParseFloat(string(fields[0]), 64)
	return kib * 1024, err == nil
}

// clockGauges puts the kernel's own opinion of its clock into g (adjtimex(2)).
func clockGauges(g map[string]float64) {
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		return
	}
	unit := 1e-3 // microseconds
	if tx.Status&unix.STA_NANO != 0 {
		unit = 1e-6
	}
	g["clock_offset_ms"] = float64(tx.Offset) * unit
	if tx.Status&unix.STA_UNSYNC == 0 { // without discipline the kernel's estimate only counts up to its end
		g["clock_error_ms"] = float64(tx.Esterror) * 1e-3
	}
}

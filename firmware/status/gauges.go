package status

import "slices"

// Gauge is one number that a station tells of itself, at the local door and in its heartbeat to each centre. A number that
// cannot be had (no thermometer, no PUBACK yet, a lane without a single event) is left out, never told as 0.
type Gauge struct {
	Name string // with its unit at the end; _count has none
	Says string
}

// Gauges are the numbers of the station as a whole.
func Gauges() []Gauge {
	list := []Gauge{
		{"uptime_s", "since the agent started"},
		{"rss_bytes", "memory of the agent in the box's RAM"},
		{"heap_bytes", "objects on the agent's heap"},
		{"goroutines_count", "in the process"},
		{"cpu_ms", "processor time that the process has used"},
		{"load1", "runnable tasks of the box, mean of a minute"},
		{"memory_available_bytes", "RAM of the box that could be had"},
		{"box_temperature_c", "of the box's first thermal zone"},
		{"disk_free_bytes", "where the log is"},
		{"log_bytes", "of the log's files"},
		{"log_refused_count", "events refused for want of room since the agent started"},
		{"log_holes_count", "ranges of the log that cannot be read any more"},
		{"log_evicted_count", "events that went for room since the epoch began"},
		{"log_unreceipted_count", "those of them that some centre had given no receipt for"},
		{"clock_synced", "1: somebody disciplines the clock"},
		{"clock_offset_ms", "what the kernel still has to slew"},
		{"clock_error_ms", "the kernel's estimate of the clock's error"},
		{"clock_jumps_count", "steps of the wall clock by more than 2 s since the agent started"},
		{"viewings_count", "live viewings"},
		{"zones_trouble_count", "zones that are neither normal, active nor bypassed"},
		{"panels_trouble_count", "panels that are not up"},
		{"cameras_trouble_count", "cameras that are neither up nor idle"},
		{"task_faults_count", "tasks that had to be started again"},
		{"last_test_at_s", "when the last daily test alarm was raised, seconds since 1970, UTC"},
		{"last_test_ok", "1: it came through to the log"},
	}
	return append(list, perLane([]Gauge{
		{"log_%_count", "events of the lane in the log"},
		{"log_%_bytes", "of their records"},
		{"log_%_oldest_s", "age of the oldest by the station's clock"},
	})...)
}

// CentreGauges are the numbers of one centre's uplink.
func CentreGauges() []Gauge {
	list := []Gauge{
		{"link_rtt_ms", "from handing a message over to its PUBACK, median of the last 128"},
		{"link_rtt_p95_ms", "the same, what 19 of 20 stay below"},
		{"link_connects_count", "links that came up since the agent started"},
		{"link_faults_count", "links lost, and attempts that failed"},
		{"link_up_s", "how long the present link has been up"},
		{"link_out_bytes", "sent since the agent started, TLS with it"},
		{"link_in_bytes", "received"},
		{"link_stalls_count", "reports of lanes that stall: the 1st, 2nd, 4th … time that receipts do not come, or that links end whenever they send"},
	}
	return append(list, perLane([]Gauge{
		{"backlog_%_count", "seqs from the lane's receipt to its head: at most so many of its events wait"},
	})...)
}

// perLane puts each lane's name where a name has %.
func perLane(list []Gauge) []Gauge {
	var all []Gauge
	for _, g := range list {
		for _, lane := range []string{"alarm", "main", "read", "trace"} {
			all = append(all, Gauge{LaneGauge(g.Name, lane), g.Says})
		}
	}
	return slices.Clip(all)
}

// LaneGauge is the name of a lane's gauge; pattern has % where the lane's name goes.
func LaneGauge(pattern, lane string) string {
	for i := range len(pattern) {
		if pattern[i] == '%' {
			return pattern[:i] + lane + pattern[i+1:]
		}
	}
	return pattern
}

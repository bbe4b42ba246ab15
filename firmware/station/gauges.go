package station

import (
	"math"
	"slices"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/firmware/status"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// gauges are the numbers of the station as a whole, by the names in status.Gauges.
func (s *Station) gauges(stats eventlog.Stats) map[string]float64 {
	now := s.clock.now()
	g := map[string]float64{
		"uptime_s":          time.Since(s.begun).Seconds(),
		"log_bytes":         float64(stats.DiskBytes),
		"log_refused_count": float64(stats.Refused),
		"log_holes_count":   float64(stats.Holes),
		"clock_synced":      boolGauge(s.clock.quality() == event.ClockSynced),
		"clock_jumps_count": float64(s.jumps.Load()),
		"viewings_count":    float64(len(s.viewings.status())),
	}
	s.troubleGauges(g)
	if stats.FreeBytes >= 0 {
		g["disk_free_bytes"] = float64(stats.FreeBytes)
	}
	for _, n := range s.sup.Faults() {
		g["task_faults_count"] += float64(n)
	}
	for lane, held := range stats.Lanes {
		g["log_evicted_count"] += float64(held.Evicted)
		g["log_unreceipted_count"] += float64(held.Unreceipted)
		if held.Head == 0 {
			continue
		}
		g[status.LaneGauge("log_%_count", lane.String())] = float64(held.Count)
		g[status.LaneGauge("log_%_bytes", lane.String())] = float64(held.Bytes)
		if at, ok := s.oldest.at(s.events, lane, held.First); ok {
			g[status.LaneGauge("log_%_oldest_s", lane.String())] = max(0, now.Sub(at).Seconds())
		}
	}
	if t := s.memo.read().Test; !t.At.IsZero() {
		g["last_test_at_s"], g["last_test_ok"] = float64(t.At.Unix()), boolGauge(t.OK)
	}
	boxGauges(g)
	round(g)
	return g
}

// round leaves two decimals: each digit is sent over the line in every heartbeat. What is no number goes: JSON has no word for it,
// and the whole state would go with it.
func round(g map[string]float64) {
	for name, v := range g {
		if v = math.Round(v*100) / 100; math.IsNaN(v) || math.IsInf(v, 0) {
			delete(g, name)
			continue
		}
		g[name] = v
	}
}

// troubleGauges counts the inputs that are not as they should be; one that nothing was heard of is among them.
func (s *Station) troubleGauges(g map[string]float64) {
	count := func(name string, now map[string]drivers.Reading, ids []string, good ...string) {
		n := len(ids)
		for _, id := range ids {
			if slices.Contains(good, now[id].State) {
				n--
			}
		}
		g[name] = float64(n)
	}
	var zones, panels, cameras []string
	for _, z := range s.config.Zones {
		zones = append(zones, z.ID)
	}
	for _, a := range s.config.Panels.Accounts {
		panels = append(panels, "dc09/"+a.ID)
	}
	for _, c := range s.config.Cameras {
		cameras = append(cameras, c.ID)
	}
	count("zones_trouble_count", readings(s.zones), zones, "normal", "active", "bypassed")
	count("panels_trouble_count", readings(s.receivers), panels, "up")
	count("cameras_trouble_count", readings(s.cameras), cameras, "up", "idle") // idle: pulled only when somebody looks
}

// gauges are the numbers of one centre's uplink, by the names in status.CentreGauges.
func (x *centre) gauges(g map[string]float64, heads, stored map[event.Lane]uint64) {
	q := x.session.Quality()
	if q.RTTMedian > 0 {
		g["link_rtt_ms"], g["link_rtt_p95_ms"] = milliseconds(q.RTTMedian), milliseconds(q.RTTWorst)
	}
	g["link_connects_count"], g["link_up_s"] = float64(q.Connects), q.Up.Seconds()
	g["link_out_bytes"], g["link_in_bytes"] = float64(q.BytesOut), float64(q.BytesIn)
	g["link_faults_count"] = 0
	for _, n := range q.Faults {
		g["link_faults_count"] += float64(n)
	}
	for lane, upto := range stored {
		if heads[lane] == 0 {
			continue
		}
		g[status.LaneGauge("backlog_%_count", lane.String())] = float64(heads[lane] - min(upto, heads[lane]))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	g["link_stalls_count"] = float64(x.stalls.count)
	round(g)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// oldest remembers when the first event of each lane happened: it is read anew only when the log has evicted that event.
type oldest struct {
	mu    sync.Mutex // guards the field below
	lanes map[event.Lane]first
}

// first is a lane's oldest event.
type first struct {
	seq uint64
	at  time.Time
}

// at is when the oldest event of a lane happened, by the clock of that time.
func (o *oldest) at(log EventLog, lane event.Lane, seq uint64) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if seq == 0 {
		return time.Time{}, false
	}
	if f, known := o.lanes[lane]; known && f.seq == seq {
		return f.at, true
	}
	events, err := log.Read(lane, seq-1, 1)
	if err != nil || len(events) == 0 {
		return time.Time{}, false
	}
	if o.lanes == nil {
		o.lanes = map[event.Lane]first{}
	}
	o.lanes[lane] = first{seq, events[0].At}
	return events[0].At, true
}

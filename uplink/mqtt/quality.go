package mqtt

import (
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// rttKept is over how many PUBACKs the round trips are judged: on a quiet station an hour of heartbeats, in a backlog a moment.
const rttKept = 128

// Quality is how a session's line has done. The counts are since New.
type Quality struct {
	// RTTMedian and RTTWorst (of twenty, the 95th percentile) are from handing a message over to its PUBACK, over the
	// last rttKept of them; 0 = there was none.
	RTTMedian, RTTWorst time.Duration
	Connects            uint64           // links that came up
	Faults              map[Fault]uint64 // links lost and attempts that failed, by why
	BytesOut, BytesIn   uint64           // at the socket, TLS with them, TCP and IP without
	Up                  time.Duration    // how long the present link has been up; 0 = there is none
}

// meter counts what Quality tells.
type meter struct {
	out, in atomic.Uint64

	mu       sync.Mutex // guards the fields below
	rtts     [rttKept]time.Duration
	measured int // of rtts, of all time
	connects uint64
	faults   map[Fault]uint64
	up       time.Time // of the present link; zero = none
}

func (m *meter) rtt(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rtts[m.measured%rttKept] = d
	m.measured++
}

func (m *meter) linkUp(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connects++
	m.up = now
}

func (m *meter) linkDown(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults == nil {
		m.faults = map[Fault]uint64{}
	}
	m.faults[f]++
	m.up = time.Time{}
}

func (m *meter) quality(now time.Time) Quality {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := Quality{Connects: m.connects, Faults: maps.Clone(m.faults), BytesOut: m.out.Load(), BytesIn: m.in.Load()}
	if !m.up.IsZero() {
		q.Up = now.Sub(m.up)
	}
	if n := min(m.measured, rttKept); n > 0 {
		sorted := slices.Clone(m.rtts[:n])
		slices.Sort(sorted)
		q.RTTMedian, q.RTTWorst = sorted[n/2], sorted[n*95/100]
	}
	return q
}

// metered counts the bytes of a connection.
type metered struct {
	net.Conn
	*meter
}

// Read counts what came in.
func (c metered) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(uint64(n))
	return n, err
}

// Write counts what went out.
func (c metered) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(uint64(n))
	return n, err
}

// What a broker hangs up on for its size cannot be told from a bad line at once: MQTT 3.1.1 has no word for it.
const (
	sizeSuspect = 8 << 10 // smaller messages no broker refuses
	sizeTimes   = 3       // lost in a row with an unacknowledged message larger than any that was taken
)

// sizes tells a broker that hangs up on large messages from a bad line.
type sizes struct {
	taken atomic.Int64 // the largest message that was ever acknowledged, in bytes
	times int          // losses in a row that look like it
}

func (z *sizes) acked(n int) {
	for old := z.taken.Load(); int64(n) > old && !z.taken.CompareAndSwap(old, int64(n)); {
		old = z.taken.Load()
	}
}

// lost takes the largest message that was under way when a link was lost, and says whether its size looks like the cause.
func (z *sizes) lost(largest int) bool {
	if largest < sizeSuspect || int64(largest) <= z.taken.Load() {
		z.times = 0
		return false
	}
	z.times++
	return z.times >= sizeTimes
}

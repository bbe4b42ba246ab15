//lint:pure

package outbox

import (
	"fmt"
	"time"

	"watchpost/storage/event"
)

// How long a frame is borne with under which links end.
const (
	patience   = 3 // links lost at the same place before its frame is made smaller, and again before an event is set aside
	asideFirst = time.Minute
	asideMost  = time.Hour
	boundFor   = time.Hour // for how long frames stay smaller
	leastBound = 1 << 10   // bytes of records that every broker takes, at least
)

// suspicion is what a lane's frames are suspected of: a broker may hang up on a payload beyond its limit, and does so again
// whenever it is sent. A bad line looks the same; it does not mind smaller frames either.
type suspicion struct {
	losses int           // links in a row that ended while what begins at place was not acknowledged
	place  uint64        // seq
	aside  time.Duration // for how long the lane was set aside last; 0 = it was not
	until  time.Time     // the lane is set aside; zero = it is not
}

// frameBound is what the broker seems to take.
type frameBound struct {
	bytes int // of records in one frame; 0 = not known
	since time.Time
}

// of bounds a frame, unless it is time to try again.
func (b *frameBound) of(now time.Time, bytes int) int {
	if b.bytes > 0 && now.Sub(b.since) >= boundFor {
		*b = frameBound{}
	}
	if b.bytes > 0 {
		return min(bytes, b.bytes)
	}
	return bytes
}

// suspect looks at what a lane had under way when the link was lost. Its oldest frame is halved, down to leastBound or a single
// event; what links still end under is kept, but its lane waits, so that the others go on. Alarms wait asideFirst and no longer:
// a broker that was ill for hours may be well again.
func (c *Core) suspect(now time.Time, l *lane) {
	var oldest *span
	for i := range l.spans {
		if !l.spans[i].acked {
			oldest = &l.spans[i]
			break
		}
	}
	if oldest == nil {
		return
	}
	s := &l.suspicion
	s.place = max(s.place, oldest.first)
	if s.losses++; s.losses < patience {
		return
	}
	if oldest.count > 1 && oldest.size > leastBound {
		s.losses = patience
		c.shrink(now, *oldest)
		return
	}
	if s.losses < 2*patience {
		return
	}
	s.losses = 2*patience - 1 // the next loss is enough
	s.aside = min(asideMost, max(asideFirst, 2*s.aside))
	if l.name == event.LaneAlarm {
		s.aside = asideFirst
	}
	s.until = now.Add(s.aside)
	c.reports = append(c.reports, Report{Kind: ReportRefusedByBroker, Lane: l.name, From: oldest.first, Upto: oldest.last, Count: 2 * patience,
		Text: fmt.Sprintf("lane %s: whenever what begins with event %d, %d bytes, is sent, the link ends: the lane waits for %s and the others go on: check the broker's permissions for this lane, and raise its message size limit to 256 KiB",
			l.name, oldest.first, oldest.size, s.aside)})
}

// shrink makes frames half as large as one that did not arrive.
func (c *Core) shrink(now time.Time, s span) {
	c.bound = frameBound{bytes: max(leastBound, min(s.size, c.bound.of(now, s.size))/2), since: now}
}

// doubtSize makes frames smaller if the lane's oldest, of several events, was acknowledged and did not arrive: Mosquitto takes a
// PUBLISH beyond its limit, acknowledges it and drops it.
func (c *Core) doubtSize(now time.Time, l *lane) bool {
	if !l.waiting() || l.spans[0].count == 1 || l.spans[0].size <= leastBound {
		return false
	}
	c.shrink(now, l.spans[0])
	return true
}

// careful says that one message at a time is sent, so that the next loss shows which it is.
func (c *Core) careful() bool {
	for i := range c.lanes {
		l := &c.lanes[i]
		if s := &l.suspicion; s.losses >= patience && s.until.IsZero() && len(l.pending)+len(l.spans) > 0 {
			return true
		}
	}
	return false
}

// absolve ends the suspicion: the broker or the centre has what was suspected.
func (c *Core) absolve(l *lane, upto uint64) {
	s := &l.suspicion
	if upto < s.place {
		return
	}
	if s.aside > 0 {
		c.reports = append(c.reports, Report{Kind: ReportResumed, Lane: l.name, Upto: upto, Count: 1, Text: "the broker takes what it had refused"})
	}
	*s = suspicion{}
}

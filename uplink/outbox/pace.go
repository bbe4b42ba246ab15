//lint:pure

package outbox

import "time"

// Bounds of the backlog's share of a line.
const (
	leastWindow  = 512                  // bytes of backlog under way, at least; one frame of it always may be
	nearWindow   = 32 << 10             // the same where the broker is near: that much takes no time that anybody notices
	near         = 5 * time.Millisecond // there and back
	firstWindow  = 2 << 10              // on a new link
	mostWindow   = 1 << 20              //
	perMessage   = 100                  // bytes that a message costs besides its payload: topic, PUBLISH, PUBACK, TCP and IP headers
	tolerance    = 2 * time.Millisecond // of delay, which a machine's own scheduling causes
	measureEvery = 30 * time.Second     // how long what was measured is believed
	measureBy    = 4                    // delays that are judged together: one says little of a line whose delay varies
)

// pace bounds how much backlog is under way to the broker, so that an alarm finds the line all but free. A broker acknowledges
// in order, so what an alarm waits for is what was sent before it: the window of backlog grows as long as acknowledgements
// take hardly longer than on the idle line, and shrinks as soon as they do. On top of that a bucket keeps to the rate that
// somebody set. It is the same on every machine: whole numbers only.
type pace struct {
	window   int  // bytes that may be under way
	under    int  // bytes under way, of all lanes
	behind   int  // frames of the backlog among them
	climbing bool // the window doubles until a delay shows

	idle    time.Duration // the mean delay of the line itself, with its jitter; 0 = not known
	idleAt  time.Time
	hold    uint64        // the line is measured again when this frame and all before it are acknowledged; 0 = it is not
	since   uint64        // frames up to this one were sent too early to measure it
	samples time.Duration // the sum of the delays that measure it
	taken   int           // and their number

	mark, end uint64        // frames after mark tell about the present window; end closes the round, 0 = not known yet
	delays    time.Duration // the sum of the round's delays
	count     int64         // and their number
	full      bool          // the window held something back in this round

	share int // of 1024 bytes of records, how many are left when packed

	rate   int       // bytes a second; 0 = no bound
	tokens int64     // bytes that may be sent now; negative after a frame larger than that
	filled time.Time // when tokens was right
	resume time.Time // when the bucket allows the next frame; zero = it does not hold anything back
}

// begin starts on a new link, of which nothing is known.
func (p *pace) begin(now time.Time, rate int) {
	*p = pace{window: firstWindow, climbing: true, share: max(p.share, 256), rate: rate, tokens: int64(rate) / 8, filled: now}
}

// room is how many bytes of records the next frame of the backlog may have, at most limit; 0 = it has to wait. The window
// is cut into four frames or more, so that the line is busy while one of them is acknowledged, and none is long by itself.
func (p *pace) room(now time.Time, limit int) int {
	if p.bucket(now); p.rate > 0 && p.tokens <= 0 {
		p.resume = p.filled.Add(time.Duration((1 - p.tokens) * int64(time.Second) / int64(p.rate)))
		return 0
	}
	switch {
	case p.hold > 0, p.idle == 0 && p.under > 0:
		return 0
	case p.idle == 0:
		return 1 // one event, whose own length hardly counts
	}
	chunk := min(p.packed(limit), p.window/4)
	if p.under+chunk > p.window && p.behind > 0 {
		p.full = true
		return 0
	}
	return max(1, min(limit, chunk*1024/p.share))
}

// bucket fills the bucket, up to what an eighth of a second lets through.
func (p *pace) bucket(now time.Time) {
	if p.rate <= 0 || !now.After(p.filled) {
		return
	}
	most := max(1, int64(p.rate)/8)
	if gone := now.Sub(p.filled); gone < time.Minute {
		n := int64(gone) * int64(p.rate) / int64(time.Second)
		p.tokens += n
		p.filled = p.filled.Add(time.Duration(n * int64(time.Second) / int64(p.rate)))
	} else {
		p.tokens, p.filled = most, now
	}
	p.tokens = min(p.tokens, most)
}

// packed guesses how long records are on the wire.
func (p *pace) packed(records int) int { return (records*p.share + 1023) / 1024 }

// learn takes notice of how well records pack.
func (p *pace) learn(records, packed int) {
	if records > 0 {
		p.share = min(1024, max(1, (7*p.share+packed*1024/records)/8))
	}
}

// sent notes how long a frame is, or corrects it.
func (p *pace) sent(f flown, payload int) flown {
	more := payload + perMessage - f.bytes
	f.bytes += more
	p.under += more
	if f.charge {
		p.tokens -= int64(more)
		if f.bytes == more {
			p.behind++
		}
	}
	return f
}

// acked learns from how long the broker took for a frame; last is the newest one's id.
func (p *pace) acked(now time.Time, id, last uint64, f flown) {
	p.under -= f.bytes
	if f.charge {
		p.behind--
	}
	delay := max(now.Sub(f.at), 1)
	p.measure(now, id, last, delay)
	if id <= p.mark || p.idle == 0 {
		return
	}
	if p.end == 0 {
		p.end, p.delays, p.count = last, 0, 0
	}
	p.delays += delay
	if p.count++; id >= p.end && p.count >= measureBy {
		p.adjust(last)
	}
}

// measure takes the mean of a few delays, of one frame of the backlog at a time, for the line's own. From time to time it is
// forgotten, and the line is let run empty to find it anew: its way may have become longer.
func (p *pace) measure(now time.Time, id, last uint64, delay time.Duration) {
	if p.idle == 0 && id > p.since {
		p.samples += delay
		p.taken++
		steady := p.taken == 2 && (p.samples-2*delay).Abs() <= p.samples/32 // both are the same, all but
		if steady || p.taken == measureBy {
			p.idle, p.idleAt, p.samples, p.taken = p.samples/time.Duration(p.taken), now, 0, 0
			p.window, p.climbing = min(p.window, max(firstWindow/2, p.window/2)), true // all of it at once would be a burst
			p.mark, p.end = last, 0
		}
	}
	if p.hold == 0 && p.idle > 0 && now.Sub(p.idleAt) >= measureEvery {
		p.hold = last
	}
	if p.hold > 0 && id >= p.hold {
		p.hold, p.idle, p.since = 0, 0, last
	}
}

// adjust ends a round. What is sent now should take hardly longer than on the idle line, on the mean: not a fifth of the way
// there and back. While that is far off, the window doubles.
func (p *pace) adjust(last uint64) {
	slack := p.idle/5 + tolerance
	delay := p.delays / time.Duration(p.count)
	if delay < p.idle/2 { // something else was on the line when it was measured
		p.idle = delay
	}
	p.climbing = p.climbing && delay <= p.idle+slack/4
	least := leastWindow
	if p.idle <= near {
		least = nearWindow
	}
	switch {
	case delay > p.idle+slack:
		p.window = max(p.window/2, int(int64(p.window)*int64(p.idle+slack)/int64(delay)))
	case p.full && p.climbing:
		p.window *= 2
	case p.full:
		p.window += max(p.window/16, perMessage)
	}
	p.window = min(mostWindow, max(least, p.window))
	p.mark, p.end, p.full = last, 0, false
}

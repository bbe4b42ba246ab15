//lint:pure

package outbox

import "time"

// Bounds of the backlog's share of a line.
const (
	leastWindow  = 512                  // bytes of backlog under way, at least: one event is always allowed
	firstWindow  = 2 << 10              // on a new link
	mostWindow   = 1 << 20              //
	perMessage   = 100                  // bytes that a message costs besides its payload: topic, PUBLISH, PUBACK, TCP and IP headers
	tolerance    = 2 * time.Millisecond // of delay, which a machine's own scheduling causes
	measureEvery = 30 * time.Second     // how long the least delay seen is believed
)

// pace bounds how much backlog is under way to the broker, so that an alarm finds the line all but free. A broker acknowledges
// in order, so what an alarm waits for is what was sent before it: the window of backlog grows as long as acknowledgements
// take hardly longer than on the idle line, and shrinks as soon as they do. On top of that a bucket keeps to the rate that
// somebody set. It is the same on every machine: whole numbers only.
type pace struct {
	window   int  // bytes that may be under way
	under    int  // bytes under way, of all lanes
	climbing bool // the window doubles until a delay shows

	idle   time.Duration // the least delay seen: that of the line itself; 0 = not known
	idleAt time.Time
	hold   uint64 // the line is measured again when this frame and all before it are acknowledged; 0 = it is not

	mark, end uint64        // frames after mark tell about the present window; end closes the round, 0 = not known yet
	least     time.Duration // the least delay of the round
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
// is cut into two frames or more, so that the line is busy while one of them is acknowledged.
func (p *pace) room(now time.Time, limit int) int {
	if p.bucket(now); p.rate > 0 && p.tokens <= 0 {
		p.resume = p.filled.Add(time.Duration((1 - p.tokens) * int64(time.Second) / int64(p.rate)))
		return 0
	}
	if p.hold > 0 {
		return 0
	}
	if p.idle == 0 && p.under == 0 {
		return 1 // one event, whose own length hardly counts
	}
	chunk := min(p.packed(limit), p.window/2)
	if p.under > 0 && p.under+chunk > p.window {
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
	most := int64(p.rate) / 8
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
	}
	return f
}

// acked learns from how long the broker took for a frame; last is the newest one's id.
func (p *pace) acked(now time.Time, id, last uint64, f flown) {
	p.under -= f.bytes
	delay := max(now.Sub(f.at), 1)
	if p.idle == 0 || delay <= p.idle {
		p.idle, p.idleAt = delay, now
	}
	if p.hold == 0 && now.Sub(p.idleAt) >= measureEvery {
		p.hold = last
	}
	if p.hold > 0 && id >= p.hold {
		p.hold, p.idle = 0, 0
	}
	if id <= p.mark {
		return
	}
	if p.end == 0 {
		p.end, p.least = last, delay
	}
	if p.least = min(p.least, delay); p.idle == 0 {
		return
	}
	if p.climbing || id >= p.end {
		p.adjust(last)
	}
}

// adjust ends a round: an alarm that is sent now should take at most half as long again as on the idle line.
func (p *pace) adjust(last uint64) {
	allowed := p.idle + p.idle/2 + tolerance
	switch {
	case p.least > allowed:
		p.climbing = false
		p.window = max(leastWindow, p.window/2, int(int64(p.window)*int64(allowed)/int64(p.least)))
	case p.full && p.climbing:
		p.window = min(mostWindow, 2*p.window)
	case p.full:
		p.window = min(mostWindow, p.window+max(p.window/8, leastWindow))
	}
	p.mark, p.end, p.full = last, 0, false
}

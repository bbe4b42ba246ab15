package fleet

import (
	"fmt"
	"slices"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/outbox"
	"watchpost/uplink/topic"
)

// Figures of the shipped link that a World keeps to.
const (
	heartbeat  = 30 * time.Second // how often a state is told
	ackTimeout = 10 * time.Second // when a silent broker is given up
)

// link is the outbox of one station to one centre, and the line between them.
type link struct {
	s      *station
	centre *centre
	core   *outbox.Core
	name   string
	window int // frames that may be without PUBACK

	up, hole, denied bool
	life             uint64              // counts links and starts of the agent: what belongs to an earlier one is gone
	unacked          map[uint64]struct{} // sent on this link and not acknowledged
	sentBy, backBy   time.Duration       // when the last message of each direction is through
	rate             uint64              // of the line, bytes a second
	ticks            time.Duration       // when the core is next told the time; 0 = not planned
	saving           bool

	line, comes, receipts dice
}

func newLink(s *station, c *centre) *link {
	l := &link{s: s, centre: c, name: s.name + ">" + c.name, unacked: map[uint64]struct{}{}}
	l.line, l.comes, l.receipts = s.w.dice(l.name+" line"), s.w.dice(l.name+" comes"), s.w.dice(l.name+" receipts")
	l.rate = 1 << 20
	if s.w.may(FaultLine) {
		l.rate = 2 << (10 + l.line.below(9))
	}
	l.core = l.newCore()
	return l
}

// newCore is the outbox as an agent starts with it. Half of the links have the settings that are shipped.
func (l *link) newCore() *outbox.Core {
	o, d := outbox.Settings{Lanes: l.centre.lanes}, l.s.w.dice(l.name+" settings")
	l.window = 64
	if d.oneIn(2) {
		o.Window, o.Ahead, o.FrameEvents = 1+int(d.below(80)), 1+int(d.below(500)), 1+int(d.below(100))
		l.window = o.Window
	}
	return outbox.NewCore(o, l.s.disk.epoch, l.s.resume(l.centre.name))
}

func (l *link) begin() {
	w := l.s.w
	w.after(l.comes.about(5*time.Second), l.during(l.connect))
	w.sometimes(FaultHole, w.dice(l.name+" hole"), 4*time.Hour, l.swallow)
	deny := w.dice(l.name + " deny")
	w.sometimes(FaultDeny, deny, 8*time.Hour, func() {
		l.denied = true
		w.step(l.name, "is denied")
		w.after(deny.about(10*time.Minute), func() { l.denied = false })
	})
}

// during is f for as long as this link, or the present attempt at one, lasts.
func (l *link) during(f func()) func() {
	life := l.life
	return func() {
		if l.life == life {
			f()
		}
	}
}

// connect makes a link, if there is a broker.
func (l *link) connect() {
	w := l.s.w
	if !l.centre.brokerUp {
		w.after(l.comes.about(20*time.Second), l.during(l.connect))
		return
	}
	l.up, l.hole = true, false
	l.life++
	l.sentBy, l.backBy = 0, 0
	w.sum.Links++
	w.step(l.name, "is up", l.life)
	l.core.LinkUp(w.time())
	l.beat()
	if w.may(FaultLink) && !w.fair {
		w.after(l.comes.about(20*time.Minute), l.during(func() {
			if !w.fair {
				l.lose()
			}
		}))
	}
	l.pump()
}

// lose is the end of a link; another one is tried after a while.
func (l *link) lose() {
	pause := l.comes.about(10 * time.Second)
	if l.s.w.may(FaultLink) && l.comes.oneIn(8) && !l.s.w.fair {
		pause = l.comes.about(20 * time.Minute)
	}
	l.s.w.step(l.name, "is lost", uint64(len(l.unacked)))
	l.cut()
	l.s.w.after(pause, l.during(l.connect))
}

// cut ends the link, or what was tried to make one.
func (l *link) cut() {
	l.life++
	clear(l.unacked)
	if l.up {
		l.up = false
		l.core.LinkDown(l.s.w.time())
		l.told()
	}
}

// swallow lets everything on the line vanish, until the station gives the link up.
func (l *link) swallow() {
	if l.up {
		l.hole = true
		l.s.w.step(l.name, "is a hole")
		l.s.w.after(ackTimeout+l.comes.about(10*time.Second), l.during(l.lose))
	}
}

// beat tells the centre that the station is online, now and again.
func (l *link) beat() {
	heads := l.s.disk.heads
	epoch := l.s.disk.epoch
	l.carry(400, func() { l.centre.hear(arrival{from: l, epoch: epoch, heads: heads}) })
	l.s.w.after(heartbeat, l.during(l.beat))
}

// carry brings so many bytes to the broker, in order.
func (l *link) carry(size int, do func()) {
	l.sentBy = max(l.sentBy, l.s.w.now+l.delay()) + time.Duration(uint64(size)*uint64(time.Second)/l.rate)
	l.s.w.at(l.sentBy, l.during(func() {
		if !l.hole {
			do()
		}
	}))
}

// bring brings something back from the broker, in order.
func (l *link) bring(do func()) {
	l.backBy = max(l.backBy, l.s.w.now+l.delay())
	l.s.w.at(l.backBy, l.during(func() {
		if !l.hole {
			do()
		}
	}))
}

func (l *link) delay() time.Duration {
	if l.s.w.may(FaultLine) {
		return l.line.about(120 * time.Millisecond)
	}
	return l.line.between(time.Millisecond, 20*time.Millisecond)
}

// pump does what the driver of an outbox does: it answers what the core wants to read and sends what it gives out.
func (l *link) pump() {
	for l.up {
		if lane, after, n, ok := l.core.Want(); ok {
			l.core.Offer(lane, after, l.s.disk.read(lane, after, n), n)
			continue
		}
		s, ok := l.core.Next(l.s.w.time())
		if !ok {
			break
		}
		l.send(s)
	}
	l.told()
	l.planTick()
}

func (l *link) send(s outbox.Send) {
	w, f := l.s.w, s.Frame
	payload, err := topic.AppendFrame(nil, f)
	if err != nil {
		w.offend(fmt.Errorf("%s: a frame that cannot be sent: %w", l.name, err))
		return
	}
	l.core.Packed(s.ID, len(payload))
	l.unacked[s.ID] = struct{}{}
	if len(l.unacked) > l.window {
		w.offend(fmt.Errorf("%s: %d frames in a window of %d", l.name, len(l.unacked), l.window))
	}
	w.sum.Frames++
	w.sum.Published += len(f.Events)
	w.step(l.name, "sends", uint64(f.Lane), f.Prev, f.Last(), uint64(len(f.Events)), uint64(len(payload)))
	if l.s.doomed && !w.fair {
		l.s.doomed = false
		w.after(l.s.kills.between(0, 80*time.Millisecond), l.s.kill)
	}
	l.carry(len(payload), func() {
		l.centre.take(l, payload)
		l.bring(func() { l.acked(s) })
	})
}

func (l *link) acked(s outbox.Send) {
	w := l.s.w
	delete(l.unacked, s.ID)
	w.step(l.name, "is acknowledged", uint64(s.Frame.Lane), s.Frame.Last())
	l.core.Acked(w.time(), s.ID)
	if w.defects.ackFrees {
		_ = l.core.Receipt(w.time(), topic.Receipt{Station: l.s.name, Epoch: l.s.disk.epoch, Lane: s.Frame.Lane, Upto: s.Frame.Last()})
		l.save()
	}
	l.pump()
}

// receipt takes the centre's word, unless something happens to it on its way.
func (l *link) receipt(r topic.Receipt) {
	w := l.s.w
	if !l.up {
		return // a clean session: the broker keeps nothing
	}
	w.sum.Receipts++
	arrives := l.during(func() { l.stored(r) })
	if !w.may(FaultReceipt) || w.fair {
		l.bring(arrives)
		return
	}
	switch l.receipts.below(24) {
	case 0:
		w.sum.ReceiptsLost++
	case 1: // overtaken by later ones
		w.after(l.receipts.about(20*time.Second), arrives)
	case 2:
		w.after(l.receipts.about(5*time.Second), arrives)
		l.bring(arrives)
	default:
		l.bring(arrives)
	}
}

func (l *link) stored(r topic.Receipt) {
	w := l.s.w
	again := uint64(0)
	if r.Again {
		again = 1
	}
	w.step(l.name, "has a receipt", uint64(r.Lane), r.Upto, again)
	if err := l.core.Receipt(w.time(), r); err != nil && r.Epoch == l.s.disk.epoch {
		w.offend(fmt.Errorf("%s: a true receipt was refused: %w", l.name, err))
	}
	l.save()
	l.pump()
}

// save makes the cursors durable, a moment later.
func (l *link) save() {
	if l.saving {
		return
	}
	l.saving = true
	core := l.core
	l.s.w.after(l.line.about(20*time.Millisecond), func() {
		l.saving = false
		if core != l.core {
			return // the agent was killed before
		}
		for _, c := range core.TakeCursors() {
			if peak := l.centre.peak[chainOf(l.s, l.s.disk.epoch, c.Lane)]; c.Upto > peak {
				l.s.w.offend(fmt.Errorf("%s: cursor of lane %s at %d, the centre never had more than %d", l.name, c.Lane, c.Upto, peak))
			}
			l.s.w.step(l.name, "saves", uint64(c.Lane), c.Upto)
			l.saved()[c.Lane] = max(l.saved()[c.Lane], c.Upto)
		}
	})
}

func (l *link) saved() *[laneSlots]uint64 { return l.s.disk.cursor(l.centre.name) }

// planTick has the core told the time when it asked for it.
func (l *link) planTick() {
	deadline := l.core.Deadline()
	if deadline.IsZero() || !l.up {
		return
	}
	at := max(deadline.Sub(start()), l.s.w.now)
	if l.ticks > l.s.w.now && l.ticks <= at {
		return
	}
	l.ticks = at
	l.s.w.at(at, l.during(func() {
		if l.ticks == at {
			l.ticks = 0
		}
		l.core.Tick(l.s.w.time())
		l.pump()
	}))
}

// told counts what the outbox reports.
func (l *link) told() {
	w := l.s.w
	for _, r := range l.core.TakeReports() {
		switch r.Kind {
		case outbox.ReportStalled:
			w.sum.Stalls++
		case outbox.ReportResumed:
			w.sum.Resumes++
		case outbox.ReportAskedAgain:
			w.sum.AskedOver++
		}
		w.step(l.name, "reports", uint64(r.Kind), uint64(r.Lane), r.From, r.Upto, uint64(r.Count))
	}
}

// sends says whether the centre is sent a lane.
func (l *link) sends(lane event.Lane) bool {
	return l.centre.lanes == nil || slices.Contains(l.centre.lanes, lane)
}

// chainOf names a lane's chain at a centre.
func chainOf(s *station, epoch event.Epoch, lane event.Lane) chainName {
	return chainName{s.number, epoch, lane}
}

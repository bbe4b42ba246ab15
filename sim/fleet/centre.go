package fleet

import (
	"fmt"
	"maps"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/topic"
)

// Figures of the shipped centre and its broker that a World keeps to.
const (
	queueLimit    = 1000 // messages that a broker holds for its centre
	batchLimit    = 256  // messages in a commit
	receiptEvery  = 256  // events of a lane without a receipt
	receiptWithin = time.Second
	answerEvery   = receiptWithin / 4
)

// chainName names one chain: a lane of one life of a station's log.
type chainName struct {
	station uint64
	epoch   event.Epoch
	lane    event.Lane
}

// arrival is a message that the centre has heard and not worked off.
type arrival struct {
	from    *link
	payload []byte // a frame; nil = a state that says online, with
	epoch   event.Epoch
	heads   [laneSlots]uint64
}

// due is a receipt that is owed.
type due struct {
	upto   uint64
	events int
	since  time.Duration
	urgent bool
	again  bool
}

// snapshot is a backup of a centre's store, which only grows: its length, and the chains' heads.
type snapshot struct {
	stored int
	heads  map[chainName]uint64
}

// centre is a broker and the centre behind it.
type centre struct {
	w     *world
	name  string
	lanes []event.Lane // that it is sent; nil = all
	own   bool         // the broker is a part of the centre's process, and dies with it

	brokerUp, up, hears bool
	brokerLife, life    uint64
	queued              int // at the broker
	queue               int // how many it holds
	deliveredBy         time.Duration
	slow                bool
	doom                func() // what happens soon after the next frame has come

	inbox      []arrival
	committing bool
	answering  bool
	owed       map[chainName]*due
	order      []chainName // of owed, the oldest first

	stored  []event.Event
	heads   map[chainName]uint64
	peak    map[chainName]uint64 // the most that each chain ever had, here or in what was lost to a restore
	backups []snapshot

	delivery, commits, crashes dice
}

func newCentre(w *world, name string, own bool, lanes []event.Lane) *centre {
	c := &centre{
		w: w, name: name, own: own, lanes: lanes, brokerUp: true, up: true, hears: true, queue: queueLimit,
		owed: map[chainName]*due{}, heads: map[chainName]uint64{}, peak: map[chainName]uint64{},
	}
	c.delivery, c.commits, c.crashes = w.dice(name+" delivery"), w.dice(name+" commits"), w.dice(name+" crashes")
	c.backups = []snapshot{{heads: map[chainName]uint64{}}}
	return c
}

func (c *centre) begin() {
	w := c.w
	broker := w.dice(c.name + " broker")
	w.sometimes(FaultBroker, broker, 5*time.Hour, func() {
		c.doom = func() { c.killBroker(broker.about(8 * time.Second)) }
	})
	w.sometimes(FaultCentre, c.crashes, 4*time.Hour, func() {
		c.doom = func() { c.crash(c.crashes.about(15 * time.Second)) }
	})
	restores := w.dice(c.name + " restores")
	w.sometimes(FaultRestore, restores, 3*time.Hour, c.backUp)
	w.sometimes(FaultRestore, restores, 14*time.Hour, func() { c.restore(restores) })
	full := w.dice(c.name + " full")
	w.sometimes(FaultFull, full, 6*time.Hour, func() {
		c.slow, c.queue = true, 30
		w.step(c.name, "is slow")
		w.after(full.about(10*time.Minute), func() { c.slow, c.queue = false, queueLimit })
	})
	if away := w.dice(c.name + " away"); !c.own && w.may(FaultAway) {
		w.after(away.between(0, w.plan.Span/4), func() {
			until := away.between(w.plan.Span/2, w.plan.Span) - w.now
			c.crash(until)
			c.killBroker(until)
		})
	}
}

// take is the broker's: whatever comes of it, the station gets its PUBACK.
func (c *centre) take(from *link, payload []byte) {
	switch {
	case from.denied, !c.hears, c.queued >= c.queue:
		c.w.sum.Dropped++
		c.w.step(c.name, "acknowledges and drops", from.s.number)
		return
	}
	c.deliver(arrival{from: from, payload: payload})
}

// hear takes a state, which needs no acknowledgement here.
func (c *centre) hear(a arrival) {
	if c.hears {
		c.deliver(a)
	}
}

// deliver brings a message from the broker to the centre: in order, unless the broker is one that delivers again.
func (c *centre) deliver(a arrival) {
	at := c.w.now + c.delivery.between(200*time.Microsecond, 4*time.Millisecond)
	if c.w.may(FaultOrder) && !c.w.fair && c.delivery.oneIn(60) {
		c.bring(at+c.delivery.about(2*time.Second), a) // late, and overtaken
		if c.delivery.oneIn(2) {
			return
		}
	}
	c.deliveredBy = max(c.deliveredBy, at)
	c.bring(c.deliveredBy, a)
}

func (c *centre) bring(at time.Duration, a arrival) {
	c.queued++
	broker, life := c.brokerLife, c.life
	c.w.at(at, func() {
		if broker != c.brokerLife || life != c.life {
			return // it went down with the one or the other
		}
		c.inbox = append(c.inbox, a)
		c.planCommit()
		if c.doom != nil && a.payload != nil && !c.w.fair {
			c.w.after(c.crashes.between(0, 6*time.Millisecond), c.during(c.doom))
			c.doom = nil
		}
	})
}

func (c *centre) planCommit() {
	if c.committing || len(c.inbox) == 0 {
		return
	}
	c.committing = true
	takes := c.commits.about(8 * time.Millisecond)
	if c.slow && !c.w.fair {
		takes = c.commits.about(4 * time.Second)
	}
	c.w.after(takes, c.during(c.commit))
}

// during is f unless the centre is killed before.
func (c *centre) during(f func()) func() {
	life := c.life
	return func() {
		if c.life == life {
			f()
		}
	}
}

// commit stores what has come, all in one transaction, and then owes receipts.
func (c *centre) commit() {
	batch := c.inbox[:min(len(c.inbox), batchLimit)]
	c.inbox = append([]arrival(nil), c.inbox[len(batch):]...)
	c.queued -= len(batch)
	c.committing = false
	for _, a := range batch {
		if a.payload != nil {
			c.store(a)
		}
	}
	for _, a := range batch {
		if a.payload == nil {
			c.online(a)
		}
	}
	c.answer()
	c.planCommit()
}

// store applies the chain rule to a frame.
func (c *centre) store(a arrival) {
	s := a.from.s
	f, err := topic.DecodeFrame(s.name, a.payload)
	if err != nil {
		c.w.offend(fmt.Errorf("%s cannot read a frame of %s: %w", c.name, s.name, err))
		return
	}
	chain := chainOf(s, f.Epoch, f.Lane)
	head := c.heads[chain]
	verdict, fresh := topic.Accept(head, f)
	if c.w.defects.noChain {
		verdict, fresh = topic.VerdictStore, f.Events
	}
	c.w.step(c.name, "judges", s.number, uint64(f.Lane), f.Prev, f.Last(), head, uint64(verdict))
	switch verdict {
	case topic.VerdictStore:
		c.w.sum.Stored++
		for _, e := range fresh {
			c.keep(s, e)
		}
		c.heads[chain] = f.Last()
		c.peak[chain] = max(c.peak[chain], f.Last())
	case topic.VerdictDuplicate:
		c.w.sum.Duplicates++
	case topic.VerdictGap:
		c.w.sum.Gaps++
	}
	d := c.owe(chain)
	d.upto = c.heads[chain]
	d.events += len(fresh)
	d.again = verdict == topic.VerdictGap
	d.urgent = d.urgent || verdict != topic.VerdictStore || f.Lane == event.LaneAlarm || d.events >= receiptEvery
}

// keep stores one event, which must be the one that its station has on disk.
func (c *centre) keep(s *station, e event.Event) {
	record, err := event.AppendRecord(nil, e)
	if err != nil || sumOf(record) != s.disk.sums[factID{e.Epoch, e.Seq}] {
		c.w.offend(fmt.Errorf("%s has another event %s than its station (%v)", c.name, e.Name(), err))
	}
	c.stored = append(c.stored, e)
}

func (c *centre) owe(chain chainName) *due {
	d := c.owed[chain]
	if d == nil {
		d = &due{since: c.w.now}
		c.owed[chain] = d
		c.order = append(c.order, chain)
	}
	return d
}

// online answers a station that says online with what is stored of it.
func (c *centre) online(a arrival) {
	for _, lane := range event.Lanes() {
		chain := chainOf(a.from.s, a.epoch, lane)
		if head := c.heads[chain]; head > 0 || a.heads[lane] > 0 {
			*c.owe(chain) = due{upto: head, since: c.w.now, urgent: true}
		}
	}
}

// answer sends the receipts whose time has come, and looks again soon if there are others.
func (c *centre) answer() {
	var later []chainName
	for _, chain := range c.order {
		d := c.owed[chain]
		if !d.urgent && c.w.now-d.since < receiptWithin {
			later = append(later, chain)
			continue
		}
		delete(c.owed, chain)
		s := c.w.stations[chain.station-uint64(c.w.plan.First)]
		for _, l := range s.links {
			if l.centre == c && l.sends(chain.lane) {
				l.receipt(topic.Receipt{Station: s.name, Epoch: chain.epoch, Lane: chain.lane, Upto: d.upto, Again: d.again})
			}
		}
	}
	c.order = later
	if len(later) > 0 && !c.answering {
		c.answering = true
		c.w.after(answerEvery, c.during(func() {
			c.answering = false
			c.answer()
		}))
	}
}

// killBroker takes the broker away for a while, with all that it held.
func (c *centre) killBroker(pause time.Duration) {
	if c.own {
		c.crash(pause)
		return
	}
	c.dropBroker()
	life := c.brokerLife
	c.w.after(pause, func() {
		if life == c.brokerLife {
			c.brokerUp = true
			c.w.after(c.crashes.about(2*time.Second), c.listen)
		}
	})
}

func (c *centre) dropBroker() {
	c.w.step(c.name, "loses its broker", uint64(c.queued))
	if c.queued > 0 {
		c.w.sum.Hits++
	}
	c.brokerUp, c.hears = false, false
	c.brokerLife++
	c.queued, c.inbox = 0, nil
	for _, s := range c.w.stations {
		for _, l := range s.links {
			if l.centre == c && l.up {
				l.lose()
			}
		}
	}
}

// crash kills the centre's process: what was not committed was never heard.
func (c *centre) crash(pause time.Duration) {
	c.w.sum.Crashes++
	c.w.step(c.name, "is killed", uint64(len(c.inbox)))
	if len(c.inbox) > 0 {
		c.w.sum.Hits++
	}
	c.life++
	c.up, c.hears = false, false
	c.queued, c.inbox, c.committing, c.answering = 0, nil, false, false
	clear(c.owed)
	c.order = nil
	if c.own {
		c.dropBroker()
	}
	c.w.after(pause, c.during(c.rise))
}

// rise starts the centre again.
func (c *centre) rise() {
	c.w.step(c.name, "is back")
	c.up = true
	if c.own {
		c.brokerUp = true
	}
	c.listen()
}

// listen subscribes at the broker, which tells the states that it retains.
func (c *centre) listen() {
	if !c.up || !c.brokerUp || c.hears {
		return
	}
	c.hears = true
	for _, s := range c.w.stations {
		for _, l := range s.links {
			if l.centre == c && l.up {
				c.deliver(arrival{from: l, epoch: s.disk.epoch, heads: s.disk.heads})
			}
		}
	}
}

// backUp keeps the store as it is now.
func (c *centre) backUp() {
	c.w.step(c.name, "is backed up", uint64(len(c.stored)))
	c.backups = append(c.backups, snapshot{len(c.stored), maps.Clone(c.heads)})
}

// restore kills the centre and brings it back with the store of an older day.
func (c *centre) restore(d dice) {
	which := len(c.backups) - 1 - int(d.below(uint64(min(3, len(c.backups)))))
	old := c.backups[which]
	c.backups = c.backups[:which+1]
	c.w.sum.Restores++
	c.w.step(c.name, "is restored", uint64(old.stored), uint64(len(c.stored)))
	c.stored, c.heads = c.stored[:old.stored], maps.Clone(old.heads)
	c.crash(d.about(time.Minute))
}

// heal ends what is wrong with the centre and its broker.
func (c *centre) heal() {
	c.slow, c.queue = false, queueLimit
	if !c.up {
		c.rise()
	}
	c.brokerUp = true
	c.listen()
}

// judged is what the checker is given of the centre.
func (c *centre) judged() storagetest.Centre {
	return storagetest.Centre{ID: c.name, Lanes: c.lanes, Stored: storagetest.FromEvents(c.stored, keyOf)}
}

package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/outbox"
)

// station is one station of a World: a disk, and the outboxes of its agent.
type station struct {
	w      *world
	name   string
	number uint64
	disk   *disk
	links  []*link // one for each centre

	facts, kills, clock dice
	wall                time.Duration // what the wall clock says beyond the world's time
	facted              int           // facts that its sources told
	doomed              bool          // the agent is killed at its next frame
}

func newStation(w *world, number int) *station {
	s := &station{w: w, name: fmt.Sprintf("cs-%03d", number), number: uint64(number)}
	s.facts, s.kills, s.clock = w.dice(s.name+" facts"), w.dice(s.name+" kills"), w.dice(s.name+" clock")
	s.disk = &disk{station: s.name, sums: map[factID]uint64{}}
	if w.may(FaultEvict) && s.evicts() {
		s.disk.keep[event.LaneRead], s.disk.keep[event.LaneTrace] = 16<<10, 12<<10
	}
	s.disk.format(epochOf(w.dice(s.name + " epoch")))
	s.tell(event.Draft{Kind: event.KindLogOpened, Severity: event.SeverityNotice, Body: event.NewBody(event.Text(event.TagReason, "new"))})
	for _, c := range w.centres {
		s.links = append(s.links, newLink(s, c))
	}
	return s
}

// begin plans what a station does by itself.
func (s *station) begin() {
	for _, l := range s.links {
		l.begin()
	}
	s.w.after(s.facts.about(s.w.pause()), s.factsCome)
	s.w.sometimes(FaultAgent, s.kills, 3*time.Hour, func() { s.doomed = true })
	if !s.evicts() {
		s.w.sometimes(FaultWipe, s.w.dice(s.name+" wipe"), 30*time.Hour, s.wipe)
	}
	s.w.sometimes(FaultClock, s.clock, 5*time.Hour, s.turnClock)
}

// evicts says whether the station's lanes are bounded. Such a station is not wiped: a marker that goes down with its log tells
// nobody what was evicted.
func (s *station) evicts() bool { return s.number%2 == 0 }

// factsCome lets the village tell something: mostly one thing, now and then a storm.
//
// Between what a wire or panel tells and what is appended stands the decision whether a partition is armed: firmware/arming, once
// it exists, is stepped here with (state, input, now), and what it answers is appended instead.
func (s *station) factsCome() {
	if s.w.fair {
		return
	}
	n := 1
	if s.facts.oneIn(40) {
		n = 5 + int(s.facts.below(120))
	}
	for range n {
		s.fact()
	}
	s.w.after(s.facts.about(s.w.pause()), s.factsCome)
}

func (s *station) fact() {
	s.facted++
	key := fmt.Sprintf("%s-%d", s.name, s.facted)
	d := event.Draft{
		Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Zone: fmt.Sprintf("zone-%d", s.facts.below(8)), Source: "line",
		KernelNS: int64(s.w.now) + 1, BootID: 7,
	}
	fields := []event.Field{event.Text(event.TagState, "active"), event.Text(event.TagDetail, key)}
	lane := event.Lane(0)
	switch kind := s.facts.below(100); {
	case kind < 3:
		d.Severity = event.SeverityAlarm
	case kind < 40:
		d.Severity, d.Kind = event.SeverityNotice, event.KindPanelEvent
		fields = append(fields, event.Text(event.TagAccount, "1409"), event.Text(event.TagCode, "BA"), event.Uint(event.TagPackets, s.facts.source.Uint64()))
	case kind < 75:
		d.Severity, lane = event.SeverityNotice, event.LaneRead // no kind of today travels there by itself
		fields = append(fields, event.Text(event.TagText, strings.Repeat(strconv.FormatUint(s.facts.source.Uint64(), 16), 1+int(s.facts.below(6)))))
	default:
		d.Severity = event.SeverityTrace
	}
	d.Body = event.NewBody(fields...)
	s.store(d, lane, key)
}

// keyOf is the source's name of a stored event, "" for the station's own.
func keyOf(e event.Event) string {
	if e.Source != "line" {
		return ""
	}
	key, _ := e.Body.Text(event.TagDetail)
	return key
}

// tell stores an event of the station itself.
func (s *station) tell(d event.Draft) {
	d.Source, d.Qualifier = "station", event.QualifierStatus
	s.store(d, 0, "")
}

// store puts an event on disk, evicts what must go and wakes the outboxes.
func (s *station) store(d event.Draft, lane event.Lane, key string) {
	d.At, d.ClockQuality = start().Add(s.w.now+s.wall), event.ClockSynced
	e, err := s.disk.append(d, lane, key)
	if err != nil {
		s.w.offend(fmt.Errorf("%s cannot append: %w", s.name, err))
		return
	}
	s.w.sum.Events++
	s.w.step(s.name, "appends", uint64(e.Lane), e.Seq)
	if e.Lane == event.LaneRead || e.Lane == event.LaneTrace {
		s.evict(e.Lane)
	}
	for _, l := range s.links {
		l.core.Woken()
		l.pump()
	}
}

// evict makes room in a lane and says so: the marker is an event of the main lane.
func (s *station) evict(lane event.Lane) {
	from, upto, count := s.disk.evict(lane)
	if count == 0 {
		return
	}
	s.w.sum.Evicted += count
	s.w.step(s.name, "evicts", uint64(lane), from, upto, uint64(count))
	s.tell(event.Draft{Kind: event.KindLogEvicted, Severity: event.SeverityNotice, Body: event.NewBody(
		event.Text(event.TagReason, "room"), event.Uint(event.TagLane, uint64(lane)),
		event.Uint(event.TagFrom, from), event.Uint(event.TagUpto, upto), event.Uint(event.TagCount, uint64(count)))})
}

// kill is kill -9 of the agent: the disk is all that the next one knows.
func (s *station) kill() {
	s.w.sum.Kills++
	s.w.step(s.name, "is killed")
	for _, l := range s.links {
		if len(l.unacked) > 0 {
			s.w.sum.Hits++
		}
		l.cut()
		l.core = l.newCore()
		s.w.after(s.kills.about(3*time.Second), l.during(l.connect))
	}
}

// wipe sets the log aside whole: what the centres do not have yet is gone, and the new epoch says how far the old one came.
func (s *station) wipe() {
	s.w.sum.Epochs++
	old := s.disk
	fields := []event.Field{event.Text(event.TagReason, "damaged"), event.Bytes(event.TagPrevEpoch, old.epoch[:])}
	for i, tag := range []event.Tag{event.TagLastAlarm, event.TagLastMain, event.TagLastRead, event.TagLastTrace} {
		if last := old.heads[event.Lanes()[i]]; last > 0 {
			fields = append(fields, event.Uint(tag, last))
		}
	}
	s.w.step(s.name, "is wiped", uint64(s.w.sum.Epochs))
	s.disk.format(epochOf(s.w.dice(fmt.Sprintf("%s epoch %d", s.name, s.facted))))
	s.kill()
	s.tell(event.Draft{Kind: event.KindLogOpened, Severity: event.SeverityNotice, Body: event.NewBody(fields...)})
}

// turnClock makes the wall clock jump. The outboxes count on the kernel's other clock, which does not.
func (s *station) turnClock() {
	switch s.clock.below(4) {
	case 0:
		s.wall += time.Hour
	case 1:
		s.wall -= time.Hour
	case 2:
		s.wall = -s.w.now - start().Sub(time.Unix(0, 0)) // 1970
	default:
		s.wall = 0
	}
	s.w.step(s.name, "has its clock turned", uint64(s.wall))
}

// drained says whether every centre has given receipts for all that it is sent.
func (s *station) drained() error {
	for _, l := range s.links {
		stored := l.core.Stored()
		for _, lane := range event.Lanes() {
			upto, sent := stored[lane]
			if head := s.disk.heads[lane]; sent && upto != head {
				return fmt.Errorf("%s: lane %s at %s stands at %d of %d", s.name, lane, l.centre.name, upto, head)
			}
			if sent && l.saved()[lane] != upto {
				return fmt.Errorf("%s: cursor of lane %s for %s was not saved", s.name, lane, l.centre.name)
			}
		}
	}
	return nil
}

// source is the acknowledgement log of everything that the village told.
func (s *station) source() storagetest.Source {
	return storagetest.Source{Station: s.name, Name: "line", Facts: s.disk.told}
}

// resume is where the outbox of a centre stands after a start.
func (s *station) resume(centre string) map[event.Lane]outbox.Resume {
	at := map[event.Lane]outbox.Resume{}
	for _, lane := range event.Lanes() {
		at[lane] = outbox.Resume{Receipt: s.disk.cursor(centre)[lane], Head: s.disk.heads[lane]}
	}
	return at
}

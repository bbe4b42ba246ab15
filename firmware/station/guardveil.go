package station

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// veil keeps silent events out of what the local door says of the log. Whoever reads numbers there before and after somebody was
// made to disarm must not see that there is one event more: so a silent event is left out of counts and bytes, its seq is left out
// of the row of seqs, and a lane that it heads ends with the event before. Centres are told the numbers as they are.
//
// What a veil cannot hide is the disk itself and the wire. Whoever reads the disk finds the event in the log (encrypted only with
// log.key_file), its seq in the journal of arming, for a moment before it is stored the event itself there, and both in what the file
// system has freed and not written over; the files have mode 0600. Whoever watches the uplink sees one frame in TLS more.
type veil struct {
	log EventLog

	mu     sync.Mutex // guards the fields below
	looked uint64     // seq up to which the alarm lane was looked through
	hidden []veiled   // by seq
}

// veiled is a silent event; all of them are alarms.
type veiled struct {
	seq  uint64
	prev uint64 // the lane's event before it, 0 = none
	size uint64 // of its record
}

// restore takes the silent events of the runs before, so that the alarm lane need not be read from its beginning. Those of another
// epoch went with its log.
func (v *veil) restore(epoch string, seqs []uint64, looked uint64) {
	if epoch != v.log.Epoch().String() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, seq := range seqs {
		if e, ok := v.at(seq); ok && e.Kind.Silent() {
			v.hide(e, v.before(seq))
		}
	}
	v.looked = looked
}

// list is what restore takes.
func (v *veil) list() (epoch string, seqs []uint64, looked uint64) {
	for _, h := range v.look() {
		seqs = append(seqs, h.seq)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.log.Epoch().String(), seqs, v.looked
}

// look finds the silent events that were stored since it last looked, and answers all of them. Whoever veils a number looks after
// the number was taken: nobody need tell the veil of an event, and none is seen before the veil is over it.
func (v *veil) look() []veiled {
	const page = 256
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		events, err := v.log.Read(event.LaneAlarm, v.looked, page)
		if err != nil || len(events) == 0 {
			return slices.Clone(v.hidden)
		}
		for _, e := range events {
			if e.Kind.Silent() {
				v.hide(e, v.looked)
			}
			v.looked = e.Seq
		}
	}
}

// hide notes a silent event and the lane's event before it. It needs the mutex.
func (v *veil) hide(e event.Event, prev uint64) {
	at, known := slices.BinarySearchFunc(v.hidden, e.Seq, func(h veiled, seq uint64) int { return cmp.Compare(h.seq, seq) })
	if known {
		return
	}
	h := veiled{seq: e.Seq, prev: prev}
	if record, err := event.AppendRecord(nil, e); err == nil {
		h.size = uint64(len(record))
	}
	v.hidden = slices.Insert(v.hidden, at, h)
}

// at is the alarm with this very seq.
func (v *veil) at(seq uint64) (event.Event, bool) {
	events, err := v.log.Read(event.LaneAlarm, seq-1, 1)
	if err != nil || len(events) == 0 || events[0].Seq != seq {
		return event.Event{}, false
	}
	return events[0], true
}

// before is the seq of the last alarm before seq, 0 = none. A log is read forward only: so it looks back in steps that
// double, and reads on from there.
func (v *veil) before(seq uint64) (prev uint64) {
	const page = 64
	for step := uint64(2); ; step *= 2 {
		after := seq - min(step, seq)
		for done := false; !done; {
			events, err := v.log.Read(event.LaneAlarm, after, page)
			if err != nil {
				return prev
			}
			done = len(events) < page
			for _, e := range events {
				if e.Seq >= seq {
					done = true
					break
				}
				prev, after = e.Seq, e.Seq
			}
		}
		if prev > 0 || step >= seq {
			return prev
		}
	}
}

// behind is what the door says in place of a lane's seq.
func behind(hidden []veiled, lane event.Lane, n uint64) uint64 {
	left := uint64(0)
	for _, h := range slices.Backward(hidden) {
		switch {
		case h.seq == n && lane == event.LaneAlarm:
			n, left = h.prev, 0
		case h.seq < n:
			left++
		}
	}
	return n - left
}

// heads are those of all lanes; a lane that has nothing to show is left out.
func (v *veil) heads(of map[event.Lane]uint64) map[event.Lane]uint64 {
	hidden, shown := v.look(), map[event.Lane]uint64{}
	for lane, n := range of {
		if n = behind(hidden, lane, n); n > 0 {
			shown[lane] = n
		}
	}
	return shown
}

// receipts are those of a centre.
func (v *veil) receipts(of map[event.Lane]uint64) map[event.Lane]uint64 {
	hidden, shown := v.look(), map[event.Lane]uint64{}
	for lane, n := range of {
		shown[lane] = behind(hidden, lane, n)
	}
	return shown
}

// stats are the log's as the door says them. First is still a seq of the log: it is only read by.
func (v *veil) stats(s eventlog.Stats) eventlog.Stats {
	s.Lanes = maps.Clone(s.Lanes)
	held := s.Lanes[event.LaneAlarm]
	last := held.Head
	for _, h := range v.look() {
		if h.seq > last {
			break // it came when these were counted
		}
		held.Count -= min(1, held.Count)
		held.Bytes -= min(h.size, held.Bytes)
		if held.Count == 0 {
			held = eventlog.LaneStats{}
		} else if held.First == h.seq {
			if next, err := v.log.Read(event.LaneAlarm, h.seq, 1); err == nil && len(next) > 0 {
				held.First = next[0].Seq
			}
		}
	}
	s.Lanes[event.LaneAlarm] = held
	return s
}

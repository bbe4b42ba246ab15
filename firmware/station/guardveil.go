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

	mu     sync.Mutex // guards the field below
	hidden []veiled   // by seq
}

// veiled is a silent event.
type veiled struct {
	lane event.Lane
	seq  uint64
	prev uint64 // the lane's event before it, 0 = none
	size uint64 // of its record
}

// restore takes the silent events of the runs before. Those of another epoch went with its log.
func (v *veil) restore(epoch string, seqs []uint64) {
	if epoch != v.log.Epoch().String() {
		return
	}
	for _, seq := range seqs {
		for _, lane := range event.Lanes() {
			if e, ok := v.at(lane, seq); ok && e.Kind.Silent() {
				v.add(eventlog.Appended{Seq: seq, Lane: lane})
			}
		}
	}
}

// list is what restore takes.
func (v *veil) list() (epoch string, seqs []uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.hidden {
		seqs = append(seqs, h.seq)
	}
	if len(seqs) == 0 {
		return "", nil
	}
	return v.log.Epoch().String(), seqs
}

// add hides a silent event that is in the log.
func (v *veil) add(got eventlog.Appended) {
	h := veiled{lane: got.Lane, seq: got.Seq, prev: v.before(got.Lane, got.Seq)}
	if e, ok := v.at(got.Lane, got.Seq); ok {
		record, err := event.AppendRecord(nil, e)
		if err == nil {
			h.size = uint64(len(record))
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	at, known := slices.BinarySearchFunc(v.hidden, h.seq, func(h veiled, seq uint64) int { return cmp.Compare(h.seq, seq) })
	if !known {
		v.hidden = slices.Insert(v.hidden, at, h)
	}
}

// at is the event of a lane with this very seq.
func (v *veil) at(lane event.Lane, seq uint64) (event.Event, bool) {
	events, err := v.log.Read(lane, seq-1, 1)
	if err != nil || len(events) == 0 || events[0].Seq != seq {
		return event.Event{}, false
	}
	return events[0], true
}

// before is the seq of the lane's last event before seq, 0 = none. A log is read forward only: so it looks back in steps that
// double, and reads on from there.
func (v *veil) before(lane event.Lane, seq uint64) (prev uint64) {
	const page = 64
	for step := uint64(2); ; step *= 2 {
		after := seq - min(step, seq)
		for done := false; !done; {
			events, err := v.log.Read(lane, after, page)
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

// seq is what the door says in place of a lane's seq.
func (v *veil) seq(lane event.Lane, n uint64) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	left := uint64(0)
	for _, h := range slices.Backward(v.hidden) {
		switch {
		case h.seq == n && h.lane == lane:
			n, left = h.prev, 0
		case h.seq < n:
			left++
		}
	}
	return n - left
}

// heads are those of all lanes; a lane that has nothing to show is left out.
func (v *veil) heads(of map[event.Lane]uint64) map[event.Lane]uint64 {
	shown := map[event.Lane]uint64{}
	for lane, n := range of {
		if n = v.seq(lane, n); n > 0 {
			shown[lane] = n
		}
	}
	return shown
}

// receipts are those of a centre.
func (v *veil) receipts(of map[event.Lane]uint64) map[event.Lane]uint64 {
	shown := map[event.Lane]uint64{}
	for lane, n := range of {
		shown[lane] = v.seq(lane, n)
	}
	return shown
}

// stats are the log's as the door says them. First is still a seq of the log: it is only read by.
func (v *veil) stats(s eventlog.Stats) eventlog.Stats {
	v.mu.Lock()
	hidden := slices.Clone(v.hidden)
	v.mu.Unlock()
	s.Lanes = maps.Clone(s.Lanes)
	for _, h := range hidden {
		held := s.Lanes[h.lane]
		held.Count -= min(1, held.Count)
		held.Bytes -= min(h.size, held.Bytes)
		if held.Count == 0 {
			held = eventlog.LaneStats{}
		} else if held.First == h.seq {
			if next, err := v.log.Read(h.lane, h.seq, 1); err == nil && len(next) > 0 {
				held.First = next[0].Seq
			}
		}
		s.Lanes[h.lane] = held
	}
	return s
}

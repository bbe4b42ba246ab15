package fleet

import (
	"encoding/binary"
	"hash/fnv"
	"sort"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/outbox"
)

// laneSlots makes room for an index by lane.
const laneSlots = int(event.LaneTrace) + 1

// disk is a station's log and cursors: what an agent finds again after a kill. It keeps the contract of the event log, with an
// epoch out of the seed.
type disk struct {
	station string
	epoch   event.Epoch
	next    uint64
	lanes   [laneSlots][]outbox.Item // in order of seq
	heads   [laneSlots]uint64
	bytes   [laneSlots]int
	keep    [laneSlots]int // bytes that a lane may hold; 0 = no bound
	cursors map[string]*[laneSlots]uint64

	told []storagetest.Fact // the sources' log: everything that was acknowledged, over all epochs
	sums map[factID]uint64  // of each event's record
	ends []storagetest.Head // of epochs that are over
}

// factID names an event of one station.
type factID struct {
	epoch event.Epoch
	seq   uint64
}

// format makes the disk empty: another epoch.
func (d *disk) format(epoch event.Epoch) {
	d.ends = d.headsNow()
	d.epoch, d.next = epoch, 0
	d.lanes, d.heads, d.bytes = [laneSlots][]outbox.Item{}, [laneSlots]uint64{}, [laneSlots]int{}
	d.cursors = map[string]*[laneSlots]uint64{}
}

// headsNow are the last seqs of all epochs.
func (d *disk) headsNow() []storagetest.Head {
	heads := d.ends
	for _, lane := range event.Lanes() {
		if h := d.heads[lane]; h > 0 {
			heads = append(heads, storagetest.Head{Station: d.station, Epoch: d.epoch, Lane: lane, Seq: h})
		}
	}
	return heads
}

// append puts an event on disk and answers it with its seq. key is the source's name for it, "" = the station's own.
func (d *disk) append(draft event.Draft, lane event.Lane, key string) (event.Event, error) {
	e := draft.Event(d.station, d.epoch, d.next+1)
	if lane != 0 {
		e.Lane = lane
	}
	record, err := event.AppendRecord(nil, e)
	if err != nil {
		return e, err
	}
	if e, err = event.DecodeRecord(d.station, d.epoch, record); err != nil { // as a log on disk would answer it
		return e, err
	}
	d.next++
	d.lanes[e.Lane] = append(d.lanes[e.Lane], outbox.Item{Event: e, Size: len(record)})
	d.heads[e.Lane], d.bytes[e.Lane] = e.Seq, d.bytes[e.Lane]+len(record)
	d.sums[factID{e.Epoch, e.Seq}] = sumOf(record)
	if key != "" {
		d.told = append(d.told, storagetest.Fact{Key: key, Acked: true, Lane: e.Lane, Epoch: e.Epoch, Seq: e.Seq})
	}
	return e, nil
}

func sumOf(record []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(record) // a hash never fails
	return h.Sum64()
}

// read answers up to n events of a lane after a seq.
func (d *disk) read(lane event.Lane, after uint64, n int) []outbox.Item {
	all := d.lanes[lane]
	from := sort.Search(len(all), func(i int) bool { return all[i].Event.Seq > after })
	return append([]outbox.Item(nil), all[from:min(len(all), from+n)]...)
}

// evict drops the oldest events of a lane that is over its bound, down to three quarters of it, and answers what is gone.
func (d *disk) evict(lane event.Lane) (from, upto uint64, count int) {
	if d.keep[lane] == 0 || d.bytes[lane] <= d.keep[lane] {
		return 0, 0, 0
	}
	all := d.lanes[lane]
	from = all[0].Event.Seq
	for count < len(all)-1 && d.bytes[lane] > d.keep[lane]*3/4 {
		upto = all[count].Event.Seq
		d.bytes[lane] -= all[count].Size
		count++
	}
	d.lanes[lane] = all[count:]
	return from, upto, count
}

// cursor is how far a centre has a lane.
func (d *disk) cursor(centre string) *[laneSlots]uint64 {
	c := d.cursors[centre]
	if c == nil {
		c = new([laneSlots]uint64)
		d.cursors[centre] = c
	}
	return c
}

// epochOf is an epoch out of dice.
func epochOf(d dice) (e event.Epoch) {
	binary.BigEndian.PutUint64(e[:], d.source.Uint64())
	return e
}

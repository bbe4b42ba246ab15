package intake

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// answers are the receipts that go out at a time, in one lane.
func (o *office) answers(at time.Time, l event.Lane) (rs []topic.Receipt) {
	o.t.Helper()
	if err := o.answer(o.t.Context(), at); err != nil {
		o.t.Fatal(err)
	}
	for _, w := range o.sent() {
		var r topic.Receipt
		if err := json.Unmarshal(w.body, &r); err != nil {
			o.t.Fatal(err)
		}
		if r.Lane == l {
			r.Station, r.Epoch = "", event.Epoch{}
			rs = append(rs, r)
		}
	}
	return rs
}

func note(seq uint64) event.Event { return fact(seq, event.SeverityNotice) }

func asks(upto uint64) []topic.Receipt {
	return []topic.Receipt{{Lane: event.LaneMain, Upto: upto, Again: true}}
}

// after moves a message to a later moment.
func after(m message, d time.Duration) message {
	m.received = m.received.Add(d)
	return m
}

func TestAGapIsAskedForOnce(t *testing.T) {
	o := open(t)
	check := func(what string, at time.Duration, want []topic.Receipt, ms ...message) {
		t.Helper()
		for i := range ms {
			ms[i] = after(ms[i], at)
		}
		o.take(ms...)
		if got := o.answers(then().Add(at), event.LaneMain); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	const tick = time.Millisecond
	check("the first behind the gap", 0, asks(0), framed(t, 2, note(3)))
	check("what was under way with it", tick, nil, framed(t, 3, note(4)), framed(t, 4, note(5)))
	check("the same gap, a second later", askAgain, asks(0), framed(t, 5, note(6)))
	check("the answer, and another gap behind it", askAgain+tick, asks(2), framed(t, 0, note(1), note(2)), framed(t, 8, note(9)))
	check("the rest", askAgain+2*tick, nil, framed(t, 2, note(3), note(4), note(9)))
	check("its receipt", 2*askAgain+3*tick, []topic.Receipt{{Lane: event.LaneMain, Upto: 9}})
	if len(o.asked) != 0 {
		t.Errorf("%d questions are remembered for nothing", len(o.asked))
	}
}

// The gap closes in the batch that showed it; what was ahead is still not here, and the station must hear of it.
func TestAGapThatClosesIsAskedForAllTheSame(t *testing.T) {
	o := open(t)
	o.take(framed(t, 2, note(3)), framed(t, 0, note(1), note(2)))
	if got := o.answers(then(), event.LaneMain); !reflect.DeepEqual(got, asks(2)) {
		t.Errorf("%+v", got)
	}
}

func TestACentreThatHasLessThanItGaveReceiptsForAsks(t *testing.T) {
	o := open(t)
	o.take(framed(t, 0, note(1), note(2)))
	o.answers(then().Add(receiptWithin), event.LaneMain)
	for name, c := range map[string]struct {
		heads, stored uint64
		epoch         byte
		want          []topic.Receipt
	}{
		"it is behind, as it should be":         {heads: 9, stored: 2, epoch: 1, want: []topic.Receipt{{Lane: event.LaneMain, Upto: 2}}},
		"it has given receipts for more":        {heads: 9, stored: 7, epoch: 1, want: asks(2)},
		"it has never heard of this log":        {heads: 9, stored: 9, epoch: 2, want: asks(0)},
		"and that log's lane is no longer sent": {heads: 0, stored: 9, epoch: 2, want: asks(0)},
	} {
		lane := event.LaneMain
		o.take(said(t, topic.State{Online: true, Epoch: event.Epoch{c.epoch}, Heads: map[event.Lane]uint64{lane: c.heads}, Stored: map[event.Lane]uint64{lane: c.stored}}))
		if got := o.answers(then(), lane); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	// A heartbeat between a gap and its answer does not take the question back.
	o.take(after(framed(t, 4, note(5)), askAgain), said(t, topic.State{Online: true, Epoch: event.Epoch{1}, Heads: map[event.Lane]uint64{event.LaneMain: 9}}))
	if got := o.answers(then().Add(askAgain), event.LaneMain); !reflect.DeepEqual(got, asks(2)) {
		t.Errorf("with a heartbeat: %+v", got)
	}
}

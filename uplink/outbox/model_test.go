package outbox

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// model is a centre behind a broker that loses, delays, doubles and reorders, and a station that restarts.
type model struct {
	t        *rapid.T
	settings Settings
	book     *book
	core     *Core
	clock    time.Time
	durable  map[event.Lane]uint64   // the station's disk
	air      []Send                  // published on this link; neither acknowledged nor delivered yet
	unacked  []uint64                // delivered or dropped, not acknowledged yet
	heads    map[event.Lane]uint64   // the centre's
	store    map[event.Lane][]uint64 // the centre's
	late     []topic.Receipt         // receipts on their way
	up       bool
}

func newModel(t *rapid.T) *model {
	m := &model{
		t: t, book: newBook(), clock: now(0), durable: map[event.Lane]uint64{}, heads: map[event.Lane]uint64{}, store: map[event.Lane][]uint64{},
		settings: Settings{
			Window: rapid.IntRange(1, 12).Draw(t, "window"), Ahead: rapid.IntRange(1, 40).Draw(t, "ahead"),
			FrameEvents: rapid.IntRange(1, 8).Draw(t, "frame events"), StallAfter: 30 * time.Second,
			BacklogRate: rapid.SampledFrom([]int{0, 0, 300, 1 << 20}).Draw(t, "rate"),
		},
	}
	m.restart()
	return m
}

func (m *model) restart() {
	at := map[event.Lane]Resume{}
	for _, lane := range event.Lanes() {
		at[lane] = Resume{Receipt: m.durable[lane], Head: m.book.head(lane)}
	}
	m.core, m.up, m.air, m.unacked = NewCore(m.settings, epoch(), at), false, nil, nil
}

func (m *model) link(up bool) {
	m.up, m.air, m.unacked = up, nil, nil
	if up {
		m.core.LinkUp(m.clock)
	} else {
		m.core.LinkDown(m.clock)
	}
}

// publish lets the core send up to n frames and checks each.
func (m *model) publish(n int) {
	for range n {
		s, ok := m.book.next(m.core, m.clock)
		if !ok {
			return
		}
		if !m.up {
			m.t.Fatal("published without a link")
		}
		if _, err := topic.AppendFrame(nil, s.Frame); err != nil {
			m.t.Fatalf("a frame that cannot be sent: %v", err)
		}
		m.air = append(m.air, s)
		if waiting := len(m.air) + len(m.unacked); waiting > m.settings.Window {
			m.t.Fatalf("%d messages in a window of %d", waiting, m.settings.Window)
		}
	}
}

// deliver is the centre's side: the chain rule, then a receipt.
func (m *model) deliver(f topic.Frame) {
	v, fresh := topic.Accept(m.heads[f.Lane], f)
	if v == topic.VerdictStore {
		for _, e := range fresh {
			m.store[f.Lane] = append(m.store[f.Lane], e.Seq)
		}
		m.heads[f.Lane] = f.Last()
	}
	r := receipt(f.Lane, m.heads[f.Lane])
	r.Again = v == topic.VerdictGap
	m.late = append(m.late, r)
}

func (m *model) tell(r topic.Receipt) {
	if err := m.core.Receipt(m.clock, r); err != nil {
		m.t.Fatalf("a true receipt was refused: %v", err)
	}
	if stored := m.core.Stored()[r.Lane]; stored > m.heads[r.Lane] {
		m.t.Fatalf("receipt of lane %s at %d, the centre has %d", r.Lane, stored, m.heads[r.Lane])
	}
}

func (m *model) save() {
	for _, c := range m.core.TakeCursors() {
		if c.Upto <= m.durable[c.Lane] || c.Upto > m.heads[c.Lane] {
			m.t.Fatalf("cursor of %s from %d to %d, the centre has %d", c.Lane, m.durable[c.Lane], c.Upto, m.heads[c.Lane])
		}
		m.durable[c.Lane] = c.Upto
	}
}

func (m *model) tick(d time.Duration) {
	m.clock = m.clock.Add(d)
	m.core.Tick(m.clock)
}

func take[T any](t *rapid.T, list *[]T, name string) T {
	i := rapid.IntRange(0, len(*list)-1).Draw(t, name)
	v := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return v
}

func (m *model) step() {
	t := m.t
	switch rapid.SampledFrom([]string{
		"append", "append", "publish", "publish", "publish", "deliver", "deliver", "ack", "ack", "drop", "double",
		"receipt", "receipt", "lose receipt", "tick", "save", "link", "restart",
	}).Draw(t, "step") {
	case "append":
		lanes := event.Lanes()
		for range rapid.IntRange(1, 10).Draw(t, "n") {
			m.book.add(rapid.SampledFrom(lanes[:]).Draw(t, "lane"), "x")
		}
		m.core.Woken()
	case "publish":
		m.publish(rapid.IntRange(1, 10).Draw(t, "frames"))
	case "deliver": // in any order, acknowledged later
		if len(m.air) > 0 {
			s := take(t, &m.air, "which")
			m.deliver(s.Frame)
			m.unacked = append(m.unacked, s.ID)
		}
	case "drop": // and acknowledge all the same
		if len(m.air) > 0 {
			m.unacked = append(m.unacked, take(t, &m.air, "which").ID)
		}
	case "double":
		if len(m.air) > 0 {
			m.deliver(m.air[0].Frame)
		}
	case "ack":
		if len(m.unacked) > 0 {
			m.core.Acked(m.clock, take(t, &m.unacked, "which"))
		}
	case "receipt":
		if len(m.late) > 0 {
			m.tell(take(t, &m.late, "which"))
		}
	case "lose receipt":
		if len(m.late) > 0 {
			take(t, &m.late, "which")
		}
	case "tick":
		m.tick(time.Duration(rapid.IntRange(1, 40).Draw(t, "s")) * time.Second)
	case "save":
		m.save()
	case "link":
		m.link(!m.up)
	case "restart":
		m.restart()
	}
}

// fair lets everything work until nothing is left to send.
func (m *model) fair() {
	m.link(true)
	for round := 0; ; round++ {
		if round > 10_000 {
			m.t.Fatalf("no end: heads %v", m.heads)
		}
		m.publish(1 << 20)
		if len(m.air) == 0 {
			if m.core.Deadline().IsZero() {
				break
			}
			m.tick(31 * time.Second) // an old receipt that came late was taken for a centre that asks again
		}
		for _, s := range m.air {
			m.deliver(s.Frame)
			m.core.Acked(m.clock, s.ID)
		}
		m.air = nil
		for _, r := range m.late {
			m.tell(r)
		}
		m.late = nil
		m.save()
	}
}

// Whatever happened, once things work again every event is at the centre exactly once and in order.
func TestEveryEventArrivesOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		for range rapid.IntRange(0, 150).Draw(rt, "steps") {
			m.step()
		}
		m.fair()
		for _, lane := range event.Lanes() {
			var want []uint64
			for _, e := range m.book.lanes[lane] {
				want = append(want, e.Seq)
			}
			if !slices.Equal(m.store[lane], want) {
				rt.Fatalf("lane %s: the centre has %v, the log %v", lane, m.store[lane], want)
			}
			if m.durable[lane] != m.book.head(lane) {
				rt.Fatalf("lane %s: cursor %d of %d", lane, m.durable[lane], m.book.head(lane))
			}
		}
		if !m.core.Deadline().IsZero() {
			rt.Fatal("something is still waited for")
		}
	})
}

// A fair link after a stall needs no new link: acknowledged and dropped frames come again by the deadline alone.
func TestAStallHealsWithoutANewLink(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		m.link(true)
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			lanes := event.Lanes()
			m.book.add(rapid.SampledFrom(lanes[:]).Draw(rt, "lane"), "x")
		}
		m.core.Woken()
		for round := range 2000 {
			m.publish(1 << 20)
			for _, s := range m.air {
				if round > 20 || rapid.Bool().Draw(rt, "arrives") {
					m.deliver(s.Frame)
				}
				m.core.Acked(m.clock, s.ID)
			}
			m.air = nil
			for _, r := range m.late {
				m.tell(r)
			}
			m.late = nil
			m.tick(31 * time.Second)
		}
		for _, lane := range event.Lanes() {
			if m.core.Stored()[lane] != m.book.head(lane) {
				rt.Fatalf("lane %s: stored %d of %d", lane, m.core.Stored()[lane], m.book.head(lane))
			}
		}
	})
}

// A centre that was restored from a backup, or lost its store, has the chains that it had then: the station that finds out by
// its receipts sends the rest again, by itself, and its durable cursor does not go back.
func TestARestoredCentreGetsTheRestAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		lanes := event.Lanes()
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			m.book.add(rapid.SampledFrom(lanes[:]).Draw(rt, "lane"), "x")
		}
		m.fair()
		for _, lane := range lanes {
			kept := rapid.IntRange(0, len(m.store[lane])).Draw(rt, "kept")
			m.store[lane], m.heads[lane] = m.store[lane][:kept], 0
			if kept > 0 {
				m.heads[lane] = m.store[lane][kept-1]
			}
		}
		if rapid.Bool().Draw(rt, "news") {
			m.book.add(rapid.SampledFrom(lanes[:]).Draw(rt, "lane"), "x")
		}
		m.link(true)
		for _, lane := range lanes { // what the centre says to a station that comes online
			if err := m.core.Receipt(m.clock, receipt(lane, m.heads[lane])); err != nil {
				rt.Fatal(err)
			}
		}
		for round := 0; round < 500; round++ {
			m.publish(1 << 20)
			for _, s := range m.air {
				m.deliver(s.Frame)
				m.core.Acked(m.clock, s.ID)
			}
			m.air = nil
			for _, r := range m.late {
				if err := m.core.Receipt(m.clock, r); err != nil {
					rt.Fatal(err)
				}
			}
			m.late = nil
			m.save()
			m.tick(10 * time.Second)
		}
		for _, lane := range lanes {
			var want []uint64
			for _, e := range m.book.lanes[lane] {
				want = append(want, e.Seq)
			}
			if !slices.Equal(m.store[lane], want) {
				rt.Fatalf("lane %s: the centre has %v, the log %v", lane, m.store[lane], want)
			}
		}
	})
}

package sender

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"watchpost/drivers/dc09"
	"watchpost/sim/panel/arc"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wait polls until a condition holds.
func wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

const keyHex = "000102030405060708090A0B0C0D0E0F"

func keys(t testing.TB) (*dc09.Key, []byte) {
	t.Helper()
	k, err := dc09.KeyHex(keyHex)
	must(t, err)
	raw, err := hex.DecodeString(keyHex)
	must(t, err)
	return k, raw
}

// queue is a log with one lane, in memory, that outlives a sender.
type queue struct {
	mu     sync.Mutex // guards the fields below
	events []event.Event
	done   int
	wake   chan struct{}
	broken error
	full   error // of Done
}

func newQueue() *queue { return &queue{wake: make(chan struct{})} }

func (q *queue) Next() (event.Event, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken != nil || q.done == len(q.events) {
		return event.Event{}, false, q.broken
	}
	return q.events[q.done], true, nil
}

func (q *queue) Done(e event.Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.events[q.done].Seq != e.Seq {
		return errors.New("another event is done than was asked for")
	}
	q.done++
	return q.full
}

func (q *queue) Wake() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wake
}

// add appends an event, and gives it its seq.
func (q *queue) add(list ...event.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range list {
		e.Seq, e.Epoch = uint64(len(q.events)+1), event.Epoch{1}
		q.events = append(q.events, e)
	}
	close(q.wake)
	q.wake = make(chan struct{})
}

func (q *queue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events) - q.done
}

// paper is a Memo in memory that outlives a sender.
type paper struct {
	mu    sync.Mutex // guards the fields below
	text  []byte
	fault error
	saves int
}

func (p *paper) Load() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text, p.fault
}

func (p *paper) Save(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	p.text, p.saves = b, p.saves+1
	return nil
}

// diary is a Sink that keeps what it is told.
type diary struct {
	mu     sync.Mutex // guards drafts
	drafts []event.Draft
}

func (d *diary) sink(_ context.Context, x event.Draft) error {
	x.At = time.Now()
	if _, err := event.AppendRecord(nil, x.Event("station", event.Epoch{1}, 1)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drafts = append(d.drafts, x)
	return nil
}

// told is how often a kind was told with a reason, "" = any.
func (d *diary) told(k event.Kind, q event.Qualifier, reason string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, x := range d.drafts {
		if r, _ := x.Body.Text(event.TagReason); x.Kind == k && x.Qualifier == q && (reason == "" || r == reason) {
			n++
		}
	}
	return n
}

// bench is a sender's surroundings; what it holds outlives the sender.
type bench struct {
	t     testing.TB
	o     Options
	queue *queue
	memo  *paper
	diary *diary
	stop  func()
	*Sender
}

// soon is how long an answer may take where a test loses some; elsewhere none is asked for twice, however slow the machine.
const soon = 50 * time.Millisecond

// newBench is for one receiver, with short times.
func newBench(t testing.TB, address string) *bench {
	b := &bench{t: t, queue: newQueue(), memo: &paper{}, diary: &diary{}}
	b.o = Options{
		ID: "arc", Address: address, Transport: TransportTCPLocal, Account: "ABC123", Supervision: -1,
		Answer: patience, BackOff: time.Millisecond, MaxBackOff: 20 * time.Millisecond, Pause: time.Millisecond,
		TellEvery: time.Millisecond, Names: Directory{
			Zones:      map[string]Zone{"hall": {Number: 12, Partition: "house", Code: "BA"}, "smoke": {Number: 7, Code: "FA"}},
			Partitions: map[string]int{"house": 1}, Users: map[string]int{"li": 5},
		},
		Queue: b.queue, Memo: b.memo, Log: slog.New(slog.DiscardHandler),
	}
	return b
}

// start runs a sender until stop, which is what kill -9 leaves: what is in queue and memo.
func (b *bench) start() {
	b.t.Helper()
	s, err := New(b.o)
	must(b.t, err)
	b.Sender = s
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx, b.diary.sink); err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	b.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	b.t.Cleanup(b.stop)
}

// centre opens a receiving centre for the bench's account.
func centre(t testing.TB, o arc.Options) *arc.Centre {
	t.Helper()
	if o.Account == "" {
		o.Account = "ABC123"
	}
	c, err := arc.Open("127.0.0.1:0", o)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// alarm is arming's verdict on the zone hall.
func alarm() event.Event {
	return event.Event{
		At: time.Now().UTC(), Kind: event.KindAlarmRaised, Qualifier: event.QualifierNew, Zone: "hall", Severity: event.SeverityAlarm, Lane: event.LaneAlarm,
		Body: event.NewBody(event.Text(event.TagCode, "BA"), event.Text(event.TagPartition, "house"), event.Text(event.TagReason, "intrusion")),
	}
}

// datas are the data blocks of the reports that a centre has kept.
func datas(c *arc.Centre) []string {
	var list []string
	for _, f := range c.Kept() {
		list = append(list, f.Data)
	}
	return list
}

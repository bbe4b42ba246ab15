package outbox

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/topic"
)

// What happens to one lane of one centre, as those see it who do it.
const (
	doStore   = iota // the centre has committed the lane up to value
	doReceipt        // the station is told value; ok = it believed
	doStored         // the outbox says that value is stored
	doCursor         // the log says that value is durable
	doRestart        // the agent is killed and begins again at value
)

type did struct {
	what  int
	value uint64 // of doStore and doReceipt
}

type got struct {
	value uint64
	ok    bool
}

// chainState is the lane in the sequential model: cursor ≤ receipt ≤ what the centre has.
type chainState struct{ centre, receipt, cursor uint64 }

// chainModel is what may be seen of a lane whose log ends at head: the durable cursor never goes back, never runs ahead of the
// centre; a receipt is believed if it is true, and never beyond the log's end.
func chainModel(head uint64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return chainState{} },
		Step: func(state, input, output any) (bool, any) {
			s, in, out := state.(chainState), input.(did), output.(got)
			switch in.what {
			case doStore:
				s.centre = max(s.centre, in.value)
			case doReceipt:
				if !out.ok {
					return in.value > s.centre, s
				}
				if in.value > head {
					return false, s
				}
				s.receipt = max(s.receipt, in.value)
			case doStored:
				return out.value == s.receipt, s
			case doCursor, doRestart:
				if out.value < s.cursor || out.value > s.receipt || out.value > s.centre {
					return false, s
				}
				s.cursor = out.value
				if in.what == doRestart {
					s.receipt = out.value
				}
			}
			return true, s
		},
	}
}

// history notes who did what when; the clock is a counter.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex // guards the field below
	ops   []porcupine.Operation
}

func (h *history) do(client int, in did, f func() got) {
	op := porcupine.Operation{ClientId: client, Input: in, Call: h.clock.Add(1)}
	op.Output = f()
	op.Return = h.clock.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// village is a station whose agent is killed now and then, and a centre that hears it; each of its parts is a client of the
// history.
type village struct {
	t    *testing.T
	log  Log
	head uint64
	hist *history
	plan func(v *village, f topic.Frame) // what a planted mistake does with a published frame

	boot sync.RWMutex // held for writing while the agent begins again
	box  *Outbox

	mu   sync.Mutex // guards the field below
	kept uint64     // what the centre has
}

var _ Publisher = (*village)(nil)

func (v *village) Publish(_ context.Context, _ string, payload []byte, acked func()) error {
	f, err := topic.DecodeFrame(stationID, payload)
	if err != nil {
		return err
	}
	if f.Lane != event.LaneAlarm {
		acked()
		return nil
	}
	if v.plan != nil {
		v.plan(v, f)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if verdict, _ := topic.Accept(v.kept, f); verdict == topic.VerdictStore {
		v.hist.do(0, did{doStore, f.Last()}, func() got { v.kept = f.Last(); return got{} })
	}
	acked()
	return nil
}

func (v *village) has() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kept
}

// life runs the agent until ctx ends or it is killed, again and again.
func (v *village) life(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		v.boot.Lock()
		v.hist.do(1, did{what: doRestart}, func() got {
			box, err := New(Options{Log: v.log, Centre: "changshan", Address: topic.Address{Jurisdiction: "changshan", Station: stationID}, Settings: Settings{FrameEvents: 2, Window: 4}})
			if err != nil {
				v.t.Error(err)
				return got{}
			}
			v.box = box
			return got{value: box.Stored()[event.LaneAlarm]}
		})
		v.boot.Unlock()
		lives, cancel := context.WithTimeout(ctx, time.Duration(1+random.IntN(3))*time.Millisecond)
		if err := v.box.Run(lives, v); err != nil {
			v.t.Error(err)
		}
		cancel()
	}
}

// client does what clients do, a number of times.
func (v *village) client(id int, random *rand.Rand, times int) {
	for range times {
		v.boot.RLock()
		switch box := v.box; random.IntN(4) {
		case 0: // a true word, perhaps an old one
			word := v.has() - min(v.has(), uint64(random.IntN(3)))
			v.hist.do(id, did{doReceipt, word}, func() got { return got{ok: box.Receipt(receiptOf(v.log, word)) == nil} })
		case 1:
			word := v.head + 1 + uint64(random.IntN(3))
			v.hist.do(id, did{doReceipt, word}, func() got { return got{ok: box.Receipt(receiptOf(v.log, word)) == nil} })
		case 2:
			v.hist.do(id, did{what: doStored}, func() got { return got{value: box.Stored()[event.LaneAlarm]} })
		default:
			v.hist.do(id, did{what: doCursor}, func() got {
				at, err := v.log.Cursor("changshan", event.LaneAlarm)
				if err != nil {
					v.t.Error(err)
				}
				return got{value: at}
			})
		}
		v.boot.RUnlock()
		<-time.After(time.Duration(random.IntN(3)) * 100 * time.Microsecond) // so that many wake at once
	}
}

func receiptOf(l Log, upto uint64) topic.Receipt {
	return topic.Receipt{Station: stationID, Epoch: l.Epoch(), Lane: event.LaneAlarm, Upto: upto}
}

// witness runs a village and asks porcupine whether what was seen can be explained.
func witness(t *testing.T, seed uint64, wrap func(*storagetest.MemLog) Log, plan func(*village, topic.Frame)) porcupine.CheckResult {
	v := &village{hist: &history{}, plan: plan}
	synctest.Test(t, func(t *testing.T) {
		mem := storagetest.NewMemLog(stationID)
		for range 60 {
			if _, err := mem.Append(t.Context(), storagetest.Draft(event.SeverityAlarm, "x")); err != nil {
				t.Fatal(err)
			}
		}
		v.t, v.log, v.head = t, wrap(mem), mem.Head(event.LaneAlarm)
		ctx, cancel := context.WithCancel(t.Context())
		var agent, clients sync.WaitGroup
		agent.Go(func() { v.life(ctx, rand.New(rand.NewPCG(seed, 0))) })
		synctest.Wait()
		for id := range 3 {
			clients.Go(func() { v.client(2+id, rand.New(rand.NewPCG(seed, uint64(id+1))), 40) })
		}
		clients.Wait()
		cancel()
		agent.Wait()
	})
	return porcupine.CheckOperationsTimeout(chainModel(v.head), v.hist.ops, 30*time.Second)
}

func honest(l *storagetest.MemLog) Log { return l }

// forgetful is a log whose cursor goes back: it keeps what it was told last.
type forgetful struct {
	*storagetest.MemLog
	mu   sync.Mutex // guards the field below
	last uint64
}

var _ Log = (*forgetful)(nil)

func (f *forgetful) Cursor(string, event.Lane) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last -= min(f.last, 1)
	return f.last, nil
}

func (f *forgetful) SetCursor(_ string, lane event.Lane, upto uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if lane == event.LaneAlarm {
		f.last = upto
	}
	return nil
}

// TestCursorsAndReceiptsAreLinearizable runs agents that are killed and centres that speak while others look on: what they see
// is what one after the other could have done. That the model would notice is shown by two mistakes made on purpose.
func TestCursorsAndReceiptsAreLinearizable(t *testing.T) {
	for seed := range uint64(8) {
		if got := witness(t, seed, honest, nil); got != porcupine.Ok {
			t.Fatalf("seed %d: %s", seed, got)
		}
	}
	for name, mistake := range map[string]func(uint64) porcupine.CheckResult{
		"PUBACK taken for a receipt": func(seed uint64) porcupine.CheckResult {
			return witness(t, seed, honest, func(v *village, f topic.Frame) {
				if err := v.log.SetCursor("changshan", f.Lane, f.Last()); err != nil {
					t.Error(err)
				}
				<-time.After(time.Millisecond) // until the centre has it
			})
		},
		"a cursor that goes back": func(seed uint64) porcupine.CheckResult {
			return witness(t, seed, func(l *storagetest.MemLog) Log { return &forgetful{MemLog: l} }, nil)
		},
	} {
		caught := false
		for seed := uint64(0); seed < 5 && !caught; seed++ {
			caught = mistake(seed) == porcupine.Illegal
		}
		if !caught {
			t.Errorf("%s was not noticed", name)
		}
	}
}

package outbox

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/topic"
)

// office is a centre that takes what it is sent at once.
type office struct {
	box  *Outbox
	deaf bool // it takes and drops

	mu    sync.Mutex // guards the field below
	heads map[event.Lane]uint64
}

var _ Publisher = (*office)(nil)

func (o *office) Publish(_ context.Context, _ string, payload []byte, acked func()) error {
	f, err := topic.DecodeFrame(stationID, payload)
	if err != nil {
		return err
	}
	acked()
	if o.deaf {
		return nil
	}
	o.mu.Lock()
	v, _ := topic.Accept(o.heads[f.Lane], f)
	if v == topic.VerdictStore {
		o.heads[f.Lane] = f.Last()
	}
	r := topic.Receipt{Station: stationID, Epoch: f.Epoch, Lane: f.Lane, Upto: o.heads[f.Lane], Again: v == topic.VerdictGap}
	o.mu.Unlock()
	return o.box.Receipt(r)
}

// Two centres are two outboxes over one log: other lanes, other cursors, other luck. One that has been dead for weeks costs the
// other nothing, and gets everything when it is back, with the lanes that it has meanwhile been given.
func TestOneDeadCentreStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storagetest.NewMemLog(stationID)
		packer, err := topic.NewPacker()
		if err != nil {
			t.Fatal(err)
		}
		open := func(centre string, deaf bool, lanes ...event.Lane) *office {
			box, err := New(Options{Log: log, Centre: centre, Address: topic.Address{Jurisdiction: centre, Station: stationID}, Packer: packer, Settings: Settings{Lanes: lanes, StallAfter: 10 * time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			return &office{box: box, deaf: deaf, heads: map[event.Lane]uint64{}}
		}
		changshan := open("changshan", false)
		yushan := open("yushan", true, event.LaneAlarm)
		ctx, cancel := context.WithCancel(t.Context())
		var links, dead sync.WaitGroup
		run := func(ctx context.Context, wg *sync.WaitGroup, o *office) {
			wg.Go(func() {
				if err := o.box.Run(ctx, o); err != nil {
					t.Error(err)
				}
			})
		}
		lives, die := context.WithCancel(ctx)
		run(ctx, &links, changshan)
		run(lives, &dead, yushan)
		for day := range 14 {
			for i := range 100 {
				severity := event.SeverityNotice
				if i%10 == 0 {
					severity = event.SeverityAlarm
				}
				if _, err := log.Append(ctx, storagetest.Draft(severity, fmt.Sprint(day, i))); err != nil {
					t.Fatal(err)
				}
			}
			pause(24 * time.Hour)
			if got := changshan.box.Stored(); got[event.LaneAlarm] != log.Head(event.LaneAlarm) || got[event.LaneMain] != log.Head(event.LaneMain) {
				t.Fatalf("day %d: stored %v of %v", day, got, log.Heads())
			}
		}
		die()
		dead.Wait()
		if at, err := log.Cursor("yushan", event.LaneAlarm); err != nil || at != 0 {
			t.Fatalf("the cursor of a deaf centre: %d, %v", at, err)
		}
		back := open("yushan", false, event.LaneAlarm, event.LaneMain)
		back.heads = yushan.heads
		run(ctx, &links, back)
		pause(time.Minute)
		cancel()
		links.Wait()
		for _, lane := range []event.Lane{event.LaneAlarm, event.LaneMain} {
			for _, centre := range []string{"changshan", "yushan"} {
				if at, err := log.Cursor(centre, lane); err != nil || at != log.Head(lane) {
					t.Errorf("%s, lane %s: cursor %d of %d, %v", centre, lane, at, log.Head(lane), err)
				}
			}
		}
		if _, sent := yushan.box.Stored()[event.LaneMain]; sent {
			t.Error("a lane that the centre was not sent has a receipt")
		}
	})
}

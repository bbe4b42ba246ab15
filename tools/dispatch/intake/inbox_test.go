package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

func TestAnAlarmDoesNotStandBehindABacklog(t *testing.T) {
	in := newInbox(4096)
	put := func(name string, at int) {
		t.Helper()
		if err := in.put(message{topic: name, received: time.Unix(int64(at), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	a := caoping()
	for n := range 4096 {
		put(a.Event(event.LaneMain), n)
	}
	for n := range 4096 * statesPerQueue { // all stations of the centre come back at once
		put(topic.Address{Jurisdiction: "changshan", Station: fmt.Sprint("s", n)}.State(), n)
	}
	put(a.Event(event.LaneAlarm), 5000)
	put(a.Event(event.LaneAlarm), 5001)
	put(a.Reply("x"), 5002)
	ms := in.gather(<-in.rest)
	if len(ms) > 3*batchLimit+1 {
		t.Errorf("%d messages in a batch", len(ms))
	}
	seen := map[string][]int64{}
	for _, m := range ms {
		seen[m.topic] = append(seen[m.topic], m.received.Unix())
	}
	if alarms := seen[a.Event(event.LaneAlarm)]; len(alarms) != 2 || alarms[0] != 5000 || alarms[1] != 5001 || len(seen[a.Reply("x")]) != 1 {
		t.Errorf("the next batch has the alarms %v", alarms)
	}
	for n, at := range seen[a.Event(event.LaneMain)] {
		if int(at) != n {
			t.Fatalf("the backlog is out of order: %v", seen[a.Event(event.LaneMain)])
		}
	}
	if at := oldest(ms); at != time.Unix(0, 0) {
		t.Errorf("the oldest came in at %s", at)
	}
	if err := in.put(message{topic: a.State()}); err != nil {
		t.Errorf("states have no room although some were taken: %v", err)
	}
	for !in.empty() {
		for _, q := range in.queues() {
			if len(q) > 0 {
				in.gather(<-q)
			}
		}
	}
}

// Who waits to be stored has spoken: the watch over silence must know that the centre is behind.
func TestTheIntakeTellsHowFarItIsBehind(t *testing.T) {
	o := open(t)
	began := time.Now()
	c := ledger.Command{ID: "x", Address: caoping(), Kind: "k", Body: []byte("{}"), Expires: began.Add(time.Hour)}
	if err := o.book.Put(t.Context(), c, began); err != nil {
		t.Fatal(err)
	}
	o.clerk.out = make(chan wish) // a broker that takes nothing
	in := newInbox(4)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var working sync.WaitGroup
	working.Go(func() {
		if err := o.work(ctx, in); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	m := said(t, topic.State{Online: true})
	m.received = began
	if err := in.put(m); err != nil {
		t.Fatal(err)
	}
	poll(t, func() bool { return o.Status().Behind.Equal(began) })
	cancel()
	working.Wait()
	o.clerk.out = o.out
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	working.Go(func() {
		if err := o.work(ctx, in); err != nil {
			t.Error(err)
		}
	})
	poll(t, func() bool { return o.Status().Behind.IsZero() })
	cancel()
	working.Wait()
}

package main

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/authority"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// When the centre's link to its broker is cut, the retained states of all stations come at once with the next one. If they
// were too many to wait, the centre would hang up, begin anew and have them all again, for ever.
func TestALargeRosterComesBackAtOnce(t *testing.T) {
	noLeaks(t)
	const stations = 5000
	dir := newCentre(t)
	book, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	address := func(i int) topic.Address {
		return topic.Address{Jurisdiction: "changshan", Station: fmt.Sprintf("cs-%05d", i)}
	}
	for i := range stations {
		if err := book.Enrol(t.Context(), ledger.Station{Address: address(i), Name: address(i).Station}); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	c := serve(t, dir)
	all := asCentre(t, c, "all")
	var receipts atomic.Int64
	if token := all.Subscribe("wp/v1/+/+/cmd", 0, func(paho.Client, paho.Message) { receipts.Add(1) }); token.Wait() && token.Error() != nil {
		t.Fatal(token.Error())
	}
	said := make([]paho.Token, stations)
	for i := range said {
		s := topic.State{V: topic.Version, Station: address(i).Station, Jurisdiction: address(i).Jurisdiction, Online: true, At: time.Now(), Epoch: event.Epoch{1},
			Heads: map[event.Lane]uint64{event.LaneMain: 1}}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		said[i] = all.Publish(address(i).State(), 1, true, b)
	}
	for _, token := range said {
		if token.Wait() && token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	patiently(t, func() bool { return receipts.Load() == stations })
	receipts.Store(0)
	asCentre(t, c, authority.CentreName).Disconnect(0) // throws the intake out, which has the same name
	patiently(t, func() bool { return receipts.Load() >= stations })
}

// asCentre connects with the centre's own certificate, which may say and hear everything.
func asCentre(t *testing.T, c *centre, id string) paho.Client {
	t.Helper()
	a, err := authority.Open(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := a.ClientTLS()
	if err != nil {
		t.Fatal(err)
	}
	client := paho.NewClient(paho.NewClientOptions().AddBroker(c.mqtt).SetClientID(id).SetTLSConfig(config).SetAutoReconnect(false).SetWriteTimeout(10 * time.Second))
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		t.Fatal(token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

// patiently waits for what takes a busy machine a while.
func patiently(t *testing.T, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatal("not within 2 min")
		case <-tick.C:
		}
	}
}

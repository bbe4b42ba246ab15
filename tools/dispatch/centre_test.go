package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// stored reads the ledger of a centre that may be running.
func stored(t *testing.T, dir string, f func(context.Context, *ledger.Ledger)) {
	t.Helper()
	book, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	f(t.Context(), book)
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
}

func openAlarms(t *testing.T, dir string) (n int) {
	t.Helper()
	stored(t, dir, func(ctx context.Context, book *ledger.Ledger) {
		var err error
		if _, n, err = book.Open(ctx, 1); err != nil {
			t.Fatal(err)
		}
	})
	return n
}

func TestAnAlarmIsStoredAndReceipted(t *testing.T) {
	noLeaks(t)
	withBrokers(t, func(t *testing.T, dir string, c *centre) {
		v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
		v.connect(c.mqtt)
		v.online()
		alarm := v.raise(doorOpened())
		v.receipted(event.LaneAlarm, alarm.Seq)
		last := v.raise(note("a"))
		v.receipted(event.LaneMain, last.Seq)
		if n := openAlarms(t, dir); n != 1 {
			t.Errorf("%d open alarms, want 1", n)
		}
	})
}

func TestDuplicatesGapsAndDisorder(t *testing.T) {
	noLeaks(t)
	withBrokers(t, func(t *testing.T, dir string, c *centre) {
		v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
		v.connect(c.mqtt)
		var frames []topic.Frame
		for i := range 6 {
			frames = append(frames, v.frame(v.next(panelSays("BA", fmt.Sprint(i)))...))
		}
		last := frames[5].Last()
		// 0 twice, then 2 ahead of the gap that 1 leaves: what is receipted is 0.
		for _, i := range []int{0, 0, 2, 3} {
			v.publish(frames[i])
		}
		v.receipted(event.LaneAlarm, frames[0].Last())
		// The station rewinds, in a batch that overlaps what is stored, and sends some of it again.
		whole := frames[0]
		for _, f := range frames[1:4] {
			whole.Events = append(whole.Events, f.Events...)
		}
		v.publish(whole)
		v.receipted(event.LaneAlarm, frames[3].Last())
		for _, i := range []int{1, 4, 3, 5, 4} {
			v.publish(frames[i])
		}
		v.receipted(event.LaneAlarm, last)
		if n := openAlarms(t, dir); n != 6 {
			t.Errorf("%d alarms, want each of 6 once", n)
		}
	})
}

func TestAStationThatSaysOnlineIsToldWhatIsStored(t *testing.T) {
	noLeaks(t)
	withBrokers(t, func(t *testing.T, dir string, c *centre) {
		v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
		v.connect(c.mqtt)
		e := v.raise(doorOpened())
		v.receipted(event.LaneAlarm, e.Seq)
		v.mu.Lock()
		clear(v.receipts)
		v.mu.Unlock()
		v.connect(c.mqtt) // a clean session: what was said meanwhile is gone
		v.online()
		v.receipted(event.LaneAlarm, e.Seq)
	})
}

func TestAStationSpeaksForItselfOnly(t *testing.T) {
	noLeaks(t)
	withBrokers(t, func(t *testing.T, dir string, c *centre) {
		honest := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
		honest.connect(c.mqtt)
		thief := enrol(t, dir, "yushan", "ys-taipingqiao", "太平桥村")
		thief.connect(c.mqtt)

		// Under the other's topic, under the other's jurisdiction, and eavesdropping.
		forged := thief.next(doorOpened())[0]
		forged.Station, forged.Epoch = honest.address.Station, honest.epoch
		b, err := topic.AppendFrame(nil, topic.Frame{Epoch: honest.epoch, Lane: forged.Lane, Events: []event.Event{forged}})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []topic.Address{honest.address, {Jurisdiction: "changshan", Station: thief.address.Station}} {
			thief.client.Publish(a.Event(event.LaneAlarm), 1, false, b).WaitTimeout(eavesdrop)
		}
		heard := make(chan string, 10)
		token := thief.client.Subscribe("wp/v1/+/+/event/#", 1, listen(heard))
		if token.WaitTimeout(eavesdrop) && token.Error() == nil {
			t.Log("the broker grants the subscription and must deliver nothing")
		}
		thief.connect(c.mqtt)

		// An honest alarm after it all goes through, and only that one is there.
		e := honest.raise(doorOpened())
		honest.receipted(event.LaneAlarm, e.Seq)
		mine := thief.raise(doorOpened())
		thief.receipted(event.LaneAlarm, mine.Seq)
		if n := openAlarms(t, dir); n != 2 {
			t.Errorf("%d alarms, want the two honest ones", n)
		}
		select {
		case what := <-heard:
			t.Errorf("a station heard %s of another", what)
		default:
		}
	})
}

func TestAForeignCertificateIsRefused(t *testing.T) {
	noLeaks(t)
	withBrokers(t, func(t *testing.T, dir string, c *centre) {
		v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
		foreign := enrol(t, newCentre(t), "changshan", "cs-baishi-caoping", "草坪村")
		config := v.tls()
		config.Certificates = foreign.tls().Certificates
		for name, certs := range map[string][]tls.Certificate{"of another centre": config.Certificates, "none": nil} {
			config.Certificates = certs
			client := v.dial(c.mqtt, config)
			token := client.Connect()
			if token.WaitTimeout(patience) && token.Error() == nil {
				t.Errorf("a client with a certificate %s was let in", name)
			}
			client.Disconnect(0)
		}
	})
}

func TestAStationThatIsNotEnrolledIsRefused(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	// Its certificate is good, but the roster is another one: the centre was restored from an old backup.
	v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
	stored(t, dir, func(ctx context.Context, book *ledger.Ledger) {
		if err := book.Strike(ctx, v.address.Station); err != nil {
			t.Fatal(err)
		}
	})
	c := serve(t, dir)
	v.connect(c.mqtt)
	v.raise(doorOpened())
	b := login(t, c, "李娜", "correct horse")
	eventually(t, "the refusal is shown", func() bool {
		r := b.roster()
		return len(r.Refused) == 1 && r.Refused[0].Station == v.address.Station && r.Refused[0].Reason == "not enrolled"
	})
	if n := openAlarms(t, dir); n != 0 {
		t.Errorf("%d alarms of a station that is not enrolled", n)
	}
}

// Killed at any moment, between a commit and its receipt too, the centre has each event once and says so in the end.
func TestKilledCentreLosesAndRepeatsNothing(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
	var frames []topic.Frame
	for i := range 300 {
		frames = append(frames, v.frame(v.next(panelSays("BA", fmt.Sprint(i)))...))
	}
	upto := func() uint64 {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.receipts[event.LaneAlarm]
	}
	for round := range 5 {
		c, kill := serveProcess(t, dir, "--mqtt", "127.0.0.1:0")
		v.connect(c.mqtt)
		goal := uint64(60 * (round + 1))
		for _, f := range frames[upto():] {
			v.client.Publish(v.address.Event(f.Lane), 1, false, encode(t, f))
			if upto() >= goal {
				break
			}
		}
		eventually(t, "receipts again", func() bool { return upto() >= min(goal, 250) })
		kill()
	}
	c := serve(t, dir)
	v.connect(c.mqtt)
	for _, f := range frames[upto():] {
		v.publish(f)
	}
	v.receipted(event.LaneAlarm, frames[len(frames)-1].Last())
	if n := openAlarms(t, dir); n != len(frames) {
		t.Errorf("%d alarms of %d", n, len(frames))
	}
}

func encode(t *testing.T, f topic.Frame) []byte {
	t.Helper()
	b, err := topic.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package dc09

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

// answerOf is what a vector's frame must get, byte for byte; "" is silence.
func answerOf(t testing.TB, v vector, now time.Time) string {
	t.Helper()
	switch v.Class {
	case "frame", "binary_crc", "crc_over_cr":
		return ackOf(t, v, now, 'z')
	case "unknown_key":
		return duhOf(v)
	}
	return ""
}

// conversation is all that a receiver says to the pieces, and what it stores.
func conversation(t testing.TB, o Options, pieces ...[]byte) (string, []event.Draft) {
	t.Helper()
	o.TCP = ":0"
	r, err := New(o)
	must(t, err)
	s := &store{}
	here, there := net.Pipe()
	var group errgroup.Group
	var said []byte
	group.Go(func() error { r.talk(context.Background(), here, s.sink); return nil })
	group.Go(func() error {
		for _, b := range pieces {
			if _, err := there.Write(b); err != nil {
				return err
			}
		}
		_, err := there.Write([]byte{0}) // is read after all answers to what came before it are written
		_ = there.Close()
		return err
	})
	buf := make([]byte, 4096)
	for {
		n, err := there.Read(buf)
		said = append(said, buf[:n]...)
		if err != nil {
			if err != io.EOF && err != io.ErrClosedPipe {
				t.Fatal(err)
			}
			break
		}
	}
	must(t, group.Wait())
	return string(said), s.of(event.KindPanelEvent)
}

// TestEveryVectorEverywhere sends every vector alone, between two other frames in one piece, byte by byte, and cut at every byte:
// the same answers byte for byte, and the same events.
func TestEveryVectorEverywhere(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			now := clockOf(t, v)
			accounts := append(accountsFor(t, v), Account{ID: "FFFFFFFF"})
			o := func() Options {
				return Options{Accounts: accounts, Now: func() time.Time { return now }, Rand: letters('z')}
			}
			before, after := wireOf(`"NULL"0000L0#FFFFFFFF[]`), wireOf(`"ADM-CID"0007L0#FFFFFFFF[#FFFFFFFF|1130 01 012]`)
			raw := v.raw(t)
			stream := append(append(append([]byte{}, before...), raw...), after...)
			want := string(wireOf(`"ACK"0000L0#FFFFFFFF[]`)) + answerOf(t, v, now) + string(wireOf(`"ACK"0007L0#FFFFFFFF[]`))
			events := len(v.Expect.Events) + 1
			try := func(what string, pieces ...[]byte) {
				t.Helper()
				if said, drafts := conversation(t, o(), pieces...); said != want || len(drafts) != events {
					t.Fatalf("%s: %d events, want %d; said %q, want %q", what, len(drafts), events, said, want)
				}
			}
			try("in one piece", stream)
			for cut := 1; cut < len(stream); cut++ {
				try("cut", stream[:cut], stream[cut:])
			}
			var bytes [][]byte
			for i := range stream {
				bytes = append(bytes, stream[i:i+1])
			}
			try("byte by byte", bytes...)
			twice := strings.Repeat(string(raw), 2)
			said, drafts := conversation(t, o(), []byte(twice))
			if said != strings.Repeat(answerOf(t, v, now), 2) || len(drafts) != len(v.Expect.Events) {
				t.Errorf("twice: %d events, said %q", len(drafts), said)
			}
		})
	}
}

// TestCoalescedDatagram sends every vector between two other frames in one datagram.
func TestCoalescedDatagram(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			now := clockOf(t, v)
			s := &store{}
			b := start(t, Options{Accounts: append(accountsFor(t, v), Account{ID: "FFFFFFFF"}), Now: func() time.Time { return now }, Rand: letters('z')}, s)
			p := b.dial(t, "udp")
			p.send(append(append(wireOf(`"NULL"0000L0#FFFFFFFF[]`), v.raw(t)...), wireOf(`"NULL"0000L1#FFFFFFFF[]`)...))
			missing := map[string]bool{string(wireOf(`"ACK"0000L0#FFFFFFFF[]`)): true, string(wireOf(`"ACK"0000L1#FFFFFFFF[]`)): true}
			if a := answerOf(t, v, now); a != "" {
				missing[a] = true
			}
			for len(missing) > 0 { // accounts answer when they are stored, each for itself
				a := p.answer()
				if !missing[a] {
					t.Fatalf("answer %q, want one of %v", a, missing)
				}
				delete(missing, a)
			}
			if n := len(s.of(event.KindPanelEvent)); n != len(v.Expect.Events) {
				t.Errorf("%d events, want %d", n, len(v.Expect.Events))
			}
		})
	}
}

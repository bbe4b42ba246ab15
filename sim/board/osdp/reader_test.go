package osdp

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of Annex E.
func TestChecks(t *testing.T) {
	for text, want := range map[string]uint16{"53 7F 0D 00 04 6E 00 80 25 00 00": 0x386E, "53 00 09 00 04 61 00": 0x66C0} {
		if got := sum16(bytesOf(t, text)); got != want {
			t.Errorf("%s: %04X, want %04X", text, got, want)
		}
	}
	for text, want := range map[string]byte{"53 7F 0C 00 00 6E 00 80 25 00 00": 0x0F, "53 00 08 00 00 61 00": 0x44} {
		if got := zeroSum(bytesOf(t, text)); got != want {
			t.Errorf("%s: %02X, want %02X", text, got, want)
		}
	}
}

// The secure channel of Annex E, with the default key.
func TestChannel(t *testing.T) {
	key, _ := NewReader(Options{}).base()
	c, data := answered(key, bytesOf(t, "B0B1B2B3B4B5B6B7"), bytesOf(t, "A0A1A2A3A4A5A6A7"), make([]byte, 8))
	if got := data[16:]; !bytes.Equal(got, bytesOf(t, "FDE5D2F428EC16312471EA3C02BD7796")) {
		t.Errorf("the reader's cryptogram %X", got)
	}
	if c.proved(make([]byte, 16)) || c.open {
		t.Error("zeros proved that the panel has the key")
	}
	if !c.proved(bytesOf(t, "26D3356E07762D262801FC8E6665A891")) || !bytes.Equal(c.ours, bytesOf(t, "B2A30057EB98BA2229EC1F875662B524")) {
		t.Errorf("the panel's cryptogram was refused, or the first MAC is not %X", c.ours)
	}
}

// ask is a plain command with a CRC.
func ask(address, sequence, code byte, data ...byte) []byte {
	f := []byte{'S', address, 0, 0, 4 | sequence, code}
	f = append(f, data...)
	binary.LittleEndian.PutUint16(f[2:], uint16(len(f)+2))
	return binary.LittleEndian.AppendUint16(f, sum16(f))
}

// told is the code and the data of a plain reply.
func told(t *testing.T, f []byte, address, sequence byte) (code byte, data []byte) {
	t.Helper()
	if len(f) < 8 || f[1] != address|0x80 || f[4] != 4|sequence || int(f[2]) != len(f) || sum16(f[:len(f)-2]) != binary.LittleEndian.Uint16(f[len(f)-2:]) {
		t.Fatalf("% X is no answer of %d to %d", f, address, sequence)
	}
	return f[5], f[6 : len(f)-2]
}

// Two readers on a line answer their own commands, once, and one that is asked again answers as it did.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panel, line := net.Pipe()
		one, two := NewReader(Options{Address: 1, Mood: Plain}), NewReader(Options{Address: 2, Mood: Dead})
		ctx, cancel := context.WithCancel(t.Context())
		var group errgroup.Group
		group.Go(func() error { return Serve(ctx, line, one, two) })
		exchange := func(f []byte) []byte {
			t.Helper()
			for _, part := range [][]byte{f[:3], f[3:]} {
				if _, err := panel.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			_ = panel.SetReadDeadline(time.Now().Add(time.Second))
			b := make([]byte, longest)
			n, err := panel.Read(b)
			if err != nil && n == 0 {
				return nil
			}
			return b[:n]
		}
		if code, data := told(t, exchange(ask(1, 0, id, 0)), 1, 0); code != pdID || len(data) != 12 {
			t.Errorf("ID: %02X % X", code, data)
		}
		one.Present(26, []byte{1, 2, 3, 0x40})
		first := exchange(ask(1, 1, poll))
		if code, data := told(t, first, 1, 1); code != raw || !bytes.Equal(data, []byte{0, 0, 26, 0, 1, 2, 3, 0x40}) {
			t.Errorf("RAW: %02X % X", code, data)
		}
		if again := exchange(ask(1, 1, poll)); !bytes.Equal(again, first) {
			t.Errorf("asked again: % X", again)
		}
		if code, _ := told(t, exchange(append([]byte("noise S\xFF"), ask(1, 2, poll)...)), 1, 2); code != ack {
			t.Errorf("behind noise: %02X", code)
		}
		if code, data := told(t, exchange(ask(1, 3, 0x99)), 1, 3); code != nak || data[0] != 3 {
			t.Errorf("unknown: %02X % X", code, data)
		}
		if f := exchange(ask(2, 0, poll)); f != nil {
			t.Errorf("the dead one said % X", f)
		}
		if f := exchange(ask(3, 0, poll)); f != nil {
			t.Errorf("nobody said % X", f)
		}
		damaged := ask(1, 1, poll)
		damaged[len(damaged)-1] ^= 1
		if f := exchange(damaged); f != nil {
			t.Errorf("damaged: % X", f)
		}
		one.Be(Babble)
		if f := exchange(ask(1, 2, poll)); string(f) != noise {
			t.Errorf("babble: % X", f)
		}
		if one.Polls() != 2 || !bytes.Equal(one.Commands(), []byte{id, 0x99}) {
			t.Errorf("%d polls, % X", one.Polls(), one.Commands())
		}
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		_, _ = panel.Close(), line.Close()
	})
}

// A reader with a key says nothing in plain but who it is.
func TestKeyed(t *testing.T) {
	r := NewReader(Options{Address: 1, Key: []byte("sixteen bytes !!")})
	say := func(f []byte) request {
		q, _, ok := next(f)
		if !ok {
			t.Fatalf("% X is no command", f)
		}
		return q
	}
	if code, _ := told(t, r.answer(say(ask(1, 0, id, 0))), 1, 0); code != pdID {
		t.Errorf("ID: %02X", code)
	}
	r.Present(8, []byte{1})
	if code, data := told(t, r.answer(say(ask(1, 1, poll))), 1, 1); code != nak || data[0] != 6 {
		t.Errorf("POLL in plain: %02X % X", code, data)
	}
	if code, data := told(t, r.answer(say(ask(1, 2, keySet, append([]byte{1, 16}, make([]byte, 16)...)...))), 1, 2); code != nak || r.Key()[0] != 's' {
		t.Errorf("KEYSET in plain: %02X % X", code, data)
	}
}

func TestALineThatEnds(t *testing.T) {
	panel, line := net.Pipe()
	_ = panel.Close()
	if err := Serve(t.Context(), line, NewReader(Options{})); err == nil || !strings.Contains(err.Error(), io.EOF.Error()) {
		t.Errorf("%v", err)
	}
	_ = line.Close()
}

package osdp

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/bus"
)

// talk has a line whose other side says, for each command, what say gives, in the time of a synctest bubble.
func talk(t *testing.T, say func(command []byte, out net.Conn)) *line {
	t.Helper()
	ours, theirs := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, MaxPacket)
		for {
			n, err := theirs.Read(b)
			if err != nil {
				return
			}
			say(b[:n], theirs)
		}
	})
	l := &line{open: func() (bus.Serial, error) { return ours, nil }, baud: 9600, timeout: 200 * time.Millisecond}
	t.Cleanup(func() { l.close(); wg.Wait() })
	return l
}

func wire(t *testing.T, p Packet) []byte {
	t.Helper()
	b, err := p.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLine is what may come before, instead of and around an answer, and how long it is waited for.
func TestLine(t *testing.T) {
	poll := Packet{Address: 3, Sequence: 2, CRC: true, Code: byte(CommandPoll)}
	ack := Packet{Address: 3, Reply: true, Sequence: 2, CRC: true, Code: byte(ReplyACK)}
	other, late, busy := ack, ack, ack
	other.Address, late.Sequence, busy.Sequence, busy.Code = 4, 1, 0, byte(ReplyBusy)
	damaged := func(i int) []byte { b := wire(t, ack); b[i] ^= 0x40; return b }
	for name, c := range map[string]struct {
		say  []byte
		want error
		most time.Duration
	}{
		"an answer":              {wire(t, ack), nil, 5 * time.Millisecond},
		"without a mark":         {wire(t, ack)[1:], nil, 5 * time.Millisecond},
		"the echo before it":     {append(wire(t, poll), wire(t, ack)...), nil, 5 * time.Millisecond},
		"another's before it":    {append(wire(t, other), wire(t, ack)...), nil, 5 * time.Millisecond},
		"a late one before it":   {append(wire(t, late), wire(t, ack)...), nil, 5 * time.Millisecond},
		"noise before it":        {append([]byte{0, 0xff, 0x12}, wire(t, ack)...), nil, 5 * time.Millisecond},
		"noise that looks so":    {append([]byte{som, som}, wire(t, ack)...), ErrPacket, 5 * time.Millisecond},
		"BUSY":                   {wire(t, busy), nil, 5 * time.Millisecond},
		"nothing":                {nil, bus.ErrNoAnswer, 230 * time.Millisecond},
		"the echo alone":         {wire(t, poll), bus.ErrNoAnswer, 350 * time.Millisecond},
		"half an answer":         {wire(t, ack)[:6], bus.ErrNoAnswer, 350 * time.Millisecond},
		"a late one alone":       {wire(t, late), bus.ErrNoAnswer, 350 * time.Millisecond},
		"another's alone":        {wire(t, other), bus.ErrNoAnswer, 350 * time.Millisecond},
		"a length too great":     {damaged(4), ErrPacket, 5 * time.Millisecond},
		"a greater length":       {damaged(3), bus.ErrNoAnswer, 350 * time.Millisecond},
		"a damaged code":         {damaged(6), ErrCheck, 5 * time.Millisecond},
		"noise longer than that": {make([]byte, 3*MaxPacket), errBabble, 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := talk(t, func(_ []byte, out net.Conn) { _, _ = out.Write(c.say) })
				begun := time.Now()
				p, err := l.ask(t.Context(), wire(t, poll), 3, 2)
				if !errors.Is(err, c.want) || err == nil && (p.Address != 3 || p.Sequence != 2 && Reply(p.Code) != ReplyBusy) {
					t.Errorf("%+v, %v; want %v", p, err, c.want)
				}
				if took := time.Since(begun); took > c.most {
					t.Errorf("took %s, want at most %s", took, c.most)
				}
				l.close()
			})
		})
	}
}

// TestNobodyHoldsTheLine is somebody who sends packets of another reader without an end: the line is given up as for silence, and
// he is not listened to for longer.
func TestNobodyHoldsTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := wire(t, Packet{Address: 9, Reply: true, CRC: true, Code: byte(ReplyACK)})
		l := talk(t, func(_ []byte, out net.Conn) {
			for {
				<-time.After(10 * time.Millisecond)
				if _, err := out.Write(other); err != nil {
					return
				}
			}
		})
		begun := time.Now()
		if _, err := l.ask(t.Context(), wire(t, Packet{Address: 3, Code: byte(CommandPoll)}), 3, 0); !errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took > 600*time.Millisecond {
			t.Errorf("he held the line for %s", took)
		}
		l.close()
	})
}

// TestLineGone is a line that breaks: it is opened again for the next command.
func TestLineGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opens := 0
		l := &line{baud: 9600, timeout: 200 * time.Millisecond, open: func() (bus.Serial, error) {
			opens++
			ours, theirs := net.Pipe()
			_ = theirs.Close()
			return ours, nil
		}}
		for range 2 {
			if _, err := l.ask(t.Context(), []byte("x"), 3, 0); !errors.Is(err, errLine) || errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "no answer") {
				t.Errorf("%v", err)
			}
		}
		if opens != 2 {
			t.Errorf("opened %d times", opens)
		}
	})
}

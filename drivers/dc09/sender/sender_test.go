package sender

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"watchpost/sim/panel/arc"
	"watchpost/storage/event"
)

// TestReports sends in every format, in clear and encrypted.
func TestReports(t *testing.T) {
	key, raw := keys(t)
	for _, format := range []string{FormatSIA, FormatCID} {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sealed=%v", format, sealed), func(t *testing.T) {
				o := arc.Options{}
				if sealed {
					o.Key = raw
				}
				c := centre(t, o)
				b := newBench(t, c.Address())
				b.o.Format = format
				if sealed {
					b.o.Key = key
				}
				over := alarm()
				over.Qualifier, over.Body = event.QualifierRestore, event.NewBody(event.Text(event.TagReason, "intrusion"), event.Text(event.TagPartition, "house"))
				b.queue.add(alarm(), over)
				b.start()
				wait(t, "both", func() bool { return b.queue.left() == 0 })
				want := []string{"#ABC123|Nri1/BA012", "#ABC123|Nri1/BR012"}
				if format == FormatCID {
					want = []string{"#ABC123|1130 01 012", "#ABC123|3130 01 012"}
				}
				if got := datas(c); !slices.Equal(got, want) || len(c.Frames()) != 2 || len(c.Bad()) != 0 {
					t.Errorf("%q, want %q; bad %v", got, want, c.Bad())
				}
				for i, f := range c.Kept() {
					if f.Seq != i+1 || f.Encrypted != sealed || f.Line != "0" || time.Since(f.Time).Abs() > time.Minute {
						t.Errorf("frame %+v", f)
					}
				}
				if b.diary.told(event.KindCentreLink, event.QualifierRestore, "") != 1 {
					t.Error("the link is not told")
				}
			})
		}
	}
}

// TestFaults are a centre's faults on the second of five reports: every report is kept there once, and in order.
func TestFaults(t *testing.T) {
	key, raw := keys(t)
	for name, c := range map[string]struct {
		deed  arc.Deed
		clear bool // it concerns plain frames, too
		hurts bool // the answer does not count, and the message comes again
	}{
		"ACK lost":              {arc.Lose, true, true},
		"not heard":             {arc.Ignore, true, true},
		"hung up":               {arc.HangUp, true, true},
		"another number":        {arc.WrongSeq, true, true},
		"another account":       {arc.Stranger, true, true},
		"wrong CRC":             {arc.Spoil, true, true},
		"in clear":              {arc.Clear, false, true},
		"another key":           {arc.Forge, false, true},
		"an old answer":         {arc.Old, false, true},
		"noise before, in two":  {arc.Noise, true, false},
		"the same answer twice": {arc.Twice, true, false},
	} {
		for _, sealed := range []bool{false, true} {
			if !sealed && !c.clear {
				continue
			}
			t.Run(fmt.Sprintf("%s/sealed=%v", name, sealed), func(t *testing.T) {
				o := arc.Options{Plan: func(n int, _ arc.Frame) arc.Deed {
					if n == 2 {
						return c.deed
					}
					return arc.Answer
				}}
				if sealed {
					o.Key = raw
				}
				x := centre(t, o)
				b := newBench(t, x.Address())
				if sealed {
					b.o.Key = key
				}
				for range 5 {
					b.queue.add(alarm())
				}
				if c.hurts {
					b.o.Answer = soon
				}
				b.start()
				wait(t, "all five", func() bool { return b.queue.left() == 0 })
				frames := x.Frames()
				if again := len(frames) - 5; c.hurts != (again > 0) || len(x.Kept()) != 5 {
					t.Fatalf("%d frames, %d kept", len(frames), len(x.Kept()))
				}
				for i, f := range x.Kept() {
					if f.Seq != i+1 {
						t.Errorf("report %d has number %d", i, f.Seq)
					}
				}
				for i, f := range frames[1:] {
					if before := frames[i]; f.Seq == before.Seq && (!f.Time.Equal(before.Time) || f.Data != before.Data) {
						t.Errorf("no repeat: %+v, then %+v", before, f)
					}
				}
			})
		}
	}
}

// TestKilled ends the sender between frame and answer again and again: each report is kept once, since number and time outlive it.
func TestKilled(t *testing.T) {
	key, raw := keys(t)
	held := make(chan struct{})
	var hold atomic.Bool
	x := centre(t, arc.Options{Key: raw, Plan: func(int, arc.Frame) arc.Deed {
		if hold.Load() {
			held <- struct{}{}
			return arc.Lose
		}
		return arc.Answer
	}})
	b := newBench(t, x.Address())
	b.o.Key = key
	const rounds = 20
	for range rounds {
		hold.Store(true)
		b.queue.add(alarm())
		b.start()
		<-held // it is kept there, and no answer comes
		b.stop()
		hold.Store(false)
		b.start()
		wait(t, "the report", func() bool { return b.queue.left() == 0 })
		b.stop()
	}
	if len(x.Kept()) != rounds || len(x.Frames()) != 2*rounds {
		t.Errorf("%d kept of %d", len(x.Kept()), len(x.Frames()))
	}
	for i, f := range x.Kept() {
		if f.Seq != i+1 {
			t.Errorf("report %d has number %d", i, f.Seq)
		}
	}
}

// TestClock: the centre's clock is an hour ahead. It is adopted, told, and kept over a restart; the number stays.
func TestClock(t *testing.T) {
	key, raw := keys(t)
	x := centre(t, arc.Options{Key: raw, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	b := newBench(t, x.Address())
	b.o.Key = key
	b.queue.add(alarm())
	b.start()
	wait(t, "the report", func() bool { return b.queue.left() == 0 })
	b.stop()
	b.queue.add(alarm())
	b.start()
	wait(t, "the next", func() bool { return b.queue.left() == 0 })
	f := x.Frames()
	if len(f) != 3 || f[0].Seq != 1 || f[1].Seq != 1 || f[2].Seq != 2 || len(x.Kept()) != 2 {
		t.Fatalf("frames %+v", f)
	}
	if n := b.diary.told(event.KindReportRefused, event.QualifierStatus, "clock"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestForgedClock: a NAK that somebody else has put in makes the true answers look wrong, for one link.
func TestForgedClock(t *testing.T) {
	key, raw := keys(t)
	x := centre(t, arc.Options{Key: raw, Window: 1000 * time.Hour, Plan: func(n int, _ arc.Frame) arc.Deed {
		if n == 1 {
			return arc.Mislead
		}
		return arc.Answer
	}})
	b := newBench(t, x.Address())
	b.o.Key, b.o.Answer = key, soon
	b.queue.add(alarm(), alarm())
	b.start()
	wait(t, "both", func() bool { return b.queue.left() == 0 })
	if f := x.Kept(); len(f) != 2 || f[0].Seq != 1 || time.Since(f[1].Time).Abs() > time.Minute {
		t.Errorf("%+v", f)
	}
}

// TestStaleTime: a receiver that says nothing to an old time gets the message under the same number with a new one, but not before it
// was asked as often as any.
func TestStaleTime(t *testing.T) {
	key, raw := keys(t)
	x := centre(t, arc.Options{Key: raw, Window: 1e6 * time.Hour, Plan: func(_ int, f arc.Frame) arc.Deed {
		if time.Since(f.Time) > time.Minute {
			return arc.Ignore
		}
		return arc.Answer
	}})
	b := newBench(t, x.Address())
	b.o.Key, b.o.Answer = key, soon
	b.memo.text = []byte(`{"v":1,"number":7,"epoch":"0100000000000000","seq":1,"stamp":"2026-01-02T03:04:05Z"}`)
	b.queue.add(alarm())
	b.start()
	wait(t, "the report", func() bool { return b.queue.left() == 0 })
	f := x.Frames()
	if len(f) < 4 || f[0].Time.Year() != 2026 || f[0].Time.Month() != time.January || !f[2].Time.Equal(f[0].Time) || f[3].Seq != 7 || len(x.Kept()) != 1 {
		t.Errorf("%+v over %d links", f, x.Links())
	}
}

// TestTwoAnswersEach: a receiver that answers everything twice is none to be left.
func TestTwoAnswersEach(t *testing.T) {
	x := centre(t, arc.Options{Plan: func(int, arc.Frame) arc.Deed { return arc.Twice }})
	b := newBench(t, x.Address())
	for range 2 * maxWrong {
		b.queue.add(alarm())
	}
	b.start()
	wait(t, "all", func() bool { return b.queue.left() == 0 })
	if x.Links() != 1 || len(x.Frames()) != 2*maxWrong {
		t.Errorf("%d links, %d frames", x.Links(), len(x.Frames()))
	}
}

// TestLunaticClock: a centre that never agrees to the time that it tells gets nothing, and is not asked without a pause.
func TestLunaticClock(t *testing.T) {
	key, raw := keys(t)
	var n atomic.Int64
	x := centre(t, arc.Options{Key: raw, Now: func() time.Time { return time.Now().Add(time.Duration(n.Add(1)) * time.Hour) }})
	b := newBench(t, x.Address())
	b.o.Key = key
	b.queue.add(alarm())
	b.start()
	wait(t, "the word that the clock is wrong", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierNew, "clock") == 1 })
	b.stop()
	if b.queue.left() != 1 || len(x.Kept()) != 0 {
		t.Error("the report is done")
	}
}

// TestRefused: one report that the centre will not take is tried three times, told once, and does not hold up the others.
func TestRefused(t *testing.T) {
	key, raw := keys(t)
	x := centre(t, arc.Options{Key: raw, Plan: func(_ int, f arc.Frame) arc.Deed {
		if f.Seq == 2 || f.Seq == 4 {
			return arc.Refuse
		}
		return arc.Answer
	}})
	b := newBench(t, x.Address())
	b.o.Key = key
	duress := alarm()
	duress.Kind, duress.Body = event.KindDuress, event.NewBody(event.Text(event.TagWho, "li"), event.Text(event.TagPartition, "house"))
	b.queue.add(alarm(), alarm(), alarm(), duress, alarm())
	b.start()
	wait(t, "all", func() bool { return b.queue.left() == 0 })
	if len(x.Frames()) != 3+2*maxDUHs || len(x.Kept()) != 3 || x.Links() != 1 {
		t.Errorf("%d frames, %d kept, %d links", len(x.Frames()), len(x.Kept()), x.Links())
	}
	if n := b.diary.told(event.KindReportRefused, event.QualifierNew, "duh"); n != 1 {
		t.Errorf("told %d times: once for the alarm, never for the duress", n)
	}
}

// TestStrangersWait: to an account that the centre does not know everything is refused, even supervision. Nothing is given up.
func TestStrangersWait(t *testing.T) {
	x := centre(t, arc.Options{Account: "9999"})
	b := newBench(t, x.Address())
	b.o.Supervision = time.Hour
	b.queue.add(alarm())
	b.start()
	wait(t, "a second link", func() bool { return x.Links() > 1 })
	b.stop()
	if b.queue.left() != 1 || b.diary.told(event.KindCentreLink, event.QualifierNew, "refused") != 1 || len(b.diary.drafts) != 1 {
		t.Errorf("left %d, told %+v", b.queue.left(), b.diary.drafts)
	}
	if r := b.Snapshot(); len(r) != 1 || r[0].State != "down" || r[0].Name != "receiver/arc" {
		t.Errorf("%+v", r)
	}
}

// TestChatter: a receiver that talks on without being asked is hung up on, also while there is nothing to report.
func TestChatter(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	b := newBench(t, l.Addr().String())
	b.start()
	for range 2 { // it comes back, and is no more patient
		conn, err := l.Accept()
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		for err == nil {
			_, err = conn.Write([]byte("\n59890012\"ACK\"0000L0#1409[]\r"))
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it listens for ever")
		}
		must(t, conn.Close())
	}
	wait(t, "the loss being told", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierNew, "answers") == 1 })
}

// TestSupervision: a quiet link says NULL, and a centre that falls silent is told as lost and, later, as back.
func TestSupervision(t *testing.T) {
	key, raw := keys(t)
	var dumb atomic.Bool
	x := centre(t, arc.Options{Key: raw, Plan: func(int, arc.Frame) arc.Deed {
		if dumb.Load() {
			return arc.Ignore
		}
		return arc.Answer
	}})
	b := newBench(t, x.Address())
	b.o.Key, b.o.Supervision, b.o.Answer = key, 5*time.Millisecond, soon
	b.start()
	wait(t, "NULLs", func() bool { return len(x.Frames()) > 5 })
	dumb.Store(true)
	wait(t, "the loss", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierNew, "silent") == 1 })
	dumb.Store(false)
	wait(t, "the return", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierRestore, "") == 2 })
	b.stop()
	for _, f := range x.Frames() {
		if f.ID != "NULL" || f.Seq != 0 || f.Data != "" || !f.Encrypted {
			t.Fatalf("%+v", f)
		}
	}
	if len(b.diary.drafts) != 3 {
		t.Errorf("told %d times", len(b.diary.drafts))
	}
}

// TestCutInTheMiddle: the network ends while frames are under way, again and again.
func TestCutInTheMiddle(t *testing.T) {
	key, raw := keys(t)
	x := centre(t, arc.Options{Key: raw})
	b := newBench(t, x.Address())
	b.o.Key = key
	const count = 200
	for range count {
		b.queue.add(alarm())
	}
	b.start()
	for b.queue.left() > 0 {
		before := b.queue.left()
		x.Drop()
		wait(t, "progress", func() bool { return b.queue.left() < before || b.queue.left() == 0 })
	}
	kept := x.Kept()
	if len(kept) != count {
		t.Fatalf("%d kept of %d", len(kept), count)
	}
	for i, f := range kept {
		if f.Seq != i+1 {
			t.Fatalf("report %d has number %d", i, f.Seq)
		}
	}
}

// TestSlow: an answer that comes after the message was sent again counts, and the second one harms nothing.
func TestSlow(t *testing.T) {
	held := make(chan struct{})
	x := centre(t, arc.Options{Plan: func(n int, _ arc.Frame) arc.Deed {
		if n == 1 {
			<-held
		}
		return arc.Answer
	}})
	b := newBench(t, x.Address())
	b.o.Answer, b.o.Tries = soon, 1000
	b.queue.add(alarm(), alarm())
	b.start()
	wait(t, "a repeat to be due", func() bool { return len(x.Frames()) == 1 })
	close(held)
	wait(t, "both", func() bool { return b.queue.left() == 0 })
	if len(x.Kept()) != 2 || x.Links() != 1 {
		t.Errorf("%d kept, %d links", len(x.Kept()), x.Links())
	}
}

// TestNumbersWrap: 9999 is followed by 0001.
func TestNumbersWrap(t *testing.T) {
	x := centre(t, arc.Options{})
	b := newBench(t, x.Address())
	b.memo.text = []byte(`{"v":1,"number":9998}`)
	b.queue.add(alarm(), alarm(), alarm())
	b.start()
	wait(t, "all", func() bool { return b.queue.left() == 0 })
	var numbers []int
	for _, f := range x.Kept() {
		numbers = append(numbers, f.Seq)
	}
	if !slices.Equal(numbers, []int{9999, 1, 2}) {
		t.Errorf("numbers %v", numbers)
	}
}

// TestMemoLost: a memo that cannot be read, or not be written, stops no alarm.
func TestMemoLost(t *testing.T) {
	for _, text := range []string{"", "{", `{"v":2}`, `{"v":1,"number":10000}`, `{"v":1,"number":-1}`} {
		x := centre(t, arc.Options{})
		b := newBench(t, x.Address())
		b.memo.text = []byte(text)
		b.queue.add(alarm())
		s, err := New(b.o)
		must(t, err)
		if s.mem.Number != 0 {
			t.Errorf("%q: number %d", text, s.mem.Number)
		}
		b.start()
		b.memo.mu.Lock()
		b.memo.fault = errors.New("disk full")
		b.memo.mu.Unlock()
		b.queue.add(alarm())
		wait(t, "both", func() bool { return b.queue.left() == 0 })
		b.stop()
	}
	b := newBench(t, "127.0.0.1:1")
	b.memo.fault = errors.New("no such disk")
	if _, err := New(b.o); err == nil {
		t.Error("a memo that cannot be asked for is passed over")
	}
}

// TestFullDisk: what is stored is sent although it cannot be noted that it was, each report once and over one link.
func TestFullDisk(t *testing.T) {
	x := centre(t, arc.Options{})
	b := newBench(t, x.Address())
	b.queue.full = errors.New("no space left on device")
	b.queue.add(alarm(), alarm(), alarm())
	b.start()
	wait(t, "all", func() bool { return b.queue.left() == 0 })
	b.stop()
	if len(x.Frames()) != 3 || x.Links() != 1 {
		t.Errorf("%d frames, %d links", len(x.Frames()), x.Links())
	}
}

// TestLogUnread: a log that cannot be read is told, and asked again.
func TestLogUnread(t *testing.T) {
	x := centre(t, arc.Options{})
	b := newBench(t, x.Address())
	b.queue.broken = errors.New("input/output error")
	b.queue.add(alarm())
	b.start()
	wait(t, "the word", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierNew, "") == 1 })
	b.queue.mu.Lock()
	b.queue.broken = nil
	b.queue.mu.Unlock()
	wait(t, "the report", func() bool { return b.queue.left() == 0 })
}

func TestOptions(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no id":            func(o *Options) { o.ID = "" },
		"no queue":         func(o *Options) { o.Queue = nil },
		"no memo":          func(o *Options) { o.Memo = nil },
		"transport":        func(o *Options) { o.Transport = "udp" },
		"public address":   func(o *Options) { o.Address = "192.0.2.1:5093" },
		"a name":           func(o *Options) { o.Address = "localhost:5093" },
		"no port":          func(o *Options) { o.Address = "127.0.0.1" },
		"TLS without port": func(o *Options) { o.Transport, o.Address = TransportTLS, "arc.example" },
		"short account":    func(o *Options) { o.Account = "12" },
		"account":          func(o *Options) { o.Account = "12G4" },
		"line":             func(o *Options) { o.Line = "1234567" },
		"receiver":         func(o *Options) { o.Receiver = "x" },
		"format":           func(o *Options) { o.Format = "xsia" },
		"class":            func(o *Options) { o.Events = []string{"alarms"} },
		"negative":         func(o *Options) { o.Answer = -1 },
		"back-off":         func(o *Options) { o.BackOff = time.Hour },
		"tries":            func(o *Options) { o.Tries = -1 },
	} {
		o := newBench(t, "127.0.0.1:5093").o
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no complaint", name)
		}
	}
	for address, ok := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "10.1.2.3:1": true, "192.168.1.1:1": true, "172.16.0.1:1": true, "169.254.1.1:1": true,
		"[fe80::1%eth0]:1": true, "[fd00::1]:1": true, "[::ffff:10.0.0.1]:1": true,
		"8.8.8.8:1": false, "100.64.0.1:1": false, "[2001:db8::1]:1": false, "0.0.0.0:1": false, "[::ffff:8.8.8.8]:1": false, "224.0.0.1:1": false,
	} {
		if err := Local(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

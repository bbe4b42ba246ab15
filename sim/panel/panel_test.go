package panel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

const patience = 10 * time.Second

// centre is a receiver whose answers the test decides.
type centre struct {
	t      *testing.T
	to     string
	answer func(n int, f got) []string // bodies of answers, "" closes the connection

	mu     sync.Mutex // guards frames
	frames []got
	reads  [][]byte
}

// got is a frame as the receiver saw it.
type got struct {
	raw    string
	answer Answer // the header reads like that of an answer
	plain  string // behind "[", decrypted
}

// listenTCP starts a receiver; it ends with the test.
func listenTCP(t *testing.T, key []byte, answer func(n int, f got) []string) *centre {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &centre{t: t, to: "tcp://" + ln.Addr().String(), answer: answer}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(conn, key) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
		goleak.VerifyNone(t, leaks)
	})
	return c
}

func (c *centre) serve(conn net.Conn, key []byte) {
	defer func() { _ = conn.Close() }()
	buf, n := make([]byte, 1<<16), 0
	for {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return
		}
		k, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		c.mu.Lock()
		c.reads = append(c.reads, bytes.Clone(buf[n:n+k]))
		c.mu.Unlock()
		frames, rest := cutFrames(buf[:n+k], 0)
		for _, frame := range frames {
			for _, body := range c.take(frame, key) {
				if body == "" {
					return
				}
				if _, err := conn.Write([]byte("\n" + head(body) + body + "\r")); err != nil {
					return
				}
			}
		}
		n = copy(buf, rest)
	}
}

// take notes a frame and asks the test for the answer.
func (c *centre) take(frame, key []byte) []string {
	a, err := ParseAnswer(frame, key)
	if err != nil {
		c.t.Errorf("the receiver got %q: %v", frame, err)
		return nil
	}
	_, tail, _ := strings.Cut(string(frame), "[")
	tail = strings.TrimSuffix(tail, "\r")
	if a.Encrypted {
		if tail, err = open(key, tail); err != nil {
			c.t.Errorf("decrypting: %v", err)
		}
	}
	f := got{string(frame), a, tail}
	c.mu.Lock()
	n := len(c.frames)
	c.frames = append(c.frames, f)
	c.mu.Unlock()
	return c.answer(n, f)
}

func (c *centre) seen() []got {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]got(nil), c.frames...)
}

// ack is the plain acknowledgement of a frame.
func ack(f got) string {
	receiver := ""
	if f.answer.Receiver != "" {
		receiver = "R" + f.answer.Receiver
	}
	return fmt.Sprintf(`"ACK"%04d%sL%s#%s[]`, f.answer.Seq, receiver, f.answer.Line, f.answer.Account)
}

func always(_ int, f got) []string { return []string{ack(f)} }

// sealed is an encrypted acknowledgement.
func sealed(t *testing.T, f got, key []byte, now time.Time) string {
	t.Helper()
	text, err := seal(key, strings.NewReader(strings.Repeat("p", 16)), "|]"+now.UTC().Format(timestamp))
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf(`"*ACK"%04dL%s#%s[%s`, f.answer.Seq, f.answer.Line, f.answer.Account, text)
}

// fast are options for a test: short waits, an account, a record.
func fast(to string, count int) (Options, *bytes.Buffer) {
	var record bytes.Buffer
	return Options{To: to, Account: "1234", Count: count, Retry: 50 * time.Millisecond, BackOff: time.Millisecond, MaxBackOff: 5 * time.Millisecond, Record: &record}, &record
}

// run lets a panel report all it has to.
func run(t *testing.T, o Options) Totals {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("not finished in time: %+v", p.Totals())
	}
	return p.Totals()
}

func TestReportsOneAfterTheOther(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, record := fast(c.to, 300)
	o.Receiver, o.Line, o.Codes = "1F", "A0", []string{"BA", "BR"}
	if got, want := run(t, o), (Totals{Sent: 300, Acked: 300, Connects: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	lines := strings.Split(strings.TrimSpace(record.String()), "\n")
	if len(lines) != 600 {
		t.Fatalf("%d lines of record, want 600", len(lines))
	}
	for i, f := range c.seen() {
		n := i + 1
		code := o.Codes[i%2]
		data := fmt.Sprintf("#1234|Nri1/%s%03d^WP-%06d^", code, i%16+1, n)
		if !strings.HasPrefix(f.plain, data+"]_") || f.answer.Seq != n || f.answer.Receiver != "1F" || f.answer.Line != "A0" {
			t.Fatalf("frame %d is %q", n, f.raw)
		}
		if want := fmt.Sprintf("sent %d %04d 1234 SIA-DCS %s", n, n, data); lines[2*i] != want {
			t.Fatalf("record %q, want %q", lines[2*i], want)
		}
		if want := fmt.Sprintf("acked %d %04d", n, n); lines[2*i+1] != want {
			t.Fatalf("record %q, want %q", lines[2*i+1], want)
		}
	}
}

func TestContactID(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 3)
	o.Format, o.First, o.Codes = FormatCID, 998, []string{"1130", "3130"}
	run(t, o)
	for i, want := range []string{"#1234|1130 01 998]", "#1234|3130 01 999]", "#1234|1130 02 001]"} {
		if f := c.seen()[i]; f.answer.ID != idCID || !strings.HasPrefix(f.plain, want) {
			t.Errorf("frame %q, want %s", f.raw, want)
		}
	}
}

func TestSequenceWraps(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 3)
	o.First = 9998
	run(t, o)
	for i, want := range []int{9998, 9999, 1} {
		if got := c.seen()[i].answer.Seq; got != want {
			t.Errorf("sequence %d, want %d", got, want)
		}
	}
}

// An unanswered frame comes again, unchanged, on the same connection and on new ones.
func TestUnansweredFrameIsRepeated(t *testing.T) {
	c := listenTCP(t, nil, func(n int, f got) []string {
		switch n {
		case 1, 3:
			return nil
		case 5, 6, 7:
			return []string{""}
		}
		return always(n, f)
	})
	o, record := fast(c.to, 4)
	totals := run(t, o)
	if totals.Sent != 4 || totals.Acked != 4 || totals.Retransmitted != 5 || totals.Connects != 4 {
		t.Errorf("%+v", totals)
	}
	different := map[string]bool{}
	for _, f := range c.seen() {
		different[f.raw] = true
	}
	if len(c.seen()) != 9 || len(different) != 4 {
		t.Errorf("%d frames, %d different, want 9 and 4", len(c.seen()), len(different))
	}
	if n := strings.Count(record.String(), "sent "); n != 4 {
		t.Errorf("%d frames are recorded as sent, want 4", n)
	}
}

// A receiver that takes frames and never answers is left for a new connection.
func TestSilentReceiverIsLeft(t *testing.T) {
	c := listenTCP(t, nil, func(n int, f got) []string {
		if n < maxTries {
			return nil
		}
		return always(n, f)
	})
	o, _ := fast(c.to, 1)
	o.Retry = 5 * time.Millisecond
	if got := run(t, o); got.Connects < 2 || got.Acked != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAnswersThatDoNotCount(t *testing.T) {
	c := listenTCP(t, nil, func(n int, f got) []string {
		right := ack(f)
		return []string{
			strings.Replace(right, "#1234", "#1235", 1),
			strings.Replace(right, "0001", "0002", 1),
			strings.Replace(right, "L0", "L1", 1),
			strings.Replace(right, "L0", "R1L0", 1),
			strings.Replace(right, "ACK", "RSP", 1),
			"no frame",
			right,
			right,
		}
	})
	o, _ := fast(c.to, 1)
	if got := run(t, o); got.Stray != 5 || got.Bad != 1 || got.Acked != 1 {
		t.Errorf("%+v", got)
	}
}

func TestEncryptedReports(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		key := bytes.Repeat([]byte{7}, size)
		c := listenTCP(t, key, func(n int, f got) []string {
			// A plain ACK to an encrypted frame is nobody's.
			return []string{ack(f), sealed(t, f, key, time.Now())}
		})
		o, _ := fast(c.to, 20)
		o.Key = key
		if got := run(t, o); got.Acked != 20 || got.Stray != 20 {
			t.Errorf("%+v", got)
		}
		for i, f := range c.seen() {
			if !f.answer.Encrypted || !strings.Contains(f.plain, Mark(i+1)) || time.Since(f.answer.Time).Abs() > patience {
				t.Errorf("frame %q holds %q", f.raw, f.plain)
			}
		}
	}
}

// The clock is an hour slow; the receiver says so once and then takes all.
func TestNAKSetsTheClock(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	c := listenTCP(t, key, func(n int, f got) []string {
		if time.Since(f.answer.Time).Abs() > 20*time.Second {
			return []string{`"NAK"0000R0L0A0[]` + time.Now().UTC().Format(timestamp)}
		}
		return []string{sealed(t, f, key, time.Now())}
	})
	o, _ := fast(c.to, 30)
	o.Key, o.Skew, o.Window, o.Retry = key, -time.Hour, 5, time.Second
	got := run(t, o)
	if got.Acked != 30 || got.NAKs != 5 || got.Retransmitted != 5 {
		t.Errorf("%+v, want 5 NAKs for the window and 5 frames again", got)
	}
}

func TestDUHIsTriedAgain(t *testing.T) {
	c := listenTCP(t, nil, func(n int, f got) []string {
		if n < 2 {
			return []string{strings.Replace(ack(f), "ACK", "DUH", 1)}
		}
		return always(n, f)
	})
	o, _ := fast(c.to, 1)
	if got := run(t, o); got.DUHs != 2 || got.Acked != 1 {
		t.Errorf("%+v", got)
	}
}

// A window of frames is in flight at once, and answers may come in any order.
func TestWindow(t *testing.T) {
	var waiting []string
	c := listenTCP(t, nil, func(n int, f got) []string {
		waiting = append([]string{ack(f)}, waiting...)
		if len(waiting) < 20 {
			return nil
		}
		all := waiting
		waiting = nil
		return all
	})
	o, _ := fast(c.to, 200)
	o.Window, o.Retry = 20, time.Second
	if got := run(t, o); got.Acked != 200 || got.Retransmitted != 0 {
		t.Errorf("%+v", got)
	}
}

func TestFramesShareASegment(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 40)
	o.Window, o.Coalesce = 20, 20
	run(t, o)
	if n := bytes.Count(c.reads[0], []byte("\r")); n != 20 {
		t.Errorf("the first read has %d frames, want 20", n)
	}
}

func TestFramesComeInTwoParts(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 3)
	o.Split = 7
	if got := run(t, o); got.Retransmitted != 0 {
		t.Errorf("%+v", got)
	}
	if len(c.reads[0]) != 7 {
		t.Errorf("the first read has %d bytes, want 7", len(c.reads[0]))
	}
}

func TestUDPRepeatsWhatIsLost(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	c := &centre{t: t, answer: always}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for i := 0; ; i++ {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			bodies := c.take(buf[:n], nil)
			if i%3 == 1 { // this one is lost on its way back
				continue
			}
			for _, body := range bodies {
				if _, err := pc.WriteTo([]byte("\n"+head(body)+body+"\r"), from); err != nil {
					return
				}
			}
		}
	})
	o, _ := fast("udp://"+pc.LocalAddr().String(), 12)
	o.Retry, o.Window, o.Coalesce = 20*time.Millisecond, 3, 3
	got := run(t, o)
	_ = pc.Close()
	wg.Wait()
	if got.Acked != 12 || got.Retransmitted < 4 || got.Connects != 1 {
		t.Errorf("%+v", got)
	}
}

func TestReceiverComesLater(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := fast("tcp://"+ln.Addr().String(), 1)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Run(ctx); err != nil || p.Totals() != (Totals{}) {
		t.Errorf("without a receiver: %v, %+v", err, p.Totals())
	}
}

func TestRaiseAndPoll(t *testing.T) {
	polled, reported := make(chan struct{}, 100), make(chan string, 100)
	c := listenTCP(t, nil, func(n int, f got) []string {
		if f.answer.ID == idNull {
			polled <- struct{}{}
		} else {
			reported <- f.plain
		}
		return always(n, f)
	})
	o, record := fast(c.to, 0)
	o.Poll = 5 * time.Millisecond
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	var group errgroup.Group
	group.Go(func() error { return p.Run(ctx) })
	<-polled
	if err := p.Raise(ctx, Report{Code: "PA", Zone: "007", Text: "village office"}); err != nil {
		t.Fatal(err)
	}
	if got := <-reported; !strings.HasPrefix(got, "#1234|Nri1/PA007^WP-000001 village office^]") {
		t.Errorf("reported %q", got)
	}
	<-polled // the wire is quiet again: the report was acknowledged
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Contains(record.String(), "NULL") || strings.Count(record.String(), "\n") != 2 {
		t.Errorf("record %q", record.String())
	}
	for want, r := range map[string]Report{"leave out": {Text: "a|b"}, "two capital": {Code: "pa"}} {
		if err := p.Raise(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestRate(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 20)
	o.Rate, o.Window = 100, 20
	start := time.Now()
	run(t, o)
	if took := time.Since(start); took < 180*time.Millisecond {
		t.Errorf("20 reports at 100 a second took %v", took)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestRecordThatCannotBeWrittenEndsTheRun(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 1)
	o.Record = full{}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Run: %v", err)
	}
	if len(c.seen()) != 0 {
		t.Error("a frame was sent that is not recorded")
	}
}

// One line of record is one write: a killed process leaves no half lines behind.
func TestRecordIsWrittenLineByLine(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 5)
	var writes lines
	o.Record = &writes
	run(t, o)
	if len(writes) != 10 {
		t.Fatalf("%d writes, want 10", len(writes))
	}
	for _, w := range writes {
		if !strings.HasSuffix(w, "\n") || strings.Count(w, "\n") != 1 {
			t.Errorf("a write of %q", w)
		}
	}
}

type lines []string

func (l *lines) Write(b []byte) (int, error) {
	*l = append(*l, string(b))
	return len(b), nil
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{To: "tcp://127.0.0.1:1", Account: "1234"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"tcp://HOST:PORT": func(o *Options) { o.To = "127.0.0.1:1" },
		"missing port":    func(o *Options) { o.To = "udp://host" },
		"account":         func(o *Options) { o.Account = "12" },
		"line":            func(o *Options) { o.Line = "G" },
		"receiver \"":     func(o *Options) { o.Receiver = "1234567" },
		"format":          func(o *Options) { o.Format = "xsia" },
		"window":          func(o *Options) { o.Window = maxWindow + 1 },
		"least value":     func(o *Options) { o.Count = -1 },
		"negative":        func(o *Options) { o.Retry = -1 },
		"two capital":     func(o *Options) { o.Codes = []string{"1130"} },
		"qualifier":       func(o *Options) { o.Format, o.Codes = FormatCID, []string{"BA"} },
		"16, 24 or 32":    func(o *Options) { o.Key = make([]byte, 15) },
		"98901":           func(o *Options) { o.Format, o.Count = FormatCID, 98902 },
		"999999":          func(o *Options) { o.Count = 1000000 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func BenchmarkReport(b *testing.B) {
	for _, window := range []int{1, 50} {
		b.Run(fmt.Sprint("window ", window), func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			c := &centre{answer: always}
			var wg sync.WaitGroup
			wg.Go(func() {
				conn, err := ln.Accept()
				if err == nil {
					c.serve(conn, nil)
				}
			})
			p, err := New(Options{To: "tcp://" + ln.Addr().String(), Account: "1234", Count: min(b.N, maxSIA), Window: window, Record: io.Discard})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			if err := p.Run(b.Context()); err != nil {
				b.Fatal(err)
			}
			_ = ln.Close()
			wg.Wait()
		})
	}
}

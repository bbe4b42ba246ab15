package sender

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/drivers/dc09"
	"watchpost/sim/panel/arc"
	"watchpost/storage/event"
)

// authority makes a certificate of its own for the loopback, and leaves its PEM in a directory.
func authority(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	must(t, os.WriteFile(filepath.Join(dir, name+".pem"), own, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, name+"-key.pem"), private, 0o600))
	pair, err := tls.X509KeyPair(own, private)
	must(t, err)
	return pair
}

// TestTLS reports to a receiver that wants a certificate, with faults on the way; one that another vouches for hears nothing.
func TestTLS(t *testing.T) {
	key, raw := keys(t)
	dir := t.TempDir()
	theirs, _ := authority(t, dir, "arc"), authority(t, dir, "station")
	clients := x509.NewCertPool()
	ours, err := os.ReadFile(filepath.Join(dir, "station.pem"))
	must(t, err)
	clients.AppendCertsFromPEM(ours)
	x := centre(t, arc.Options{Key: raw, TLS: &tls.Config{Certificates: []tls.Certificate{theirs}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert},
		Plan: func(n int, _ arc.Frame) arc.Deed {
			return map[int]arc.Deed{2: arc.HangUp, 4: arc.Lose, 6: arc.Noise}[n]
		}})
	b := newBench(t, x.Address())
	b.o.Transport, b.o.Key, b.o.Answer = TransportTLS, key, 4*soon
	b.o.CA, b.o.Cert, b.o.PrivateKey = filepath.Join(dir, "station.pem"), filepath.Join(dir, "station.pem"), filepath.Join(dir, "station-key.pem")
	b.queue.add(alarm(), alarm(), alarm(), alarm())
	b.start()
	wait(t, "the word that nobody vouches for it", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierNew, "network") == 1 })
	b.stop()
	if len(x.Frames()) != 0 {
		t.Fatal("a stranger was sent a frame")
	}
	b.o.CA = filepath.Join(dir, "arc.pem")
	b.start()
	wait(t, "all", func() bool { return b.queue.left() == 0 })
	if len(x.Kept()) != 4 {
		t.Errorf("%d kept", len(x.Kept()))
	}
}

// TestFilesMayComeLater: certificates that are not there yet, or no certificates, are told and read again.
func TestFilesMayComeLater(t *testing.T) {
	dir := t.TempDir()
	theirs := authority(t, dir, "arc")
	x := centre(t, arc.Options{TLS: &tls.Config{Certificates: []tls.Certificate{theirs}}})
	b := newBench(t, x.Address())
	b.o.Transport, b.o.CA = TransportTLS, filepath.Join(dir, "later.pem")
	b.o.Cert, b.o.PrivateKey = filepath.Join(dir, "own.pem"), filepath.Join(dir, "own-key.pem")
	b.queue.add(alarm())
	b.start()
	why := func(text string) {
		t.Helper()
		wait(t, text, func() bool { return strings.Contains(b.Snapshot()[0].Text, text) })
	}
	why("who may vouch")
	must(t, os.WriteFile(b.o.CA, []byte("no PEM"), 0o600))
	why("holds no certificate")
	good, err := os.ReadFile(filepath.Join(dir, "arc.pem"))
	must(t, err)
	must(t, os.WriteFile(b.o.CA+".new", good, 0o600))
	must(t, os.Rename(b.o.CA+".new", b.o.CA))
	why("own.pem")
	authority(t, dir, "own")
	wait(t, "the report", func() bool { return b.queue.left() == 0 })
}

// listener is a receiver made by hand: it hands each connection to one function, in turn.
func listener(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return l.Addr().String()
}

// TestReceiversThatAreNone: what answers with a flood of junk, or of frames that answer nothing, is left, told once, and given nothing up.
func TestReceiversThatAreNone(t *testing.T) {
	wrongAnswer := wireOf(`"ACK"0000L0#FFF[]`)
	for name, c := range map[string]struct {
		flood  string
		reason string
	}{
		"junk":          {strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 4096), "answers"},
		"wrong answers": {strings.Repeat(wrongAnswer, 1000), "answers"},
		"a quick end":   {"", "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			address := listener(t, func(conn net.Conn) {
				if c.flood == "" {
					return
				}
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, c.flood)
				_, _ = io.Copy(io.Discard, conn)
			})
			b := newBench(t, address)
			b.o.Answer = time.Second
			b.queue.add(alarm())
			b.start()
			wait(t, "the word", func() bool { return b.diary.told(event.KindCentreLink, event.QualifierNew, "") == 1 })
			b.stop()
			if b.queue.left() != 1 || b.diary.told(event.KindCentreLink, event.QualifierNew, c.reason) != 1 {
				t.Errorf("left %d, told %+v", b.queue.left(), b.diary.drafts)
			}
		})
	}
}

// wireOf is a frame with this body, composed by hand.
func wireOf(body string) string {
	var sum uint16
	for _, c := range []byte(body) {
		sum ^= uint16(c)
		for range 8 {
			odd := sum & 1
			if sum >>= 1; odd == 1 {
				sum ^= 0xA001
			}
		}
	}
	return fmt.Sprintf("\n%04X0%03X%s\r", sum, len(body), body)
}

// TestOurReceiverTakesIt is the second opinion: the station's own receiver reads what its transmitter says, as the same events.
func TestOurReceiverTakesIt(t *testing.T) {
	key, _ := keys(t)
	for _, format := range []string{FormatSIA, FormatCID} {
		var mu sync.Mutex
		var got []event.Draft
		bound := make(chan string, 1)
		r, err := dc09.New(dc09.Options{TCP: "127.0.0.1:0", Accounts: []dc09.Account{{ID: "ABC123", Key: key}}, Listening: func(a net.Addr) { bound <- a.String() }})
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			if err := r.Run(ctx, func(_ context.Context, d event.Draft) error {
				mu.Lock()
				defer mu.Unlock()
				if d.Kind != event.KindPanelLink {
					got = append(got, d)
				}
				return nil
			}); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		t.Cleanup(func() { cancel(); running.Wait() })
		b := newBench(t, <-bound)
		b.o.Key, b.o.Format, b.o.Supervision = key, format, time.Hour
		over := alarm()
		over.Qualifier = event.QualifierRestore
		opened := told(event.KindPartitionChanged, event.QualifierStatus, "", "partition=house", "state=disarmed", "previous=armed_away", "who=li")
		opened.At = time.Now()
		b.queue.add(alarm(), over, opened)
		b.start()
		wait(t, "all", func() bool { return b.queue.left() == 0 })
		b.stop()
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 3 {
			t.Fatalf("%s: %+v", format, got)
		}
		for i, want := range []struct {
			zone, user string
			q          event.Qualifier
			s          event.Severity
		}{
			{"ABC123/012", "", event.QualifierNew, event.SeverityAlarm}, {"ABC123/012", "", event.QualifierRestore, event.SeverityNotice},
			{"", "5", event.QualifierNew, event.SeverityNotice},
		} {
			d := got[i]
			user, _ := d.Body.Text(event.TagUser)
			if d.Kind != event.KindPanelEvent || d.Zone != want.zone || strings.TrimLeft(user, "0") != want.user || d.Qualifier != want.q || d.Severity != want.s {
				t.Errorf("%s: %+v, want %+v", format, d, want)
			}
		}
	}
}

// FuzzAnswer throws bytes at what judges answers: an ACK counts only if our own codec reads it as one of this message.
func FuzzAnswer(f *testing.F) {
	key, err := dc09.KeyHex(keyHex)
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{`"ACK"0042R1L0#ABC123[]`, `"DUH"0042L0#ABC123[]`, `"NAK"0000R0L0A0[]_16:20:01,09-24-2025`, `"ACK"0000L0#1409[]`, `"ACK"0042NoneL0#ABC123[]`} {
		f.Add([]byte(wireOf(body)), false)
	}
	f.Add([]byte("\n54140056\"*ACK\"0042R1L0#ABC123[D5311599058179C14C8E55739B44A51F04B7FFE8476E4072FDEB650D6AB43A21\r"), true)
	f.Fuzz(func(t *testing.T, wire []byte, sealed bool) {
		k, now := key, time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC)
		if !sealed {
			k = nil
		}
		m := dc09.Message{ID: "SIA-DCS", Number: 42, Receiver: "1", Line: "0", Account: "ABC123", Time: now}
		before := bytes.Clone(wire)
		v, at := judge(wire, &m, k, now, time.Minute)
		if !bytes.Equal(before, wire) {
			t.Fatal("the frame was written to")
		}
		if (v == late) == at.IsZero() {
			t.Fatalf("verdict %d with time %s", v, at)
		}
		if v == taken && (!bytes.Contains(wire, []byte(`ACK"0042`)) || !bytes.Contains(bytes.ToUpper(wire), []byte("#ABC123[")) || bytes.Contains(wire, []byte(`"*`)) != sealed) {
			t.Fatalf("%q is taken for the ACK", wire)
		}
	})
}

// TestAnswersOfTheVectors: the vectors' own encrypted ACK counts within its window, and as the answer to its own message only.
func TestAnswersOfTheVectors(t *testing.T) {
	key, _ := keys(t)
	at := time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC)
	ack := []byte("\n54140056\"*ACK\"0042R1L0#ABC123[D5311599058179C14C8E55739B44A51F04B7FFE8476E4072FDEB650D6AB43A21\r")
	nak := []byte(wireOf(`"NAK"0000R0L0A0[]_16:20:01,09-24-2025`))
	m := dc09.Message{Number: 42, Account: "abc123"}
	for name, c := range map[string]struct {
		wire []byte
		m    dc09.Message
		key  *dc09.Key
		now  time.Time
		want verdict
	}{
		"well":            {ack, m, key, at, taken},
		"late":            {ack, m, key, at.Add(time.Minute), taken},
		"too late":        {ack, m, key, at.Add(time.Minute + time.Second), wrong},
		"too early":       {ack, m, key, at.Add(-time.Minute - time.Second), wrong},
		"without a key":   {ack, m, nil, at, wrong},
		"another number":  {ack, dc09.Message{Number: 43, Account: "ABC123"}, key, at, wrong},
		"another account": {ack, dc09.Message{Number: 42, Account: "ABC124"}, key, at, wrong},
		"NAK":             {nak, m, key, at, late},
		"DUH":             {[]byte(wireOf(`"DUH"0042L0#ABC123[]`)), m, key, at, refused},
		"DUH of another":  {[]byte(wireOf(`"DUH"0041L0#ABC123[]`)), m, key, at, wrong},
		"plain ACK":       {[]byte(wireOf(`"ACK"0042L0#ABC123[]`)), m, key, at, wrong},
		"plain ACK asked": {[]byte(wireOf(`"ACK"0042L0#ABC123[]`)), m, nil, at, taken},
		"its own message": {[]byte(wireOf(`"SIA-DCS"0042L0#ABC123[]`)), m, nil, at, wrong},
	} {
		if v, told := judge(c.wire, &c.m, c.key, c.now, time.Minute); v != c.want || v == late && !told.Equal(time.Date(2025, 9, 24, 16, 20, 1, 0, time.UTC)) {
			t.Errorf("%s: %d, %s; want %d", name, v, told, c.want)
		}
	}
}

// BenchmarkReport is one encrypted report over the loopback, from the queue to its ACK, with a memo in memory.
func BenchmarkReport(b *testing.B) {
	key, raw := keys(b)
	x := centre(b, arc.Options{Key: raw})
	s := newBench(b, x.Address())
	s.o.Key = key
	list := make([]event.Event, b.N)
	for i := range list {
		list[i] = alarm()
	}
	s.queue.add(list...)
	b.ResetTimer()
	s.start()
	wait(b, "all", func() bool { return s.queue.left() == 0 })
	b.StopTimer()
	s.stop()
	if len(x.Frames()) != b.N {
		b.Fatalf("%d frames for %d reports", len(x.Frames()), b.N)
	}
}

// BenchmarkJudge is one encrypted answer.
func BenchmarkJudge(b *testing.B) {
	key, err := dc09.KeyHex(keyHex)
	must(b, err)
	ack := []byte("\n54140056\"*ACK\"0042R1L0#ABC123[D5311599058179C14C8E55739B44A51F04B7FFE8476E4072FDEB650D6AB43A21\r")
	m, now := dc09.Message{Number: 42, Account: "ABC123"}, time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		if v, _ := judge(ack, &m, key, now, time.Minute); v != taken {
			b.Fatal(v)
		}
	}
}

package panel

import (
	"bytes"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// victim is a receiver that keeps what it is sent, by connection or by source, and answers every read.
type victim struct {
	to string

	mu  sync.Mutex // guards the field below
	got map[string][]byte
}

func (v *victim) take(from string, b []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.got[from] = append(v.got[from], b...)
}

// all is what came, over all connections.
func (v *victim) all() (all []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range v.got {
		all = append(all, b...)
	}
	return all
}

// duh is the victim's answer to everything.
func duh() []byte { return quirks(nil).envelope(`"DUH"0001L0#1234[]`) }

func newVictim(t *testing.T, network string) *victim {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	v := &victim{got: map[string][]byte{}}
	var wg sync.WaitGroup
	if network == "udp" {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		v.to = "udp://" + pc.LocalAddr().String()
		wg.Go(func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				v.take(from.String(), buf[:n])
				_, _ = pc.WriteTo(duh(), from)
			}
		})
		t.Cleanup(func() { _ = pc.Close(); wg.Wait(); goleak.VerifyNone(t, leaks) })
		return v
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v.to = "tcp://" + ln.Addr().String()
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { v.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait(); goleak.VerifyNone(t, leaks) })
	return v
}

func (v *victim) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 1<<16)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		v.take(conn.RemoteAddr().String(), buf[:n])
		if _, err := conn.Write(duh()); err != nil {
			return
		}
	}
}

// attack runs an attack to its end.
func attack(t *testing.T, o AttackOptions) Loot {
	t.Helper()
	if o.Account == "" {
		o.Account = "1234"
	}
	a, err := NewAttacker(o)
	if err != nil {
		t.Fatal(err)
	}
	loot, err := a.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return loot
}

// Each attack that claims to be made of frames is: CRC and length are right, and so is the grammar of all but one.
func TestAttacksOfFrames(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	captured, err := Frame{ID: idSIA, Seq: 9, Line: "0", Account: "1234", Data: "#1234|Nri1/BA001", Time: time.Now()}.Marshal(key, mathrand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[Attack]func(f Answer, frame string) bool{
		AttackPlain:  func(f Answer, _ string) bool { return !f.Encrypted && f.Account == "1234" },
		AttackLeak:   func(f Answer, frame string) bool { return !f.Encrypted && strings.Contains(frame, "][") },
		AttackReplay: func(_ Answer, frame string) bool { return frame == string(captured) },
		AttackStale: func(f Answer, _ string) bool {
			off := time.Since(f.Time)
			return off > 40*time.Second || off < -20*time.Second
		},
		AttackAccount: func(f Answer, _ string) bool { return !f.Encrypted && f.Account != "1234" },
		AttackAnswers: func(f Answer, _ string) bool { return strings.Contains("ACK NAK DUH RSP", f.ID) },
		AttackFlood:   func(f Answer, _ string) bool { return f.Encrypted && time.Since(f.Time) < patience },
	} {
		t.Run(string(kind), func(t *testing.T) {
			v := newVictim(t, "tcp")
			var heard lines
			loot := attack(t, AttackOptions{To: v.to, Attack: kind, Key: key, Frames: [][]byte{captured}, Count: 120, Connections: 1, Heard: &heard})
			if loot.Sent != 120 || loot.Connects != 1 || loot.Closed != 0 || loot.Answers[idDUH] == 0 || loot.HeardBytes != len(strings.Join(heard, "")) {
				t.Errorf("%+v", loot)
			}
			if all := v.all(); len(all) != loot.SentBytes {
				t.Errorf("%d bytes came, %d were sent", len(all), loot.SentBytes)
			}
			frames, _ := cutFrames(v.all(), 0)
			if len(frames) != 120 {
				t.Errorf("%d frames came", len(frames))
			}
			for _, frame := range frames {
				if kind == AttackAnswers && bytes.Contains(frame, []byte("NAK")) {
					continue // without a time, as the least that can be wrong
				}
				if f, err := ParseAnswer(frame, key); err != nil || !want(f, string(frame)) {
					t.Fatalf("%q: %+v, %v", frame, f, err)
				}
			}
		})
	}
}

// Frames with another key are frames and do not open; those of XSIA carry a right CRC.
func TestAttacksThatAreNoFrames(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	for kind, wrong := range map[Attack]string{AttackKey: "decrypting", AttackXSIA: "timestamp", AttackHuge: "CRC and length"} {
		t.Run(string(kind), func(t *testing.T) {
			v := newVictim(t, "tcp")
			attack(t, AttackOptions{To: v.to, Attack: kind, Key: key, Count: 12, Connections: 1})
			frames, _ := cutFrames(v.all(), 0)
			if len(frames) < 6 {
				t.Errorf("%d frames came", len(frames))
			}
			for _, frame := range frames {
				if _, err := ParseAnswer(frame, key); err == nil || kind != AttackKey && kind != AttackHuge && !strings.Contains(err.Error(), wrong) {
					t.Errorf("%.80q: %v, want %q", frame, err, wrong)
				}
			}
		})
	}
}

// The blocks of a key leak are of every letter, and of all at once.
func TestLeaks(t *testing.T) {
	seen := map[string]bool{}
	for i := range 106 {
		blocks := leaks(i)
		if len(blocks) == 0 {
			t.Fatalf("frame %d has none", i)
		}
		seen[strings.Join(blocks, ",")] = true
	}
	if len(seen) != 106 || !seen["K"] || !seen["KCANARY"] || !seen[",K,K"] {
		t.Errorf("%d kinds", len(seen))
	}
}

// Half frames end their connection each time; the slow ones come byte by byte, and end with the time.
func TestBrokenConnections(t *testing.T) {
	v := newVictim(t, "tcp")
	if loot := attack(t, AttackOptions{To: v.to, Attack: AttackHalf, Count: 30, Connections: 3}); loot.Connects < 30 || loot.Connects > 32 || loot.Sent != 30 {
		t.Errorf("%+v", loot)
	}
	if frames, _ := cutFrames(v.all(), 0); len(frames) != 0 {
		t.Errorf("%q is whole", frames)
	}
	v = newVictim(t, "tcp")
	begun := time.Now()
	loot := attack(t, AttackOptions{To: v.to, Attack: AttackSlow, Count: 1000, Connections: 20, For: 300 * time.Millisecond})
	if took := time.Since(begun); took > patience/2 || loot.Connects != 20 || loot.SentBytes < 20 || loot.SentBytes > 20*7 {
		t.Errorf("%v: %+v", took, loot)
	}
}

// A receiver that hangs up is attacked again, over a new connection.
func TestAttackerComesAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
	defer func() { _ = ln.Close(); wg.Wait() }()
	loot := attack(t, AttackOptions{To: "tcp://" + ln.Addr().String(), Attack: AttackGarbage, Count: 20000})
	if loot.Connects < 5 || loot.Closed == 0 {
		t.Errorf("%+v", loot)
	}
}

func TestForgedSources(t *testing.T) {
	v := newVictim(t, "udp")
	loot := attack(t, AttackOptions{To: v.to, Attack: AttackAccount, Count: 60, Connections: 10, Forge: true})
	hosts := map[string]bool{}
	for from := range v.got {
		host, _, err := net.SplitHostPort(from)
		if err != nil {
			t.Fatal(err)
		}
		hosts[host] = true
	}
	if len(hosts) < 55 || loot.Sent != 60 || loot.Answers[idDUH] < 50 {
		t.Errorf("%d sources: %+v", len(hosts), loot)
	}
	v = newVictim(t, "udp")
	attack(t, AttackOptions{To: v.to, Attack: AttackHuge, Count: 8, From: net.IPv4(127, 0, 0, 66), Connections: 1})
	for from := range v.got {
		if !strings.HasPrefix(from, "127.0.0.66:") {
			t.Errorf("it came from %s", from)
		}
	}
}

// An attack is repeated by its seed.
func TestGarbageBySeed(t *testing.T) {
	make := func(seed uint64) string { return string(garbage(mathrand.New(mathrand.NewPCG(seed, 0)))) }
	if make(1) != make(1) || make(1) == make(2) || len(make(1)) != garbageSize {
		t.Error("the seed does not decide")
	}
}

func TestAttacksAreChecked(t *testing.T) {
	for want, o := range map[string]AttackOptions{
		`attack "gentle"`:   {To: "tcp://127.0.0.1:1", Account: "1234", Attack: "gentle"},
		"a replay needs":    {To: "tcp://127.0.0.1:1", Account: "1234", Attack: AttackReplay},
		"the account's key": {To: "tcp://127.0.0.1:1", Account: "1234", Attack: AttackStale},
		"choose 1 or more":  {To: "tcp://127.0.0.1:1", Account: "1234", Attack: AttackPlain, Count: -1},
		"3 to 16 hex":       {To: "tcp://127.0.0.1:1", Account: "1", Attack: AttackPlain},
		"tcp://HOST:PORT":   {To: "127.0.0.1:1", Account: "1234", Attack: AttackPlain},
	} {
		if _, err := NewAttacker(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	a, err := NewAttacker(AttackOptions{To: "tcp://" + ln.Addr().String(), Account: "1234", Attack: AttackPlain})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Run(t.Context()); err == nil {
		t.Error("there is nobody to attack")
	}
}

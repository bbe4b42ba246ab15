package dc09

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMessagesOfVectors composes what the vectors hold as sent, byte for byte.
func TestMessagesOfVectors(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC)
	want := map[string]struct {
		m   Message
		pad string
	}{
		"standard-sia-fire": {m: Message{ID: "SIA-DCS", Number: 9876, Receiver: "579BDF", Line: "789ABC", Account: "12345A", Payload: "NFA129"}},
		"standard-cid":      {m: Message{ID: "ADM-CID", Number: 9876, Receiver: "579BDF", Line: "789ABC", Account: "12345A", Payload: "1110 00 129"}},
		"pyronix-null":      {m: Message{ID: "NULL", Line: "0", Account: "1409", Time: time.Date(2026, 8, 27, 20, 38, 7, 0, time.UTC)}},
		"ajax-area-nl501":   {m: Message{ID: "SIA-DCS", Number: 1663, Line: "0", Account: "0000", Payload: "Nri1/NL501", Time: time.Date(2021, 12, 22, 12, 40, 58, 0, time.UTC)}},
		"aes128-sia":        {m: Message{ID: "SIA-DCS", Number: 42, Receiver: "1", Line: "0", Account: "ABC123", Payload: "Nri1/BA012", Time: at}, pad: "Qx7!zKQx"},
		"aes256-sia":        {m: Message{ID: "SIA-DCS", Number: 42, Receiver: "1", Line: "0", Account: "ABC123", Payload: "Nri1/BA012", Time: at}, pad: "Qx7!zKQx"},
		"aes192-cid":        {m: Message{ID: "ADM-CID", Number: 43, Line: "0", Account: "ABC123", Payload: "1130 01 012", Time: at.Add(time.Second)}, pad: "0aB0aB0"},
		"enc-null":          {m: Message{ID: "NULL", Line: "0", Account: "ABC123", Time: at.Add(2 * time.Second)}, pad: "pppppppppp"},
	}
	for _, v := range vectors(t) {
		c, ok := want[v.Name]
		if !ok {
			continue
		}
		delete(want, v.Name)
		var k *Key
		if c.pad != "" {
			k = v.key(t)
		}
		got, err := AppendMessage([]byte("kept"), c.m, k, strings.NewReader(c.pad))
		if w := append([]byte("kept"), v.raw(t)...); err != nil || !bytes.Equal(got, w) {
			t.Errorf("%s: %q, %v; want %q", v.Name, got, err, w)
		}
	}
	for name := range want {
		t.Errorf("vector %s is gone", name)
	}
}

// TestMessagesComeBack holds that the receiver's parser reads what was composed, whatever is in it.
func TestMessagesComeBack(t *testing.T) {
	key := testKey(t)
	rapid.Check(t, func(t *rapid.T) {
		m := Message{
			ID: rapid.SampledFrom([]string{"SIA-DCS", "ADM-CID"}).Draw(t, "id"), Number: rapid.IntRange(1, MaxNumber).Draw(t, "number"),
			Receiver: rapid.StringMatching(`[0-9A-F]{0,6}`).Draw(t, "receiver"), Line: rapid.StringMatching(`[0-9A-F]{1,6}`).Draw(t, "line"),
			Account: rapid.StringMatching(`[0-9A-F]{3,16}`).Draw(t, "account"), Payload: rapid.StringMatching(`[ -Z^-{}~]{1,60}`).Draw(t, "payload"),
			Time: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0).UTC(),
		}
		var k *Key
		if rapid.Bool().Draw(t, "encrypted") {
			k = key
		}
		wire, err := AppendMessage(nil, m, k, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if cut, rest, junk := Cut(wire); !bytes.Equal(cut, wire) || len(rest) != 0 || junk != 0 {
			t.Fatalf("%q is not cut whole", wire)
		}
		f, err := Parse(wire, nil)
		if err == nil && k != nil {
			if bytes.Contains(wire, []byte(m.Payload)) && len(m.Payload) > 3 {
				t.Errorf("%q holds the payload in clear", wire)
			}
			if err = f.Open(k); f.PadLen < 1 || f.PadLen > 16 {
				t.Errorf("pad of %d bytes", f.PadLen)
			}
		}
		if err != nil || f.ID != m.ID || f.Account.Text != m.Account || f.Receiver.Text != m.Receiver || f.Line.Text != m.Line ||
			f.Data != "#"+m.Account+"|"+m.Payload || !f.Time.Equal(m.Time) {
			t.Errorf("%q: %v, %+v; want %+v", wire, err, f, m)
		}
	})
}

func TestMessagesThatCannotBe(t *testing.T) {
	good := Message{ID: "SIA-DCS", Number: 1, Line: "0", Account: "1234", Payload: "NBA1", Time: time.Unix(1e9, 0)}
	for name, c := range map[string]struct {
		spoil func(*Message)
		k     *Key
		pad   string
	}{
		"number too high":  {spoil: func(m *Message) { m.Number = 10000 }},
		"negative number":  {spoil: func(m *Message) { m.Number = -1 }},
		"sealed, no time":  {spoil: func(m *Message) { m.Time = time.Time{} }, k: testKey(t), pad: strings.Repeat("x", 16)},
		"no chance left":   {spoil: func(*Message) {}, k: testKey(t), pad: "x"},
		"longer than 4095": {spoil: func(m *Message) { m.Payload = strings.Repeat("x", MaxBody) }},
		"sealed, too long": {spoil: func(m *Message) { m.Payload = strings.Repeat("x", MaxBody/2) }, k: testKey(t), pad: strings.Repeat("x", 16)},
	} {
		m := good
		c.spoil(&m)
		if got, err := AppendMessage([]byte("kept"), m, c.k, strings.NewReader(c.pad)); err == nil || string(got) != "kept" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestPadsDiffer holds that the same message is never the same bytes twice, nor its pad a constant.
func TestPadsDiffer(t *testing.T) {
	m := Message{ID: "SIA-DCS", Number: 1, Line: "0", Account: "1234", Payload: "NBA1", Time: time.Unix(1e9, 0)}
	seen := map[string]bool{}
	for range 100 {
		wire, err := AppendMessage(nil, m, testKey(t), rand.Reader)
		must(t, err)
		if seen[string(wire)] {
			t.Fatal("the same bytes twice")
		}
		seen[string(wire)] = true
	}
}

func BenchmarkMessage(b *testing.B) {
	m := Message{ID: "SIA-DCS", Number: 42, Receiver: "1", Line: "0", Account: "ABC123", Payload: "Nri1/BA012", Time: time.Unix(1e9, 0)}
	for name, k := range map[string]*Key{"plain": nil, "encrypted": testKey(b)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var wire []byte
			for b.Loop() {
				var err error
				if wire, err = AppendMessage(wire[:0], m, k, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

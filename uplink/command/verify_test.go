package command

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"watchpost/uplink/topic"
)

func station() topic.Address {
	return topic.Address{Jurisdiction: "changshan", Station: "cs-baishi-caoping"}
}

// keys makes a key pair from a number, so that failures repeat.
func keys(n byte) (ed25519.PublicKey, ed25519.PrivateKey) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	return private.Public().(ed25519.PublicKey), private
}

func verifier(tb testing.TB) *Verifier {
	tb.Helper()
	public, _ := keys(1)
	v, err := NewVerifier(station(), public)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func sign(tb testing.TB, cmd topic.Command) []byte {
	tb.Helper()
	_, private := keys(1)
	b, err := Sign(private, station(), cmd)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// rawSign signs any bytes at all, as a centre with a bug would.
func rawSign(text string) []byte {
	_, private := keys(1)
	return append(ed25519.Sign(private, signed(station(), []byte(text))), text...)
}

func wish(id string, now time.Time, life time.Duration) topic.Command {
	return topic.Command{ID: id, Now: now.UTC(), Expires: now.Add(life).UTC(), Kind: topic.CommandViewingOpen, Body: json.RawMessage(`{"viewing":"v1"}`)}
}

func reason(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		return "no refusal: " + Reason(err.Error())
	}
	return ""
}

func TestVerifyReadsWhatSignWrote(t *testing.T) {
	now := time.Now()
	want := wish("c1", now, time.Minute)
	got, err := verifier(t).Verify(sign(t, want), now, true)
	if err != nil {
		t.Fatal(err)
	}
	want.V = topic.Version
	if got.ID != want.ID || got.V != want.V || !got.Now.Equal(want.Now) || !got.Expires.Equal(want.Expires) || got.Kind != want.Kind || !bytes.Equal(got.Body, want.Body) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestSignRefusesWhatNoStationWouldTake(t *testing.T) {
	now := time.Now()
	_, private := keys(1)
	good := wish("c1", now, time.Minute)
	for name, change := range map[string]func(*topic.Command){
		"no id":        func(c *topic.Command) { c.ID = "" },
		"a dot":        func(c *topic.Command) { c.ID = "a.b" },
		"no kind":      func(c *topic.Command) { c.Kind = "" },
		"long kind":    func(c *topic.Command) { c.Kind = strings.Repeat("k", 65) },
		"no now":       func(c *topic.Command) { c.Now = time.Time{} },
		"dead already": func(c *topic.Command) { c.Expires = c.Now },
		"too long":     func(c *topic.Command) { c.Expires = c.Now.Add(MaxLifetime + 1) },
		"no JSON":      func(c *topic.Command) { c.Body = json.RawMessage("{") },
		"oversized":    func(c *topic.Command) { c.Body = json.RawMessage(`"` + strings.Repeat("x", topic.MaxPayload) + `"`) },
	} {
		cmd := good
		change(&cmd)
		if b, err := Sign(private, station(), cmd); err == nil {
			t.Errorf("%s: signed %d bytes", name, len(b))
		}
	}
	if _, err := Sign(private, topic.Address{}, good); err == nil {
		t.Error("signed for no station")
	}
	if _, err := Sign(nil, station(), good); err == nil {
		t.Error("signed without a key")
	}
	good.Body = nil
	if _, err := verifier(t).Verify(sign(t, good), now, true); err != nil {
		t.Errorf("a command without body: %v", err)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	public, _ := keys(1)
	if _, err := NewVerifier(topic.Address{}, public); err == nil {
		t.Error("no address")
	}
	if _, err := NewVerifier(station(), public[:31]); err == nil || !strings.Contains(err.Error(), "dispatch enrol") {
		t.Errorf("a short key: %v", err)
	}
}

func TestVerifyRefusesWhatTheCentreDidNotSign(t *testing.T) {
	now := time.Now()
	good := sign(t, wish("c1", now, time.Minute))
	_, stranger := keys(2)
	forged, err := Sign(stranger, station(), wish("c1", now, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, private := keys(1)
	elsewhere, err := Sign(private, topic.Address{Jurisdiction: "changshan", Station: "cs-qiuchuan"}, wish("c1", now, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{
		"nothing": nil, "a signature alone": good[:64], "another key": forged, "another station": elsewhere,
		"cut": good[:len(good)-1], "longer": append(bytes.Clone(good), ' '),
	} {
		if cmd, err := verifier(t).Verify(payload, now, true); reason(err) != ReasonBadSignature || cmd.ID != "" {
			t.Errorf("%s: %+v, %v", name, cmd, err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		bent := bytes.Clone(good)
		bent[rapid.IntRange(0, len(bent)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if _, err := verifier(t).Verify(bent, now, true); reason(err) != ReasonBadSignature {
			rt.Fatalf("a bent bit passed: %v", err)
		}
	})
}

func TestVerifyRefusesSignedNonsense(t *testing.T) {
	now := time.Now().UTC()
	stamp := `"now":"` + now.Format(time.RFC3339) + `","expires":"` + now.Add(time.Minute).Format(time.RFC3339) + `"`
	for name, text := range map[string]string{
		"no JSON":          "hello",
		"a list":           "[]",
		"version 2":        `{"v":2,"id":"c1",` + stamp + `,"kind":"x","body":{}}`,
		"unknown field":    `{"v":1,"id":"c1",` + stamp + `,"kind":"x","body":{},"sudo":true}`,
		"two of them":      `{"v":1,"id":"c1",` + stamp + `,"kind":"x","body":{}}{}`,
		"id for a topic":   `{"v":1,"id":"a/b",` + stamp + `,"kind":"x","body":{}}`,
		"no times":         `{"v":1,"id":"c1","kind":"x","body":{}}`,
		"a time of no day": `{"v":1,"id":"c1","now":"2026-13-01T00:00:00Z","expires":"2026-13-01T00:01:00Z","kind":"x","body":{}}`,
		"lives an hour":    `{"v":1,"id":"c1","now":"2026-11-20T10:00:00Z","expires":"2026-11-20T11:00:00Z","kind":"x","body":{}}`,
	} {
		if _, err := verifier(t).Verify(rawSign(text), now, true); reason(err) != ReasonMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := verifier(t).Verify(make([]byte, topic.MaxPayload+1), now, true); reason(err) != ReasonOversized {
		t.Errorf("oversized: %v", err)
	}
}

// A station without the time goes by what the centre signed and its own monotonic clock.
func TestExpiryWithoutAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t)
		there := time.Date(2031, 5, 1, 8, 0, 0, 0, time.UTC) // the centre's time; the station believes it is 2000
		first := sign(t, wish("c1", there, time.Minute))
		if _, err := v.Verify(first, time.Now(), false); err != nil {
			t.Fatal(err)
		}
		pause(59 * time.Second)
		if _, err := v.Verify(first, time.Now(), false); err != nil {
			t.Fatalf("a second before it expires: %v", err)
		}
		pause(time.Second)
		cmd, err := v.Verify(first, time.Now(), false)
		if reason(err) != ReasonExpired || cmd.ID != "c1" {
			t.Fatalf("at its end: %+v, %v", cmd, err)
		}
		// A later word of the centre proves that the time has passed, whatever the monotonic clock says.
		late := sign(t, wish("c2", there.Add(time.Hour), time.Minute))
		old := sign(t, wish("c3", there.Add(30*time.Minute), 10*time.Minute))
		if _, err := v.Verify(late, time.Now(), false); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(old, time.Now(), false); reason(err) != ReasonExpired {
			t.Fatalf("an older one after a newer: %v", err)
		}
	})
}

// A station that knows the time does not obey after a restart what was recorded before it.
func TestReplayAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded := sign(t, wish("c1", time.Now(), MaxLifetime))
		pause(MaxLifetime + MaxSkew)
		if _, err := verifier(t).Verify(recorded, time.Now(), true); reason(err) != ReasonExpired {
			t.Fatalf("replayed to a fresh verifier: %v", err)
		}
	})
}

func TestTheCentresClockMayDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, skew := range []time.Duration{-MaxSkew, -time.Minute, 0, time.Minute, MaxSkew} {
			v := verifier(t)
			for range 5 {
				if _, err := v.Verify(sign(t, wish("c1", time.Now().Add(skew), 30*time.Second)), time.Now(), true); err != nil {
					t.Fatalf("skew %s: %v", skew, err)
				}
				pause(10 * time.Second)
			}
		}
		if _, err := verifier(t).Verify(sign(t, wish("c1", time.Now().Add(MaxSkew+1), time.Minute)), time.Now(), true); reason(err) != ReasonNotYet {
			t.Fatalf("far ahead: %v", err)
		}
	})
}

// A moment in which the centre's clock was a year ahead does not shut the station for a year, once the station's own
// clock is synchronised.
func TestACentreCannotLockItselfOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t)
		if _, err := v.Verify(sign(t, wish("c1", time.Now().AddDate(1, 0, 0), time.Minute)), time.Now(), false); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(sign(t, wish("c2", time.Now(), 10*time.Minute)), time.Now(), false); reason(err) != ReasonExpired {
			t.Fatalf("without a clock the highest word counts: %v", err)
		}
		if _, err := v.Verify(sign(t, wish("c3", time.Now(), 10*time.Minute)), time.Now(), true); err != nil {
			t.Fatalf("with one it does not: %v", err)
		}
	})
}

// Whatever the skew of the centre and the delays on the way, a command that comes within its life is obeyed, and one that
// was obeyed once is never obeyed after its life.
func TestLifetimeHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := verifier(t)
		start := time.Now()
		skew := time.Duration(rapid.IntRange(-1e6, 1e6).Draw(rt, "skew s")) * time.Second
		elapsed := time.Duration(0)
		type sent struct {
			payload []byte
			ends    time.Duration
		}
		var seen []sent
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			elapsed += time.Duration(rapid.IntRange(0, 600_000).Draw(rt, "pause ms")) * time.Millisecond
			now := start.Add(elapsed)
			if len(seen) > 0 && rapid.Bool().Draw(rt, "replay") {
				old := rapid.SampledFrom(seen).Draw(rt, "which")
				_, err := v.Verify(old.payload, now, false)
				if wantExpired := elapsed >= old.ends; wantExpired != (reason(err) == ReasonExpired) {
					rt.Fatalf("replay at %s of one that ends at %s: %v", elapsed, old.ends, err)
				}
				continue
			}
			life := time.Duration(rapid.IntRange(1000, 900_000).Draw(rt, "life ms")) * time.Millisecond
			p := sign(t, wish("c1", now.Add(skew), life))
			if _, err := v.Verify(p, now, false); err != nil {
				rt.Fatalf("fresh: %v", err)
			}
			seen = append(seen, sent{payload: p, ends: elapsed + life})
		}
	})
}

func FuzzVerify(f *testing.F) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	f.Add(sign(f, wish("c1", now, time.Minute))[ed25519.SignatureSize:])
	f.Add([]byte(`{"v":1,"id":"c1","now":"2026-11-20T10:00:00Z","expires":"2026-11-20T10:01:00Z","kind":"receipt","body":{"lane":"alarm"}}`))
	f.Add([]byte(`{"v":1,"id":"c1","now":"9999-12-31T23:59:59Z","expires":"9999-12-31T23:59:59Z","kind":"x","body":null} `))
	f.Add([]byte(`{"v":1e0,"ID":"c1","kind":"\ud800"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := verifier(t).Verify(text, now, true); err == nil {
			t.Fatal("bytes without a signature were believed")
		}
		payload := rawSign(string(text))
		cmd, err := verifier(t).Verify(payload, now, true)
		if err != nil {
			if reason(err) == ReasonBadSignature && len(text) > 0 {
				t.Fatalf("our own signature: %v", err)
			}
			return
		}
		if check(cmd) != nil || !cmd.Expires.After(now) {
			t.Fatalf("believed %+v", cmd)
		}
		_, private := keys(1)
		again, err := Sign(private, station(), cmd)
		if err != nil {
			t.Fatalf("what was believed cannot be signed: %v", err)
		}
		if _, err := verifier(t).Verify(again, now, true); err != nil {
			t.Fatalf("signed again: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	now := time.Now()
	p := sign(b, wish("c1", now, time.Minute))
	v := verifier(b)
	for b.Loop() {
		if _, err := v.Verify(p, now, true); err != nil {
			b.Fatal(err)
		}
	}
}

// pause lets a bubble's time pass.
func pause(d time.Duration) { <-time.After(d) }

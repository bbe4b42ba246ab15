package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is a desk at work inside a synctest bubble, with what it said.
type scene struct {
	tb   testing.TB
	desk *Desk

	mu       sync.Mutex // guards the fields below
	replies  []topic.Reply
	audit    []event.Draft
	receipts []topic.Receipt
	down     error // what Reply answers
	full     error // what Audit answers
}

func (s *scene) Reply(_ context.Context, r topic.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.replies = append(s.replies, r)
	return nil
}

func (s *scene) store(_ context.Context, d event.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil {
		return s.full
	}
	s.audit = append(s.audit, d)
	return nil
}

func (s *scene) receipt(r topic.Receipt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Upto == 666 {
		return errors.New("never sent")
	}
	s.receipts = append(s.receipts, r)
	return nil
}

// set changes a field under the lock.
func (s *scene) set(f func(*scene)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// play runs body in a bubble with a desk at work.
func play(t *testing.T, handlers map[string]Handler, body func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{tb: t}
		d, err := NewDesk(Options{
			Centre: "changshan", Verifier: verifier(t), Replier: s, Handlers: handlers, Receipt: s.receipt, Audit: s.store,
			Synced: func() bool { return true }, Parallel: 2, Queue: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.desk = d
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		body(s)
		cancel()
		wg.Wait()
	})
}

// send hands the desk a fresh command of a kind.
func (s *scene) send(id, kind, body string) {
	cmd := wish(id, time.Now(), time.Minute)
	cmd.Kind, cmd.Body = kind, json.RawMessage(body)
	s.desk.Handle(s.tb.Context(), sign(s.tb, cmd))
	synctest.Wait()
}

func (s *scene) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.replies {
		text := "ok " + string(r.Body)
		if r.Error != nil {
			text = r.Error.Kind
		}
		if r.OK != (r.Error == nil) || r.Station != station().Station || r.V != topic.Version {
			text = fmt.Sprintf("bad reply %+v", r)
		}
		list = append(list, r.ID+" "+strings.TrimSpace(text))
	}
	return list
}

func (s *scene) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, d := range s.audit {
		why, _ := d.Body.Text(event.TagReason)
		n, _ := d.Body.Uint(event.TagCount)
		id, _ := d.Body.Text(event.TagCommand)
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s×%d %s", d.Severity, why, n, id)))
	}
	return list
}

func (s *scene) want(what string, got []string, want ...string) {
	s.tb.Helper()
	if !slices.Equal(got, want) {
		s.tb.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func TestDeskAnswers(t *testing.T) {
	play(t, map[string]Handler{
		"echo":  func(_ context.Context, c topic.Command) (any, error) { return c.Body, nil },
		"quiet": func(context.Context, topic.Command) (any, error) { return nil, nil },
		"deny":  func(context.Context, topic.Command) (any, error) { return "half an answer", Deny("no rule") },
		"fail":  func(context.Context, topic.Command) (any, error) { return nil, errors.New("the camera is away") },
		"panic": func(context.Context, topic.Command) (any, error) { panic("bug") },
		"loop":  func(context.Context, topic.Command) (any, error) { return func() {}, nil },
		"slow":  func(ctx context.Context, _ topic.Command) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
	}, func(s *scene) {
		for _, kind := range []string{"echo", "quiet", "deny", "fail", "panic", "loop", "slow"} {
			s.send(kind, kind, `{"a":1}`)
		}
		pause(31 * time.Second)
		synctest.Wait()
		s.want("replies", s.said(), `echo ok {"a":1}`, "quiet ok", "deny denied", "fail failed", "panic failed", "loop failed", "slow failed")
		s.want("audit", s.told())
		if n := s.desk.Refused(); n[ReasonDenied] != 1 || n[ReasonFailed] != 4 {
			t.Fatalf("counts %v", n)
		}
	})
}

func TestACommandIsObeyedOnce(t *testing.T) {
	calls := 0
	gate := make(chan struct{})
	play(t, map[string]Handler{"open": func(context.Context, topic.Command) (any, error) {
		calls++
		<-gate
		return calls, nil
	}}, func(s *scene) {
		gate = make(chan struct{}) // of this bubble
		payload := sign(t, topic.Command{ID: "c1", Now: time.Now(), Expires: time.Now().Add(time.Minute), Kind: "open"})
		handle := func() {
			s.desk.Handle(t.Context(), payload)
			synctest.Wait()
		}
		handle()
		handle() // while it is being obeyed: there is no answer yet
		s.want("replies", s.said())
		s.set(func(s *scene) { s.down = errors.New("no link") })
		close(gate)
		synctest.Wait()
		s.set(func(s *scene) { s.down = nil })
		handle() // its answer was lost
		s.want("replies", s.said(), "c1 ok 1")
		pause(2 * time.Minute)
		handle() // replayed after it expired: still the answer that was given
		s.want("replies", s.said(), "c1 ok 1", "c1 ok 1")
		if n := s.desk.Refused(); calls != 1 || n[ReasonRepeated] != 3 || n[ReasonExpired] != 0 {
			t.Fatalf("%d calls, %v", calls, n)
		}
		s.want("audit", s.told())
	})
}

func TestASlowHandlerHoldsUpNobody(t *testing.T) {
	play(t, map[string]Handler{
		"slow":  func(ctx context.Context, _ topic.Command) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
		"quick": func(context.Context, topic.Command) (any, error) { return "done", nil },
	}, func(s *scene) {
		s.send("s1", "slow", "null")
		s.send("q1", "quick", "null")
		s.send("s2", "slow", "null")
		for i := range 2 {
			s.send(fmt.Sprintf("w%d", i), "quick", "null") // wait in the queue
		}
		s.send("w2", "quick", "null") // finds it full
		for i := range 100 {
			s.send("r", topic.CommandReceipt, fmt.Sprintf(`{"station":"cs-baishi-caoping","epoch":"0102030405060708","lane":"main","upto":%d}`, i+1))
		}
		if len(s.receipts) != 100 || s.receipts[99].Upto != 100 || s.receipts[99].Lane != event.LaneMain {
			t.Fatalf("receipts %v", s.receipts)
		}
		s.want("replies", s.said(), `q1 ok "done"`, "w2 busy")
		pause(31 * time.Second)
		synctest.Wait()
		s.send("w2", "quick", "null") // what was refused as busy may come again
		got := s.said()[2:]
		slices.Sort(got)
		s.want("replies", got, "s1 failed", "s2 failed", `w0 ok "done"`, `w1 ok "done"`, `w2 ok "done"`)
	})
}

// A command that waits in the queue until its time is over is not obeyed any more.
func TestACommandMayExpireInTheQueue(t *testing.T) {
	calls := 0
	play(t, map[string]Handler{
		"slow":  func(ctx context.Context, _ topic.Command) (any, error) { <-ctx.Done(); return "slow", nil },
		"quick": func(context.Context, topic.Command) (any, error) { calls++; return "done", nil },
	}, func(s *scene) {
		s.send("s1", "slow", "null")
		s.send("s2", "slow", "null")
		short := wish("q1", time.Now(), 10*time.Second)
		short.Kind = "quick"
		s.desk.Handle(t.Context(), sign(t, short))
		s.send("q2", "quick", "null") // lives for a minute
		pause(31 * time.Second)
		synctest.Wait()
		got := s.said()
		slices.Sort(got)
		s.want("replies", got, "q1 expired", `q2 ok "done"`, `s1 ok "slow"`, `s2 ok "slow"`)
		if calls != 1 || s.desk.Refused()[ReasonExpired] != 1 {
			t.Fatalf("%d calls, refused %v", calls, s.desk.Refused())
		}
		s.want("audit", s.told(), "notice expired×1 q1")
	})
}

func TestReceiptsThatAreNotBelieved(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.send("r1", topic.CommandReceipt, `{"station":"cs-baishi-caoping","epoch":"0102030405060708","lane":"main","upto":666}`)
		s.send("r2", topic.CommandReceipt, `{"epoch":"not hex"}`)
		s.want("replies", s.said())
		s.want("audit", s.told(), "warning malformed×1 r2") // the outbox tells the other one itself
		if n := s.desk.Refused(); n[ReasonDenied] != 1 || n[ReasonMalformed] != 1 {
			t.Fatalf("counts %v", n)
		}
	})
}

func TestRefusalsAreAnsweredAndTold(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.send("c1", "zoom", "null")
		s.desk.Handle(t.Context(), sign(t, wish("c2", time.Now().Add(-10*time.Minute), time.Minute)))
		s.desk.Handle(t.Context(), sign(t, wish("c3", time.Now().Add(time.Hour), time.Minute)))
		s.desk.Handle(t.Context(), rawSign(`{"v":1,"id":"c4"}`))
		s.desk.Handle(t.Context(), make([]byte, topic.MaxPayload+1))
		synctest.Wait()
		s.want("replies", s.said(), "c1 unknown_kind", "c2 expired", "c3 not_yet")
		got := s.told()
		slices.Sort(got)
		s.want("audit", got, "notice expired×1 c2", "notice not_yet×1 c3", "notice unknown_kind×1 c1", "warning malformed×1", "warning oversized×1")
	})
}

// Whoever can publish on the cmd topic can make the station refuse, but not make it write much, nor write their words.
func TestAForgerCannotFillTheLog(t *testing.T) {
	play(t, nil, func(s *scene) {
		_, stranger := keys(2)
		cmd := wish("forged-id", time.Now(), time.Minute)
		cmd.Kind = "forged-kind"
		payload, err := Sign(stranger, station(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			s.desk.Handle(t.Context(), payload)
		}
		synctest.Wait()
		pause(10 * time.Minute)
		synctest.Wait()
		total := uint64(0)
		for _, d := range s.audit {
			n, _ := d.Body.Uint(event.TagCount)
			total += n
			if text, err := json.Marshal(d.Body); err != nil || strings.Contains(string(text), "forged") {
				t.Fatalf("a forger's words in %s (%v)", text, err)
			}
		}
		if len(s.audit) == 0 || len(s.audit) > 2 || total != 1000 {
			t.Fatalf("%d events tell %d refusals", len(s.audit), total)
		}
		s.want("replies", s.said())
		for i, d := range s.audit {
			if _, err := event.AppendRecord(nil, stamped(d).Event("cs-baishi-caoping", event.Epoch{1}, uint64(i+1))); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func stamped(d event.Draft) event.Draft { d.At = time.Now(); return d }

// A refusal that the full log could not take is told when there is room again.
func TestATellingThatFailsIsRepeated(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.set(func(s *scene) { s.full = errors.New("log full") })
		s.send("c1", "zoom", "null")
		s.want("audit", s.told())
		s.set(func(s *scene) { s.full = nil })
		pause(61 * time.Second)
		synctest.Wait()
		s.want("audit", s.told(), "notice unknown_kind×1 c1")
	})
}

func TestTheLedgerIsBounded(t *testing.T) {
	var l ledger
	now := time.Now()
	for i := range ledgerSize {
		if !l.take(fmt.Sprint(i), now.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("no room at %d", i)
		}
	}
	if l.take("one more", now.Add(time.Minute)) {
		t.Fatal("an unexpired command was forgotten")
	}
	later := now.Add(MaxLifetime + 2*MaxSkew + 10*time.Second)
	if !l.take("one more", later) || len(l.entries) != ledgerSize-10+1 {
		t.Fatalf("%d entries after ten expired", len(l.entries))
	}
}

func TestNewDeskRefuses(t *testing.T) {
	good := Options{Centre: "c", Verifier: verifier(t), Replier: &scene{}}
	for name, change := range map[string]func(*Options){
		"no centre":   func(o *Options) { o.Centre = "" },
		"no verifier": func(o *Options) { o.Verifier = nil },
		"no replier":  func(o *Options) { o.Replier = nil },
		"a handler of receipts": func(o *Options) {
			o.Handlers = map[string]Handler{topic.CommandReceipt: nil}
		},
	} {
		o := good
		change(&o)
		if _, err := NewDesk(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	d, err := NewDesk(good)
	if err != nil {
		t.Fatal(err)
	}
	d.Handle(t.Context(), sign(t, topic.Command{ID: "r", Now: time.Now(), Expires: time.Now().Add(time.Minute), Kind: topic.CommandReceipt, Body: json.RawMessage("{\"epoch\":\"0102030405060708\",\"lane\":\"main\"}")}))
	if n := d.Refused(); len(n) != 0 {
		t.Fatalf("defaults: %v", n)
	}
}

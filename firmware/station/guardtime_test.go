package station

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

// word is a driver's word of a zone.
func word(zone, state string, n int) event.Draft {
	return event.Draft{Kind: event.KindZoneChanged, Qualifier: event.QualifierStatus, Zone: zone, Source: "line/" + zone, Severity: event.SeverityNotice,
		KernelNS: int64(n), Once: fmt.Sprint(n), Body: event.NewBody(event.Text(event.TagState, state))}
}

// Delays end by themselves, to the second, and while none runs the guard sleeps.
func TestDelaysEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		m := &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -2}
		g := bareGuard(m, "")
		g.plan.Partitions[0].Exit, g.plan.Partitions[0].Entry = 45*time.Second, 30*time.Second
		g.plan.Zones[0].Entry = true
		looks := 0
		g.instant = func() arming.Instant {
			looks++
			return arming.Instant{Wall: time.Now(), Up: time.Since(begun) + time.Second, Boot: 7}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := g.run(ctx); err != nil {
				t.Error(err)
			}
		})
		state := func(after time.Duration, want arming.State) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			if got := g.view().Partitions[0].State; got != want {
				t.Errorf("after %s it is %s, want %s", time.Since(begun), got, want)
			}
		}
		for i, zone := range []string{"hall", "smoke"} {
			if err := g.store(ctx, word(zone, "normal", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		state(0, arming.StateDisarmed)
		if err := g.do(ctx, arming.Arm{By: arming.Actor{User: "li", Via: "code"}, Partition: "house", Mode: arming.Away}); err != nil {
			t.Fatal(err)
		}
		state(44*time.Second, arming.StateArming)
		state(2*time.Second, arming.StateArmedAway)
		if err := g.store(ctx, word("hall", "active", 3)); err != nil {
			t.Fatal(err)
		}
		state(29*time.Second, arming.StateEntry)
		state(2*time.Second, arming.StateAlarm)
		state(60*time.Second, arming.StateArmedAway)
		if got := m.list(); !slices.Equal(got, []string{"siren true intrusion 1m0s", "siren false time-out"}) {
			t.Errorf("driven %q", got)
		}
		before := looks
		<-time.After(20 * time.Hour)
		synctest.Wait()
		if looks != before {
			t.Errorf("the guard woke %d times in a day in which nothing was due", looks-before)
		}
		cancel()
		wg.Wait()
	})
}

// slowLog is a log whose disk is slow, and counts what it is asked.
type slowLog struct {
	*mortal
	gate    chan struct{}
	appends int
}

func (l *slowLog) Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error) {
	l.appends++
	<-l.gate
	return l.mortal.Append(ctx, drafts...)
}

// What comes while the disk works shares the next sync, and each is answered when it is stored, not before.
func TestWordsShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -2, up: time.Hour}
		slow := &slowLog{mortal: m, gate: make(chan struct{})}
		g := bareGuard(m, "")
		g.in.log = slow
		ctx, cancel := context.WithCancel(t.Context())
		var run, words sync.WaitGroup
		run.Go(func() {
			if err := g.run(ctx); err != nil {
				t.Error(err)
			}
		})
		var mu sync.Mutex // guards stored
		stored := 0
		for i := range 40 {
			words.Go(func() {
				if err := g.store(ctx, word([]string{"hall", "smoke"}[i%2], "normal", i+1)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				stored++
				mu.Unlock()
			})
		}
		synctest.Wait()
		if stored > 0 {
			t.Errorf("%d words are answered before the disk has any", stored)
		}
		close(slow.gate)
		words.Wait()
		if slow.appends > 3 {
			t.Errorf("40 words took %d appends", slow.appends)
		}
		if n := len(all(t, m, event.KindZoneChanged)); n != 40 {
			t.Errorf("%d of 40 words are stored", n)
		}
		cancel()
		run.Wait()
	})
}

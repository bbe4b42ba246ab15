package dc09

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

// links is "previous>state qualifier" of each event of a link.
func links(s *store) string {
	list := []string{}
	for _, d := range s.of(event.KindPanelLink) {
		state, _ := d.Body.Text(event.TagState)
		previous, _ := d.Body.Text(event.TagPrevious)
		list = append(list, fmt.Sprintf("%s %s>%s %s", d.Source, previous, state, d.Severity))
	}
	return strings.Join(list, "\n")
}

// supervised runs the supervision of one account of 90 s and one that is not supervised.
func supervised(t *testing.T, s *store) *Receiver {
	t.Helper()
	r, err := New(Options{TCP: ":0", Accounts: []Account{{ID: "1234", Supervision: 90 * time.Second}, {ID: "5678"}}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return r.superviseLinks(ctx, s.sink) })
	t.Cleanup(func() {
		cancel()
		must(t, group.Wait())
	})
	return r
}

func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := supervised(t, s)
		a := r.accounts["1234"]
		state := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := r.Snapshot()[0].State; got != want {
				t.Fatalf("state %s, want %s", got, want)
			}
		}
		<-time.After(89 * time.Second)
		state("unknown")
		<-time.After(2 * time.Second)
		state("lost")
		r.alive(a)
		state("up")
		for range 10 { // a NULL every 80 s is enough
			<-time.After(80 * time.Second)
			r.alive(a)
			state("up")
		}
		<-time.After(91 * time.Second)
		state("lost")
		<-time.After(time.Hour)
		r.alive(a)
		state("up")
		want := "dc09/1234 unknown>lost warning\ndc09/1234 lost>up notice\ndc09/1234 up>lost warning\ndc09/1234 lost>up notice"
		if got := links(s); got != want {
			t.Errorf("told\n%s\nwant\n%s", got, want)
		}
		last := s.of(event.KindPanelLink)
		if n, _ := last[2].Body.Uint(event.TagDuration); n != uint64(90*time.Second) {
			t.Errorf("silent for %s", time.Duration(n))
		}
		if n, _ := last[3].Body.Uint(event.TagDuration); n < uint64(time.Hour) {
			t.Errorf("lost for %s", time.Duration(n))
		}
		if last[2].Qualifier != event.QualifierNew || last[3].Qualifier != event.QualifierRestore {
			t.Errorf("qualifiers %v %v", last[2].Qualifier, last[3].Qualifier)
		}
	})
}

// TestLinkHeardFirst tells a panel that is well once, so that a link that an earlier run told as lost is up again.
func TestLinkHeardFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := supervised(t, s)
		r.alive(r.accounts["1234"])
		r.alive(r.accounts["1234"])
		r.alive(r.accounts["5678"])
		synctest.Wait()
		if got := links(s); got != "dc09/1234 unknown>up notice" {
			t.Errorf("told %s", got)
		}
		<-time.After(time.Hour)
		x := r.Snapshot()[1]
		if x.State != "unknown" || !strings.HasPrefix(x.Text, "last heard ") || !strings.HasSuffix(x.Text, ", not supervised") {
			t.Errorf("an account without supervision is never up: %+v", x)
		}
	})
}

// TestLinkNotStored holds that a loss is told again until it is stored, and that a panel that comes back meanwhile is not lost.
func TestLinkNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{fail: errors.New("full")}
		r := supervised(t, s)
		<-time.After(95 * time.Second)
		if r.Snapshot()[0].State != "unknown" {
			t.Error("a loss that is not stored is shown as told")
		}
		s.set(func() { s.fail = nil })
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := links(s); got != "dc09/1234 unknown>lost warning" {
			t.Errorf("told %s", got)
		}
		s.set(func() { s.fail = errors.New("full") })
		r.alive(r.accounts["1234"])
		<-time.After(5 * time.Second)
		s.set(func() { s.fail = nil })
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := links(s); got != "dc09/1234 unknown>lost warning\ndc09/1234 lost>up notice" {
			t.Errorf("told %s", got)
		}
	})
}

// TestRefusalNotStored holds that a refusal is told until it is stored, with all that came meanwhile.
func TestRefusalNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{fail: errors.New("full")}
		r, err := New(Options{TCP: ":0"})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var group errgroup.Group
		group.Go(func() error { return r.tellRefusals(ctx, s.sink) })
		r.refused.note("", "9999", refusedUnknown, "here")
		<-time.After(3 * time.Second)
		r.refused.note("", "8888", refusedUnknown, "there")
		s.set(func() { s.fail = nil })
		<-time.After(3 * time.Second)
		synctest.Wait()
		r.refused.note("", "7777", refusedUnknown, "there")
		<-time.After(2 * time.Minute)
		synctest.Wait()
		got := s.of(event.KindPanelRefused)
		if len(got) != 2 {
			t.Fatalf("%d events", len(got))
		}
		for i, want := range []struct {
			n       uint64
			account string
		}{{2, "8888"}, {1, "7777"}} {
			n, _ := got[i].Body.Uint(event.TagCount)
			account, _ := got[i].Body.Text(event.TagAccount)
			if n != want.n || account != want.account || got[i].Source != "dc09/unknown" {
				t.Errorf("event %d: %d of %s by %s", i, n, account, got[i].Source)
			}
		}
		cancel()
		must(t, group.Wait())
	})
}

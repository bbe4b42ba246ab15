package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// alarms stores n open alarms and returns their keys.
func alarms(t testing.TB, l *Ledger, n int) (keys []Key) {
	t.Helper()
	var es []event.Event
	for i := range uint64(n) {
		es = append(es, at(i+1, alarmed(draft(i+1))))
		keys = append(keys, Key{caoping().Station, event.Epoch{1}, i + 1})
	}
	store(t, l, frame(event.Epoch{1}, 0, es...))
	return keys
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		verb       Verb
		who, owner string
		closed     bool
		want       []Verb
		err        error
	}{
		{VerbClaim, "li", "", false, []Verb{VerbClaim}, nil},
		{VerbClaim, "li", "li", false, nil, nil},
		{VerbClaim, "li", "wang", false, nil, ErrTaken},
		{VerbRelease, "li", "li", false, []Verb{VerbRelease}, nil},
		{VerbRelease, "li", "wang", false, nil, ErrNotOwner},
		{VerbRelease, "li", "", false, nil, ErrNotOwner},
		{VerbAcknowledge, "li", "li", false, []Verb{VerbAcknowledge}, nil},
		{VerbAcknowledge, "li", "", false, []Verb{VerbClaim, VerbAcknowledge}, nil},
		{VerbAcknowledge, "li", "wang", false, nil, ErrTaken},
		{VerbAcknowledge, "li", "li", true, nil, nil},
		{VerbAcknowledge, "li", "wang", true, nil, ErrDone},
		{VerbClaim, "li", "li", true, nil, ErrDone},
		{VerbRelease, "li", "li", true, nil, ErrDone},
	} {
		got, err := decide(c.verb, c.who, c.owner, c.closed)
		if !reflect.DeepEqual(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s by %s, owner %q, closed %t: %v, %v; want %v, %v", c.verb, c.who, c.owner, c.closed, got, err, c.want, c.err)
		}
	}
	if _, err := decide("dance", "li", "", false); err == nil {
		t.Error("an unknown verb is done")
	}
}

func TestOfManyWhoClaimOneWins(t *testing.T) {
	l := fresh(t)
	for _, key := range alarms(t, l, 5) {
		const people = 8
		var all sync.WaitGroup
		var mu sync.Mutex
		winners, told := make(map[string]bool), make(map[string]bool)
		for i := range people {
			who := fmt.Sprint("p", i)
			all.Go(func() {
				owner, err := l.Act(t.Context(), key, VerbClaim, who, time.Now())
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners[owner] = true
				} else if errors.Is(err, ErrTaken) {
					told[owner] = true
				} else {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(winners) != 1 || !reflect.DeepEqual(winners, told) {
			t.Errorf("winners %v, the others were told %v", winners, told)
		}
	}
}

func TestTheCourseOfAnAlarm(t *testing.T) {
	l := fresh(t)
	keys := alarms(t, l, 2)
	now := time.Unix(4e9, 0).UTC()
	for i, s := range []struct {
		verb Verb
		who  string
	}{{VerbClaim, "li"}, {VerbRelease, "li"}, {VerbAcknowledge, "wang"}, {VerbAcknowledge, "wang"}} {
		if _, err := l.Act(t.Context(), keys[0], s.verb, s.who, now.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := l.Alarm(t.Context(), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	want := []Action{{now, "li", VerbClaim}, {now.Add(time.Second), "li", VerbRelease}, {now.Add(2 * time.Second), "wang", VerbClaim}, {now.Add(2 * time.Second), "wang", VerbAcknowledge}}
	if !reflect.DeepEqual(a.Actions, want) || a.Owner != "wang" || a.ClosedBy != "wang" || !a.Closed.Equal(now.Add(2*time.Second)) {
		t.Errorf("%+v", a)
	}
	open, total, err := l.Open(t.Context(), 10)
	if err != nil || total != 1 || len(open) != 1 || open[0].Event.Seq != 2 {
		t.Errorf("open: %d of %d, %v", len(open), total, err)
	}
	if recent, err := l.Recent(t.Context(), 0, 10); err != nil || len(recent) != 1 || recent[0].Row != a.Row {
		t.Errorf("recent: %+v, %v", recent, err)
	}
	if recent, err := l.Recent(t.Context(), a.Row, 10); err != nil || len(recent) != 0 {
		t.Errorf("before the first: %+v, %v", recent, err)
	}
	for _, k := range []Key{{"nobody", event.Epoch{1}, 1}, {keys[0].Station, event.Epoch{2}, 1}, {keys[0].Station, event.Epoch{1}, 99}} {
		if _, err := l.Act(t.Context(), k, VerbClaim, "li", now); !errors.Is(err, ErrNotFound) {
			t.Errorf("claim of %s: %v", k, err)
		}
		if _, err := l.Alarm(t.Context(), k); !errors.Is(err, ErrNotFound) {
			t.Errorf("alarm %s: %v", k, err)
		}
	}
}

func TestTheFeedHasNoGapAndNoRepetition(t *testing.T) {
	l := fresh(t)
	stirred, stop := l.Watch()
	defer stop()
	keys := alarms(t, l, 5)
	select {
	case <-stirred:
	default:
		t.Error("nobody was told of the alarms")
	}
	var seen []uint64
	after := int64(0)
	for {
		changes, next, err := l.Follow(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			seen = append(seen, c.Alarm.Event.Seq)
		}
		after = next
	}
	if !reflect.DeepEqual(seen, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("seen %v", seen)
	}
	if cursor, err := l.Cursor(t.Context()); err != nil || cursor != after {
		t.Errorf("cursor %d, %v; want %d", cursor, err, after)
	}
	// Several changes of one alarm are told as the last of them.
	for _, v := range []Verb{VerbClaim, VerbRelease, VerbClaim} {
		if _, err := l.Act(t.Context(), keys[2], v, "li", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	changes, next, err := l.Follow(t.Context(), after, 100)
	if err != nil || len(changes) != 1 || changes[0].Alarm.Owner != "li" || next != after+3 {
		t.Errorf("%+v, next %d after %d, %v", changes, next, after, err)
	}
	// What changes nothing is not told.
	if _, err := l.Act(t.Context(), keys[2], VerbClaim, "li", time.Now()); err != nil {
		t.Fatal(err)
	}
	if changes, _, err := l.Follow(t.Context(), next, 100); err != nil || len(changes) != 0 {
		t.Errorf("told of nothing: %+v, %v", changes, err)
	}
}

func TestPeopleAndSessions(t *testing.T) {
	l := fresh(t)
	now := time.Unix(5e9, 0)
	for name, password := range map[string]string{"": "long enough", "li": "short", "wang": string(make([]byte, 73))} {
		if err := l.SetPassword(t.Context(), name, password, now); err == nil {
			t.Errorf("name %q with a password of %d bytes is taken", name, len(password))
		}
	}
	if err := l.SetPassword(t.Context(), "李娜", "correct horse", now); err != nil {
		t.Fatal(err)
	}
	for name, password := range map[string]string{"李娜": "wrong horse", "nobody": "correct horse"} {
		if _, ok, err := l.Login(t.Context(), name, password, now, time.Hour); ok || err != nil {
			t.Errorf("%s with %q: %t, %v", name, password, ok, err)
		}
	}
	token, ok, err := l.Login(t.Context(), "李娜", "correct horse", now, time.Hour)
	if !ok || err != nil || len(token) != 32 {
		t.Fatalf("%x, %t, %v", token, ok, err)
	}
	if name, err := l.Session(t.Context(), token, now.Add(59*time.Minute)); err != nil || name != "李娜" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := l.Session(t.Context(), token, now.Add(time.Hour)); !errors.Is(err, ErrNotFound) {
		t.Errorf("an ended session: %v", err)
	}
	if err := l.SetPassword(t.Context(), "李娜", "another horse", now); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Session(t.Context(), token, now); !errors.Is(err, ErrNotFound) {
		t.Errorf("a session from before the new password: %v", err)
	}
	if token, _, err = l.Login(t.Context(), "李娜", "another horse", now, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := l.Logout(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Session(t.Context(), token, now); !errors.Is(err, ErrNotFound) {
		t.Errorf("after logout: %v", err)
	}
	if n, err := l.People(t.Context()); err != nil || n != 1 {
		t.Errorf("%d people, %v", n, err)
	}
}

func TestOpenCommands(t *testing.T) {
	l := fresh(t)
	now := time.Unix(6e9, 0)
	put := func(id string, life time.Duration) {
		t.Helper()
		if err := l.Put(t.Context(), Command{ID: id, Address: caoping(), Kind: "x", Body: json.RawMessage(`{"a":1}`), Expires: now.Add(life)}, now); err != nil {
			t.Fatal(err)
		}
	}
	put("a", time.Minute)
	put("b", 2*time.Minute)
	put("c", 3*time.Minute)
	ids := func(at time.Time) (ids []string) {
		t.Helper()
		cs, err := l.Commands(t.Context(), caoping(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cs {
			ids = append(ids, c.ID)
		}
		return ids
	}
	if got := ids(now.Add(90 * time.Second)); !reflect.DeepEqual(got, []string{"b", "c"}) {
		t.Errorf("open after 90 s: %v", got)
	}
	other := topic.Address{Jurisdiction: "yushan", Station: "other"}
	if known, err := l.Answered(t.Context(), other, topic.Reply{ID: "b", OK: true}, now); known || err != nil {
		t.Errorf("another station's answer counts: %t, %v", known, err)
	}
	if known, err := l.Answered(t.Context(), caoping(), topic.Reply{ID: "b", OK: true}, now); !known || err != nil {
		t.Errorf("%t, %v", known, err)
	}
	if known, err := l.Answered(t.Context(), caoping(), topic.Reply{ID: "b"}, now); known || err != nil {
		t.Errorf("a second answer counts: %t, %v", known, err)
	}
	if err := l.Withdraw(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if got := ids(now); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("open: %v", got)
	}
}

func TestViewingsAreOnRecord(t *testing.T) {
	l := fresh(t)
	now := time.Unix(7e9, 0).UTC()
	ask := func(id string) {
		t.Helper()
		v := Viewing{ID: id, Station: caoping().Station, Camera: "gate", Profile: "main", Purpose: "核实警情", Who: "li", Asked: now}
		if err := l.Ask(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	ask("v1")
	ask("v2")
	if err := l.Began(t.Context(), "v1", now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := l.Ended(t.Context(), "v2", "denied", now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if live, err := l.Live(t.Context()); err != nil || len(live) != 1 || live[0].ID != "v1" || live[0].Purpose != "核实警情" {
		t.Errorf("live: %+v, %v", live, err)
	}
	// The station says that it has ended, the browser never did.
	closed := event.Draft{At: now, Kind: event.KindViewingClosed, Qualifier: event.QualifierStatus, Severity: event.SeverityNotice,
		Source: "station", Body: event.NewBody(event.Text(event.TagViewing, "v1"))}
	store(t, l, frame(event.Epoch{1}, 0, at(2, closed)))
	v, err := l.Viewing(t.Context(), "v1")
	if err != nil || v.Outcome != "closed" || v.Ended.IsZero() || !v.Began.Equal(now.Add(time.Second)) {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := l.Viewing(t.Context(), "v2"); err != nil || v.Outcome != "denied" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := l.Viewing(t.Context(), "v3"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such viewing: %v", err)
	}
	if name, err := l.Name(t.Context()); err != nil || name != "常山县" {
		t.Errorf("%q, %v", name, err)
	}
}

package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"watchpost/firmware/arming"
	"watchpost/firmware/status"
	"watchpost/storage/event"
)

// wishWait is how long somebody at the door waits for a wish to be on disk.
const wishWait = 8 * time.Second

// maxTest is the longest test or hard bypass.
const maxTest = 2 * time.Hour

// entrance is where the local door takes wishes for the partitions.
type entrance struct {
	guard  *guard // nil = no partition is configured
	keypad *keypad
	names  map[string]string // of partitions and zones, by "partition/" or "zone/" and the id
	now    func() time.Time
}

// serve adds the entrance to the door.
func (e *entrance) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET "+status.PathArming, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, e.view()) })
	take(e, mux, status.PathArm, func(v status.Arm) (asked, error) {
		mode, err := e.mode(v.Mode)
		return asked{v.Code, "arm", v.Partition, func(by arming.Actor) arming.Input {
			return arming.Arm{By: by, Partition: v.Partition, Mode: mode, Force: v.Force, Now: v.Now}
		}}, errors.Join(err, e.known("partition", v.Partition), e.known("zone", v.Force...))
	})
	take(e, mux, status.PathDisarm, func(v status.Disarm) (asked, error) {
		return asked{v.Code, "disarm", v.Partition, func(by arming.Actor) arming.Input {
			return arming.Disarm{By: by, Partition: v.Partition}
		}}, e.known("partition", v.Partition)
	})
	take(e, mux, status.PathClear, func(v status.Clear) (asked, error) {
		return asked{v.Code, "clear", v.Partition, func(by arming.Actor) arming.Input {
			return arming.Clear{By: by, Partition: v.Partition}
		}}, e.known("partition", v.Partition)
	})
	take(e, mux, status.PathBypass, func(v status.Bypass) (asked, error) {
		span, err := e.span(v.For, v.Hard && !v.Off)
		return asked{v.Code, "bypass", "", func(by arming.Actor) arming.Input {
			return arming.Bypass{By: by, Zone: v.Zone, Off: v.Off, Hard: v.Hard, For: span}
		}}, errors.Join(err, e.known("zone", v.Zone))
	})
	take(e, mux, status.PathWalkTest, func(v status.WalkTest) (asked, error) {
		return asked{v.Code, "walktest", v.Partition, func(by arming.Actor) arming.Input {
			return arming.WalkTest{By: by, Partition: v.Partition, Off: v.Off}
		}}, e.known("partition", v.Partition)
	})
	take(e, mux, status.PathTest, func(v status.Test) (asked, error) {
		span, err := e.span(v.For, !v.Off)
		if v.Station == (v.Zone != "") {
			err = errors.Join(err, errors.New("name either one zone or the station"))
		}
		if v.Zone != "" {
			err = errors.Join(err, e.known("zone", v.Zone))
		}
		return asked{v.Code, "test", "", func(by arming.Actor) arming.Input {
			return arming.Maintain{By: by, Zone: v.Zone, For: span, Off: v.Off, Reason: v.Reason}
		}}, err
	})
}

// asked is a wish that was read: whose code it came with, what it is called, and what it is once somebody is known.
type asked struct {
	code, action, partition string
	wish                    func(arming.Actor) arming.Input
}

// take makes the door take one kind of wish.
func take[T any](e *entrance, mux *http.ServeMux, path string, read func(T) (asked, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var v T
		if err := readWish(w, r, &v); err != nil {
			answer(w, http.StatusBadRequest, status.Refused{Reason: err.Error()})
			return
		}
		a, err := read(v)
		if err == nil && a.code == "" {
			err = errors.New("no code")
		}
		if err != nil {
			answer(w, http.StatusBadRequest, status.Refused{Reason: err.Error()})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wishWait)
		defer cancel()
		code, refused := e.wish(ctx, a)
		if code == http.StatusOK {
			answer(w, code, e.view())
			return
		}
		answer(w, code, refused)
	})
}

// readWish reads one JSON value of at most status.MaxWish bytes, in which every key is known.
func readWish(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, status.MaxWish))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("reading the wish: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("reading the wish: something stands behind it")
	}
	return nil
}

// wish has a wish done.
func (e *entrance) wish(ctx context.Context, a asked) (int, status.Refused) {
	if e.guard == nil {
		return http.StatusConflict, status.Refused{Reason: arming.RefusedPartition}
	}
	by, err := e.keypad.enter(a.code)
	locked, isLocked := errors.AsType[*lockedError](err)
	if isLocked {
		if locked.now {
			e.guard.tell(guessed(a.partition, a.action, "locked"))
		}
		return http.StatusTooManyRequests, status.Refused{Reason: "locked", RetryS: int(math.Ceil(locked.left.Seconds()))}
	}
	err = e.guard.do(ctx, a.wish(by))
	refusal, isRefusal := errors.AsType[*arming.Refusal](err)
	switch {
	case by.User == "":
		return http.StatusForbidden, status.Refused{Reason: by.Why}
	case isRefusal:
		return http.StatusConflict, status.Refused{Reason: refusal.Reason, Zones: refusal.Zones}
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable, status.Refused{Reason: err.Error()}
	case err != nil:
		return http.StatusBadRequest, status.Refused{Reason: err.Error()}
	}
	return http.StatusOK, status.Refused{}
}

// guessed tells that somebody guesses codes, or tries cards.
func guessed(partition, action, reason string) event.Draft {
	return event.Draft{
		Kind: event.KindArmingRefused, Qualifier: event.QualifierStatus, Source: "arming", Severity: event.SeverityWarning,
		Body: event.NewBody(event.Text(event.TagPartition, partition), event.Text(event.TagAction, action), event.Text(event.TagReason, reason),
			event.Uint(event.TagCount, keypadTries), event.Uint(event.TagDuration, uint64(keypadRest))),
	}
}

// known complains of what the configuration does not have, and says what it has.
func (e *entrance) known(what string, ids ...string) error {
	var errs []error
	for _, id := range ids {
		if _, ok := e.names[what+"/"+id]; !ok {
			errs = append(errs, fmt.Errorf("%s %q is not known here; known are: %s", what, id, strings.Join(e.all(what), ", ")))
		}
	}
	return errors.Join(errs...)
}

// all are the ids of the partitions or of their zones.
func (e *entrance) all(what string) []string {
	var ids []string
	for name := range e.names {
		if id, ok := strings.CutPrefix(name, what+"/"); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (e *entrance) mode(word string) (arming.Mode, error) {
	m := arming.Mode(word)
	if !slices.Contains([]arming.Mode{arming.Away, arming.Stay, arming.Night}, m) {
		return "", fmt.Errorf("mode %q: want away, stay or night", word)
	}
	return m, nil
}

// span reads how long a test or a hard bypass is to last.
func (e *entrance) span(text string, needed bool) (time.Duration, error) {
	if !needed {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxTest {
		return 0, fmt.Errorf("for %q: want a duration such as 30m, at most %s", text, maxTest)
	}
	return d, nil
}

// view is how the partitions are.
func (e *entrance) view() status.Arming {
	a := status.Arming{At: e.now().UTC(), Partitions: []status.Partition{}, Zones: []status.Zone{}}
	if e.guard == nil {
		return a
	}
	v := e.guard.view()
	a.TestUntil = v.TestUntil
	for _, p := range v.Partitions {
		x := status.Partition{
			ID: p.ID, Name: e.names["partition/"+p.ID], State: string(p.State), Mode: string(p.Mode), Since: p.Since, Until: p.Until,
			Bypassed: p.LeftOut, Trouble: p.Trouble, Walked: p.Walked,
		}
		for _, m := range p.Memory {
			x.Memory = append(x.Memory, status.Alarm{Zone: m.Zone, Reason: m.Reason, State: m.State, At: m.At, Count: m.Count})
		}
		a.Partitions = append(a.Partitions, x)
	}
	for _, z := range v.Zones {
		a.Zones = append(a.Zones, status.Zone{
			ID: z.ID, Name: e.names["zone/"+z.ID], Partition: z.Partition, State: orUnknown(z.State), Bypassed: z.LeftOut, Until: z.Until,
		})
	}
	return a
}

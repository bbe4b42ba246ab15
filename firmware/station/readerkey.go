package station

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"

	"watchpost/drivers/osdp"
	"watchpost/firmware/arming"
	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/storage/event"
)

// actionKey is what giving a reader its key is called in events.
const actionKey = "reader-key"

// locksmith gives readers on RS-485 their keys, when an engineer of the station wishes it.
type locksmith struct {
	guard   *guard
	keypad  *keypad
	users   []config.User
	readers map[string]config.Reader
	drivers map[string]*osdp.Driver // by reader
	view    func() status.Arming
}

// serve adds the locksmith to the door.
func (l *locksmith) serve(mux *http.ServeMux) {
	mux.HandleFunc("POST "+status.PathReaderKey, func(w http.ResponseWriter, r *http.Request) {
		var v status.ReaderKey
		err := readWish(w, r, &v)
		if l.drivers[v.Reader] == nil && err == nil {
			err = fmt.Errorf("no reader on RS-485 is called %q", v.Reader)
		}
		if err == nil && v.Code == "" {
			err = errors.New("no code")
		}
		if err != nil {
			answer(w, http.StatusBadRequest, status.Refused{Reason: err.Error()})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wishWait)
		defer cancel()
		if code, refused := l.give(ctx, v); code != http.StatusOK {
			answer(w, code, refused)
			return
		}
		answer(w, http.StatusOK, l.view())
	})
}

// give has a reader given its key, if the code is an engineer's. Whether it was or not is an event.
func (l *locksmith) give(ctx context.Context, v status.ReaderKey) (int, status.Refused) {
	partition := l.readers[v.Reader].Partition
	by, err := l.keypad.enter(v.Code)
	if locked, is := errors.AsType[*lockedError](err); is {
		if locked.now {
			l.guard.tell(guessed(partition, actionKey, "locked"))
		}
		return http.StatusTooManyRequests, status.Refused{Reason: "locked", RetryS: int(math.Ceil(locked.left.Seconds()))}
	}
	if by.Duress {
		l.guard.tell(l.draft(event.KindDuress, event.QualifierNew, event.SeverityAlarm, partition, by, event.Text(event.TagCode, "HA")))
	}
	refuse := func(code int, reason, told string) (int, status.Refused) {
		l.guard.tell(l.draft(event.KindArmingRefused, event.QualifierStatus, event.SeverityWarning, partition, by,
			event.Text(event.TagAction, actionKey), event.Text(event.TagReason, told)))
		return code, status.Refused{Reason: reason}
	}
	switch {
	case by.User == "":
		return refuse(http.StatusForbidden, by.Why, by.Why)
	case !l.engineer(by.User):
		return refuse(http.StatusConflict, arming.RefusedRight, arming.RefusedRight)
	}
	if err := l.drivers[v.Reader].GiveKey(ctx, v.Reader); err != nil {
		return refuse(http.StatusConflict, err.Error(), "reader")
	}
	l.guard.tell(l.draft(event.KindMaintenance, event.QualifierStatus, event.SeverityNotice, partition, by,
		event.Text(event.TagZone, v.Reader), event.Text(event.TagState, actionKey)))
	return http.StatusOK, status.Refused{}
}

func (l *locksmith) engineer(user string) bool {
	return slices.ContainsFunc(l.users, func(u config.User) bool { return u.ID == user && slices.Contains(u.Rights, "engineer") })
}

func (l *locksmith) draft(k event.Kind, q event.Qualifier, s event.Severity, partition string, by arming.Actor, more ...event.Field) event.Draft {
	fields := append([]event.Field{event.Text(event.TagPartition, partition), event.Text(event.TagWho, by.User)}, more...)
	return event.Draft{Kind: k, Qualifier: q, Source: "arming/" + partition, Severity: s, Body: event.NewBody(fields...)}
}

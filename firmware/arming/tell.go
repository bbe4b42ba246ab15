package arming

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"watchpost/storage/event"
)

// sourceName is the Source of what concerns the whole station; a partition's has its name behind a slash.
const sourceName = "arming"

// Causes of outputs and of changes that nobody wished.
const (
	causeTimeOut  = "time-out"
	causeDisarmed = "disarmed"
	causeRestart  = "restart"
)

// SIA codes (DC-03) of alarms that are not the zone's own.
const (
	codeTamper = "TA"
	codeFault  = "UT" // untyped zone trouble
	codeDuress = "HA" // hold-up alarm, as Contact ID 121 is translated
)

// maxText bounds, in bytes, each text that comes from outside: a reason, a person of a centre, the name of a zone that there is not.
const maxText = 96

// clip bounds a text from outside, and makes it one that an event takes.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}

// maxNamed bounds the zones that one event names, below the fields that it may have; the count is of all.
const maxNamed = 128

func sourceOf(place string) string {
	if place == "" {
		return sourceName
	}
	return sourceName + "/" + place
}

// emit adds an event. Its key is that of the step and the place in it, so that the same step told twice has the same keys.
func (m *Machine) emit(place string, d event.Draft, fields ...event.Field) {
	m.emitAs(strconv.Itoa(len(m.out)), place, d, fields...)
}

func (m *Machine) emitAs(key, place string, d event.Draft, fields ...event.Field) {
	d.Once = m.life + "/" + strconv.FormatUint(m.step+1, 10) + "." + key
	d.At, d.Source = m.now.Wall, sourceOf(place)
	if d.KernelNS != 0 {
		d.BootID = m.boot
	}
	d.Body = event.NewBody(append(fields, event.Text(event.TagPartition, place))...)
	m.out = append(m.out, Effect{Event: &d})
}

// raise tells an alarm, remembers it, sounds it, and silences a swinger.
func (m *Machine) raise(z *zone, cause, state string, e edge) {
	p := z.p
	code, kind := z.Code, z.Kind
	switch cause {
	case CauseTamper:
		code, kind = codeTamper, Tamper
	case CauseFault:
		code = codeFault
	}
	fields := []event.Field{
		event.Text(event.TagReason, cause), event.Text(event.TagState, state), event.Text(event.TagCode, code),
		event.Text(event.TagMode, string(p.mode)), event.Text(event.TagDetail, z.reason),
	}
	if e.LineSeq != 0 {
		fields = append(fields, event.Uint(event.TagLineSeq, e.LineSeq))
	}
	m.emit(p.ID, event.Draft{Kind: event.KindAlarmRaised, Qualifier: event.QualifierNew, Zone: z.ID, KernelNS: e.KernelNS,
		Severity: event.SeverityAlarm}, fields...)
	p.remember(Alarm{Zone: z.ID, Reason: cause, State: state, At: m.wall(), Count: 1})
	if cause != CauseFault && p.Siren > 0 && !slices.Contains(p.SilentKinds, kind) {
		m.sound(p, cause)
	}
	if z.Kind.alwaysOn() || z.Swinger == 0 {
		return
	}
	if z.alarms++; z.alarms >= z.Swinger {
		z.swinger = true
		m.tellBypassed(z, LeftOutSwinger, "", cause)
	}
}

func (m *Machine) tellRestored(z *zone, cause string) {
	m.emit(z.p.ID, event.Draft{Kind: event.KindAlarmRaised, Qualifier: event.QualifierRestore, Zone: z.ID, KernelNS: z.edge.KernelNS,
		Severity: event.SeverityNotice}, event.Text(event.TagReason, cause), event.Text(event.TagState, z.judged), event.Text(event.TagMode, string(z.p.mode)))
}

// sound begins the siren time, or begins it anew.
func (m *Machine) sound(p *partition, cause string) {
	tampering := cause == CauseTamper || cause == string(Tamper)
	p.tampering = tampering && (p.sounding == 0 || p.tampering)
	p.sounding, p.cause = m.after(p.Siren), cause
	p.because(cause)
	for _, id := range p.Outputs {
		m.driven[id] = cause
	}
}

// quieten drives the outputs of a partition that sounds no more; another may still want them.
func (m *Machine) quieten(p *partition, why string) {
	for _, id := range p.Outputs {
		m.driven[id] = why
	}
}

// drive asks for the outputs that this step has touched: on for as long as the longest siren time lasts, else off.
func (m *Machine) drive() {
	if len(m.driven) == 0 {
		return
	}
	for _, p := range m.partitions {
		for _, id := range p.Outputs {
			why, touched := m.driven[id]
			if !touched {
				continue
			}
			delete(m.driven, id)
			o := Output{ID: id, Cause: why}
			for _, q := range m.partitions {
				if q.sounding != 0 && slices.Contains(q.Outputs, id) && q.sounding.left(m.now) > o.For {
					o.On, o.For, o.Cause = true, q.sounding.left(m.now), q.cause
				}
			}
			m.out = append(m.out, Effect{Output: &o})
		}
	}
}

// tellPartition tells a new state, and which zones do not count while armed.
func (m *Machine) tellPartition(p *partition, s State) {
	m.emit(p.ID, event.Draft{Kind: event.KindPartitionChanged, Qualifier: event.QualifierStatus, Severity: event.SeverityNotice},
		append(m.leftOutOf(p), event.Text(event.TagState, string(s)), event.Text(event.TagPrevious, string(p.told)),
			event.Text(event.TagMode, string(p.mode)), event.Text(event.TagWho, p.note.who), event.Text(event.TagReason, p.note.why),
			event.Text(event.TagDetail, p.note.detail))...)
	p.told, p.since = s, m.wall()
}

// tellLate tells that a partition is not armed although it should be.
func (m *Machine) tellLate(p *partition) {
	m.emit(p.ID, event.Draft{Kind: event.KindPartitionChanged, Qualifier: event.QualifierStatus, Severity: event.SeverityWarning},
		event.Text(event.TagState, string(p.state(m))), event.Text(event.TagPrevious, string(p.told)), event.Text(event.TagReason, reasonLate),
		event.Text(event.TagDetail, "not armed since "+p.ArmAt))
}

// tellGone tells that an armed partition is disarmed because the plan does not know it any more.
func (m *Machine) tellGone(id string, was State) {
	m.emit(id, event.Draft{Kind: event.KindPartitionChanged, Qualifier: event.QualifierStatus, Severity: event.SeverityWarning},
		event.Text(event.TagState, string(StateDisarmed)), event.Text(event.TagPrevious, string(was)), event.Text(event.TagReason, reasonGone))
}

// reasonGone is the reason of partition.changed that tells an armed partition that is not in the plan any more.
const reasonGone = "not-in-plan"

// reasonLate is the reason of partition.changed that tells a partition late to close.
const reasonLate = "late-to-close"

func (m *Machine) leftOutOf(p *partition) []event.Field {
	if p.mode == "" {
		return nil
	}
	var ids []string
	for _, z := range p.zones {
		if m.silenced(z) {
			ids = append(ids, z.ID)
		}
	}
	return named(ids)
}

// named is zones as fields, the first of many and how many there are.
func named(ids []string) []event.Field {
	var fields []event.Field
	for _, id := range ids[:min(len(ids), maxNamed)] {
		fields = append(fields, event.Text(event.TagZone, clip(id)))
	}
	if len(ids) > maxNamed {
		fields = append(fields, event.Uint(event.TagCount, uint64(len(ids))))
	}
	return fields
}

// notWalked says which zones a walk test has not seen.
func notWalked(ids []string) string {
	switch {
	case len(ids) == 0:
		return "every zone was seen active"
	case len(ids) > maxNamed:
		return fmt.Sprintf("not seen active: %s and %d more", strings.Join(ids[:maxNamed], ", "), len(ids)-maxNamed)
	}
	return "not seen active: " + strings.Join(ids, ", ")
}

func (m *Machine) tellBypassed(z *zone, how, who, why string) {
	m.emit(z.p.ID, event.Draft{Kind: event.KindZoneBypassed, Qualifier: event.QualifierNew, Zone: z.ID, Severity: event.SeverityNotice},
		event.Text(event.TagState, how), event.Text(event.TagWho, who), event.Text(event.TagReason, why))
}

func (m *Machine) tellCounts(z *zone, how, who, why string) {
	m.emit(z.p.ID, event.Draft{Kind: event.KindZoneBypassed, Qualifier: event.QualifierRestore, Zone: z.ID, Severity: event.SeverityNotice},
		event.Text(event.TagState, how), event.Text(event.TagWho, who), event.Text(event.TagReason, why))
}

func (m *Machine) tellWorkBegins(z *zone, w *work) {
	m.tellWork(z, w, event.QualifierNew, w.who, w.reason)
}

func (m *Machine) tellWorkStands(z *zone, w *work) {
	m.tellWork(z, w, event.QualifierStatus, w.who, w.reason)
}

func (m *Machine) tellWorkEnds(z *zone, w *work, who, why string) {
	m.tellWork(z, w, event.QualifierRestore, who, why)
}

// tellWork tells a test or an engineer's bypass; it is a warning, since something does not watch.
func (m *Machine) tellWork(z *zone, w *work, q event.Qualifier, who, why string) {
	place, id, how := "", "", "test"
	if z != nil {
		place, id = z.p.ID, z.ID
		if w == &z.hard {
			how = "bypass"
		}
	}
	fields := []event.Field{event.Text(event.TagState, how), event.Text(event.TagWho, who), event.Text(event.TagReason, why)}
	if q != event.QualifierRestore {
		fields = append(fields, event.Uint(event.TagDuration, uint64(w.until.left(m.now))), event.Int(event.TagExpires, w.until.wall(m.now).UnixNano()))
	}
	m.emit(place, event.Draft{Kind: event.KindMaintenance, Qualifier: q, Zone: id, Severity: event.SeverityWarning}, fields...)
}

// tellRefused tells a wish that was not done. A stranger at the keypad is a warning.
func (m *Machine) tellRefused(place string, in Input, by Actor, r *Refusal) {
	severity := event.SeverityNotice
	if by.name() == "" {
		severity = event.SeverityWarning
	}
	if m.byID[place] == nil {
		place = "" // nothing of the plan: it is named nowhere
	}
	m.emit(place, event.Draft{Kind: event.KindArmingRefused, Qualifier: event.QualifierStatus, Severity: severity},
		append(named(r.Zones), event.Text(event.TagAction, actionOf(in)), event.Text(event.TagWho, by.name()), event.Text(event.TagReason, r.Reason))...)
}

func actionOf(in Input) string {
	switch in.(type) {
	case Arm:
		return "arm"
	case Disarm:
		return "disarm"
	case Clear:
		return "clear"
	case Bypass:
		return "bypass"
	case Maintain:
		return "test"
	case WalkTest:
		return "walk-test"
	}
	return ""
}

// tellDuress tells that somebody is made to do what was just done. It comes last and has a key of its own, so that nothing else of
// the step, nor of any later one, is different.
func (m *Machine) tellDuress(place string, by Actor) {
	if m.byID[place] == nil {
		place = ""
	}
	m.emitAs("duress", place, event.Draft{Kind: event.KindDuress, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm},
		event.Text(event.TagWho, by.name()), event.Text(event.TagCode, codeDuress))
}

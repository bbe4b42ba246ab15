package arming

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// journalVersion is that of the journal's form; another one is refused.
const journalVersion = 1

// Limits of a journal, besides what the plan bounds.
const (
	maxJournal = 1 << 20        // bytes
	maxLeft    = 25 * time.Hour // of a delay; the longest is the day between two tellings
)

// ErrJournal is wrapped by every error about a journal that cannot be believed.
var ErrJournal = errors.New("arming journal")

// journal is the machine as it is written down. Deadlines are Up of boot; saved is when they were last known to be right.
type journal struct {
	V          int                         `json:"v"`
	Life       string                      `json:"life"`
	Step       uint64                      `json:"step"`
	Boot       uint32                      `json:"boot"`
	Saved      time.Duration               `json:"saved"`
	Test       *workJournal                `json:"test,omitempty"`
	Partitions map[string]partitionJournal `json:"partitions"`
	Zones      map[string]zoneJournal      `json:"zones"`
}

type workJournal struct {
	Until  deadline `json:"until"`
	Tell   deadline `json:"tell"`
	Ends   int64    `json:"ends"`
	Who    string   `json:"who,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

type partitionJournal struct {
	State     State     `json:"state"`
	Since     time.Time `json:"since,omitzero"`
	Mode      Mode      `json:"mode,omitempty"`
	Exit      deadline  `json:"exit,omitempty"`
	Leaves    int       `json:"leaves,omitempty"`
	Entry     deadline  `json:"entry,omitempty"`
	Waiting   []waiting `json:"waiting,omitempty"`
	Sounding  deadline  `json:"sounding,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Tampering bool      `json:"tampering,omitempty"`
	Settle    deadline  `json:"settle,omitempty"`
	Walk      deadline  `json:"walk,omitempty"`
	Memory    []Alarm   `json:"memory,omitempty"`
	Schedule  schedule  `json:"schedule,omitzero"`
}

type zoneJournal struct {
	Judged  string       `json:"judged,omitempty"`
	Stood   string       `json:"stood,omitempty"`
	Alarm   string       `json:"alarm,omitempty"`
	Wire    string       `json:"wire,omitempty"`
	Alarms  int          `json:"alarms,omitempty"`
	Trip    deadline     `json:"trip,omitempty"`
	Walked  bool         `json:"walked,omitempty"`
	Soft    bool         `json:"soft,omitempty"`
	Swinger bool         `json:"swinger,omitempty"`
	Hard    *workJournal `json:"hard,omitempty"`
	Test    *workJournal `json:"test,omitempty"`
}

// Journal is all that must outlive the run: JSON, the same bytes as before when nothing durable has changed. They must not be changed.
func (m *Machine) Journal() []byte {
	if m.cached != nil {
		return m.cached
	}
	j := journal{
		V: journalVersion, Life: m.life, Step: m.step, Boot: m.boot, Saved: m.saved, Test: m.test.journal(),
		Partitions: map[string]partitionJournal{}, Zones: map[string]zoneJournal{},
	}
	for _, p := range m.partitions {
		j.Partitions[p.ID] = partitionJournal{
			State: p.told, Since: p.since.UTC(), Mode: p.mode, Exit: p.exit, Leaves: p.leaves, Entry: p.entry, Waiting: p.waiting,
			Sounding: p.sounding, Cause: p.cause, Tampering: p.tampering, Settle: p.settle, Walk: p.walk, Memory: p.memory, Schedule: p.schedule,
		}
	}
	for _, z := range m.zones {
		d := zoneJournal{Alarm: z.alarm, Wire: z.wire, Alarms: z.alarms, Trip: z.trip, Walked: z.walked, Soft: z.soft, Swinger: z.swinger,
			Hard: z.hard.journal(), Test: z.test.journal()}
		if z.durable() {
			d.Judged, d.Stood = z.judged, z.stood
		}
		if d != (zoneJournal{}) {
			j.Zones[z.ID] = d
		}
	}
	b, err := json.Marshal(j)
	if err != nil {
		panic("arming: a journal of plain values cannot be written: " + err.Error())
	}
	m.cached = b
	return b
}

func (w work) journal() *workJournal {
	if w.until == 0 {
		return nil
	}
	return &workJournal{w.until, w.tell, w.ends, w.who, w.reason}
}

// Restore takes up a journal of an earlier run, before Started; nil is the first start. What the plan does not know any more is
// forgotten; Started tells of a partition that was armed. An error wraps ErrJournal and means that the journal cannot be believed; the machine is then as New made it.
func (m *Machine) Restore(b []byte, now Instant) error {
	if m.started {
		return fmt.Errorf("%w: it comes before Started", ErrJournal)
	}
	if len(b) == 0 {
		return nil
	}
	j, err := readJournal(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	r := reader{Machine: m, now: now, saved: j.Saved, same: j.Boot == now.Boot && now.Up >= j.Saved}
	if err := r.check(j); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	m.life, m.step, m.boot, m.fresh = j.Life, j.Step, now.Boot, !r.same
	m.now, m.saved, m.cached = now, now.Up, nil
	if r.same {
		m.saved = j.Saved
	}
	m.test = r.work(j.Test)
	for _, p := range m.partitions {
		if d, ok := j.Partitions[p.ID]; ok {
			r.partition(p, d)
		}
	}
	m.gone = map[string]State{}
	for id, d := range j.Partitions {
		if m.byID[id] == nil && d.Mode != "" {
			m.gone[id] = d.State
		}
	}
	for _, z := range m.zones {
		r.zone(z, j.Zones[z.ID])
	}
	return nil
}

// readJournal takes a journal's bytes apart.
func readJournal(b []byte) (journal, error) {
	var j journal
	if len(b) > maxJournal {
		return j, fmt.Errorf("%d bytes, at most %d", len(b), maxJournal)
	}
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return j, fmt.Errorf("not whole: %w", err)
	}
	if head.V != journalVersion {
		return j, fmt.Errorf("version %d, this one reads %d", head.V, journalVersion)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return j, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return j, errors.New("more behind its end")
	}
	return j, nil
}

// reader takes a journal up at now.
type reader struct {
	*Machine
	now   Instant
	saved time.Duration
	same  bool // the boot is the journal's
}

// check believes nothing that the machine could not have written.
func (r reader) check(j journal) error {
	var bad []error
	complain := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	deadlines := func(of string, all ...deadline) {
		for _, d := range all {
			if d < 0 || time.Duration(d)-j.Saved > maxLeft {
				complain("%s: a delay that ends at %s, %s after the last step", of, time.Duration(d), time.Duration(d)-j.Saved)
			}
		}
	}
	works := func(of string, all ...*workJournal) {
		for _, w := range all {
			if w != nil {
				deadlines(of, w.Until, w.Tell)
			}
		}
	}
	if j.Saved < 0 || j.Saved > math.MaxInt64/2 || j.Life == "" || len(j.Life) > maxID {
		complain("life %q, saved at %s", j.Life, j.Saved)
	}
	works("station", j.Test)
	for id, p := range j.Partitions {
		if !validID(id) || p.Mode != "" && !p.Mode.valid() || !validState(p.State) || p.Mode == "" && (p.Exit|p.Entry != 0) {
			complain("partition %q: state %q, mode %q", id, p.State, p.Mode)
		}
		deadlines("partition "+id, p.Exit, p.Entry, p.Sounding, p.Settle, p.Walk)
		if len(p.Waiting) > len(j.Zones)+len(r.zones) {
			complain("partition %q: %d zones wait", id, len(p.Waiting))
		}
	}
	for id, z := range j.Zones {
		if z.Judged != "" && !validWord(z.Judged) || !slices.Contains([]string{"", normal, active}, z.Stood) || z.Alarms < 0 {
			complain("zone %q: judged %q, stood %q, %d alarms", id, z.Judged, z.Stood, z.Alarms)
		}
		deadlines("zone "+id, z.Trip)
		works("zone "+id, z.Hard, z.Test)
	}
	return errors.Join(bad...)
}

func validState(s State) bool {
	return slices.Contains([]State{StateDisarmed, StateArming, StateArmedAway, StateArmedStay, StateArmedNight, StateEntry, StateAlarm,
		StateAlarmMemory, StateTamper, StateWalkTest, StateMaintenance}, s)
}

// at is a deadline on this boot's clock: the same moment, or after another boot as much later as was left when last known.
func (r reader) at(d deadline) deadline {
	if d == 0 || r.same {
		return d
	}
	return deadline(max(1, r.now.Up+max(0, time.Duration(d)-r.saved)))
}

// siren is a deadline on this boot's clock. After another boot less of it is left by the time since then: a siren that pulls down its
// own supply must end some day.
func (r reader) siren(d deadline) deadline {
	if d == 0 || r.same {
		return d
	}
	return max(1, r.at(d)-deadline(r.now.Up))
}

// work ends in its time however often the power fails: after another boot the wall clock may shorten what is left.
func (r reader) work(w *workJournal) work {
	if w == nil || w.Until == 0 {
		return work{}
	}
	until := r.at(w.Until)
	if !r.same {
		byWall := max(0, time.Unix(w.Ends, 0).Sub(r.now.Wall))
		until = min(until, deadline(max(1, r.now.Up+min(byWall, maxLeft))))
	}
	return work{until: until, tell: r.at(w.Tell), ends: w.Ends, who: w.Who, reason: w.Reason}
}

func (r reader) partition(p *partition, d partitionJournal) {
	p.told, p.since, p.mode = d.State, d.Since, d.Mode
	p.exit, p.leaves, p.entry, p.sounding, p.walk = r.at(d.Exit), d.Leaves, r.at(d.Entry), r.siren(d.Sounding), r.at(d.Walk)
	p.cause, p.tampering, p.memory, p.schedule = d.Cause, d.Tampering, d.Memory, d.Schedule
	if r.same {
		p.settle = d.Settle
	}
	for _, w := range d.Waiting {
		if !r.same {
			w.edge = edge{} // of a clock that is gone
		}
		p.waiting = append(p.waiting, w)
	}
}

func (r reader) zone(z *zone, d zoneJournal) {
	z.judged, z.stood, z.alarm, z.wire = d.Judged, d.Stood, d.Alarm, d.Wire
	z.alarms, z.trip, z.walked, z.soft, z.swinger = d.Alarms, r.at(d.Trip), d.Walked, d.Soft, d.Swinger
	z.hard, z.test = r.work(d.Hard), r.work(d.Test)
	if z.Kind.alwaysOn() { // which it was not before the plan was changed
		z.soft, z.swinger = false, false
	}
}

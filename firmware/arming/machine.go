package arming

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Machine holds the partitions of one station. Its methods are not for use at once from several goroutines.
type Machine struct {
	partitions []*partition
	zones      []*zone
	byID       map[string]*partition
	byZone     map[string]*zone
	users      map[string]User

	now     Instant
	started bool
	boot    uint32        // that all deadlines belong to
	fresh   bool          // a power-up, or the first start: detectors must settle
	saved   time.Duration // Up of the last step that had effects or began a delay
	life    string        // names the life of this journal in Once keys
	step    uint64        // steps with effects
	test    work          // of the whole station
	looked  time.Time     // the minute in which the schedules were looked at last

	gone   map[string]State // partitions of the journal that were armed and are not in the plan
	out    []Effect
	driven map[string]string // outputs to be driven at the end of the step → why
	cached []byte            // the journal, nil = it has changed
}

// New checks the plan. The machine begins disarmed; Restore comes next, then the input Started.
func New(p Plan) (*Machine, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("arming plan: %w", err)
	}
	m := &Machine{byID: map[string]*partition{}, byZone: map[string]*zone{}, users: map[string]User{}, driven: map[string]string{}, fresh: true}
	for _, part := range p.Partitions {
		q := &partition{Partition: part, told: StateDisarmed}
		m.partitions, m.byID[part.ID] = append(m.partitions, q), q
	}
	for _, cfg := range p.Zones {
		z := &zone{Zone: cfg, p: m.byID[cfg.Partition], level: unknown}
		m.zones, m.byZone[cfg.ID] = append(m.zones, z), z
		z.p.zones = append(z.p.zones, z)
	}
	for _, u := range p.Users {
		m.users[u.ID] = u
	}
	return m, nil
}

// Step takes one input. The error is a *Refusal when a wish is not done; any other error is a mistake of the caller, and then
// nothing has changed. The effects are the caller's.
func (m *Machine) Step(in Input, now Instant) ([]Effect, error) {
	if err := m.admit(in, now); err != nil {
		return nil, err
	}
	m.now, m.out = now, nil
	for _, p := range m.partitions {
		p.note = note{}
	}
	m.advance()
	var refused *Refusal
	switch in := in.(type) {
	case Started:
		m.start()
	case Tick:
		m.schedules()
	case Word:
		m.word(in)
	default:
		refused = m.wish(in)
	}
	m.finish(in)
	if refused != nil {
		return m.out, refused
	}
	return m.out, nil
}

// admit refuses what only a mistake of the caller can bring.
func (m *Machine) admit(in Input, now Instant) error {
	if _, ok := in.(Started); ok == m.started {
		return errors.New("arming: Started comes once, before any other input")
	}
	if m.started && (now.Boot != m.boot || now.Up < m.now.Up) {
		return fmt.Errorf("arming: now is %s of boot %08x, the step before was at %s of boot %08x", now.Up, now.Boot, m.now.Up, m.boot)
	}
	if w, ok := in.(Word); ok {
		if m.byZone[w.Zone] == nil {
			return fmt.Errorf("arming: zone %q is not in the plan", w.Zone)
		}
		if !validWord(w.State) {
			return fmt.Errorf("arming: zone %s: %q is no state of a zone", w.Zone, w.State)
		}
	}
	return nil
}

// start is the first step of a run.
func (m *Machine) start() {
	m.started, m.boot = true, m.now.Boot
	if m.life == "" {
		m.life = fmt.Sprintf("%08x%x", m.now.Boot, int64(m.now.Up))
	}
	for _, p := range m.partitions {
		if p.since.IsZero() {
			p.since = m.wall()
		}
		if m.fresh && p.Settle > 0 {
			p.settle = m.after(p.Settle)
		}
		for _, id := range p.Outputs {
			m.driven[id] = causeRestart
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.gone)) {
		m.tellGone(id, m.gone[id])
	}
	m.gone, m.cached = nil, nil
}

// wall is the time of the step, as it comes back from a journal.
func (m *Machine) wall() time.Time { return m.now.Wall.Round(0).UTC() }

// wish does what a person, or the centre for one, wishes.
func (m *Machine) wish(in Input) *Refusal {
	var by Actor
	var refused *Refusal
	var place string
	switch in := in.(type) {
	case Arm:
		by, place, refused = in.By, in.Partition, m.arm(in)
	case Disarm:
		by, place, refused = in.By, in.Partition, m.disarmWish(in)
	case Clear:
		by, place, refused = in.By, in.Partition, m.clear(in)
	case WalkTest:
		by, place, refused = in.By, in.Partition, m.walkTest(in)
	case Bypass:
		by, place, refused = in.By, m.placeOf(in.Zone), m.bypass(in)
	case Maintain:
		by, place, refused = in.By, m.placeOf(in.Zone), m.maintain(in)
	}
	if refused != nil {
		m.tellRefused(place, in, by, refused)
	}
	m.settleUp()
	if by.Duress {
		m.tellDuress(place, by)
	}
	return refused
}

func (m *Machine) placeOf(zone string) string {
	if z := m.byZone[zone]; z != nil {
		return z.p.ID
	}
	return ""
}

// settleUp tells what the step has changed: the partitions' states, then the outputs.
func (m *Machine) settleUp() {
	for _, p := range m.partitions {
		if s := p.state(m); s != p.told {
			m.tellPartition(p, s)
		}
	}
	m.drive()
}

// finish closes the step. Each wish counts as a step, whatever it did, so that a number tells nothing about it.
func (m *Machine) finish(in Input) {
	m.settleUp()
	counted := len(m.out) > 0
	switch in := in.(type) {
	case Started, Tick:
	case Word:
		if z := m.byZone[in.Zone]; z.durable() || z.p.walk != 0 {
			m.cached = nil
		}
	default:
		counted = true
	}
	if counted {
		m.step++
		m.saved, m.cached = m.now.Up, nil
	}
}

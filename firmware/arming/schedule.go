package arming

import "time"

// clockTime is how a plan writes a time of the day.
const clockTime = "15:04"

// scheduleWindow is how long after its time a schedule still acts: a station that was off all night arms nothing in the morning.
const scheduleWindow = time.Hour

// schedule is which times of the day were dealt with.
type schedule struct {
	Armed    handled `json:"armed,omitzero"`
	Disarmed handled `json:"disarmed,omitzero"`
	Late     handled `json:"late,omitzero"`
}

// handled is the last two times that were dealt with, UTC seconds, the last one first; 0 = none. Of one alone, a clock that wakes in
// 1970 and is set right an hour later would have the same morning twice.
type handled [2]int64

// schedules does what the time of the day asks for. It never ends an alarm or an entry delay.
func (m *Machine) schedules() {
	m.looked = m.now.Wall.Truncate(time.Minute)
	by := Actor{Via: ViaSchedule, own: true}
	for _, p := range m.partitions {
		if m.comes(p.DisarmAt, 0, &p.schedule.Disarmed) && p.mode != "" {
			if p.sounding != 0 || p.entry != 0 {
				m.tellRefused(p.ID, Disarm{}, by, &Refusal{Reason: RefusedAlarm})
			} else {
				m.disarm(p, by)
			}
		}
		if m.comes(p.ArmAt, 0, &p.schedule.Armed) && p.mode == "" {
			wish := Arm{By: by, Partition: p.ID, Mode: p.ArmMode}
			if refused := m.arm(wish); refused != nil {
				m.tellRefused(p.ID, wish, by, refused)
			}
		}
		if m.comes(p.ArmAt, p.LateAfter, &p.schedule.Late) && p.mode == "" {
			m.tellLate(p)
		}
	}
}

// comes says, once a day, that it is at, or a while later. The first day that is seen, and a day before one that was seen, are noted and
// not acted upon. A time that is long past is nothing: a clock that is in a year to come for an hour must not cost the next evenings.
func (m *Machine) comes(at string, later time.Duration, done *handled) bool {
	if at == "" {
		return false
	}
	of, err := time.Parse(clockTime, at)
	if err != nil {
		return false // New has checked it
	}
	wall := m.now.Wall
	due := time.Date(wall.Year(), wall.Month(), wall.Day(), of.Hour(), of.Minute(), 0, 0, wall.Location()).Add(later)
	if due.After(wall) {
		due = due.AddDate(0, 0, -1)
	}
	if due.Unix() == done[0] || due.Unix() == done[1] {
		return false
	}
	last := max(done[0], done[1])
	if last != 0 && wall.Sub(due) >= scheduleWindow {
		return false
	}
	*done, m.cached = handled{due.Unix(), done[0]}, nil
	return last != 0 && last < due.Unix()
}

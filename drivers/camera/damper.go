package camera

import (
	"time"

	"watchpost/storage/event"
)

// A camera that comes and goes (a loose plug, a switch that restarts its port) is one fact, not thousands: beyond
// flapEvents changes within flapWindow it is told as flapping, once, and how it stands when it has kept still for so long.
const (
	flapEvents = 6
	flapWindow = time.Minute
)

const reasonFlapping = "flapping" // the camera comes and goes

// damper holds changes of state back while there are too many of them. The zero damper is ready.
type damper struct {
	told []time.Time // when the last changes were told, at most flapEvents
	held event.Draft // flapping: how it stands now, not told yet
	last time.Time   // flapping: of the last change
	lost uint64      // flapping: changes held back
	flap bool
}

// change takes a change of state and answers what is to be told: it, nothing, or once that the camera is flapping.
func (m *damper) change(d event.Draft, now time.Time) []event.Draft {
	for len(m.told) > 0 && now.Sub(m.told[0]) >= flapWindow {
		m.told = m.told[1:]
	}
	if !m.flap && len(m.told) < flapEvents {
		m.told = append(m.told, now)
		return []event.Draft{d}
	}
	began := !m.flap
	m.flap, m.held, m.last, m.lost = true, d, now, m.lost+1
	if !began {
		return nil
	}
	camera, _ := d.Body.Text(event.TagCamera)
	profile, _ := d.Body.Text(event.TagProfile)
	return []event.Draft{{
		At: now, Kind: event.KindCameraState, Qualifier: event.QualifierNew, Severity: event.SeverityWarning, Source: d.Source,
		Body: event.NewBody(event.Text(event.TagState, StateDegraded), event.Text(event.TagReason, reasonFlapping),
			event.Text(event.TagCamera, camera), event.Text(event.TagProfile, profile),
			event.Text(event.TagDetail, "camera comes and goes: check its plug, power and network; it is told again when it keeps still")),
	}}
}

// still answers how the camera stands once it has kept still after flapping; nil while it has not.
func (m *damper) still(now time.Time) []event.Draft {
	if !m.flap || now.Sub(m.last) < flapWindow {
		return nil
	}
	d := m.held
	d.Body = event.NewBody(append(d.Body, event.Text(event.TagText, "was flapping"), event.Uint(event.TagLost, m.lost))...)
	*m = damper{}
	return []event.Draft{d}
}

package station

import (
	"errors"

	"watchpost/storage/event"
)

// reasonDamaged is the reason of what is told when the journal of arming cannot be believed.
const reasonDamaged = "journal-damaged"

// damagedLook is how many of the log's last seqs are looked through at first for what was told of the partitions.
const damagedLook = 4096

// damaged sets a journal aside that says nothing. The partitions come up disarmed, and the kinds that are always on go on. Arming by
// itself would be worse: nobody knows which zones were left out, and whoever is in the house then raises an alarm that cannot be
// told from a true one. But what the log last told of a partition is known: unless it was disarmed it is an alarm of its own, so that
// no broken disk, and nobody with a hand on it, disarms a house unnoticed.
func (g *guard) damaged(damage error) {
	aside := g.file.setAside()
	g.log.Error("the journal of arming cannot be used: the partitions are disarmed, arm them again", "err", errors.Join(damage, aside))
	last := g.lastTold()
	for _, p := range g.plan.Partitions {
		was := last[p.ID]
		g.add(event.Draft{
			Kind: event.KindPartitionChanged, Qualifier: event.QualifierStatus, Source: "arming/" + p.ID, Severity: event.SeverityWarning,
			Body: event.NewBody(event.Text(event.TagPartition, p.ID), event.Text(event.TagState, "disarmed"), event.Text(event.TagPrevious, orUnknown(was.state)),
				event.Text(event.TagReason, reasonDamaged), event.Text(event.TagDetail, "what was armed is not known: arm again; the file is kept beside the journal")),
		})
		if was.mode != "" || was.state == "" {
			g.add(event.Draft{
				Kind: event.KindAlarmRaised, Qualifier: event.QualifierNew, Source: "arming/" + p.ID, Severity: event.SeverityAlarm,
				Body: event.NewBody(event.Text(event.TagPartition, p.ID), event.Text(event.TagReason, reasonDamaged), event.Text(event.TagState, "disarmed"),
					event.Text(event.TagMode, was.mode), event.Text(event.TagDetail, "it was "+orUnknown(was.state)+", and is disarmed now")),
			})
		}
	}
}

// wasArmed says that the log told of a partition last that it is armed.
func (g *guard) wasArmed() bool {
	for _, told := range g.lastTold() {
		if told.mode != "" {
			return true
		}
	}
	return false
}

// toldState is what an event told of a partition.
type toldState struct{ state, mode string }

// lastTold is what the log last told of each partition. A log is read forward only: so it looks back in spans that double, until it
// has met them all.
func (g *guard) lastTold() map[string]toldState {
	last, wanted := map[string]toldState{}, map[string]bool{}
	for _, p := range g.plan.Partitions {
		wanted[p.ID] = true
	}
	upto := g.veil.log.Head(event.LaneMain)
	for span := uint64(damagedLook); upto > 0 && len(wanted) > 0; span *= 2 {
		from := upto - min(span, upto)
		for id, told := range g.toldIn(from, upto) {
			if wanted[id] {
				last[id] = told
				delete(wanted, id)
			}
		}
		upto = from
	}
	return last
}

// toldIn is what the events behind seq from and up to seq upto last told of partitions.
func (g *guard) toldIn(from, upto uint64) map[string]toldState {
	last := map[string]toldState{}
	for {
		events, err := g.veil.log.Read(event.LaneMain, from, 256)
		if err != nil || len(events) == 0 {
			return last
		}
		for _, e := range events {
			if from = e.Seq; from > upto {
				return last
			}
			if partition, ok := e.Body.Text(event.TagPartition); ok && e.Kind == event.KindPartitionChanged {
				state, _ := e.Body.Text(event.TagState)
				mode, _ := e.Body.Text(event.TagMode)
				last[partition] = toldState{state, mode}
			}
		}
	}
}

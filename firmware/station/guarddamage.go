package station

import (
	"errors"

	"watchpost/storage/event"
)

// reasonDamaged is the reason of what is told when the journal of arming cannot be believed.
const reasonDamaged = "journal-damaged"

// damagedLook is how many of the log's last events in the main lane are looked through for what was told of the partitions.
const damagedLook = 4096

// damaged sets a journal aside that says nothing. The partitions come up disarmed, and the kinds that are always on go on. Arming by
// itself would be worse: nobody knows which zones were left out, and whoever is in the house then raises an alarm that cannot be
// told from a true one. But what the log last told of a partition is known: one that was armed is an alarm of its own, so that no
// broken disk, and nobody with a hand on it, disarms a house unnoticed.
func (g *guard) damaged(damage error) {
	aside := g.file.setAside()
	g.log.Error("the journal of arming cannot be used: the partitions are disarmed, arm them again", "err", errors.Join(damage, aside))
	last := g.lastTold()
	for _, p := range g.plan.Partitions {
		was := last[p.ID]
		if was.state == "" {
			was.state = "unknown"
		}
		g.add(event.Draft{
			Kind: event.KindPartitionChanged, Qualifier: event.QualifierStatus, Source: "arming/" + p.ID, Severity: event.SeverityWarning,
			Body: event.NewBody(event.Text(event.TagPartition, p.ID), event.Text(event.TagState, "disarmed"), event.Text(event.TagPrevious, was.state),
				event.Text(event.TagReason, reasonDamaged), event.Text(event.TagDetail, "what was armed is not known: arm again; the file is kept beside the journal")),
		})
		if was.mode != "" {
			g.add(event.Draft{
				Kind: event.KindAlarmRaised, Qualifier: event.QualifierNew, Source: "arming/" + p.ID, Severity: event.SeverityAlarm,
				Body: event.NewBody(event.Text(event.TagPartition, p.ID), event.Text(event.TagReason, reasonDamaged), event.Text(event.TagState, "disarmed"),
					event.Text(event.TagMode, was.mode), event.Text(event.TagDetail, "it was "+was.state+", and is not any more")),
			})
		}
	}
}

// toldState is what an event told of a partition.
type toldState struct{ state, mode string }

// lastTold is what the log last told of each partition, as far back as is looked.
func (g *guard) lastTold() map[string]toldState {
	last := map[string]toldState{}
	head := g.veil.log.Head(event.LaneMain)
	for after := head - min(head, damagedLook); after < head; {
		events, err := g.veil.log.Read(event.LaneMain, after, 256)
		if err != nil || len(events) == 0 {
			break
		}
		for _, e := range events {
			after = e.Seq
			partition, ok := e.Body.Text(event.TagPartition)
			if e.Kind != event.KindPartitionChanged || !ok {
				continue
			}
			state, _ := e.Body.Text(event.TagState)
			mode, _ := e.Body.Text(event.TagMode)
			last[partition] = toldState{state, mode}
		}
	}
	return last
}

package event

// Kind says what sort of fact an event is. Kinds are append-only: a number is never used twice, and a breaking change
// of what a kind carries is a new kind.
type Kind uint16

// The kinds, with what their Body carries.
const (
	// KindLogOpened is the first event of an epoch: reason, prev_epoch, last_alarm … last_trace (0 = unknown or none).
	KindLogOpened Kind = 1
	// KindLogEvicted tells a range that cannot be had any more: reason (space, damaged, or unsure: numbers left out after a
	// power cut, in no lane), lane, from, upto, count, unreceipted.
	KindLogEvicted Kind = 2
	// KindLogRefused tells, once there is room again, what the full log had to refuse: count, from (ns), reason.
	KindLogRefused Kind = 3
	// KindStationStarted begins a run of the agent: version, reason.
	KindStationStarted Kind = 4
	// KindStationStopped ends a run of the agent in good order: reason.
	KindStationStopped Kind = 5
	// KindZoneChanged tells a zone's new state: state, previous, lost, line, code, detail; reason ReasonTest for an alarm that the
	// station's daily test has asked for.
	KindZoneChanged Kind = 6
	// KindPanelEvent is what an alarm panel reported: format, code, account, area, user, text, panel_seq, panel_time, …
	KindPanelEvent Kind = 7
	// KindPanelLink tells that a panel's supervision was lost (new) or is back (restore): account, reason, duration.
	KindPanelLink Kind = 8
	// KindPanelRefused tells a frame that was not believed: account, reason, remote, count.
	KindPanelRefused Kind = 9
	// KindCameraState tells how a camera does: camera, state (up, down, warning), reason, profile, width, height.
	KindCameraState Kind = 10
	// KindViewingOpened is the audit entry before the first packet: viewing, camera, profile, who, role, purpose, command.
	KindViewingOpened Kind = 11
	// KindViewingRefused tells a viewing that was asked for and not given: viewing, camera, who, role, purpose, reason.
	KindViewingRefused Kind = 12
	// KindViewingClosed ends a viewing: viewing, camera, who, reason, duration, packets, bytes.
	KindViewingClosed Kind = 13
	// KindCommandRefused tells commands that were not obeyed: centre, command, action, reason, count.
	KindCommandRefused Kind = 14
	// KindCentreLink tells that the link to a centre came up (restore) or was lost (new): centre, reason, duration, detail; count if it tells more than one change.
	KindCentreLink Kind = 15
	// KindCentreFilter tells which lanes a centre is sent from here on: centre, text.
	KindCentreFilter Kind = 16
	// KindCentreStalled tells that a broker takes a lane's events and the centre's receipt does not come (new), or comes again
	// (restore): centre, lane, from, upto, count, detail.
	KindCentreStalled Kind = 17
	// KindTestFailed tells that the daily test alarm did not come through: stage, zone, station, detail. The station itself tells
	// the stages line and log, its centre uplink and screen, and line where the station is mute.
	KindTestFailed Kind = 18
	// KindStationSilent is a centre's word that a station has not been heard for longer than its heartbeat allows (new), or is
	// heard again (restore): station, duration, count (of its open alarms), detail.
	KindStationSilent Kind = 19
	// KindCarrierSilent is a centre's word that the stations behind one carrier fell silent together: carrier, station (each),
	// count, duration, detail.
	KindCarrierSilent Kind = 20
	// KindAlarmRaised is arming's verdict on a zone or a partition (new), and the end of its cause (restore): partition, reason
	// (the cause), state (the zone's), code, line_seq, mode, who, detail. Its Zone, KernelNS and line_seq are those of the edge.
	KindAlarmRaised Kind = 21
	// KindPartitionChanged tells a partition's new state: partition, state, previous, mode, who, reason, zone (each that is left out).
	KindPartitionChanged Kind = 22
	// KindZoneBypassed tells that a zone is left out (new) or counts again (restore): partition, state (soft, hard, swinger), who, reason.
	KindZoneBypassed Kind = 23
	// KindArmingRefused tells a wish at the keypad that was not done: partition, action, who, reason, zone (each that is in the way), count.
	KindArmingRefused Kind = 24
	// KindDuress tells that somebody is made to disarm: partition, who, code. It is silent: no screen, page or view of the station shows it.
	KindDuress Kind = 25
	// KindMaintenance tells that a zone or the whole station is under test or left out by an engineer (new), still is, once a day
	// (status), or is not any more (restore): zone, partition, state (test, bypass), who, reason, duration, expires.
	KindMaintenance Kind = 26
	// KindTourChecked tells what a guard tour's checkpoint has seen: tour, checkpoint, state (checked, missed, early, late,
	// out-of-order, stranger; missing if its reader could not be read), who, expires, reason (down, reader), detail.
	KindTourChecked Kind = 27
	// KindSensorChanged tells that a measured value left its limits or its sensor failed: state, previous, value, unit, limit, reason, detail.
	KindSensorChanged Kind = 28
	// KindSensorRead is a measured value as it was: value, unit.
	KindSensorRead Kind = 29
	// KindBusChanged tells that a bus of chips, or a reader on one, is stuck or dead (new) or works again (restore): bus, state, previous, reason, detail, count.
	KindBusChanged Kind = 30
	// KindOutputChanged tells what a siren, a strobe or another output was driven to: output, state (on, off, fault), previous, reason, line, duration, detail.
	KindOutputChanged Kind = 31
	// KindReportRefused tells that an alarm receiving centre would not take an event (new): centre, reason (duh), from (its seq), detail; or
	// that its clock is not the station's (status): centre, reason (clock), duration, detail.
	KindReportRefused Kind = 32
)

// Silent says that an event of this kind goes to the centres and is shown nowhere at the station itself.
func (k Kind) Silent() bool { return k == KindDuress }

// kindName is the word of the JSON view; "" for a kind that this version does not know.
func kindName(k Kind) string {
	switch k {
	case KindLogOpened:
		return "log.opened"
	case KindLogEvicted:
		return "log.evicted"
	case KindLogRefused:
		return "log.refused"
	case KindStationStarted:
		return "station.started"
	case KindStationStopped:
		return "station.stopped"
	case KindZoneChanged:
		return "zone.changed"
	case KindPanelEvent:
		return "panel.event"
	case KindPanelLink:
		return "panel.link"
	case KindPanelRefused:
		return "panel.refused"
	case KindCameraState:
		return "camera.state"
	case KindViewingOpened:
		return "viewing.opened"
	case KindViewingRefused:
		return "viewing.refused"
	case KindViewingClosed:
		return "viewing.closed"
	case KindCommandRefused:
		return "command.refused"
	case KindCentreLink:
		return "centre.link"
	case KindCentreFilter:
		return "centre.filter"
	case KindCentreStalled:
		return "centre.stalled"
	case KindTestFailed:
		return "test.failed"
	case KindStationSilent:
		return "station.silent"
	case KindCarrierSilent:
		return "carrier.silent"
	case KindAlarmRaised:
		return "alarm.raised"
	case KindPartitionChanged:
		return "partition.changed"
	case KindZoneBypassed:
		return "zone.bypassed"
	case KindArmingRefused:
		return "arming.refused"
	case KindDuress:
		return "duress"
	case KindMaintenance:
		return "maintenance"
	case KindTourChecked:
		return "tour.checked"
	case KindSensorChanged:
		return "sensor.changed"
	case KindSensorRead:
		return "sensor.read"
	case KindBusChanged:
		return "bus.changed"
	case KindOutputChanged:
		return "output.changed"
	case KindReportRefused:
		return "report.refused"
	}
	return ""
}

// String is the kind's word, or kind-N for a number that this version does not know.
func (k Kind) String() string { return nameOr(kindName(k), "kind", uint64(k)) }

// MarshalText writes the kind's word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

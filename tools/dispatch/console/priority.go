package console

import (
	"strings"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/watch"
)

// The priorities of alarms, the most urgent first.
const (
	priorityLife     = 1                // a person is in danger: hold-up, panic, duress, medical, fire, gas
	priorityProperty = 2                // somebody is where nobody should be
	priorityDevice   = 3                // a device or a line is at fault or is being tampered with
	priorityWide     = priorityProperty // many villages are dark at once
	priorityThreat   = priorityLife     // an alarm, and then silence: perhaps somebody made it silent
)

// priority ranks an alarm for the queue. Panels say what it is by SIA codes (DC-03, two letters) or Contact ID codes (DC-05,
// three digits), and an active zone says by a SIA code what it is for, as arming's verdict does. Somebody made to disarm is in danger; water, heat or cold
// beyond a limit threatens the place. A supervised line that is not read as normal or
// active is a fault of the line. Silence, stalled receipts and tests that did not come through are faults of a device or a line,
// but for a silence that follows an alarm, and one that covers many villages.
func priority(e event.Event) int {
	code, _ := e.Body.Text(event.TagCode)
	state, _ := e.Body.Text(event.TagState)
	reason, _ := e.Body.Text(event.TagReason)
	switch {
	case e.Kind == event.KindStationSilent && reason == watch.ReasonThreat:
		return priorityThreat
	case e.Kind == event.KindCarrierSilent:
		return priorityWide
	case e.Kind == event.KindDuress:
		return priorityLife
	case e.Kind == event.KindZoneChanged && state == "active", e.Kind == event.KindAlarmRaised && code != "":
		return siaPriority(code)
	case e.Kind == event.KindSensorChanged && (state == "high" || state == "low"):
		return priorityProperty
	case e.Kind != event.KindPanelEvent:
		return priorityDevice
	}
	if len(code) == 3 && code[0] == '1' {
		return contactIDPriority(code)
	}
	return siaPriority(code)
}

// contactIDPriority: 10x medical, 11x fire, 12x panic, 15x 24-hour non-burglary (gas and the like), 13x burglary, 14x general
// and tamper, 16x fire supervision.
func contactIDPriority(code string) int {
	switch code[1] {
	case '0', '1', '2':
		return priorityLife
	case '3':
		if code == "137" { // tamper
			return priorityDevice
		}
		return priorityProperty
	case '5':
		if code == "151" { // gas detected
			return priorityLife
		}
		return priorityDevice
	case '4':
		if code == "140" { // general alarm
			return priorityProperty
		}
	}
	return priorityDevice
}

// siaPriority: F fire, G gas, H hold-up, K heat, M medical, P panic, Q emergency; B burglary, and T tamper.
func siaPriority(code string) int {
	switch {
	case code == "":
		return priorityProperty
	case strings.ContainsRune("FGHKMPQ", rune(code[0])) && strings.HasSuffix(code, "A"):
		return priorityLife
	case code[0] == 'B' || strings.HasSuffix(code, "A") && code[0] != 'T':
		return priorityProperty
	default:
		return priorityDevice
	}
}

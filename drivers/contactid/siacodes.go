package contactid

import (
	"strings"

	"watchpost/storage/event"
)

// siaSpecial knows the codes that are no subject and verb, or mean something else than these would; "" if it does not.
func siaSpecial(code string) (string, Class, event.Qualifier) {
	for _, g := range [...]struct {
		list  string
		class Class
		q     event.Qualifier
	}{
		{siaAlarms, ClassAlarm, event.QualifierNew},
		{siaAlarmsOver, ClassAlarm, event.QualifierRestore},
		{siaTroubles, ClassTrouble, event.QualifierNew},
		{siaTroublesOver, ClassTrouble, event.QualifierRestore},
		{siaSupervisory, ClassSupervisory, event.QualifierNew},
		{siaOpenings, ClassOpenClose, event.QualifierNew},
		{siaClosings, ClassOpenClose, event.QualifierRestore},
		{siaAccess, ClassAccess, event.QualifierStatus},
		{siaTests, ClassTest, event.QualifierStatus},
		{siaSystem, ClassSystem, event.QualifierStatus},
		{siaUnknown, ClassUnknown, event.QualifierStatus},
	} {
		if text := siaText(g.list, code); text != "" {
			return text, g.class, g.q
		}
	}
	return "", ClassUnknown, event.QualifierStatus
}

// siaText finds the line "code text" in a list.
func siaText(list, code string) string {
	if len(code) != 2 {
		return ""
	}
	i := strings.Index(list, "\n"+code+" ")
	if i < 0 {
		return ""
	}
	text, _, _ := strings.Cut(list[i+len("\nXX "):], "\n")
	return text
}

// The codes, one a line.
const (
	siaAlarms = `
CM point missing on recent close
DF door forced
DL door left open, alarm
EA exit alarm
EZ point missing on exit error
JA wrong user codes entered
UX undefined alarm
UZ untyped zone missing, alarm
XM point missing, cross-zone alarm
AA panel substituted
JB code tamper
ND night mode ended under duress`
	siaAlarmsOver = `
DH door left open, over
DR door closed again
OC alarm cancelled
OH opened early after alarm
OR disarmed after alarm
JC code tamper over`
	siaTroubles = `
AT mains failure
BD swinger trouble
BZ point missing
CI failed to close
DJ door forced, trouble
DK access lockout
DM door left open, trouble
DT access trouble
EE exit error
ET expansion trouble
FY fire point missing
FZ fire supervision missing
IA equipment failure
JO event log overflow
LT telephone line trouble
NA no activity
NC network condition
NT network failure
OI failed to open
RA remote programming call failed
RT data lost
RY test off normal
UY untyped zone missing
VO printer out of paper
VT printer trouble
VZ printer offline
XL weak radio signal
XQ radio interference
XS radio receiver tamper
XT sensor battery low
XX failed to test
YA bell fault
YC communication failed
YD receiver line card trouble
YF parameter checksum wrong
YI over current
YM battery missing
YP power supply trouble
YS communication trouble
YT battery low
YW watchdog reset
YX service required
CC failed to close
EM expansion device missing
ES expansion device tamper
NE failed to arm the perimeter
OU output trouble`
	siaTroublesOver = `
AN analogue restored
AR mains restored
BE swinger trouble over
ER expansion restored
IR equipment failure over
LR telephone line restored
NR network restored
NS activity resumed
RR power up
VI printer paper in
VR printer restored
VY printer online
XH radio interference over
XJ radio receiver tamper over
XR sensor battery restored
YE receiver line card restored
YH bell restored
YJ over current over
YK communication restored
YQ power supply restored
YR battery restored
YZ service done
EJ expansion device tamper over
EN expansion device back
OV output restored`
	siaSupervisory = `
AS analogue service`
	siaOpenings = `
CT late to open
JK latch-key alert
JP user on premises
OA automatic opening
OB group opening
OG area opened
OJ late opening
OK early opening
OL late to open after alarm
OP opening
OQ remote opening
OS opening by key switch
OT late to close
OZ point opened
NO night mode ended automatically`
	siaClosings = `
CA automatic closing
CB group closing
CD closing delinquent
CE closing extended
CF forced closing
CG area closed
CJ late closing
CK early closing
CL closing
CP automatic closing
CQ remote closing
CR recent closing
CS closing by key switch
CW was force armed
CZ point closed
NF perimeter force armed
NL perimeter armed
NP perimeter armed
NM perimeter armed`
	siaAccess = `
DA card assigned
DB card deleted
DC access closed
DD access denied
DE request to enter
DG access granted
DN door left open
DO access open
DP access denied, wrong time
DQ access denied, not armed
DS door station
DU dealer id
DV access denied, entry
DW access denied, interlock
DX request to exit
DY door locked
DZ access closed state
DI access denied, passback`
	siaTests = `
FI fire test begins
FK fire test ends
RP automatic test
RX manual test
TC all points tested
TE test ends
TP walk test point
TS test begins
TX test report
VX printer test`
	siaSystem = `
EX external device state
JD date changed
JH holidays changed
JL event log nearly full
JR schedule executed
JS schedule changed
JT time changed
JV user code changed
JX user code deleted
JY user code added
JZ user level set
LB local programming begins
LD local programming denied
LE listen-in ends
LF listen-in begins
LS local programming done
LU local programming failed
LX local programming ends
RB remote programming begins
RC relay closed
RD remote programming denied
RN remote reset
RO relay opened
RS remote programming done
RU remote programming failed
XA extra account report
XE extra point
XF extra radio point
XI sensor reset
XW forced point
YB busy
YG parameter changed
YY status report
AB report aborted by user
CO command sent
CX custom function executed
MI message`
	siaUnknown = `
YN invalid report
YO unknown message`
)

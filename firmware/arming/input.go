package arming

import "time"

// Input is one thing that the machine is told: a word of a zone, a wish of a person, or that time has passed.
type Input interface{ input() }

// Word is how a zone stands, as its driver read it.
type Word struct {
	Zone     string
	State    string // a zone's word of the glossary: unknown, normal, active, short, open, masked, fault, missing
	Reason   string // the driver's: chatter, lost, wire, …; of this and of other texts from outside the first 96 bytes are told
	KernelNS int64  // of the edge, 0 = not known
	LineSeq  uint64 // of the edge, 0 = not known
	Once     string // the driver's key of this word, "" = none
}

// Actor is who wishes something, as the rim has found out.
type Actor struct {
	User   string // id of a User of the plan; "" = nobody known, and then Why says what was tried
	Via    string // how: code, card, centre; with ViaCentre User is a person of the centre, and the rim has judged the rights
	Duress bool   // the code says that somebody stands behind
	Why    string // why User is "": wrong code, unknown card

	own bool // the plan's own wish
}

// Arm wishes a partition armed. A zone that is not normal refuses it by name, unless Force names that zone; then it is
// bypassed softly, and told. A Force that names a normal zone bypasses nothing.
type Arm struct {
	By        Actor
	Partition string
	Mode      Mode
	Force     []string
	Now       bool // without exit delay
}

// Disarm wishes a partition disarmed; it also ends alarm, entry delay and sirens, and keeps the alarm memory.
type Disarm struct {
	By        Actor
	Partition string
}

// Clear wishes the alarm memory of a disarmed partition forgotten.
type Clear struct {
	By        Actor
	Partition string
}

// Bypass leaves a zone out, or has it count again. A soft one ends with the next disarming, a hard one is an engineer's and
// ends by itself after For (at most two hours).
type Bypass struct {
	By   Actor
	Zone string
	Off  bool // has it count again
	Hard bool
	For  time.Duration
}

// Maintain puts one zone, or the whole station with Zone "", under test for at most two hours, or ends that.
type Maintain struct {
	By     Actor
	Zone   string
	For    time.Duration
	Off    bool
	Reason string
}

// WalkTest begins or ends a walk test of a disarmed partition: each zone that becomes active is ticked off.
type WalkTest struct {
	By        Actor
	Partition string
	Off       bool
}

// Tick says that it is later; it is wished at Machine.Due.
type Tick struct{}

// Started says that the machine runs again after Restore; it comes before any other input.
type Started struct{}

func (Word) input()     {}
func (Arm) input()      {}
func (Disarm) input()   {}
func (Clear) input()    {}
func (Bypass) input()   {}
func (Maintain) input() {}
func (WalkTest) input() {}
func (Tick) input()     {}
func (Started) input()  {}

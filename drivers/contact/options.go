package contact

import (
	"log/slog"
	"time"

	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// Config is one contact: a zone on a line.
type Config struct {
	// Zone is the station's name of the zone.
	Zone string
	// Line is the name of the line in the bus.
	Line string
	// NormallyClosed says that a high level is the normal state (the contact breaks when active); false: high is active.
	NormallyClosed bool
	// Debounce is how long a level must hold; it is done by the bus. 0 = none.
	Debounce time.Duration
	// Code says what the contact is for, as a panel would: a SIA code (DC-03) such as BA or PA. It goes into the event when
	// the zone becomes active; "" = not told.
	Code string
	// Severity is that of the event when the zone becomes active: alarm, warning or notice.
	Severity event.Severity
}

// Options are the contacts of one bus.
type Options struct {
	// Lines carries the lines of all contacts.
	Lines bus.Lines
	// Contacts are the zones; names and lines are unique.
	Contacts []Config
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

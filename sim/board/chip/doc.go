// A chip is a few registers behind an address, and what its data sheet says they do over time.
//
// Each type here is one chip as its bus meets it, written from the manufacturer's data sheet, which its comment names. A
// chip's time is a function that it is given, so that a conversion may also end without waiting; nil is the wall clock.
package chip

import "time"

// timeOf is the clock of a chip.
func timeOf(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

package wire

// Fault is what a transaction ended with instead of an answer: the word that a controller has for it.
//
// A fault is equal, for errors.Is, to any error with the same words. So code that knows these faults by sentinels of its own
// recognises them, though neither side imports the other.
type Fault string

// The faults of both buses.
const (
	// NoAnswer is a transaction that nobody acknowledged.
	NoAnswer Fault = "no answer"
	// Stuck is a wire that somebody holds low.
	Stuck Fault = "the bus is stuck"
	// Timeout is an answer that took longer than a second.
	Timeout Fault = "no answer in time"
	// Refused is a transaction that the bus could not even begin.
	Refused Fault = "refused"
)

// Error is the fault in words.
func (f Fault) Error() string { return string(f) }

// Is reports whether target says the same.
func (f Fault) Is(target error) bool { return target.Error() == string(f) }

// A county has not one station but hundreds, and what they do to a centre together, or it to them, shows in none of them alone.
//
// The fleet is many stations in one process, in two ways. Members (Fleet) are whole stations of firmware/station over logs in
// memory, each with its own certificate and its own connection to a real broker. A World (Play) has no clock, no socket and
// no goroutine: it steps the shipped decisions, uplink/outbox.Core and the chain rule and frames of uplink/topic, from one
// heap of things to come, through links that break, brokers that acknowledge and drop, and centres that crash or come back
// from a backup. One seed is one history, to the last step, on every machine; its hash says so.
//
// What a World adds to the shipped parts is the heap, the network between them, a disk that is a slice and a centre's store that
// is a map. What it never adds is a decision: a model of an outbox would prove nothing about ours.
package fleet
